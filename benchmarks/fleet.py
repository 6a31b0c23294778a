"""A hundred thousand sensors over a thousand partitions, in one service: what it holds and how soon it answers.

`python benchmarks/fleet.py`. A reading of each sensor every 20 s of a minute or so waits in Kafka. The service
starts with it, puts everything into hour files and makes the aggregates. Then `status`, `ls`, the page's lists over
HTTP, an incremental and a full `verify`, and the start after every process was killed. Prints one JSON line.
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
from collections.abc import Callable
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
    """Run it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=300_000)
    parser.add_argument("--partitions", type=int, default=1000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)) as broker:
            report, prefix = fill(broker, "fleet", chosen.readings, partitions=chosen.partitions // _TOPICS)
            data = root / "data"
            data.mkdir()
            found = _served(data, broker.bootstrap_servers, prefix, report.messages_acknowledged)
            verbs = {
                "status": ["status"],
                "ls": ["ls"],
                "ls_asset": ["ls", "press-7"],
                "verify": ["verify"],
                "verify_full": ["verify", "--full"],
            }
            for name, words in verbs.items():
                found[name] = taken([*PROGRAM, *words, "--data", str(data), "--json"])
            found["ready_seconds_after_kill"] = [
                round(ready_seconds(data, broker.bootstrap_servers, f"^{prefix}.*"), 1) for _ in range(3)
            ]
        print(json.dumps(found), flush=True)
    return 0


def _served(data: Path, bootstrap_servers: str, prefix: str, messages: int) -> dict[str, object]:
    """The whole service until everything is in its place."""
    layout, port = Layout(data / "raw"), _free_port()
    settings = {"KAFKA_TOPIC_PATTERN": f"^{prefix}.*", "SERVICE_PORT": str(port)}
    with service(data, bootstrap_servers, ["ingest", "maintain", "api"], **settings) as watched:
        began = time.monotonic()
        _until(watched, lambda: sum(one.messages for one in read_ingest(layout)) >= messages, layout)
        found: dict[str, object] = {"messages": messages, "read_seconds": round(time.monotonic() - began, 1)}
        silent = 0.0
        partitions = sum(len(one.partitions) for one in read_ingest(layout))
        for verb in ("compact", "aggregate"):
            began = time.monotonic()
            asked = subprocess.Popen([*PROGRAM, verb, "--data", str(data), "-q"])
            silent = max(silent, _until(watched, lambda asked=asked: asked.poll() is not None, layout))
            found[f"{verb}_seconds"] = round(time.monotonic() - began, 1)
        lists = {
            "assets": "/assets?limit=100",
            "search": "/latest?contains=press-777",
            "sensors": "/assets/press-7/sensors",
            "first_page": "/latest",
            "health": "/health",
            "metrics": "/metrics",
        }
        for name, path in lists.items():
            found[f"{name}_ms"] = _asked(f"http://127.0.0.1:{port}{path}")
        watched.look()
        resident = {one.worker: one.resident_bytes // 1_000_000 for one in read_ingest(layout)}
        maintain = read_maintain(layout)
        with closing(Catalog(layout, read_only=True)) as catalog:
            files = catalog.sums()[0]
        return found | {
            "partitions": partitions,
            "hour_files": files,
            "aggregate_files": maintain.aggregate_files_written if maintain else 0,
            "maintain_silent_seconds": round(silent, 1),
            "ingest_mb": resident,
            "largest_process_mb": watched.largest // 1_000_000,
        }


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
    """Milliseconds until the first answer, and in the middle of some more."""
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
