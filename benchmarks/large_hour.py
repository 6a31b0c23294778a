"""One hour of one 20 kHz sensor, 72 million readings, through segments and runs into one hour file.

`python benchmarks/large_hour.py --rate 20000 --seconds 3600`. Each second a waveform of that many samples arrives;
the clock is set, not waited for. Prints one JSON line: CPU and bytes a reading, and the largest memory.
"""

import argparse
import json
import resource
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
_SOURCE = Source("sensor-data-a", "dNqaLlwJQ2S7nVl7mPtFQg", 0, 0)
_SENSOR = Series("press-1", "sound")


def waveform(second: int, rate: int) -> Readings:
    """One message: a second of samples, 16 bit."""
    random = np.random.default_rng(second)
    return Readings(
        series=SeriesColumn.constant(_SENSOR, rate),
        timestamp=(_START + second) * 1_000_000 + np.arange(rate) * 1_000_000 // rate,
        value=np.round(random.normal(0, 3000, rate)),
        text=None,
        unit=Coded.constant("mV", rate),
        quality=Coded[str].constant(None, rate),
        source=Coded.constant(_SOURCE, rate),
        offset=np.full(rate, second, np.int64),
        index=np.arange(rate, dtype=np.int32),
        revision=np.ones(rate, np.int16),
    )


def main() -> int:
    """Run the hour and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=3600)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_hour(Path(folder), chosen.rate, chosen.seconds)), flush=True)
    return 0


def _hour(root: Path, rate: int, seconds: int) -> dict[str, float]:
    layout = Layout(root / "raw")
    disk, catalog = Disk(root), Catalog(layout)
    disk.clear_aside()
    compactor = Compactor(layout, disk, catalog, WritePolicy(), "m0")
    written, began, cpu = 0, time.monotonic(), time.process_time()
    for number in range(seconds + 95):
        now = _START + number + 1.0
        if number < seconds:
            readings = waveform(number, rate)
            (total,) = readings.totals()
            entry = LedgerEntry(
                _SOURCE, number, number + 1, messages=1, readings=rate, hash_sum=total.hash_sum
            )
            data = encode_segment(readings, [entry], "zstd")
            disk.publish_bytes(layout.staged(StagedName(int(now * 1000), "i", number, 0)), data)
            written += len(data)
        written += compactor.run_once(now, now).written_bytes
    files, rows, kept = catalog.sums()
    return {
        "readings": rows,
        "hour_files": files,
        "kept_bytes_per_reading": round(kept / rows, 2),
        "written_for_one_kept": round(written / kept, 2),
        "cpu_us": round((time.process_time() - cpu) / rows * 1e6, 2),
        "largest_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        "wall_seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
