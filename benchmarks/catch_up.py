"""After an outage: how fast the whole service takes what Kafka kept meanwhile, to blobs that are proven.

`python benchmarks/catch_up.py --sensors 10000 --hours 1`, and `--azurite` for blobs over HTTP instead of a folder.
A plant as `simulate` has it has published so many hours of event time, which ended a day ago, with Kafka's
timestamps of then; late, doubled and garbled messages are among them. With `--form mixed` five of ten machines send
a message for each reading, two wide ones, three batches; with `--form batch` each machine one message a second. One
service with its default settings, but for `--upload-seconds`, then does everything. Its time ends

- `consumed`: when no message waits in Kafka;
- `stored`: when every reading is in its hour file and every aggregate that is due is made;
- `uploaded`: when no file waits for upload;
- `proven`: when `verify --cold` has held every receipt against the store and the files against the ledger.

Prints one JSON line. Of each process of the service it gives CPU in µs a reading and the largest memory. The
waiting that an end needs (flush interval, upload round) is in the times: with more hours it weighs less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from sensor_storage.demo.azurite import Azurite
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.demo.messages import SENSIBLE_FAULTS, MessageSource
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import PRODUCER_DEFAULTS, Publisher
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_cold, read_ingest, read_maintain
from service import PROGRAM, Watched, _java, service

_SENSORS_A_MACHINE = 10
_DAY_SECONDS = 86_400
_HOUR_SECONDS = 3600
_LOOK_SECONDS = 0.5


def main() -> int:
    """Fill, catch up, prove, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=10_000, help="at 1 Hz, ten a machine")
    parser.add_argument("--hours", type=float, default=1.0, help="of event time")
    parser.add_argument("--form", choices=("narrow", "wide", "batch", "mixed"), default="mixed")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="ingest workers")
    parser.add_argument("--upload-seconds", type=int, default=10, help="UPLOAD_INTERVAL_SECONDS")
    parser.add_argument("--patience", type=float, default=1200, help="seconds, then it gives up")
    parser.add_argument("--azurite", action="store_true")
    parser.add_argument("--full", action="store_true", help="prove by every byte: verify --cold --full")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)) as broker:
            began = time.monotonic()
            sent = _fill(broker.bootstrap_servers, chosen)
            filled = time.monotonic() - began
            with _cold(root, azurite=chosen.azurite) as cold:
                outcome = _caught_up(root / "data", broker, chosen, cold, sent)
    print(json.dumps({"fill_seconds": round(filled, 1), **outcome}), flush=True)
    return 0 if outcome["verify"]["clean"] else 1


@dataclass
class Sent:
    """What the broker has, in messages and in what they must become."""

    messages: int = 0
    readings: int = 0
    dead_letters: int = 0
    refused: int = 0

    def told(self, error: KafkaError | None, _message: Message) -> None:
        """A message's delivery report."""
        self.refused += error is not None


