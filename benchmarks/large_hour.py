"""One hour of one 20 kHz sensor, 72 million readings, through everything that meets it, and what each step holds.

`python benchmarks/large_hour.py --rate 20000 --seconds 3600`. First through segments and runs into one hour file:
each second a waveform of that many samples arrives; the clock is set, not waited for. Then the verbs, one process
each: aggregates, `verify` in both ways, a second of late samples, another of samples that are there already, the
cold store, cleanup, the way back. Prints one JSON line a step; none may hold more than 512 MB.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from taken import PROGRAM, taken

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
_MOST_MB = 512


def waveform(second: int, rate: int, *, offset: int | None = None) -> Readings:
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
        offset=np.full(rate, second if offset is None else offset, np.int64),
        index=np.arange(rate, dtype=np.int32),
        revision=np.ones(rate, np.int16),
    )


def main() -> int:
    """Run the hour and the verbs, and print what each took; 1 where a step fails or holds too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--fill", type=Path, help="Only make the hour, in this data directory.")
    parser.add_argument("--on", type=Path, help="Only the verbs, on such a directory, which they change.")
    parser.add_argument(
        "--stage", type=int, nargs=2, metavar="N", help="With --fill: this second, at that offset."
    )
    chosen = parser.parse_args()
    if chosen.fill:
        return _fill(chosen.fill, chosen.rate, chosen.seconds, chosen.stage)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for name, words, environment in _steps(Path(folder), chosen.on, chosen.rate, chosen.seconds):
            found = taken(words, environment)
            print(json.dumps({"step": name, **found}), flush=True)
            good &= found["status"] == 0 and found["largest_memory_mb"] <= _MOST_MB
    return 0 if good else 1


def _steps(
    root: Path, made: Path | None, rate: int, seconds: int
) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Each step's name, its command, and the environment it has."""
    data = made or root / "data"
    environment = {
        **os.environ,
        "LOCAL_STORAGE_PATH": str(data / "raw"),
        "COLD_STORE_URL": f"file://{root / 'cold'}",
    }
    fill = [sys.executable, __file__, "--rate", str(rate), "--seconds", str(seconds), "--fill", str(data)]
    middle = str(seconds // 2)
    hour = ["--from", "2026-01-01T00:00", "--to", "2026-01-01T01:00"]
    looks = [("verify", ["verify"]), ("verify all rows", ["verify", "--full"])]
    verbs = {
        "aggregate": [("aggregates", ["aggregate"]), *looks],
        "late": [("late samples join it", ["compact"]), ("aggregates again", ["aggregate"]), *looks],
        "again": [("verify beside staged ones", ["verify"]), ("known samples leave it", ["compact"])],
        "cold": [
            ("upload", ["upload"]),
            ("verify the blob", ["verify", "--cold", "--full"]),
            ("cleanup", ["cleanup"]),
            ("back from the store", ["restore", *hour]),
            ("verify what came back", ["verify", "--full"]),
        ],
    }
    before = {"late": ["--stage", middle, str(seconds)], "again": ["--stage", middle, middle]}
    if not made:
        yield "segments, runs, hour file", fill, environment
    for part, steps in verbs.items():
        if part in before:
            yield f"stage: {part}", [*fill, *before[part]], environment
        for name, words in steps:
            yield name, [*PROGRAM, *words, "--quiet"], environment


def _fill(root: Path, rate: int, seconds: int, stage: Sequence[int] | None) -> int:
    layout = Layout(root / "raw")
    disk = Disk(root)
    disk.clear_aside()
    if stage:
        _stage(layout, disk, waveform(stage[0], rate, offset=stage[1]), stage[1] + 1, time.time())
    else:
        print(json.dumps(_hour(layout, disk, rate, seconds)), file=sys.stderr, flush=True)
    return 0


def _stage(layout: Layout, disk: Disk, readings: Readings, number: int, now: float) -> int:
    """One segment; its bytes."""
    (total,) = readings.totals()
    entry = LedgerEntry(
        _SOURCE,
        total.first_offset,
        total.last_offset + 1,
        messages=1,
        readings=len(readings),
        hash_sum=total.hash_sum,
    )
    data = encode_segment(readings, [entry], "zstd")
    disk.publish_bytes(layout.staged(StagedName(int(now * 1000), "i", number, 0)), data)
    return len(data)


def _hour(layout: Layout, disk: Disk, rate: int, seconds: int) -> dict[str, float]:
    catalog = Catalog(layout)
    compactor = Compactor(layout, disk, catalog, WritePolicy(), "m0")
    written, began, cpu = 0, time.monotonic(), time.process_time()
    for number in range(seconds + 95):
        now = _START + number + 1.0
        if number < seconds:
            written += _stage(layout, disk, waveform(number, rate), number, now)
        written += compactor.run_once(now, now).written_bytes
    files, rows, kept = catalog.sums()
    return {
        "readings": rows,
        "hour_files": files,
        "kept_bytes_per_reading": round(kept / rows, 2),
        "written_for_one_kept": round(written / kept, 2),
        "cpu_us": round((time.process_time() - cpu) / rows * 1e6, 2),
        "wall_seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
