"""The whole service against a real broker on the same machine: rate, CPU of the process tree, memory, bytes.

`make bench`, or `python benchmarks/service.py --readings 3600000 narrow troubled wide`. The broker's CPU is given
beside the service's own. Each scenario fills a topic first and then lets a fresh service catch up, once to
segments only (ingest alone) and once to complete hour files (with maintain, then a flush). `backlog --readings
20000000` is a cold start on 20 million messages of 50,000 sensors.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import psutil

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.demo.messages import Faults, PlantMessage, plant_messages
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import Publisher, Report
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_ingest, read_maintain

START_US = 1_767_225_600 * SECOND
PARTITIONS = 4
PROGRAM = [sys.executable, "-m", "sensor_storage"]
DEADLINE_SECONDS = 1200


@dataclass(frozen=True)
class Scenario:
    """What is published: the form, the share of garbled messages and of sensors that say words."""

    form: Literal["narrow", "wide", "batch", "mixed"]
    malformed: float = 0.0
    text_share: float = 0.0
    sensors: int = 10
    interval_seconds: int = 1
    series: int = 1000


SCENARIOS = {
    "narrow": Scenario("narrow"),
    "troubled": Scenario("narrow", malformed=0.01, text_share=0.05),
    "wide": Scenario("wide", sensors=8),
    "batch": Scenario("batch"),
    "backlog": Scenario("narrow", malformed=0.001, text_share=0.02, interval_seconds=9, series=50_000),
    "hours": Scenario("narrow", interval_seconds=100),
    "fleet": Scenario("narrow", interval_seconds=20, series=100_000),
}


WAYS = {"segments": ["ingest"], "hour files": ["ingest", "maintain"]}
"""How far readings are brought, and the roles that do it."""


@dataclass(frozen=True)
class Figures:
    """One run: CPU in µs a reading over all processes of the service, memory of its largest process in MB.

    Rate and `cpu_us` are from the first status on; `cpu_us_with_start` counts what it takes to start, too.
    """

    scenario: str
    until: str
    readings: int
    readings_per_second: float
    cpu_us: float
    cpu_us_with_start: float
    broker_cpu_us: float
    largest_process_mb: float
    written_bytes_per_reading: float


@dataclass
class Member:
    """One process: its CPU seconds when last seen, and its largest memory in bytes."""

    name: str
    cpu: float = 0.0
    largest: int = 0


class Watched:
    """A process tree: its CPU so far, ended members included, and its largest member's memory."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._members: dict[int, Member] = {}

    def look(self) -> float:
        """CPU seconds of the tree."""
        for process in (self._root, *self._root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid not in self._members:
                    self._members[process.pid] = Member(_name(process.cmdline()))
                member, times = self._members[process.pid], process.cpu_times()
                member.cpu = times.user + times.system
                member.largest = max(member.largest, process.memory_info().rss)
        return sum(member.cpu for member in self._members.values())

    @property
    def largest(self) -> int:
        """The memory of the largest of them."""
        return max((member.largest for member in self._members.values()), default=0)

    def by_name(self) -> dict[str, Member]:
        """The processes by worker, those that were started again together."""
        found: dict[str, Member] = {}
        for member in self._members.values():
            one = found.setdefault(member.name, Member(member.name))
            one.cpu += member.cpu
            one.largest = max(one.largest, member.largest)
        return found


def _name(words: list[str]) -> str:
    """The worker's name in a command line of the service's own."""
    return words[words.index("worker") + 1] if "worker" in words else "supervisor"


@contextlib.contextmanager
def service(root: Path, bootstrap_servers: str, roles: list[str], **settings: str) -> Iterator[Watched]:
    """A running service; ended at the end."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "LOCAL_STORAGE_PATH": str(root / "raw"),
        "KAFKA_CONSUMER_GROUP": f"bench-{root.name}",
        **settings,
    }
    arguments = [word for role in roles for word in ("--role", role)]
    with (root / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [*PROGRAM, "run", *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield Watched(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def catch_up(
    root: Path,
    broker: EmbeddedBroker,
    name: str,
    report: Report,
    *,
    prefix: str,
    workers: int,
    ways: Sequence[str] = tuple(WAYS),
) -> Iterator[Figures]:
    """Read everything published, once to segments and once to complete hour files."""
    watched_broker = Watched(_java(broker))
    for until in ways:
        roles = WAYS[until]
        data = root / f"{name}-{until.replace(' ', '-')}"
        data.mkdir()
        layout = Layout(data / "raw")
        settings = {"KAFKA_TOPIC_PATTERN": f"^{prefix}.*", "INGEST_WORKERS": str(workers)}
        with service(data, broker.bootstrap_servers, roles, **settings) as watched:
            _wait(lambda watched=watched, layout=layout: bool(watched.look()) and _consumed(layout) > 0)
            before, cpu_before = _readings(layout), watched.look()
            began, broker_before = time.monotonic(), watched_broker.look()
            _wait(
                lambda watched=watched, layout=layout: (
                    bool(watched.look()) and _consumed(layout) >= report.messages_acknowledged
                )
            )
            if until == "hour files":
                subprocess.run(
                    [*PROGRAM, "compact", "--data", str(data), "-q"], check=True, stdout=sys.stderr
                )
            seconds, cpu = time.monotonic() - began, watched.look()
            broker_cpu = watched_broker.look() - broker_before
        readings = report.readings_acknowledged
        yield Figures(
            scenario=name,
            until=until,
            readings=readings,
            readings_per_second=round((readings - before) / seconds),
            cpu_us=round((cpu - cpu_before) / (readings - before) * 1e6, 2),
            cpu_us_with_start=round(cpu / readings * 1e6, 2),
            broker_cpu_us=round(broker_cpu / (readings - before) * 1e6, 2),
            largest_process_mb=round(watched.largest / 1e6),
            written_bytes_per_reading=round(_written(layout) / readings, 2),
        )


def _java(broker: EmbeddedBroker) -> int:
    """The process id of the broker's Java."""
    found = [
        process.pid
        for process in psutil.Process().children(recursive=True)
        if "kafka.Kafka" in " ".join(process.cmdline()) and "guard" not in " ".join(process.cmdline())
    ]
    if not found:
        raise LookupError(f"no Java process for {broker.bootstrap_servers}")
    return found[0]


def _consumed(layout: Layout) -> int:
    return sum(status.messages for status in read_ingest(layout))


def _readings(layout: Layout) -> int:
    return sum(status.readings for status in read_ingest(layout))


def _written(layout: Layout) -> int:
    maintain = read_maintain(layout)
    return sum(status.segment_bytes for status in read_ingest(layout)) + (
        maintain.written_bytes if maintain else 0
    )


def _wait(reached: object) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while callable(reached) and not reached():
        if time.monotonic() > deadline:
            raise TimeoutError("the service did not catch up")
        time.sleep(0.05)


def fill(
    broker: EmbeddedBroker, name: str, readings: int, *, partitions: int = PARTITIONS
) -> tuple[Report, str]:
    """Publish about so many readings of the scenario; what the broker has of them, and the topics' prefix."""
    scenario, prefix = SCENARIOS[name], f"sensor-data-{name}-"
    plant = Plant(
        scenario.series // scenario.sensors, scenario.sensors, seed=1, text_share=scenario.text_share
    )
    messages = plant_messages(
        plant,
        START_US,
        START_US + 100 * 86_400 * SECOND,
        form=scenario.form,
        interval_us=scenario.interval_seconds * SECOND,
        faults=Faults(malformed=scenario.malformed, out_of_order=0.01, late=0.001, duplicate=0.001),
        topic_prefix=prefix,
    )
    publisher = Publisher(broker.bootstrap_servers)
    published = 0
    while published < readings:
        chunk: list[PlantMessage] = list(islice(messages, 50_000))
        if not published:
            publisher.ensure_topics(sorted({message.topic for message in chunk}), partitions)
        publisher.publish(chunk)
        published += sum(message.readings for message in chunk)
    return publisher.flush(), prefix


def main() -> int:
    """Run the scenarios named and print one JSON line for each figure row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=["narrow", "troubled", "wide", "batch"])
    parser.add_argument("--readings", type=int, default=3_600_000)
    parser.add_argument("--workers", type=int, default=1, help="Ingest workers that share the partitions.")
    parser.add_argument("--until", choices=WAYS, action="append", help="Only so far; by default both.")
    chosen = parser.parse_args()
    ways = chosen.until or list(WAYS)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)) as broker:
            for name in chosen.scenarios:
                report, prefix = fill(broker, name, chosen.readings)
                for figures in catch_up(
                    root, broker, name, report, prefix=prefix, workers=chosen.workers, ways=ways
                ):
                    print(json.dumps(asdict(figures)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
