"""How fast `verify` looks: readings a second in full, files a second in an incremental look, and its memory.

`python benchmarks/verify.py`. Three trees, every file real: sensor-hours at 1 Hz as a plant leaves them; many
small files, for what a file costs by itself; and one 20 kHz sensor's hour, half in its hour file, half staged,
whose rows do not fit into memory. The first is looked at once more with its aggregates, each of which a full look
makes again. Each look is a process of its own, after another that has warmed the disk's cache.

Prints one JSON line a tree. A core's rate is by the process' CPU, its largest memory by `getrusage`.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from large_hour import waveform
from steady import _START, Plant

from sensor_storage.aggregation.check import AggregateCheck, AggregateLook
from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy, Aggregator
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.verify import verify

_HOUR = 3600


def main() -> int:
    """Make the trees one after the other, look at each, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=50)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--large-seconds", type=int, default=600, help="of the 20 kHz hour; 3600: all of it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _plant(Path(folder), chosen.sensors, chosen.hours)
        looks = [_look(Path(folder), full=full) for full in (True, False)]
        _aggregate(Path(folder))
        looks += [_look(Path(folder), full=full, aggregates=True) for full in (True, False)]
        names = ("full", "incremental", "full_with_aggregates", "incremental_with_aggregates")
        print(json.dumps({"tree": "1 Hz", **dict(zip(names, looks, strict=True))}), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        _small(Path(folder), chosen.files)
        looks = [_look(Path(folder), full=full) for full in (True, False)]
        print(json.dumps({"tree": "small files", "full": looks[0], "incremental": looks[1]}), flush=True)
    if chosen.large_seconds:
        with tempfile.TemporaryDirectory() as folder:
            _large(Path(folder), chosen.large_seconds)
            print(json.dumps({"tree": "20 kHz", "full": _look(Path(folder), full=True)}), flush=True)
    return 0


class Tree:
    """Segments and hour files with the ledger that answers for them."""

    def __init__(self, root: Path) -> None:
        self._layout, self._disk = Layout(root / "raw"), Disk(root)
        self._disk.clear_aside()
        self._compactor = Compactor(self._layout, self._disk, Catalog(self._layout), WritePolicy(), "m0")
        self._segments = 0

    def stage(self, readings: Readings, now: float = _START) -> None:
        """One segment, of that time."""
        ledger = [
            LedgerEntry(
                one.source,
                one.first_offset,
                one.last_offset + 1,
                messages=_messages(readings, one.source),
                readings=one.readings,
                hash_sum=one.hash_sum,
            )
            for one in readings.totals()
        ]
        self._segments += 1
        name = StagedName(int(now * 1000) + self._segments, "i", self._segments, 0)
        self._disk.publish_bytes(self._layout.staged(name), encode_segment(readings, ledger, "zstd"))

    def flush(self) -> None:
        """Everything into hour files."""
        now = _START + 1e6
        self._compactor.run_once(now, now, flush=True)


def _messages(readings: Readings, source: object) -> int:
    mine = readings.source.codes == readings.source.values.index(source)  # type: ignore[arg-type]
    return int((readings.index[mine] == 0).sum())


def _plant(root: Path, sensors: int, hours: int) -> None:
    tree, plant = Tree(root), Plant(sensors)
    for hour in range(hours):
        for part in range(6):
            first = hour * _HOUR + part * 600
            tree.stage(Readings.concat([plant.second(first + number) for number in range(600)]))
        tree.flush()


def _small(root: Path, files: int) -> None:
    tree, plant = Tree(root), Plant(1000)
    for hour in range(-(-files // 1000)):
        tree.stage(Readings.concat([plant.second(hour * _HOUR + number) for number in range(10)]))
        tree.flush()


def _large(root: Path, seconds: int) -> None:
    tree = Tree(root)
    for half in (0, seconds // 2):
        for number in range(half, half + seconds // 2):
            tree.stage(waveform(number, 20_000))
        if not half:
            tree.flush()


def _aggregate(root: Path) -> None:
    layout = Layout(root / "raw")
    with closing(Catalog(layout)) as catalog:
        stage = Aggregator(layout, Disk(root), catalog, _hours(layout), AggregatePolicy())
        while stage.run_once(_START + 1e7, _START + 1e7, flush=True).more:
            pass


def _hours(layout: Layout) -> LocalHours:
    return LocalHours(layout, judge_by("opc-ua", uncertain_is_good=True))


def _look(root: Path, *, full: bool, aggregates: bool = False) -> dict[str, object]:
    for _ in range(2):
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            found = pool.apply(_verified, (root, full, aggregates))
    return found


def _verified(root: Path, full: bool, aggregates: bool) -> dict[str, Any]:
    layout = Layout(root / "raw")
    began, cpu = time.monotonic(), time.process_time()
    with closing(Catalog(layout, read_only=True)) as catalog:
        look = AggregateLook(layout, catalog.aggregates, AggregatePolicy(), _hours(layout) if full else None)
        report = verify(layout, full=full, witness=look if aggregates else None)
        check = look.finish() if aggregates else AggregateCheck()
        if check.findings:
            raise SystemExit(f"findings: {check.findings[:3]}")
    seconds, wall = time.process_time() - cpu, time.monotonic() - began
    readings = sum(item.readings for item in report.partitions)
    if not report.clean:
        raise SystemExit(f"findings: {report.findings[:3]}")
    return {
        "files": report.files,
        "aggregate_files": check.files,
        "readings": readings,
        "readings_per_cpu_second": round(readings / seconds),
        "files_per_cpu_second": round((report.files + check.files) / seconds),
        "cpu_seconds": round(seconds, 2),
        "wall_seconds": round(wall, 2),
        "largest_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    sys.exit(main())
