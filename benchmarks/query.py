"""Queries over HTTP and in process, beside DuckDB by glob and the same by exact path: milliseconds, p50 and p95.

`python benchmarks/query.py`. One asset of 100 sensors with a day of 1 Hz readings in hour files and all aggregates,
and one sensor with a year of hour aggregates. Each question is asked 40 times of random sensors; the page cache is
warm. CPU a question is that of this process. `--beside-ingest` publishes to segments at the rate given meanwhile.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from aggregate import Service
from steady import _START

from sensor_storage.aggregation.stage import AggregatePolicy
from sensor_storage.clock import ManualClock
from sensor_storage.query.formats import encode
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Interval, Question
from sensor_storage.storage.layout import Layout

_DAY = 86_400
_ASKED = 40


def main() -> int:
    """Make the tree, ask, print a JSON line a question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=100)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        service = Service(root, chosen.sensors, AggregatePolicy())
        start = _START // _DAY * _DAY + _DAY
        first = start - _START
        for hour in range(24):
            for part in range(6):
                service.stage(first + hour * 3600 + part * 600, 600)
            service.compact(start + (hour + 1) * 3600.0, flush=True)
        service.aggregate(start + 3 * _DAY, flush=True)
        ask(service.layout, start)
    return 0


def ask(layout: Layout, start: int) -> None:
    """Every question, by us and by the others."""
    queries = Queries(layout, ManualClock(start + 2 * _DAY), Limits())
    with queries.look() as now:
        series = list(now.directory.series())
    day = Interval(start * 1_000_000, (start + _DAY) * 1_000_000)
    year = Interval((start - 364 * _DAY) * 1_000_000, (start + _DAY) * 1_000_000)
    chance = random.Random(7)

    def one(resolution: str, interval: Interval) -> Callable[[], int]:
        def asked() -> int:
            name = chance.choice(series)
            return _read(queries, Question((name.asset,), (name.sensor,), interval, resolution))  # type: ignore[arg-type]

        return asked

    def every(resolution: str, *fields: str) -> Callable[[], int]:
        return lambda: _read(queries, Question(("*",), ("*",), day, resolution, fields=fields))  # type: ignore[arg-type]

    def duckdb_minutes(glob: str) -> Callable[[], int]:
        connection = duckdb.connect()
        connection.execute("SET threads = 1")

        def asked() -> int:
            name = chance.choice(series)
            path = glob.format(asset=name.asset, sensor=name.sensor)
            question = f"SELECT * FROM read_parquet('{path}') ORDER BY ALL"  # noqa: S608
            return len(next(iter(connection.execute(question).fetchnumpy().values())))

        return asked

    def exact_raw() -> int:
        name = chance.choice(series)
        files = [
            layout.raw
            / name.asset
            / time.strftime("%Y/%m/%d/%H", time.gmtime(start + 3600 * hour))
            / f"{name.sensor}.parquet"
            for hour in range(24)
        ]
        return pa.concat_tables(
            [
                pq.read_table(file, columns=["timestamp", "value", "unit", "quality"], use_threads=False)
                for file in files
            ]
        ).num_rows

    tell("one sensor, a day of minutes", one("minute", day))
    tell("one sensor, a day of raw 1 Hz, Arrow", one("raw", day))
    tell("one sensor, a year of days", one("day", year))
    tell("one sensor, a year of hours", one("hour", year))
    tell(f"{len(series)} sensors, a day of minutes", every("minute"), times=5)
    tell(
        f"{len(series)} sensors, a day of minutes: min, max, mean",
        every("minute", "min", "max", "mean"),
        times=5,
    )
    tell(
        "DuckDB by glob, a day of minutes",
        duckdb_minutes(str(layout.aggregated) + "/{asset}/**/{sensor}_minute.parquet"),
    )
    tell("DuckDB by glob, a day of raw", duckdb_minutes(str(layout.raw) + "/{asset}/**/{sensor}.parquet"))
    tell("pyarrow by exact path, a day of raw", exact_raw)


def _read(queries: Queries, question: Question) -> int:
    """The answer as Arrow bytes; how many rows."""
    answer = queries.answer(question)
    rows = 0

    def counted() -> object:
        nonlocal rows
        for table in answer.tables:
            rows += table.num_rows
            yield table

    for _ in encode("arrow", answer.schema, counted(), answer.meta):  # type: ignore[arg-type]
        pass
    return rows


def tell(words: str, asked: Callable[[], int], times: int = _ASKED) -> None:
    """Ask so often, once more to warm up, and print what it took."""
    rows = asked()
    took, cpu = [], time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        asked()
        took.append((time.perf_counter() - began) * 1000)
    cpu = (time.process_time() - cpu) / times * 1000
    p95 = float(np.quantile(took, 0.95))
    line = {
        "question": words,
        "rows": rows,
        "p50_ms": round(statistics.median(took), 1),
        "p95_ms": round(p95, 1),
        "cpu_ms": round(cpu, 1),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
