"""Every question over one data directory, for the API and the command line alike.

An answer is begun in this order, which is what makes it complete (`staged.py`): hold what is staged, look at the
catalog, look for hour files, and only then open them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from sensor_storage.clock import Clock
from sensor_storage.errors import SensorStorageError
from sensor_storage.model import Series
from sensor_storage.query.directory import Directory
from sensor_storage.query.planner import Known, Plan, plan
from sensor_storage.query.question import Interval, Question
from sensor_storage.query.raw import RawReader, raw_schema
from sensor_storage.query.sources import Sources
from sensor_storage.query.staged import StagedView
from sensor_storage.query.thinning import METHOD, thinned
from sensor_storage.query.watch import Watch
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.layout import Layout

MAX_ROWS: Final = 10_000_000
DEADLINE_SECONDS: Final = 60.0


class NothingStored(SensorStorageError):
    """Nothing is stored of what was asked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may be; 0 is no limit."""

    max_rows: int = MAX_ROWS
    deadline_seconds: float = DEADLINE_SECONDS


@dataclass(slots=True)
class Answer:
    """Tables of one schema, in order of asset, sensor and time; read as they are asked for."""

    plan: Plan
    schema: pa.Schema
    tables: Iterator[pa.Table]
    watch: Watch
    warnings: list[str] = field(default_factory=list)

    @property
    def thinned_by(self) -> str | None:
        """The method by which readings may have been left out, if any was."""
        most = max((part.rows for part in self.plan.parts), default=0)
        return METHOD if self.plan.thin_to and most > self.plan.thin_to else None


class Queries:
    """Answers questions; safe for several threads."""

    def __init__(self, layout: Layout, clock: Clock, limits: Limits | None = None) -> None:
        self.layout = layout
        self.clock = clock
        self.limits = limits or Limits()
        self.staged = StagedView(layout)

    def answer(self, question: Question, watch: Watch | None = None) -> Answer:
        """The answer, begun. NothingStored for names nobody knows, TooMuch for more rows than may be."""
        watch = watch or Watch(self.clock, self.limits.deadline_seconds)
        held = self.staged.hold()
        sources = Sources(self.layout, held)
        with CatalogView.of(self.layout) as catalog:
            series = Directory(self.layout, catalog, held).select(question.assets, question.sensors)
            if not series:
                raise nothing_stored(question)
            known = _known(series, question.interval, catalog, sources, watch)
        found = plan(question, known, max_rows=self.limits.max_rows)
        reader = RawReader(sources, watch, addresses=question.addresses)
        return Answer(
            found,
            raw_schema(addresses=question.addresses),
            _raw(found, reader),
            watch,
            damage(self.layout, held.damaged),
        )


def _raw(found: Plan, reader: RawReader) -> Iterator[pa.Table]:
    for part in found.parts:
        tables = reader.tables(part.series, found.interval, part.hours)
        if found.thin_to and part.rows > found.thin_to:
            tables = thinned(tables, found.interval, found.thin_to)
        yield from tables


def _known(
    series: Sequence[Series], interval: Interval, catalog: CatalogView, sources: Sources, watch: Watch
) -> list[Known]:
    hours = interval.hours
    by_asset: dict[str, tuple[int, ...]] = {}
    found: list[Known] = []
    for one in series:
        watch.look()
        if one.asset not in by_asset:
            by_asset[one.asset] = tuple(sources.hours(one.asset, hours))
        filed = {item.hour: item.rows for item in catalog.hours(one, hours.start, hours.stop - 1)}
        staged = sources.held.hours(one, hours.start, hours.stop - 1)
        there = tuple(hour for hour in by_asset[one.asset] if hour in filed or sources.has_file(one, hour))
        found.append(Known(one, there, filed, staged))
    return found


def nothing_stored(question: Question) -> NothingStored:
    """The error that names what was asked for."""
    assets, sensors = ", ".join(question.assets), ", ".join(question.sensors)
    return NothingStored(
        f"nothing is stored of asset {assets}, sensor {sensors}",
        hint="names differ by case; /assets and `sensor-storage ls` list those there are",
    )


def damage(layout: Layout, damaged: dict[Path, str]) -> list[str]:
    """What an answer lacks because it can't be read."""
    return [f"{layout.relative(path)} is damaged; its readings are missing here" for path in damaged]
