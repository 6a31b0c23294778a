"""Questions in this process, beside DuckDB by glob and polars by exact path: milliseconds, p50 and p95.

`python benchmarks/query.py`. A hundred sensors with a day of 1 Hz readings and one sensor with a year, in hour
files and aggregates. Each question is asked 40 times, of random sensors; the page cache is warm; CPU is that of all
threads. Over HTTP, and while ingest runs: `benchmarks/beside.py`.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from stored import DAY_SECONDS, SLOW, Stored, store

from sensor_storage.aggregation.windows import LEVELS, WIDTH, Level, period_of, period_start
from sensor_storage.clock import ManualClock
from sensor_storage.model import SensorHour, Series
from sensor_storage.query.formats import encode
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Interval, Question, Resolution
from sensor_storage.storage.layout import Layout

_ASKED = 40


class Way(Protocol):
    """One way to get an answer."""

    name: str

    def rows(self, series: Sequence[Series], resolution: Resolution, interval: Interval) -> int:
        """Read the answer whole; how many rows it has."""
        ...


def main() -> int:
    """Make the directory, ask, print a JSON line a question and way. Exit 1 where ours takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--hours", type=int, default=24, help="Of the day; fewer only try it out.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return ask(store(Path(folder), chosen.sensors, chosen.hours))


def ask(stored: Stored) -> int:
    """Every question in every way."""
    chance = random.Random(7)
    ours = Ours(stored)
    ways: list[Way] = [ours, Glob(stored.layout), ExactPaths(stored.layout)]
    good = True

    def one() -> list[Series]:
        return [chance.choice(stored.sensors)]

    questions: list[tuple[str, Callable[[], Sequence[Series]], Resolution, Interval, int, int]] = [
        ("a sensor's day of minutes", one, "minute", stored.day, _ASKED, 20),
        ("a sensor's day of raw 1 Hz", one, "raw", stored.day, _ASKED, 50),
        ("a sensor's year of days", lambda: [SLOW], "day", stored.year, _ASKED, 50),
        ("a sensor's year of hours", lambda: [SLOW], "hour", stored.year, _ASKED, 0),
        ("every sensor's day of minutes", lambda: stored.sensors, "minute", stored.day, 5, 500),
    ]
    for question, series, resolution, interval, times, limit in questions:
        for way in ways:
            p95 = tell(question, way, lambda: (series(), resolution, interval), times, limit)  # noqa: B023
            good &= way is not ours or not limit or p95 <= limit
    return 0 if good else 1


def tell(
    question: str,
    way: Way,
    asked: Callable[[], tuple[Sequence[Series], Resolution, Interval]],
    times: int,
    limit: int,
) -> float:
    """Ask so often, once more to warm up, and print what it took; the p95."""
    rows = way.rows(*asked())
    took, cpu = [], time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        way.rows(*asked())
        took.append((time.perf_counter() - began) * 1000)
    line = {
        "question": question,
        "way": way.name,
        "rows": rows,
        "p50_ms": round(statistics.median(took), 1),
        "p95_ms": round(float(np.quantile(took, 0.95)), 1),
        "cpu_ms": round((time.process_time() - cpu) / times * 1000, 1),
    } | ({"limit_ms": limit} if limit and way.name == "ours" else {})
    print(json.dumps(line), flush=True)
    return float(np.quantile(took, 0.95))


class Ours:
    """By this service's reader, as the bytes of an Arrow stream."""

    name = "ours"

    def __init__(self, stored: Stored) -> None:
        now = stored.day.end / 1e6 + DAY_SECONDS
        self._queries = Queries(stored.layout, ManualClock(now), Limits())

    def rows(self, series: Sequence[Series], resolution: Resolution, interval: Interval) -> int:
        """See `Way`."""
        assets, sensors = ({*names} for names in zip(*series, strict=True))
        asked = Question((*assets,), (*sensors,), interval, resolution)
        answer = self._queries.answer(asked)
        count = 0

        def counted() -> Iterator[pa.Table]:
            nonlocal count
            for table in answer.tables:
                count += table.num_rows
                yield table

        for _ in encode("arrow", answer.schema, counted(), answer.meta):
            pass
        return count


class Glob:
    """By DuckDB over the tree."""

    name = "DuckDB by glob"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._connection = duckdb.connect()

    def rows(self, series: Sequence[Series], resolution: Resolution, interval: Interval) -> int:
        """See `Way`."""
        tree = self._layout.raw if resolution == "raw" else self._layout.aggregated
        asset, sensor = series[0] if len(series) == 1 else ("press-*", "*")
        ending = "" if resolution == "raw" else f"_{resolution}"
        column = "timestamp" if resolution == "raw" else "window_start"
        found = self._connection.execute(
            f"SELECT * FROM read_parquet('{tree}/{asset}/**/{sensor}{ending}.parquet')"  # noqa: S608
            f" WHERE epoch_us({column}) >= {interval.start} AND epoch_us({column}) < {interval.end}"
            f" ORDER BY {column}"
        ).to_arrow_table()
        return found.num_rows


class ExactPaths:
    """By polars, given the files there are."""

    name = "polars by exact path"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def rows(self, series: Sequence[Series], resolution: Resolution, interval: Interval) -> int:
        """See `Way`."""
        wanted = (path for one in series for path in self._paths(one, resolution, interval))
        columns = ["timestamp", "value", "text", "unit", "quality"] if resolution == "raw" else None
        return pl.read_parquet([path for path in wanted if path.exists()], columns=columns).height

    def _paths(self, series: Series, resolution: Resolution, interval: Interval) -> list[Path]:
        if resolution == "raw":
            return [self._layout.hour_file(SensorHour(series, hour)) for hour in interval.hours]
        level: Level = LEVELS[LEVELS.index(resolution)]
        periods = {period_of(level, start) for start in range(interval.start, interval.end, WIDTH["hour"])}
        return [
            self._layout.aggregate_file(series, level, period_start(level, period))
            for period in sorted(periods)
        ]


if __name__ == "__main__":
    sys.exit(main())
