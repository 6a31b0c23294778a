"""Queries over HTTP beside ingest: how soon a reading is there, how long questions take, what a heavy one costs.

`python benchmarks/beside.py`. One service with all its workers over a day of a hundred sensors and a year of one
(`stored.py`). It catches up with a backlog, which gives its top speed; then, quiet and while a simulated plant
publishes half of that, every 50 ms a reading is sent and asked for till it is there (milliseconds from the broker's
acknowledgement), and the questions of `query.py` are asked, answered in Arrow. At last, under the same load, all
that is stored is asked for: by `/query`, which refuses it, and by a client on the directory that streams it again
and again. Plant and broker share the processors: `ingest_busy` is the ingest worker's share of one.
"""

import argparse
import contextlib
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import IncompleteRead
from os import environ
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import psutil
from confluent_kafka import Producer
from stored import SLOW, Stored, store

from sensor_storage.client import connect
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_ingest
from service import PROGRAM, Watched, service

_PORT = 18_091
_ASKED = 60
_PROBES = 200
_HEAVY_SECONDS = 20


@dataclass(frozen=True)
class Bench:
    """What is measured: the service, its directory and broker."""

    stored: Stored
    servers: str
    watched: Watched

    @property
    def layout(self) -> Layout:
        """The directory's."""
        return self.stored.layout


