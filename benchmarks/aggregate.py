"""Aggregation from hour files: CPU a reading, bytes a reading, and beside the CPU of segments and compaction.

`python benchmarks/aggregate.py --sensors 200`. Two parts, every file real and synced:
- a day: hour files of 24 hours at 1 Hz into minutes, hours and days at once, as after a backlog or a rebuild;
- a steady hour: a segment a second and compaction's round, as `benchmarks/steady.py` does, with the rounds of
  aggregation between; the hour's aggregates are made when it closes, beside a day file that is there already.

Prints one JSON line a part. CPU is that of the process.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from steady import _START, Plant

from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy, AggregateReport, Aggregator
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment

_HOUR = 3600


def main() -> int:
    """Run both parts and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=200)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--open-hours", action="store_true", help="aggregate open hours too")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_backlog(Path(folder), max(chosen.sensors // 5, 40), chosen.hours)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_steady(Path(folder), chosen.sensors, open_hours=chosen.open_hours)), flush=True)
    return 0


class Service:
    """Segments, compaction and aggregation over one directory, and the CPU each took."""

    def __init__(self, root: Path, sensors: int, policy: AggregatePolicy) -> None:
        self.layout = Layout(root / "raw")
        disk = Disk(root)
        disk.clear_aside()
        self.catalog = Catalog(self.layout)
        self._disk = disk
        self._plant = Plant(sensors)
        self._compactor = Compactor(self.layout, disk, self.catalog, WritePolicy(), "m0")
        source = LocalHours(self.layout, judge_by("opc-ua", uncertain_is_good=True))
        self._aggregator = Aggregator(self.layout, disk, self.catalog, source, policy)
        self._segments = 0
        self.made = AggregateReport()
        self.cpu = {"segments": 0.0, "compact": 0.0, "aggregate": 0.0}

    def stage(self, first: int, seconds: int) -> None:
        """One segment of so many seconds."""
        readings = Readings.concat([self._plant.second(first + number) for number in range(seconds)])
        self.put(readings, _START + first + seconds)

    def put(self, readings: Readings, now: int) -> None:
        """A segment of these readings."""
        before = time.process_time()
        ledger = [
            LedgerEntry(total.source, total.first_offset, total.last_offset + 1)
            for total in readings.totals()
        ]
        self._segments += 1
        name = StagedName(now * 1000, "i", self._segments, 0)
        self._disk.publish_bytes(self.layout.staged(name), encode_segment(readings, ledger, "zstd"))
        self.cpu["segments"] += time.process_time() - before

    def compact(self, now: float, *, flush: bool = False) -> None:
        """A round of compaction."""
        before = time.process_time()
        self._compactor.run_once(now, now, flush=flush)
        self.cpu["compact"] += time.process_time() - before

    def aggregate(self, now: float, *, flush: bool = False) -> None:
        """Rounds of aggregation until nothing is due."""
        before = time.process_time()
        self.made.more = True
        while self.made.more:
            self.made.add(self._aggregator.run_once(now, now, flush=flush))
        self.cpu["aggregate"] += time.process_time() - before

    def bytes_of(self, level: str) -> int:
        """The bytes of all files of a level."""
        return sum(path.stat().st_size for path in self.layout.aggregated.rglob(f"*_{level}.parquet"))


def _backlog(root: Path, sensors: int, hours: int) -> dict[str, object]:
    service = Service(root, sensors, AggregatePolicy())
    for hour in range(hours):
        for part in range(6):
            service.stage(hour * _HOUR + part * 600, 600)
        service.compact(_START + (hour + 1) * _HOUR, flush=True)
    began = time.monotonic()
    service.aggregate(_START + (hours + 24) * _HOUR)
    readings, cpu = service.made.readings, service.cpu["aggregate"]
    return {
        "part": "backlog",
        "readings": readings,
        "sensor_hours": service.made.hours,
        "readings_per_cpu_second": round(readings / cpu),
        "cpu_us": round(cpu / readings * 1e6, 3),
        "minute_bytes_per_reading": round(service.bytes_of("minute") / readings, 3),
        "hour_bytes_per_reading": round(service.bytes_of("hour") / readings, 4),
        "day_bytes_per_reading": round(service.bytes_of("day") / readings, 4),
        "wall_seconds": round(time.monotonic() - began, 1),
    }


def _steady(root: Path, sensors: int, *, open_hours: bool) -> dict[str, object]:
    service = Service(root, sensors, AggregatePolicy(open_hours=open_hours))
    service.stage(-_HOUR, _HOUR)
    service.compact(_START, flush=True)
    service.aggregate(_START + 1.0, flush=True)
    service.cpu = dict.fromkeys(service.cpu, 0.0)
    began, readings_before = time.monotonic(), service.catalog.sums()[1]
    for number in range(_HOUR + 200):
        now = _START + number + 1.0
        if number < _HOUR:
            service.stage(number, 1)
        service.compact(now)
        service.aggregate(now)
    readings = service.catalog.sums()[1] - readings_before
    cpu = {name: round(seconds / readings * 1e6, 3) for name, seconds in service.cpu.items()}
    share = service.cpu["aggregate"] / (service.cpu["segments"] + service.cpu["compact"])
    return {
        "part": "steady hour",
        "open_hours": open_hours,
        "readings": readings,
        "cpu_us": cpu,
        "aggregate_share_of_segments_and_compact": round(share, 3),
        "wall_seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