def _fill(servers: str, chosen: argparse.Namespace) -> Sent:
    """Publish the hours, with Kafka's timestamps of then."""
    source = MessageSource(
        Plant(chosen.sensors // _SENSORS_A_MACHINE, _SENSORS_A_MACHINE, seed=1),
        form=chosen.form,
        faults=SENSIBLE_FAULTS,
    )
    Publisher(servers).ensure_topics(source.topics, chosen.partitions)
    length = int(chosen.hours * _HOUR_SECONDS)
    start = (int(time.time()) - _DAY_SECONDS - length) // _HOUR_SECONDS * _HOUR_SECONDS * SECOND
    end, step = start + length * SECOND, source.chunk_us()
    windows = (
        (min(low + step, end), source.window(low, min(low + step, end))) for low in range(start, end, step)
    )
    producer, sent = Producer({**PRODUCER_DEFAULTS, "bootstrap.servers": servers}), Sent()
    for time_us, messages in chain(windows, [(end, source.rest())]):
        for topic, key, value, readings, kind, _ in messages:
            sent.messages += 1
            sent.readings += readings
            sent.dead_letters += kind == "dead-letter"
            while True:
                try:
                    producer.produce(topic, value, key, timestamp=time_us // 1000, on_delivery=sent.told)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.poll(0)
    if producer.flush(60) or sent.refused:
        raise RuntimeError("the broker did not take everything")
    return sent


@contextmanager
def _cold(root: Path, *, azurite: bool) -> Iterator[dict[str, str]]:
    """The settings of a running cold store."""
    if not azurite:
        yield {"COLD_STORE_URL": (root / "cold").as_uri()}
        return
    with Azurite(root / "azurite", cache=cache_folder(os.environ)) as running:
        yield running.settings


def _caught_up(
    data: Path, broker: EmbeddedBroker, chosen: argparse.Namespace, cold: dict[str, str], sent: Sent
) -> dict[str, Any]:
    data.mkdir()
    layout = Layout(data / "raw")
    settings = {
        **cold,
        "KAFKA_CONSUMER_GROUP": "catch-up",
        "INGEST_WORKERS": str(chosen.workers),
        "UPLOAD_INTERVAL_SECONDS": str(chosen.upload_seconds),
        "SERVICE_PORT": "0",
    }
    roles = ["ingest", "maintain", "cold", "api"]
    broker_tree = Watched(_java(broker))
    broker_cpu = broker_tree.look()
    began = time.monotonic()
    times: dict[str, float] = {}
    with service(data, broker.bootstrap_servers, roles, **settings) as watched:
        for name, reached in _milestones(layout, sent).items():
            while not reached():
                watched.look()
                if time.monotonic() - began > chosen.patience:
                    raise TimeoutError(f"{name}: not within {chosen.patience} s; {_where(layout)}")
                time.sleep(_LOOK_SECONDS)
            times[name] = time.monotonic() - began
            print(f"{name} after {times[name]:.0f} s", file=sys.stderr, flush=True)
        watched.look()
    broker_cpu = broker_tree.look() - broker_cpu
    proof, proof_seconds = _proof(data, settings, full=chosen.full)
    times["proven"] = times["uploaded"] + proof_seconds
    event_seconds = chosen.hours * _HOUR_SECONDS
    readings = sent.readings
    stored, made = read_cold(layout), read_maintain(layout)
    return {
        "sensors": chosen.sensors,
        "form": chosen.form,
        "event_hours": chosen.hours,
        "readings": readings,
        "messages": sent.messages,
        "dead_letters": sent.dead_letters,
        "seconds": {name: round(seconds, 1) for name, seconds in times.items()},
        "times_live": {name: round(event_seconds / seconds, 1) for name, seconds in times.items()},
        "readings_per_second": {name: round(readings / seconds) for name, seconds in times.items()},
        "cpu_us": {name: round(one.cpu / readings * 1e6, 2) for name, one in watched.by_name().items()},
        "broker_cpu_us": round(broker_cpu / readings * 1e6, 2),
        "peak_mb": {name: round(one.largest / 1e6) for name, one in watched.by_name().items()},
        "files_written": made
        and {
            "hours": made.hour_files_written,
            "runs": made.runs_written,
            "aggregates": made.aggregate_files_written,
            "made_again": made.mended_aggregates,
        },
        "files_uploaded": stored.uploaded if stored else 0,
        "bytes_uploaded": stored.uploaded_bytes if stored else 0,
        "load": os.getloadavg()[1],
        "verify": proof,
    }


def _milestones(layout: Layout, sent: Sent) -> dict[str, Callable[[], bool]]:
    def consumed() -> bool:
        return sum(one.messages for one in read_ingest(layout)) >= sent.messages

    def stored() -> bool:
        found = read_maintain(layout)
        return (
            found is not None
            and found.stored_readings >= sent.readings
            and not found.waiting_readings
            and not found.due_aggregates
        )

    def uploaded() -> bool:
        found = read_cold(layout)
        return stored() and found is not None and not found.waiting

    return {"consumed": consumed, "stored": stored, "uploaded": uploaded}


def _where(layout: Layout) -> dict[str, Any]:
    """How far it had come when it took too long."""
    maintain, cold = read_maintain(layout), read_cold(layout)
    return {
        "messages": sum(one.messages for one in read_ingest(layout)),
        "waiting_readings": maintain.waiting_readings if maintain else None,
        "due_aggregates": maintain.due_aggregates if maintain else None,
        "files_waiting": cold.waiting if cold else None,
        "errors": cold.errors if cold else None,
    }


def _proof(data: Path, settings: dict[str, str], *, full: bool) -> tuple[dict[str, Any], float]:
    words = ["verify", "--cold", "--json", "--data", str(data), *(["--full"] if full else [])]
    began = time.monotonic()
    done = subprocess.run(
        [*PROGRAM, *words], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    summary = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"clean": False}
    names = ("clean", "findings", "readings", "dead_letters", "files", "aggregates", "due_aggregates", "cold")
    return {name: summary.get(name) for name in names}, seconds


if __name__ == "__main__":
    sys.exit(main())
