"""What the catalog takes of a disk for files that are only in the cold store, and how long it takes to look.

`python benchmarks/catalog.py --receipts 1000000`. Each sensor-hour has two: its readings and its minutes. Prints
one JSON line: bytes a sensor-hour, and the CPU of what is looked up over and over; then the same of folded days,
what folding and unfolding a sensor-hour takes, and what its manifest takes in the store. Days are of ten sensors.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from steady import _START

from sensor_storage.aggregation.windows import period_start
from sensor_storage.clock import SystemClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.folding import Folder, Folding, Unfold
from sensor_storage.model import SensorHour, Series, Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.footers import Totals
from sensor_storage.storage.known import Known
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.receipts import Receipt

_SENSORS = 1000
_SECOND = 1_000_000
_LONG_AFTER = _START + 1e9


def main() -> None:
    """Fill a catalog, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receipts", type=int, default=1_000_000)
    hours = parser.parse_args().receipts // 2
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder) / "raw")
        with closing(Catalog(layout)) as catalog:
            catalog.known.take(_known(layout, hours))
        with closing(Catalog(layout)) as catalog:
            looks: dict[str, Callable[[], Any]] = {
                "find_receipt": lambda: catalog.receipts.find(_name(layout, 0)),
                "count_receipts": catalog.receipts.count,
                "hours_to_tell": lambda: catalog.known.hours(_START + hours - 3600),
                "old_files_here": lambda: catalog.older_than(1 << 62),
            }
            found = {name: _cpu_ms(look) for name, look in looks.items()}
            size = _used(layout)
            told = {"receipts": 2 * hours, "bytes_a_sensor_hour": round(size / hours), "cpu_ms": found}
            print(json.dumps(told | {"folded": _folded(layout, catalog, Path(folder) / "cold", hours)}))


def _folded(layout: Layout, catalog: Catalog, cold: Path, hours: int) -> dict[str, Any]:
    """Fold every day, look, and unfold one."""
    store = DirectoryStore(cold)
    catalog.receipts.record([(None, Receipt("services/x/receipts/z", "", 0, "", "", 0, "", _LONG_AFTER))])
    folding = Folding(catalog, store, "x", Folder(catalog).fold)
    began, cpu, days = time.perf_counter(), time.process_time(), 0
    more = True
    while more:
        report = folding.run_once(_LONG_AFTER)
        days, more = days + report.folded, report.more
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    catalog.receipts.distrust(["services/x/receipts/z"])
    size = _used(layout)
    manifests = sum(blob.size_bytes for page in store.pages("services/") for blob in page)
    files = ColdFiles(layout, store, SystemClock(), 1 << 30)
    series, first = _series(0), _START // 3600
    unfold = Unfold(catalog, files)
    with CatalogView.of(layout) as view:
        looks: dict[str, Callable[[], Any]] = {
            "first_receipt_of_a_day": lambda: files.receipt(_name(layout, 0)),
            "next_receipt_of_it": lambda: files.receipt(_name(layout, 0)),
            "rows_of_a_day": lambda: view.filed(series, first + 3, first + 26),
            "unfold_a_day": lambda: unfold(series.asset, first, first),
        }
        found = {name: _cpu_ms(look) for name, look in looks.items()}
    return {
        "days": days,
        "bytes_a_sensor_hour": round(size / hours),
        "manifest_bytes_a_sensor_hour": round(manifests / hours),
        "ms_a_day": round(1000 * seconds / days, 1),
        "cpu_ms_a_day": round(1000 * cpu / days, 1),
        "cpu_ms": found,
    }


def _used(layout: Layout) -> int:
    """The bytes of the catalog's pages that hold something: the file does not shrink."""
    with closing(sqlite3.connect(layout.catalog)) as database:
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


def _known(layout: Layout, hours: int) -> Iterator[Known]:
    for number in range(hours):
        series, hour = _series(number), _START // 3600 + number // _SENSORS
        start = hour * 3600 * _SECOND
        digests = [sha256(f"{word}{number}".encode()).hexdigest() for word in ("raw", "content", "minutes")]
        raw, content, minutes = digests
        chance = int(content, 16)
        offsets = number * 3600, number * 3600 + 3599
        size = 15_000 + chance % 997
        totals = Totals(
            Source("sensor-data-a", "dNqaLlwJQ2S7nVl7mPtFQg", number % 4, 0),
            *offsets,
            3600,
            chance % (1 << 64),
        )
        receipt = Receipt(
            _name(layout, number), f'"0x{raw[:15].upper()}"', size, raw, content, 3600, raw, _START + number
        )
        times = start + chance % 997 * 1000, start + 3599 * _SECOND + chance % 991 * 1000
        yield Known(
            receipt, "raw", series, hour, 3600, size, *times, msgspec.json.encode((totals,)), *3 * [None]
        )
        path = layout.aggregate_file(series, "minute", period_start("minute", hour))
        receipt = receipt._replace(
            name=layout.relative(path), digest=minutes, content=minutes, local_digest=minutes
        )
        carry = json.dumps({"timestamp": times[1], "value": chance % 100_003 / 100, "unit": "°C"})
        yield Known(receipt, "minute", series, hour, 60, 6000, None, None, None, content, carry, carry)


def _series(number: int) -> Series:
    return Series(f"press-{number % _SENSORS // 10}", f"sensor_{number % 10}")


def _name(layout: Layout, number: int) -> str:
    return layout.relative(layout.hour_file(SensorHour(_series(number), _START // 3600 + number // _SENSORS)))


def _cpu_ms(look: Callable[[], object]) -> float:
    began = time.process_time()
    look()
    return round(1000 * (time.process_time() - began), 1)


if __name__ == "__main__":
    main()
