"""How soon a reading is durable after the broker's acknowledgement, and how soon the service is ready.

`python benchmarks/readiness.py`. A plant publishes 1,000 readings a second; a hundred marked messages are timed
from their acknowledgement until a synced segment's ledger answers for them, which is what `verify` sees. Then
10,000 hour files are made, every process is killed with -9 while readings arrive, and the time to
`/health/ready` is taken.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from threading import Event, Thread

import psutil
from confluent_kafka import Message, Producer

from sensor_storage.clock import SystemClock
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.demo.messages import MessageSource
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import Pace, Publisher, simulate
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from service import PROGRAM, fill, service

_MARKED = 100
_HOUR_FILES = 10_000
_PREFIX = "sensor-data-live-"


def latencies(layout: Layout, bootstrap_servers: str, topic: str) -> list[float]:
    """Seconds from acknowledgement to durability of each marked message, sorted."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0})
    found = []
    for number in range(_MARKED):
        acknowledged: list[tuple[int, int]] = []

        def note(_: object, message: Message, into: list[tuple[int, int]] = acknowledged) -> None:
            into.append((message.partition() or 0, message.offset() or 0))

        value = json.dumps({"asset_id": "mark", "sensor_name": "n", "value": number})
        producer.produce(topic, value, on_delivery=note)
        producer.flush(10)
        began = time.monotonic()
        while not _durable(layout, topic, *acknowledged[0]):
            time.sleep(0.01)
        found.append(time.monotonic() - began)
        time.sleep(0.137)
    return sorted(found)


def _durable(layout: Layout, topic: str, partition: int, offset: int) -> bool:
    for _, path in reversed(layout.staged_files()[-4:]):
        try:
            entries = CheckedFile(path).footer().ledger
        except FileNotFoundError:
            continue
        if any(
            one.source[0] == topic and one.source[2] == partition and one.start <= offset < one.stop
            for one in entries
        ):
            return True
    return False


def ready_seconds(root: Path, bootstrap_servers: str, pattern: str) -> float:
    """Seconds from start to the first 200 of `/health/ready`; the service is left killed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PATTERN": pattern,
        "KAFKA_CONSUMER_GROUP": f"bench-{root.name}",
        "LOCAL_STORAGE_PATH": str(root / "raw"),
        "SERVICE_PORT": str(port),
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [*PROGRAM, "run"], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not _is_ready(port):
        time.sleep(0.02)
    seconds = time.monotonic() - began
    for one in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
        one.kill()
    process.wait()
    return seconds


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    """Measure both and print one JSON line."""
    stop = Event()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)) as broker:
            clock, publisher = SystemClock(), Publisher(broker.bootstrap_servers)
            source = MessageSource(Plant(seed=2), topic_prefix=_PREFIX)
            publisher.ensure_topics(source.topics, 4)
            live = Thread(
                target=simulate,
                args=(source, publisher, Pace(int(clock.now()) * SECOND), clock),
                kwargs={"wait": stop.wait, "stopped": stop.is_set},
                daemon=True,
            )
            live.start()
            data = root / "live"
            data.mkdir()
            pattern = f"^{_PREFIX}.*"
            with service(data, broker.bootstrap_servers, ["ingest", "maintain"], KAFKA_TOPIC_PATTERN=pattern):
                time.sleep(8)
                waits = latencies(Layout(data / "raw"), broker.bootstrap_servers, min(source.topics))
            many = root / "many"
            many.mkdir()
            report, prefix = fill(broker, "hours", 400_000)
            both = f"^({prefix}|{_PREFIX}).*"
            with service(many, broker.bootstrap_servers, ["ingest", "maintain"], KAFKA_TOPIC_PATTERN=both):
                deadline = time.monotonic() + 120
                while _files(many) < _HOUR_FILES and time.monotonic() < deadline:
                    time.sleep(2)
                    subprocess.run([*PROGRAM, "compact", "--data", str(many), "-q"], check=True)
            ready = [ready_seconds(many, broker.bootstrap_servers, both) for _ in range(5)]
            files = _files(many)
            stop.set()
            live.join(30)
    print(
        json.dumps(
            {
                "durable_seconds_p50": round(waits[_MARKED // 2], 2),
                "durable_seconds_p99": round(waits[-2], 2),
                "durable_seconds_max": round(waits[-1], 2),
                "hour_files": files,
                "messages_of_backlog": report.messages_acknowledged,
                "ready_seconds_after_kill": [round(one, 1) for one in ready],
            }
        ),
        flush=True,
    )
    return 0


def _files(root: Path) -> int:
    return sum(1 for _ in (root / "raw").rglob("*.parquet"))


if __name__ == "__main__":
    sys.exit(main())
