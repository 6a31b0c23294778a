"""The write policy over one hour of 10,000 sensors at 1 Hz, event time compressed, every file real.

`python benchmarks/steady.py --sensors 10000 --seconds 3600`. For each second a segment is published and,
as the service does, compaction has its round; the clock is set, not waited for. What is not in it is Kafka and
decoding: `benchmarks/service.py` has these. Prints one JSON line: CPU and bytes written a reading, by part.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sensor_storage.model import Series, Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.series_column import SeriesColumn

_START = 1_767_225_600
_PARTITIONS = 4


class Plant:
    """One reading a sensor and second, timestamps and offsets irregular, values of two decimals."""

    def __init__(self, sensors: int) -> None:
        self._random = np.random.default_rng(1)
        self._series = tuple(Series(f"press-{n // 10}", f"sensor_{n % 10}") for n in range(sensors))
        self._partition = (np.arange(sensors) // 10 % _PARTITIONS).astype(np.int32)
        self._sources = tuple(
            Source("sensor-data-a", "dNqaLlwJQ2S7nVl7mPtFQg", partition, 0)
            for partition in range(_PARTITIONS)
        )
        self._level = self._random.normal(50, 10, sensors)
        self._next = np.zeros(_PARTITIONS, np.int64)

    def second(self, number: int) -> Readings:
        """The readings of one second, in order of arrival."""
        count = len(self._series)
        order = self._random.permutation(count).astype(np.int32)
        partition = self._partition[order]
        offset = np.empty(count, np.int64)
        for one in range(_PARTITIONS):
            mine = np.flatnonzero(partition == one)
            offset[mine] = self._next[one] + np.cumsum(self._random.choice([1, 1, 1, 2], len(mine))) - 1
            self._next[one] = offset[mine[-1]] + 1
        self._level += self._random.normal(0, 0.02, count)
        return Readings(
            series=SeriesColumn.of(Coded(order, self._series)),
            timestamp=(_START + number) * 1_000_000 + self._random.integers(0, 20, count) * 1000,
            value=np.round(self._level[order], 2),
            text=None,
            unit=Coded.constant("°C", count),
            quality=Coded.constant("good", count),
            source=Coded(partition, self._sources),
            offset=offset,
            index=np.zeros(count, np.int32),
            revision=np.ones(count, np.int16),
        )


def main() -> int:
    """Run the hour and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=3600)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_hour(Path(folder), chosen.sensors, chosen.seconds)), flush=True)
    return 0


def _hour(root: Path, sensors: int, seconds: int) -> dict[str, float]:
    layout = Layout(root / "raw")
    disk, plant = Disk(root), Plant(sensors)
    disk.clear_aside()
    catalog = Catalog(layout)
    compactor = Compactor(layout, disk, catalog, WritePolicy(), "m0")
    segment_cpu = compact_cpu = 0.0
    segment_bytes = compact_bytes = 0
    began = time.monotonic()
    for number in range(seconds + 95):
        now = _START + number + 1.0
        if number < seconds:
            readings = plant.second(number)
            before = time.process_time()
            ledger = [
                LedgerEntry(total.source, total.first_offset, total.last_offset + 1)
                for total in readings.totals()
            ]
            data = encode_segment(readings, ledger, "zstd")
            disk.publish_bytes(layout.staged(StagedName(int(now * 1000), "i", number, 0)), data)
            segment_cpu += time.process_time() - before
            segment_bytes += len(data)
        before = time.process_time()
        compact_bytes += compactor.run_once(now, now).written_bytes
        compact_cpu += time.process_time() - before
    files, rows, kept = catalog.sums()
    return {
        "readings": rows,
        "hour_files": files,
        "kept_bytes_per_reading": round(kept / rows, 2),
        "segment_cpu_us": round(segment_cpu / rows * 1e6, 2),
        "compact_cpu_us": round(compact_cpu / rows * 1e6, 2),
        "segment_bytes_per_reading": round(segment_bytes / rows, 2),
        "compact_bytes_per_reading": round(compact_bytes / rows, 2),
        "written_for_one_kept": round((segment_bytes + compact_bytes) / kept, 2),
        "wall_seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
