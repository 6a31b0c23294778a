"""The cold store in Azurite on the same machine: uploads, proofs, days read back, lists, and a long queue.

`python benchmarks/cold.py`. 10,000 real sensor-hours at 1 Hz (about 15 KB each) are uploaded, then aggregates;
all are removed by proof, and days of minutes of single sensors are read back, first from the store, then from the
cache. Then a list of many small blobs, and a queue of a million files that are not there any more. CPU is this
process' own, the store's is not in it. Prints a JSON line for each.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from steady import _START
from verify import _aggregate, _plant

from sensor_storage.clock import SystemClock
from sensor_storage.cold.cleanup import Cleaner, CleanupPolicy
from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.removal import Remover
from sensor_storage.cold.store import ColdStore
from sensor_storage.cold.upload import Uploader, UploadPolicy
from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.model import SensorHour, Series
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Interval, Question
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.staging import Staging

_DAY_US = 86_400_000_000
_NOW = _START + 400 * 86_400.0


def main() -> None:
    """Measure each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--hours", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--blobs", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _plant(root / "data", chosen.sensors, chosen.hours)
        with Azurite(root / "azurite", cache=cache_folder(os.environ)) as azurite:
            store = open_store(
                Place("az://bench", ACCOUNT, KEY, endpoint=azurite.endpoint, create_container=True)
            )
            layout = Layout(root / "data" / "raw")
            _tell("upload", _uploaded(layout, store, chosen.workers))
            _aggregate(root / "data")
            _tell("upload_aggregates", _uploaded(layout, store, chosen.workers))
            _tell("cleanup", _cleaned(layout, store))
            _tell("minutes", _read_back(layout, store))
            _tell("list", _listed(store, chosen.blobs))
    with tempfile.TemporaryDirectory() as folder:
        _tell("waiting", _waiting(Path(folder), chosen.waiting))


def _tell(what: str, found: dict[str, Any]) -> None:
    print(json.dumps({"what": what, **found}), flush=True)


def _uploaded(layout: Layout, store: ColdStore, workers: int) -> dict[str, Any]:
    catalog = Catalog(layout)
    uploader = Uploader(layout, Disk(layout.root), catalog, store, UploadPolicy(workers=workers))
    began, cpu = time.monotonic(), time.process_time()
    report = uploader.run_once(_NOW, None)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    catalog.close()
    return {
        "files": report.uploaded,
        "kilobytes_each": round(report.bytes / max(report.uploaded, 1) / 1000, 1),
        "failed": report.failed,
        "seconds": round(seconds, 1),
        "files_per_second": round(report.uploaded / seconds),
        "cpu_ms_each": round(1000 * cpu / max(report.uploaded, 1), 2),
    }


def _cleaned(layout: Layout, store: ColdStore) -> dict[str, Any]:
    catalog = Catalog(layout)
    remover = Remover(layout, Disk(layout.root), catalog, Staging(layout))
    cleaner = Cleaner(layout, catalog, store, CleanupPolicy(), remove=remover.remove, used_share=lambda: 0.0)
    began, cpu = time.monotonic(), time.process_time()
    report = cleaner.run_once(_NOW)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    catalog.close()
    return {
        "removed": report.removed,
        "kept": report.kept,
        "seconds": round(seconds, 1),
        "cpu_ms_each": round(1000 * cpu / max(report.removed, 1), 2),
        "requests_per_thousand": round(1000 * report.requests / max(report.removed, 1), 1),
    }


def _read_back(layout: Layout, store: ColdStore) -> dict[str, Any]:
    rmtree(layout.cache, ignore_errors=True)
    files = ColdFiles(layout, store, SystemClock(), 1 << 40)
    queries = Queries(layout, SystemClock(), Limits(0, 0), files=files)
    catalog = Catalog(layout, read_only=True)
    series = catalog.aggregates.series()
    catalog.close()
    days = [_START * 1_000_000 + number * _DAY_US for number in range(3)]
    found: dict[str, Any] = {}
    for how in ("cold", "cached"):
        times, rows = [], 0
        for one in series:
            for day in days:
                began = time.monotonic()
                asked = Question((one.asset,), (one.sensor,), Interval(day, day + _DAY_US), "minute")
                rows += sum(table.num_rows for table in queries.answer(asked).tables)
                times.append(1000 * (time.monotonic() - began))
        found[how] = {
            "days": len(times),
            "rows": rows,
            "p50_ms": round(float(np.percentile(times, 50)), 1),
            "p95_ms": round(float(np.percentile(times, 95)), 1),
        }
    return found


def _listed(store: ColdStore, blobs: int) -> dict[str, Any]:
    def write(number: int) -> None:
        store.write(f"many/{number // 1000:04d}/{number:07d}.parquet", b"x", replaces=None, metadata={})

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(write, range(blobs)):
            pass
    began, cpu = time.monotonic(), time.process_time()
    count = sum(len(page) for page in store.pages("many/"))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    return {"blobs": count, "seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2)}


def _waiting(root: Path, files: int) -> dict[str, Any]:
    layout = Layout(root / "raw")
    catalog = Catalog(layout)
    catalog.record(_absent(layout, files))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store = open_store(Place((root / "cold").as_uri()))
    uploader = Uploader(layout, Disk(root), catalog, store, UploadPolicy())
    waiting = catalog.receipts.waiting().files
    began, cpu = time.monotonic(), time.process_time()
    report = uploader.run_once(_NOW, None)
    found = {
        "files": waiting,
        "left": report.waiting,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_ms_each": round(1000 * (time.process_time() - cpu) / files, 3),
        "peak_mb_before": round(before / 1000),
        "peak_mb_after": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
    }
    catalog.close()
    return found


def _absent(layout: Layout, files: int) -> Iterator[HourFile]:
    """Files as the catalog has them."""
    first = HourFile(SensorHour(Series("a", "s"), 0), layout.raw, 1, 1, "d", 0, 0, ())
    for number in range(files):
        key = SensorHour(Series(f"press-{number % 1000}", "s"), _START // 3600 + number // 1000)
        yield replace(first, key=key, path=layout.hour_file(key), digest=f"{number:032x}")


if __name__ == "__main__":
    main()