def main() -> int:
    """Measure quietly, then under load; print a JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--hours", type=int, default=24, help="Of the day; fewer only try it out.")
    parser.add_argument("--backlog", type=int, default=1_500_000, help="Messages.")
    parser.add_argument("--rate", type=int, help="Readings a second; by default half of the top speed.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        stored = store(root / "data", chosen.sensors, chosen.hours)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(environ)) as broker:
            servers = broker.bootstrap_servers
            _simulate(servers, "max", "--messages", str(chosen.backlog)).wait()
            settings = {"KAFKA_TOPIC_PATTERN": "^sensor-data-.*", "SERVICE_PORT": str(_PORT)}
            with service(root / "data", servers, [], **settings) as watched:
                bench = Bench(stored, servers, watched)
                top = _top_speed(bench.layout)
                _probe(servers, "warm-up")
                time.sleep(5)
                _measure(bench, "quiet")
                rate = chosen.rate or top // 2
                with _load(servers, rate):
                    _measure(bench, f"{rate:,} readings a second")
                    _heavy(bench)
    return 0


def _simulate(servers: str, rate: str, *words: str) -> "subprocess.Popen[bytes]":
    command = [*PROGRAM, "simulate", "--bootstrap-servers", servers, "--rate", rate, "--form", "mixed"]
    return subprocess.Popen([*command, "--faults", *words], stdout=sys.stderr, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def _load(servers: str, rate: int) -> Iterator[None]:
    """The plant publishes meanwhile."""
    plant = _simulate(servers, str(rate))
    try:
        time.sleep(8)
        yield
    finally:
        plant.terminate()
        plant.wait()


def _top_speed(layout: Layout) -> int:
    """Readings a second while the backlog is read."""
    while not _readings(layout):
        time.sleep(0.02)
    began, before = time.monotonic(), _readings(layout)
    while _lag(layout) or _readings(layout) == before:
        time.sleep(0.02)
    top = round((_readings(layout) - before) / (time.monotonic() - began))
    print(json.dumps({"load": "backlog", "top_readings_per_second": top}), flush=True)
    return top


def _measure(bench: Bench, load: str) -> None:
    """How soon a reading is there, and the questions."""
    worker = psutil.Process(read_ingest(bench.layout)[0].pid)
    began, before, cpu, all_cpu = (
        time.monotonic(),
        _readings(bench.layout),
        _cpu(worker),
        bench.watched.look(),
    )
    visible = _probe(bench.servers, f"probe-{load}")
    answers = {name: _timed(asked, times) for name, asked, times in _questions(bench.stored)}
    seconds = time.monotonic() - began
    figures = {
        "load": load,
        "readings_per_second": round((_readings(bench.layout) - before) / seconds),
        "ingest_busy": round((_cpu(worker) - cpu) / seconds, 2),
        "service_busy": round((bench.watched.look() - all_cpu) / seconds, 2),
        "visible_ms": _percentiles(visible),
        **{name: _percentiles(took) for name, took in answers.items()},
    }
    print(json.dumps(figures), flush=True)


def _questions(stored: Stored) -> list[tuple[str, Callable[[], int], int]]:
    """Name, what asks, and how often."""
    chance = random.Random(7)
    day = {"start": stored.day.start // 1_000_000, "end": stored.day.end // 1_000_000}
    year = {"start": stored.year.start // 1_000_000, "end": stored.year.end // 1_000_000}

    def one() -> dict[str, object]:
        series = chance.choice(stored.sensors)
        return {**day, "asset": series.asset, "sensor": series.sensor}

    def every() -> dict[str, object]:
        return {**day, "asset": sorted({series.asset for series in stored.sensors})}

    def slow() -> dict[str, object]:
        return {**year, "asset": SLOW.asset, "sensor": SLOW.sensor}

    return [
        ("day_of_minutes_ms", lambda: _bytes(**one(), resolution="minute"), _ASKED),
        ("day_of_raw_ms", lambda: _bytes(**one(), resolution="raw"), _ASKED),
        ("year_of_days_ms", lambda: _bytes(**slow(), resolution="day"), _ASKED),
        ("every_sensor_s_day_of_minutes_ms", lambda: _bytes(**every(), resolution="minute"), 8),
    ]


def _heavy(bench: Bench) -> None:
    """All that is stored is asked for; does ingest keep its pace?"""
    before, began = _readings(bench.layout), time.monotonic()
    time.sleep(_HEAVY_SECONDS)
    alone = (_readings(bench.layout) - before) / (time.monotonic() - began)
    refusal = _refusal()
    queue: multiprocessing.Queue[int] = multiprocessing.Queue()
    reader = multiprocessing.Process(target=_stream, args=(bench.layout.root, queue))
    before, began = _readings(bench.layout), time.monotonic()
    reader.start()
    reader.join()
    seconds, rows = time.monotonic() - began, queue.get()
    figures = {
        "load": "and everything is asked for",
        "refusal": refusal,
        "streamed_rows_per_second": round(rows / seconds),
        "readings_per_second_before": round(alone),
        "readings_per_second_meanwhile": round((_readings(bench.layout) - before) / seconds),
        "messages_waiting": _lag(bench.layout),
        "visible_ms": _percentiles(_probe(bench.servers, "probe-heavy")),
    }
    print(json.dumps(figures), flush=True)


def _refusal() -> dict[str, object]:
    """What `/query` says to it, and how soon."""
    began = time.monotonic()
    try:
        size = _bytes(start="-400d", resolution="raw")
    except IncompleteRead as error:  # the deadline came
        return {"status": 200, "cut_off_after_bytes": len(error.partial)}
    except HTTPError as error:
        with error:
            problem = json.load(error)
        return {
            "status": error.code,
            "detail": problem["detail"],
            "ms": round((time.monotonic() - began) * 1000),
        }
    return {"status": 200, "bytes": size}


def _stream(root: Path, queue: "multiprocessing.Queue[int]") -> None:
    """Read all of it, again and again, for a while."""
    rows, end = 0, time.monotonic() + _HEAVY_SECONDS
    while time.monotonic() < end:
        for table in connect(root).rows(start="2020-01-01", resolution="raw").tables:
            rows += table.num_rows
            if time.monotonic() > end:
                break
    queue.put(rows)


def _probe(servers: str, asset: str) -> list[float]:
    """Milliseconds from acknowledgement to visibility of each reading."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0})
    acknowledged: dict[int, float] = {}
    seen: dict[int, float] = {}
    sent, due = 0, time.monotonic()
    while len(seen) < _PROBES and time.monotonic() < due + 60:
        if sent < _PROBES and time.monotonic() >= due:
            number, due = sent, due + 0.05
            message = {
                "asset_id": asset,
                "sensor_name": "number",
                "value": number,
                "timestamp": time.time(),
            }
            producer.produce(
                "sensor-data-probe",
                json.dumps(message),
                on_delivery=lambda _, __, number=number: acknowledged.setdefault(number, time.monotonic()),
            )
            sent += 1
        producer.poll(0.005)
        parameters = {"asset": asset, "sensor": "number", "start": "-20s", "resolution": "raw"}
        try:
            rows = _ask("/query", **parameters, fields="value")["rows"]
        except OSError:  # nothing of the probe is stored yet
            time.sleep(0.01)
            continue
        now = time.monotonic()
        for row in rows:
            seen.setdefault(int(row["value"]), now)
    if len(seen) < _PROBES:
        raise TimeoutError(f"{_PROBES - len(seen)} readings never became visible")
    return [(seen[number] - acknowledged[number]) * 1000 for number in seen]


def _ask(path: str, **parameters: object) -> dict[str, list[dict[str, float]]]:
    with urlopen(f"http://127.0.0.1:{_PORT}{path}?{urlencode(parameters)}", timeout=60) as answer:
        found: dict[str, list[dict[str, float]]] = json.load(answer)
    return found


def _bytes(**parameters: object) -> int:
    """The answer of `/query` in Arrow, read whole; its size."""
    words = urlencode({**parameters, "format": "arrow"}, doseq=True)
    with urlopen(f"http://127.0.0.1:{_PORT}/query?{words}", timeout=60) as answer:
        return len(answer.read())


def _timed(work: Callable[[], object], times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.monotonic()
        work()
        took.append((time.monotonic() - began) * 1000)
    return took


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{level}": round(float(np.percentile(values, level)), 1) for level in (50, 95, 99)}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _readings(layout: Layout) -> int:
    return sum(status.readings for status in read_ingest(layout))


def _lag(layout: Layout) -> int:
    return sum(status.lag for status in read_ingest(layout))


if __name__ == "__main__":
    sys.exit(main())
