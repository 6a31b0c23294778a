"""A hundred thousand sensors over a thousand partitions, in one service: what it holds and how soon it answers.

`python benchmarks/fleet.py`. A reading of each sensor every 20 s of a minute or so waits in Kafka. The service
starts with it; verbs and lists are asked while everything is staged, and again when it is in a hundred thousand
hour files. Then `verify`, and the start after every process was killed. With `--aggregates` the service makes these
too, three files a sensor. Prints one JSON line a part.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from readiness import ready_seconds
from taken import PROGRAM, taken

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.demo.plant import KINDS
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_ingest, read_maintain
from service import Watched, fill, service

_DEADLINE_SECONDS = 500
_ASKED = 9
_TOPICS = len({area for area, _ in KINDS.values()})
"""The plant has a topic for each area."""


def main() -> int:
    """Run it, and print what each part took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=300_000)
    parser.add_argument("--partitions", type=int, default=1000)
    parser.add_argument("--aggregates", action="store_true")
    chosen = parser.parse_args()
    if not chosen.aggregates:
        os.environ["AGGREGATION_LEVELS"] = "none"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)) as broker:
            report, prefix = fill(broker, "fleet", chosen.readings, partitions=chosen.partitions // _TOPICS)
            data = root / "data"
            data.mkdir()
            for part, figures in _served(
                data, broker.bootstrap_servers, prefix, report.messages_acknowledged
            ):
                _tell(part, figures)
            _tell("verify", _verbs(data, "verify"))
            _tell("verify all rows", _verbs(data, "verify --full"))
            pattern = f"^{prefix}.*"
            seconds = [round(ready_seconds(data, broker.bootstrap_servers, pattern), 1) for _ in range(3)]
            _tell("start after kill", {"ready_seconds": seconds})
    return 0


def _tell(part: str, figures: Mapping[str, object]) -> None:
    print(json.dumps({"part": part, **figures}), flush=True)


def _served(
    data: Path, bootstrap_servers: str, prefix: str, messages: int
) -> Iterator[tuple[str, dict[str, object]]]:
    """The whole service until everything is in its place: each part's name and figures."""
    layout, port = Layout(data / "raw"), _free_port()
    settings = {"KAFKA_TOPIC_PATTERN": f"^{prefix}.*", "SERVICE_PORT": str(port)}
    settings["BUFFER_FLUSH_INTERVAL_SECONDS"] = "3600"  # it puts in place when it is told to
    with service(data, bootstrap_servers, ["ingest", "maintain", "api"], **settings) as watched:
        began = time.monotonic()
        _until(watched, lambda: sum(one.messages for one in read_ingest(layout)) >= messages, layout)
        seconds = round(time.monotonic() - began, 1)
        partitions = sum(len(one.partitions) for one in read_ingest(layout))
        yield "read", {"messages": messages, "partitions": partitions, "seconds": seconds}
        yield "asked while staged", _verbs(data, "status", "ls", "ls press-7") | _lists(port)
        began = time.monotonic()
        asked = subprocess.Popen([*PROGRAM, "compact", "--data", str(data), "-q"])
        silent = _until(watched, lambda: asked.poll() is not None, layout)
        seconds = round(time.monotonic() - began, 1)
        with closing(Catalog(layout, read_only=True)) as catalog:
            files = catalog.sums()[0]
        yield (
            "compact",
            {"hour_files": files, "seconds": seconds, "maintain_silent_seconds": round(silent, 1)},
        )
        if os.environ.get("AGGREGATION_LEVELS") != "none":
            began = time.monotonic()
            asked = subprocess.Popen([*PROGRAM, "aggregate", "--data", str(data), "-q"])
            _until(watched, lambda: asked.poll() is not None, layout)
            yield "aggregate", {"seconds": round(time.monotonic() - began, 1)}
        yield "asked", _verbs(data, "status", "ls", "ls press-7") | _lists(port)
        watched.look()
        yield "memory", {"largest_process_mb": watched.largest // 1_000_000}


def _verbs(data: Path, *verbs: str) -> dict[str, object]:
    return {verb: taken([*PROGRAM, *verb.split(), "--data", str(data), "--json"]) for verb in verbs}


def _lists(port: int) -> dict[str, object]:
    """What the page asks for: milliseconds of the first answer, and of the middle one of some more."""
    paths = {
        "assets": "/assets?limit=100",
        "search": "/latest?contains=press-777",
        "sensors": "/assets/press-7/sensors",
        "first page": "/latest",
        "health": "/health",
        "metrics": "/metrics",
    }
    return {f"{name} ms": _asked(f"http://127.0.0.1:{port}{path}") for name, path in paths.items()}


def _until(watched: Watched, reached: Callable[[], bool], layout: Layout) -> float:
    """Wait for it; for how many seconds at most the maintain worker said nothing meanwhile."""
    deadline, silent = time.monotonic() + _DEADLINE_SECONDS, 0.0
    while not reached():
        watched.look()
        maintain = read_maintain(layout)
        silent = max(silent, time.time() - maintain.time) if maintain else silent
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to its end")
        time.sleep(0.2)
    return silent


def _asked(url: str) -> list[float]:
    times = []
    for _ in range(_ASKED):
        began = time.perf_counter()
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
        times.append((time.perf_counter() - began) * 1000)
    return [round(times[0], 1), round(statistics.median(times[1:]), 1)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
