"""What the catalog takes of a disk for files that are only in the cold store, and how long it takes to look.

`python benchmarks/catalog.py --receipts 1000000`. Each sensor-hour has two: its readings and its minutes. Prints
one JSON line: bytes a sensor-hour, and the CPU of what is looked up over and over.
"""

import argparse
import json
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
from sensor_storage.model import SensorHour, Series, Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.footers import Totals
from sensor_storage.storage.known import Known
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.receipts import Receipt

_SENSORS = 1000
_SECOND = 1_000_000


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
                "sums": catalog.receipts.sums,
                "hours_to_tell": lambda: catalog.known.hours(_START + hours - 3600),
                "old_files_here": lambda: catalog.older_than(1 << 62),
            }
            found = {name: _cpu_ms(look) for name, look in looks.items()}
        size = layout.catalog.stat().st_size
    print(json.dumps({"receipts": 2 * hours, "bytes_a_sensor_hour": round(size / hours), "cpu_ms": found}))


def _known(layout: Layout, hours: int) -> Iterator[Known]:
    for number in range(hours):
        series, hour = _series(number), _START // 3600 + number // _SENSORS
        start = hour * 3600 * _SECOND
        digests = [sha256(f"{word}{number}".encode()).hexdigest() for word in ("raw", "content", "minutes")]
        raw, content, minutes = digests
        offsets = number * 3600, number * 3600 + 3599
        totals = Totals(
            Source("sensor-data-a", "dNqaLlwJQ2S7nVl7mPtFQg", number % 4, 0), *offsets, 3600, number
        )
        receipt = Receipt(
            _name(layout, number), '"0x2644A696EFABBE0"', 15_000, raw, content, 3600, raw, _START + number
        )
        times = start, start + 3599 * _SECOND
        yield Known(
            receipt, "raw", series, hour, 3600, 15_000, *times, msgspec.json.encode((totals,)), *3 * [None]
        )
        path = layout.aggregate_file(series, "minute", period_start("minute", hour))
        receipt = receipt._replace(
            name=layout.relative(path), digest=minutes, content=minutes, local_digest=minutes
        )
        carry = json.dumps({"timestamp": times[1], "value": 12.5, "unit": "°C"})
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
