"""Proof by violence: kill the service at random moments while readings arrive, then count.

`make proof`, or `python scripts/proof.py --readings 5000000 --kills 30 --seed 1`. A real Kafka broker, the real
service, `kill -9` of one worker or of all of them at random moments, narrow, wide and batch messages with
duplicates, late ones and poison among them. At the end DuckDB counts the tree, sharing no code with the service,
and must find every acknowledged reading exactly once and every undecodable message among the dead letters.

With `--workers 4 --minutes 10` several ingest workers share the partitions, and are also stopped and continued
(zombies), and the service is ended and started with another number of them, every few seconds.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import duckdb
import psutil

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.demo.messages import SENSIBLE_FAULTS, PlantMessage, plant_messages
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import Publisher, Report
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_maintain

_START_US = 1_767_225_600 * SECOND
_PARTITIONS = 4
_CHUNK_MESSAGES = 20_000
_DRAIN_SECONDS = 300
_SERVICE = [sys.executable, "-m", "sensor_storage"]


@dataclass(frozen=True)
class Count:
    """What DuckDB found in the tree, and what the broker had acknowledged."""

    acknowledged_messages: int
    acknowledged_readings: int
    stored_rows: int
    stored_readings: int
    expected_dead_letters: int
    dead_letters: int
    kills: int
    drain_seconds: float
    seconds: float
    verify_exit: int

    @property
    def exact(self) -> bool:
        """Every acknowledged reading once, every dead letter kept, and `verify` agrees."""
        return (
            self.stored_rows == self.stored_readings == self.acknowledged_readings
            and self.dead_letters == self.expected_dead_letters
            and self.verify_exit == 0
        )


class Service:
    """The service as child processes that may be killed."""

    def __init__(self, root: Path, bootstrap_servers: str, workers: int) -> None:
        self._most_workers = self._workers = workers
        self._stopped: list[psutil.Process] = []
        self._log = (root / "service.log").open("ab")
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "LOCAL_STORAGE_PATH": str(root / "raw"),
            "BUFFER_FLUSH_INTERVAL_SECONDS": "2",
            "SERVICE_PORT": "0",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, as after a crash."""
        self._process = subprocess.Popen(
            [
                *_SERVICE,
                "run",
                *("--role", "ingest", "--role", "maintain"),
                *("--ingest-workers", str(self._workers)),
            ],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def kill(self, rng: random.Random) -> str:
        """`kill -9` one worker, which its supervisor starts again, or every process at once."""
        if self._process is None:
            return "nothing"
        parent = psutil.Process(self._process.pid)
        workers = parent.children()
        if workers and rng.random() < 1 / 2:
            victim = rng.choice(workers)
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
            return "one worker"
        for process in (parent, *workers):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self.start()
        return "all"

    def disturb(self, rng: random.Random) -> str:
        """Kill, stop and continue, or restart with another number of workers."""
        self.continue_all()
        act = rng.random()
        if self._most_workers == 1 or act < 1 / 2:
            return self.kill(rng)
        if act < 3 / 4 and self._process is not None:
            workers = psutil.Process(self._process.pid).children()
            for victim in rng.sample(workers, min(len(workers), rng.choice((1, 1, 2)))):
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.suspend()
                    self._stopped.append(victim)
            return f"stopped {len(self._stopped)} workers"
        self._workers = rng.randint(1, self._most_workers)
        status = self.stop()
        self.start()
        return f"ended ({status}) and started with {self._workers} ingest workers"

    def continue_all(self) -> None:
        """Let those that were stopped go on."""
        for process in self._stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        self._stopped.clear()

    def stop(self) -> int:
        """End it as an orchestrator would; its exit status."""
        if self._process is None:
            return 0
        self._process.terminate()
        return self._process.wait(60)

    def ask(self, *words: str) -> int:
        """Run a verb on the service's data; its exit code."""
        done = subprocess.run(
            [*_SERVICE, *words], env=self._environment, stdout=self._log, stderr=self._log, check=False
        )
        return done.returncode


@dataclass(frozen=True)
class Plan:
    """How much is published, and how the service is disturbed: so many times, or for so many minutes."""

    readings: int
    kills: int
    seed: int
    workers: int = 1
    minutes: float = 0


def prove(root: Path, plan: Plan) -> Count:
    """Publish, disturb, wait, count."""
    rng = random.Random(plan.seed)
    began = time.monotonic()
    with EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)) as broker:
        publisher = Publisher(broker.bootstrap_servers)
        messages = _messages(plan)
        first = list(islice(messages, _CHUNK_MESSAGES))
        topics = {message.topic for message in first}
        publisher.ensure_topics(sorted(topics), _PARTITIONS)
        service = Service(root, broker.bootstrap_servers, plan.workers)
        service.start()
        with _publishing(publisher, first, messages) as published:
            number = 0
            while number < plan.kills or time.monotonic() - began < plan.minutes * 60:
                number += 1
                time.sleep(rng.uniform(0.3, 3.0))
                print(f"{number}: {service.disturb(rng)}", flush=True)
            published.wait()
        service.continue_all()
        report = publisher.flush()
        drain = wait_until_received(Layout(root / "raw"), report)
        flushed = service.ask("compact")
        status = service.stop()
        verified = service.ask("verify", "--full")
    print(f"compact {flushed}, service {status}, verify {verified}")
    return _count(
        root,
        report,
        kills=number,
        drain_seconds=drain,
        seconds=time.monotonic() - began,
        verified=verified,
    )


