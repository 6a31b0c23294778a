"""Five hundred slow clients and two hundred heavy queries at once: does the rest go on?

`python benchmarks/crowd.py --rate 60000`. Half of the slow clients send a request a byte at a time, half read an
answer a few bytes at a time; the heavy ones ask for all readings of three hours as CSV, again and again. Before
and during it: how long `/health/live` takes, how many readings a second are stored, and what memory the largest
process holds. The clients run on the same processors and slow what is measured; `clients_cpu` is their share.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Process
from os import environ
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import psutil

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_ingest
from service import PROGRAM, Watched, service

_PORT = 18_092
_SLOW, _HEAVY = 500, 200
_LIVE_MS = 200
_LITTLE = 50_000
_QUESTION = "/query?resolution=raw&format=csv&start=-3h"


def main() -> int:
    """Measure without and with the crowd; print a JSON line each. Exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=60_000)
    parser.add_argument("--seconds", type=int, default=30)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with EmbeddedBroker(root / "kafka", cache=cache_folder(environ)) as broker:
            data = root / "data"
            data.mkdir()
            settings = {"KAFKA_TOPIC_PATTERN": "^sensor-data-.*", "SERVICE_PORT": str(_PORT)}
            with service(data, broker.bootstrap_servers, [], **settings) as watched:
                _simulate(broker.bootstrap_servers, "max", "--messages", "200000").wait()
                long = str(2 * chosen.seconds + 40)
                load = _simulate(broker.bootstrap_servers, str(chosen.rate), "--duration", long)
                _wait_until_caught_up(Layout(data / "raw"))
                layout = Layout(data / "raw")
                quiet = _measure("quiet", layout, watched, psutil.Process(), chosen.seconds)
                with _crowd() as clients:
                    time.sleep(3)  # all of them have come
                    full = _measure("crowd", layout, watched, clients, chosen.seconds)
                load.terminate()
                load.wait()
    good = (
        full["live_ms"]["p99"] < _LIVE_MS and full["readings_per_second"] > quiet["readings_per_second"] / 2
    )
    return 0 if good else 1


def _simulate(servers: str, rate: str, *words: str) -> "subprocess.Popen[bytes]":
    command = [*PROGRAM, "simulate", "--bootstrap-servers", servers, "--rate", rate, "--form", "wide"]
    return subprocess.Popen([*command, *words], stdout=sys.stderr, stderr=subprocess.DEVNULL)


def _measure(
    name: str, layout: Layout, watched: Watched, clients: psutil.Process, seconds: int
) -> dict[str, dict[str, float] | float]:
    before, cpu, clients_cpu, began = (
        _readings(layout),
        watched.look(),
        sum(clients.cpu_times()[:2]),
        time.monotonic(),
    )
    took = []
    while time.monotonic() < began + seconds:
        asked = time.monotonic()
        with urlopen(f"http://127.0.0.1:{_PORT}/health/live", timeout=30) as answer:
            answer.read()
        took.append((time.monotonic() - asked) * 1000)
        time.sleep(0.05)
        watched.look()
    spent = time.monotonic() - began
    figures: dict[str, dict[str, float] | float] = {
        "live_ms": {f"p{one}": round(float(np.percentile(took, one)), 1) for one in (50, 95, 99, 100)},
        "readings_per_second": round((_readings(layout) - before) / spent),
        "service_cpu": round((watched.look() - cpu) / spent, 2),
        "clients_cpu": round((sum(clients.cpu_times()[:2]) - clients_cpu) / spent, 2),
        "largest_process_mb": round(watched.largest / 1e6),
    }
    print(json.dumps({"with": name, **figures}), flush=True)
    return figures


def _wait_until_caught_up(layout: Layout) -> None:
    """Till little waits in Kafka, so that what is measured is the pace of what comes."""
    deadline = time.monotonic() + 60
    time.sleep(10)
    while time.monotonic() < deadline:
        if sum(one.lag for status in read_ingest(layout) for one in status.partitions) < _LITTLE:
            return
        time.sleep(1)


def _readings(layout: Layout) -> int:
    return sum(status.readings for status in read_ingest(layout))


@contextlib.contextmanager
def _crowd() -> Iterator[psutil.Process]:
    """All of them, in a process of their own, until the block ends; it prints what the heavy ones were answered."""
    process = Process(target=_come)
    process.start()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join()


def _come() -> None:
    answers = Counter[str]()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_all(answers))
    print(json.dumps({"answers": dict(sorted(answers.items()))}), flush=True)


async def _all(answers: Counter[str]) -> None:
    crowd = [_slowly(sends=number % 2 == 0) for number in range(_SLOW)]
    crowd += [_heavily(answers) for _ in range(_HEAVY)]
    everybody = asyncio.gather(*crowd)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, everybody.cancel)
    await everybody


async def _slowly(*, sends: bool) -> None:
    request = f"GET {_QUESTION} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", _PORT, limit=1024)
            for piece in [request[at : at + 1] for at in range(len(request))] if sends else [request]:
                writer.write(piece)
                await asyncio.sleep(1 if sends else 0)
            while await reader.read(100):  # noqa: ASYNC110 - it reads slowly, and waits for nothing
                await asyncio.sleep(1)
            writer.transport.abort()


async def _heavily(answers: Counter[str]) -> None:
    request = f"GET {_QUESTION} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", _PORT)
            writer.write(request)
            head = await reader.readline()
            answers[head.split()[1].decode() if head else "none"] += 1
            while await reader.read(1 << 16):
                pass
            writer.transport.abort()
            await asyncio.sleep(0.2)
        except OSError:
            answers["refused"] += 1
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
