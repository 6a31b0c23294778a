"""Queries beside ingest: how soon a reading is in `/query`, and how long questions take, quiet and under load.

`python benchmarks/beside.py --rate 120000`. One service with all its workers; a simulated plant of mixed messages,
some bad, is published at the rate given, and every 50 ms a reading of its own, which is asked for till it is there:
milliseconds from the broker's acknowledgement. `ingest_busy` is the ingest worker's share of a core.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from os import environ
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import psutil
from confluent_kafka import Producer

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_ingest
from service import PROGRAM, Watched, service

_PORT = 18_091
_ASKED = 100
_PROBES = 200


def main() -> int:
    """Measure quietly, then under load; print a JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=150_000)
    parser.add_argument("--seconds", type=int, default=60)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(environ)) as broker:
            data = root / "data"
            data.mkdir()
            settings = {"KAFKA_TOPIC_PATTERN": "^sensor-data-.*", "SERVICE_PORT": str(_PORT)}
            with service(data, broker.bootstrap_servers, [], **settings) as watched:
                servers = broker.bootstrap_servers
                _simulate(servers, "max", "--messages", "400000").wait()
                _probe(servers, "warm-up")  # the topic is found, and the backlog read
                time.sleep(5)
                question = _question()
                _measure("quiet", servers, Layout(data / "raw"), watched, question)
                load = _simulate(servers, str(chosen.rate), "--duration", str(chosen.seconds))
                time.sleep(5)
                _measure(f"{chosen.rate}-a-second", servers, Layout(data / "raw"), watched, question)
                load.terminate()
                load.wait()
    return 0


def _simulate(servers: str, rate: str, *words: str) -> "subprocess.Popen[bytes]":
    command = [*PROGRAM, "simulate", "--bootstrap-servers", servers, "--rate", rate, "--form", "mixed"]
    return subprocess.Popen([*command, "--faults", *words], stdout=sys.stderr, stderr=subprocess.DEVNULL)


def _question() -> dict[str, object]:
    """One sensor over the hours till now, fixed, so that every measurement reads the same rows."""
    sensor = _ask("/latest", limit=1)["readings"][0]
    now = int(time.time())
    return {
        "asset": sensor["asset_id"],
        "sensor": sensor["sensor_name"],
        "start": now - 10_800,
        "end": now,
    }


def _measure(name: str, servers: str, layout: Layout, watched: Watched, question: dict[str, object]) -> None:
    worker = psutil.Process(read_ingest(layout)[0].pid)
    began, before, cpu, all_cpu = time.monotonic(), _readings(layout), _cpu(worker), watched.look()
    visible = _probe(servers, f"probe-{name}")
    minutes = [_timed(lambda: _ask("/query", **question, resolution="minute")) for _ in range(_ASKED)]
    raw = [_timed(lambda: _ask("/query", **question, resolution="raw")) for _ in range(_ASKED)]
    seconds = time.monotonic() - began
    figures = {
        "load": name,
        "readings_per_second": round((_readings(layout) - before) / seconds),
        "ingest_busy": round((_cpu(worker) - cpu) / seconds, 2),
        "service_busy": round((watched.look() - all_cpu) / seconds, 2),
        "visible_ms": _percentiles(visible),
        "minutes_ms": _percentiles(minutes),
        "raw_ms": _percentiles(raw),
    }
    print(json.dumps(figures), flush=True)


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


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return (time.monotonic() - began) * 1000


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{level}": round(float(np.percentile(values, level)), 1) for level in (50, 95, 99)}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _readings(layout: Layout) -> int:
    return sum(status.readings for status in read_ingest(layout))


if __name__ == "__main__":
    sys.exit(main())
