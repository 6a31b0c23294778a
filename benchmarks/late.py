"""What late readings cost in a catch-up: how often a sensor-hour is written, summarised and uploaded.

`python benchmarks/late.py --speed 20`, and with `--settle 0` for stages that go by the watermark as it is. Sensors
at 1 Hz, of whose readings one in a hundred comes 10 to 1,000 seconds late, read at so many times the pace of live.
The clock is set, not waited for; every file is real, the store a folder. What is not in it is Kafka and decoding.
Prints one JSON line, by sensor-hour.
"""

import argparse
import heapq
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from steady import _START, Plant
from verify import Tree

from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy, Aggregator
from sensor_storage.clock import ManualClock
from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.upload import Uploader, UploadPolicy
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.settled import Settled

_LATE_SHARE = 0.01
_HOUR = 3600
_GRACE_SECONDS = 900
_UPLOAD_SECONDS = 10
_TAIL_SECONDS = 200
_OUTAGE_SECONDS = 10 * 86_400.0


def main() -> int:
    """Run the hours and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=40)
    parser.add_argument("--hours", type=int, default=5)
    parser.add_argument("--speed", type=int, default=20, help="event seconds a second")
    parser.add_argument(
        "--settle", type=float, default=60, help="seconds; the service has its flush interval"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_run(Path(folder), chosen)), flush=True)
    return 0


class Late:
    """Holds readings back; gives what is due in order."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(3)
        self._held: list[tuple[float, int, Readings]] = []
        self._count = 0

    def of(self, rows: Readings, second: int) -> Readings:
        """The readings that come in time."""
        late = self._random.random(len(rows)) < _LATE_SHARE
        for place in np.flatnonzero(late).tolist():
            self._count += 1
            due = second + 10 * 100 ** self._random.random()
            heapq.heappush(self._held, (due, self._count, rows.take(np.array([place]))))
        return rows.where(~late)

    def due(self, second: float) -> list[Readings]:
        """Those that come until then."""
        found = []
        while self._held and self._held[0][0] < second:
            found.append(heapq.heappop(self._held)[2])
        return found


def _run(root: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    layout, clock = Layout(root / "raw"), ManualClock(_START + _OUTAGE_SECONDS)
    plant, late, tree, disk = Plant(chosen.sensors), Late(), Tree(root), Disk(root)
    settled = Settled(clock, chosen.settle)
    total, cpu = chosen.hours * _HOUR, dict.fromkeys(("compact", "aggregate", "upload"), 0.0)
    made = dict.fromkeys(("hour_files", "aggregated_hours", "uploads"), 0)
    with closing(Catalog(layout)) as catalog:
        compactor = Compactor(layout, disk, catalog, WritePolicy(), "m1")
        hours = LocalHours(layout, judge_by("opc-ua", uncertain_is_good=True))
        aggregator = Aggregator(layout, disk, catalog, hours, AggregatePolicy())
        store = open_store(Place((root / "cold").as_uri()))
        uploader = Uploader(layout, disk, catalog, store, UploadPolicy())

        def timed(name: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it gives
            before = time.process_time()
            report = act()
            cpu[name] += time.process_time() - before
            return report

        for second in range(total // chosen.speed + _TAIL_SECONDS):
            clock.advance(1)
            first, last = (min(total, n * chosen.speed) for n in (second, second + 1))
            rows = [late.of(plant.second(number), number) for number in range(first, last)]
            rows += late.due(last if last < total else float("inf"))
            if rows:
                tree.stage(Readings.concat(rows), clock.now())
            watermark = settled.take(_START + last if last < total else clock.now())
            now = clock.now()
            made["hour_files"] += timed("compact", lambda: compactor.run_once(now, watermark)).hour_files  # noqa: B023
            while (report := timed("aggregate", lambda: aggregator.run_once(now, watermark))).hours:  # noqa: B023
                made["aggregated_hours"] += report.hours
            if second % _UPLOAD_SECONDS == 0:
                before = int((watermark - _GRACE_SECONDS) // _HOUR)
                made["uploads"] += timed("upload", lambda: uploader.run_once(now, before)).uploaded  # noqa: B023
        left = catalog.receipts.waiting().files
    sensor_hours = chosen.sensors * chosen.hours
    return {
        "speed": chosen.speed,
        "settle": chosen.settle,
        **{name: round(count / sensor_hours, 2) for name, count in made.items()},
        "cpu_ms": {name: round(1000 * seconds / sensor_hours, 2) for name, seconds in cpu.items()},
        "left": left,
    }


if __name__ == "__main__":
    sys.exit(main())
