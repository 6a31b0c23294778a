"""How soon a killed worker's partitions are read again: by its restart, and by the others if it stays away.

`python benchmarks/failover.py --times 5`. Two ingest workers share eight partitions, into each of which a message
is published every 20 ms. One worker is killed with -9, with and without a supervisor that starts it again. The time
ends when segments written after the kill answer for every partition it had; they are cut every 0.1 s, so that this
is when they are read. Wall time, for nothing but waiting is measured; on a busy machine it grows by what starting a
process takes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.status import read_ingest
from service import service

_TOPIC = "sensor-data-live"
_PARTITIONS = 8
_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


@contextmanager
def _published(bootstrap_servers: str) -> Iterator[None]:
    """A message into each partition every 20 ms, until the end."""
    stop, producer = Event(), Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0})

    def publish() -> None:
        number = 0
        while not stop.wait(_PAUSE_SECONDS):
            number += 1
            for partition in range(_PARTITIONS):
                value = json.dumps({"asset_id": f"a{partition}", "sensor_name": "n", "value": number})
                producer.produce(_TOPIC, value, partition=partition)
            producer.poll(0)
        producer.flush(10)

    thread = Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def _read_in(path: Path) -> set[int]:
    """The partitions a segment answers for; none once it has become part of a run."""
    with suppress(FileNotFoundError):
        return {entry.source.partition for entry in CheckedFile(path).footer().ledger}
    return set()


def _shared(layout: Layout) -> dict[str, set[int]]:
    """The workers' partitions, once each worker has some and all are read."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        shared = {one.worker: {item.partition for item in one.partitions} for one in read_ingest(layout)}
        parts = list(shared.values())
        if len(parts) == 2 and all(parts) and sum(map(len, parts)) == _PARTITIONS:  # noqa: PLR2004 - two workers
            return shared
        time.sleep(0.2)
    raise TimeoutError(f"the partitions were not shared: {shared}")


def _killed(layout: Layout, *, stays_away: bool) -> float:
    """Kill the first worker; the seconds until every partition it had is read again."""
    mine = _shared(layout)["ingest-0"]
    (worker,) = (psutil.Process(one.pid) for one in read_ingest(layout) if one.worker == "ingest-0")
    supervisor = worker.parent()
    if supervisor is None:
        raise RuntimeError("the worker has no supervisor")
    if stays_away:
        supervisor.suspend()
    try:
        worker.kill()
        began = time.monotonic()
        time.sleep(0.05)
        seen = {name for name, _ in layout.staged_files()}
        while mine:
            if time.monotonic() > began + _PATIENCE_SECONDS:
                raise TimeoutError("its partitions were not read again")
            time.sleep(0.02)
            fresh = [(name, path) for name, path in layout.staged_files() if name not in seen]
            seen.update(name for name, _ in fresh)
            mine = mine.difference(*(_read_in(path) for name, path in fresh if name.level == 0))
        return time.monotonic() - began
    finally:
        supervisor.resume()


def main() -> int:
    """Kill so often in both ways, and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    chosen = parser.parse_args()
    found: dict[str, list[float]] = {"by_its_restart": [], "by_the_others": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka") as broker:
            admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
            for created in admin.create_topics([NewTopic(_TOPIC, _PARTITIONS, 1)]).values():
                created.result(timeout=30)
            data = root / "data"
            data.mkdir()
            settings = {
                "KAFKA_TOPIC_PATTERN": f"^{_TOPIC}",
                "INGEST_WORKERS": "2",
                "SEGMENT_INTERVAL_SECONDS": "0.1",
            }
            with (
                _published(broker.bootstrap_servers),
                service(data, broker.bootstrap_servers, ["ingest", "maintain"], **settings),
            ):
                layout = Layout(data / "raw")
                for _ in range(chosen.times):
                    for name, stays_away in (("by_its_restart", False), ("by_the_others", True)):
                        _shared(layout)
                        time.sleep(5)
                        found[name].append(round(_killed(layout, stays_away=stays_away), 2))
                        time.sleep(12)  # until a member that was taken for dead has come back
    print(json.dumps({name: {"seconds": sorted(times), "most": max(times)} for name, times in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
