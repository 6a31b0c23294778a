"""Data directories with any readings, aggregated in any steps, and what their aggregates say."""

import itertools
import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from sensor_storage.aggregation.files import Parameters
from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy, AggregateReport, Aggregator
from sensor_storage.aggregation.windows import LEVELS, Level
from sensor_storage.model import Series
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.durable import Disk, Steps
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn
from support.trees import HOUR, NOW, SOURCE, close_with, compactor, stage

SERIES = Series("press-1", "temperature")
SECOND = 1_000_000
DAY = HOUR // 24 * 86_400 * SECOND
LATER = NOW + 400 * 86_400.0
"""When everything in these trees is long over."""

_NUMBERS = itertools.count()


class Reading(NamedTuple):
    """One reading, `time` in µs since 1970; its place in a list is its offset."""

    time: int
    value: float = math.nan
    quality: str | None = "good"
    unit: str | None = "°C"
    text: str | None = None
    series: Series = SERIES


def readings_at(rows: Sequence[Reading], offsets: Sequence[int]) -> Readings:
    """The readings of these offsets, in that order."""
    mine = [rows[offset] for offset in offsets]
    return Readings(
        series=SeriesColumn.encode([row.series for row in mine]),
        timestamp=np.array([row.time for row in mine], np.int64),
        value=np.array([row.value for row in mine], np.float64),
        text=pa.array([row.text for row in mine], pa.string()) if any(row.text for row in mine) else None,
        unit=Coded.encode([row.unit for row in mine]),
        quality=Coded.encode([row.quality for row in mine]),
        source=Coded.constant(SOURCE, len(mine)),
        offset=np.array(offsets, np.int64),
        index=np.zeros(len(mine), np.int32),
        revision=np.ones(len(mine), np.int16),
    )


def arrive(layout: Layout, rows: Sequence[Reading], offsets: Sequence[int] | None = None) -> None:
    """A segment with these readings comes, and is compacted into hour files."""
    chosen = list(range(len(rows)) if offsets is None else offsets)
    if chosen:
        stage(
            layout,
            readings_at(rows, chosen),
            number=next(_NUMBERS),
            start=min(chosen),
            stop=max(chosen) + 1,
        )
    compacting = compactor(layout)
    compacting.run_once(NOW, NOW, flush=True)


def aggregator(
    layout: Layout, *, steps: Steps | None = None, policy: AggregatePolicy | None = None
) -> Aggregator:
    """An aggregator as after an ordinary start."""
    disk = Disk(layout.root, steps)
    disk.clear_aside()
    catalog = Catalog(layout)
    made = Aggregator(
        layout,
        disk,
        catalog,
        LocalHours(layout, judge_by("opc-ua", uncertain_is_good=True)),
        policy or AggregatePolicy(),
    )
    close_with(made, catalog)
    return made


def aggregate(
    layout: Layout, *, flush: bool = True, policy: AggregatePolicy | None = None
) -> AggregateReport:
    """Start, make everything due, end."""
    running = aggregator(layout, policy=policy)
    report = running.run_once(LATER, LATER, flush=flush)
    while report.more:
        report.add(running.run_once(LATER, LATER, flush=flush))
    return report


def limit_policy(seconds: float, levels: tuple[Level, ...] = LEVELS) -> AggregatePolicy:
    """The policy with another carry limit."""
    return AggregatePolicy(levels=levels, parameters=Parameters(round(seconds * SECOND)))


def tree(layout: Layout) -> dict[str, bytes]:
    """Every aggregate file's bytes by its path."""
    paths = sorted(path for path in layout.aggregated.rglob("*") if path.is_file())
    return {layout.relative(path): path.read_bytes() for path in paths}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """The paths whose bytes differ."""
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def left_due(layout: Layout) -> int:
    """How many hours and days the catalog has to be made."""
    with closing(Catalog(layout, read_only=True)) as catalog:
        return catalog.aggregates.due_count("hour") + catalog.aggregates.due_count("day")


def fresh(root: Path) -> Layout:
    """An empty data directory."""
    return Layout(root / "raw")


VALUES = st.one_of(
    st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    st.integers(-8, 8).map(lambda noise: 1e15 + noise / 8),
    st.just(math.nan),
)


@st.composite
def many_readings(draw: st.DrawFn) -> list[Reading]:
    """Up to fifty readings within three days, of two sensors, crowded in a few minutes or not."""
    crowded = draw(st.booleans())
    times = st.integers(0, 600 if crowded else 3 * 86_400 - 1)
    units = st.sampled_from(["°C", "°F", None]) if draw(st.booleans()) else st.just("°C")
    return [
        Reading(
            DAY + draw(times) * SECOND,
            draw(VALUES),
            draw(st.sampled_from(["good", None, "bad"])),
            draw(units),
            draw(st.sampled_from([None, "on", "off"])),
            draw(st.sampled_from([SERIES, Series("press-1", "p/ü")])),
        )
        for _ in range(draw(st.integers(1, 50)))
    ]