def _messages(plan: Plan) -> Iterator[PlantMessage]:
    """So many readings, spread over the minutes there are."""
    plant = Plant(100, 10, seed=plan.seed)
    began = time.monotonic()
    found = 0
    for message in plant_messages(
        plant, _START_US, _START_US + 365 * 86_400 * SECOND, form="mixed", faults=SENSIBLE_FAULTS
    ):
        yield message
        found += message.readings
        if found >= plan.readings:
            return
        if found % 1000 == 0:
            time.sleep(max(0.0, began + plan.minutes * 60 * found / plan.readings - time.monotonic()))


@contextlib.contextmanager
def _publishing(
    publisher: Publisher, first: list[PlantMessage], messages: Iterator[PlantMessage]
) -> Iterator[Event]:
    done = Event()

    def publish() -> None:
        chunk = first
        while chunk:
            publisher.publish(chunk)
            chunk = list(islice(messages, _CHUNK_MESSAGES))
        done.set()

    Thread(target=publish, daemon=True).start()
    yield done


def wait_until_received(layout: Layout, report: Report) -> float:
    """How many seconds it took until the ledger answered for all."""
    began = time.monotonic()
    while time.monotonic() < began + _DRAIN_SECONDS:
        status = read_maintain(layout)
        if status is not None and status.received_messages >= report.messages_acknowledged:
            return round(time.monotonic() - began, 1)
        time.sleep(0.2)
    raise TimeoutError(f"not all messages were received in {_DRAIN_SECONDS} s: {read_maintain(layout)}")


def _count(
    root: Path, report: Report, *, kills: int, drain_seconds: float, seconds: float, verified: int
) -> Count:
    rows, distinct, letters = count_tree(root)
    return Count(
        acknowledged_messages=report.messages_acknowledged,
        acknowledged_readings=report.readings_acknowledged,
        stored_rows=rows,
        stored_readings=distinct,
        expected_dead_letters=report.dead_letters_expected,
        dead_letters=letters,
        kills=kills,
        drain_seconds=drain_seconds,
        seconds=round(seconds, 1),
        verify_exit=verified,
    )


def count_tree(root: Path) -> tuple[int, int, int]:
    """Rows, distinct readings and dead letters, as DuckDB counts them."""
    identity = "kafka_topic_id, kafka_partition, kafka_leader_epoch, kafka_offset"
    rows, distinct = _one_row(
        f"SELECT COUNT(*), COUNT(DISTINCT ({identity}, kafka_index)) FROM '{root}/raw/**/*.parquet'"
    )
    letters = 0
    if list((root / "deadletter").rglob("*.parquet")):
        (letters,) = _one_row(f"SELECT COUNT(DISTINCT ({identity})) FROM '{root}/deadletter/**/*.parquet'")
    return rows, distinct, letters


def _one_row(query: str) -> tuple[int, ...]:
    found: list[tuple[int, ...]] = duckdb.sql(query).fetchall()
    return found[0]


def main() -> int:
    """Prove with the numbers of the command line; exit 1 when a reading is missing or double."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=5_000_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="Ingest workers, at most.")
    parser.add_argument("--minutes", type=float, default=0, help="Disturb for so long instead of so often.")
    parser.add_argument("--directory", type=Path, help="Keep everything here; default: a temporary folder.")
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = chosen.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root.mkdir(parents=True, exist_ok=True)
        kills = 0 if chosen.minutes else chosen.kills
        plan = Plan(chosen.readings, kills, chosen.seed, chosen.workers, chosen.minutes)
        count = prove(root, plan)
    print(json.dumps({**asdict(count), "exact": count.exact}))
    return 0 if count.exact else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
