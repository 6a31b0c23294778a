"""Every question over one data directory, for the API and the command line alike.

An answer is begun in this order, which is what makes it complete (`staged.py`): hold what is staged, look at the
catalog, look for hour files, and only then open them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sensor_storage.aggregation.batch import carry_of
from sensor_storage.aggregation.carry import Carry
from sensor_storage.aggregation.files import Parameters
from sensor_storage.aggregation.plan import reached_hours
from sensor_storage.aggregation.windows import HOURS_PER_DAY, Level, period_of, period_start
from sensor_storage.clock import Clock
from sensor_storage.cold.files import ColdFiles
from sensor_storage.errors import SensorStorageError, Transient
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.query.columns import ColumnCache
from sensor_storage.query.damage import Damage, Warnings, lost
from sensor_storage.query.directory import Directory
from sensor_storage.query.planner import UNKNOWN_HOUR_ROWS, Evenly, Known, Plan, plan, reckoned
from sensor_storage.query.question import ALL, Interval, Question
from sensor_storage.query.raw import RawReader, raw_schema
from sensor_storage.query.sources import Sources
from sensor_storage.query.staged import HeldStaging, StagedView
from sensor_storage.query.tails import Tails
from sensor_storage.query.thinning import METHOD, Thinning
from sensor_storage.query.times import as_text
from sensor_storage.query.watch import Watch
from sensor_storage.query.whereabouts import Whereabouts, find_message
from sensor_storage.query.windows import Open, WindowQuestion, WindowReader, window_schema
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.layout import Layout

MAX_ROWS: Final = 10_000_000
DEADLINE_SECONDS: Final = 60.0
KEEP_UP_SECONDS: Final = 60.0
"""For so long after a question new segments are looked into before the next one comes."""

MICROSECONDS: Final = 1_000_000


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
    sources: Sources
    thinning: Thinning | None = None

    @property
    def warnings(self) -> list[str]:
        """What is to be known of it; more may come while the tables are read."""
        return self.sources.warnings.texts

    @property
    def thinned_by(self) -> str | None:
        """The method by which readings are left out, if any was so far or probably will be."""
        if self.thinning is None or not self.plan.thin_to:
            return None
        most = max((part.likely for part in self.plan.parts), default=0)
        return METHOD if self.thinning.left_out or most > self.plan.thin_to else None

    @property
    def meta(self) -> dict[str, Any]:
        """What the answer says of itself."""
        return {
            "resolution": self.plan.resolution,
            "start": as_text(self.plan.interval.start),
            "end": as_text(self.plan.interval.end),
            "thinned_by": self.thinned_by,
            "warnings": self.warnings,
        }

    def begin(self) -> None:
        """Make the first table: its errors come now, and whether readings are left out is known of one sensor."""
        first, rest = list(islice(self.tables, 1)), self.tables

        def whole() -> Iterator[pa.Table]:
            while first:
                yield first.pop()
            yield from rest

        self.tables = whole()

    def end(self) -> dict[str, Any]:
        """What is known once all tables are read: how many files of each tier that took, and how long."""
        return {"tiers": self.sources.tiers, "took_ms": round(self.watch.seconds * 1000, 1)}


@dataclass(frozen=True, slots=True)
class Held:
    """One moment: which sensors there are, and what each said last."""

    directory: Directory
    tails: Tails
    staged: HeldStaging
    watch: Watch
    warnings: Warnings


class Queries:
    """Answers questions; safe for several threads."""

    def __init__(
        self,
        layout: Layout,
        clock: Clock,
        limits: Limits | None = None,
        parameters: Parameters | None = None,
        files: ColdFiles | None = None,
    ) -> None:
        self.layout = layout
        self.files = files or ColdFiles(layout, None, clock, 0)
        self.clock = clock
        self.limits = limits or Limits()
        self.parameters = parameters or Parameters()
        self.staged = StagedView(layout)
        self.damage = Damage(layout)
        self.columns = ColumnCache()
        self._asked: float | None = None

    def answer(self, question: Question, watch: Watch | None = None, limits: Limits | None = None) -> Answer:
        """The answer, begun. NothingStored for names nobody knows, TooMuch for more rows than may be."""
        limits = limits or self.limits
        watch = watch or Watch(self.clock, limits.deadline_seconds)
        held = self._hold()
        sources = self._sources(held)
        with CatalogView.of(self.layout) as catalog:
            series = Directory(self.layout, catalog, held).select(question.assets, question.sensors)
            if not series:
                raise nothing_stored(question)
            known = [self._known(one, question.interval, catalog, sources, watch) for one in series]
            found = plan(question, known, max_rows=limits.max_rows)
            if not catalog.known and ALL in {*question.assets, *question.sensors}:
                for text in uncatalogued(self.layout):
                    sources.warnings.tell(text)
            if found.resolution == "raw":
                self.files.check_reach(self._cold(found, catalog))
                for key in self.damage.known(set(series), found.interval.hours):
                    sources.warnings.lacks(key, found=False)
                schema = raw_schema(addresses=question.addresses, fields=question.fields)
                whole = raw_schema(addresses=question.addresses) if found.thin_to else schema
                thinning = Thinning(found.interval, found.thin_to) if found.thin_to else None
                rows = _raw(found, RawReader(sources, watch, whole), thinning)
                tables = (one.select(schema.names) for one in rows)
                return Answer(found, schema, tables, watch, sources, thinning)
            asked = WindowQuestion(found.resolution, question.interval, question.zone)
            self.files.check_reach(self._cold_windows(series, asked, catalog))
            schema = window_schema(question.fields)
            raw = RawReader(sources, watch)
            windows = WindowReader(
                self.layout,
                sources,
                raw,
                watch,
                parameters=self.parameters,
                cache=self.columns,
                schema=schema,
            )
            not_made = {one: self._open(one, asked, catalog, sources, windows) for one in series}
        tables = (table for one in series for table in windows.tables(one, asked, not_made[one]))
        return Answer(found, schema, tables, watch, sources)

    def keep_up(self) -> None:
        """Look into what was staged since, while somebody asks: the next question finds it done."""
        if self._asked is not None and self.clock.monotonic() - self._asked < KEEP_UP_SECONDS:
            with suppress(Transient):
                self.staged.hold()

    def _sources(self, held: HeldStaging) -> Sources:
        """The places to read from, and what is known to be damaged in staging."""
        warnings = Warnings(self.layout, self.damage)
        for path in held.damaged:
            warnings.tell(lost(self.layout, path))
        return Sources(self.layout, held, self.files, warnings)

    def _hold(self) -> HeldStaging:
        self._asked = self.clock.monotonic()
        return self.staged.hold()

    def tag(self, question: Question) -> str | None:
        """A tag that stays while the answer does, for an interval that is over and fully in hour files; else None.

        It names the hour files' digests, what the aggregates' semantics depend on, and the question.
        """
        if question.interval.end > self.clock.now() * MICROSECONDS:
            return None
        held = self.staged.hold()
        hours = question.interval.hours
        first = hours.start - 2 * HOURS_PER_DAY - reached_hours(self.parameters.carry_limit_us)
        last = hours.stop - 1 + 2 * HOURS_PER_DAY
        content = blake2b(
            repr((question, self.parameters, self.limits, self.damage.found)).encode(), digest_size=16
        )
        with CatalogView.of(self.layout) as catalog:
            if not catalog.known:
                return None
            for series in Directory(self.layout, catalog, held).select(question.assets, question.sensors):
                if held.hours(series, first, last):
                    return None
                content.update(repr((series, catalog.digests(series, first, last))).encode())
        return content.hexdigest()

    @contextmanager
    def look(self, watch: Watch | None = None) -> Iterator["Held"]:
        """Everything as it is at one moment, for questions about sensors rather than readings."""
        watch = watch or Watch(self.clock, self.limits.deadline_seconds)
        held = self._hold()
        sources = self._sources(held)
        with CatalogView.of(self.layout) as catalog:
            raw = RawReader(sources, watch)
            yield Held(
                Directory(self.layout, catalog, held),
                Tails(catalog, sources, raw),
                held,
                watch,
                sources.warnings,
            )

    def where(self, topic: str, partition: int, offset: int, index: int | None = None) -> Whereabouts:
        """Where the message of that address is, or only the reading at this place in it."""
        watch = Watch(self.clock, self.limits.deadline_seconds)
        held = self.staged.hold()
        with CatalogView.of(self.layout) as catalog:
            return find_message(
                self.layout, catalog, held, watch, (topic, partition, offset), files=self.files, index=index
            )

    def _known(
        self, series: Series, interval: Interval, catalog: CatalogView, sources: Sources, watch: Watch
    ) -> Known:
        """How many readings there are, by whole hours, and how many of them in the interval itself."""
        watch.look()
        hours = interval.hours
        if catalog.known:
            whole = catalog.filed(series, hours.start, hours.stop - 1)[1]
            at_the_edges = [
                Evenly(*one) for one in catalog.filed_hours(series, {hours.start, hours.stop - 1})
            ]
        else:
            there = sources.hours(series, hours)
            whole = len(there) * UNKNOWN_HOUR_ROWS
            at_the_edges = [_unknown(hour) for hour in there if hour in {hours.start, hours.stop - 1}]
        staged = sources.held.hours(series, hours.start, hours.stop - 1)
        for hour in staged.keys() & {hours.start, hours.stop - 1}:
            at_the_edges += [Evenly(*one) for one in sources.held.spans(SensorHour(series, hour))]
        rows = whole + sum(staged.values())
        outside = sum(one.rows - reckoned(one, interval) for one in at_the_edges)
        return Known(series, rows, rows - outside)

    def _cold(self, found: Plan, catalog: CatalogView) -> Iterator[Path]:
        """The hour files of a plan that are not here."""
        hours = found.interval.hours
        for part in found.parts:
            for hour in catalog.cold_hours(part.series, hours.start, hours.stop - 1):
                yield self.layout.hour_file(SensorHour(part.series, hour))

    def _cold_windows(
        self, series: Sequence[Series], asked: WindowQuestion, catalog: CatalogView
    ) -> Iterator[Path]:
        """The aggregate files of a question that are not here."""
        if aggregates := catalog.aggregates():
            level: Level = "hour" if asked.edges is not None else asked.level
            first, last = period_of(level, asked.whole.start), period_of(level, asked.whole.end - 1)
            for one in series:
                for period in aggregates.cold_periods(one).get(level, ()):
                    if first <= period <= last:
                        yield self.layout.aggregate_file(one, level, period_start(level, period))

    def _open(
        self,
        series: Series,
        asked: WindowQuestion,
        catalog: CatalogView,
        sources: Sources,
        windows: WindowReader,
    ) -> Open:
        """What of the interval has to be made of readings."""
        hours = asked.whole.hours
        reach = reached_hours(self.parameters.carry_limit_us)
        first, last = hours.start - reach, hours.stop - 1
        made_of_readings = set(sources.held.hours(series, first, last))
        days: list[int] = []
        carry: Carry | None = None
        if aggregates := catalog.aggregates():
            made_of_readings |= set(aggregates.due_of(series, "hour", first, last))
            days = aggregates.due_of(series, "day", hours.start // HOURS_PER_DAY, last // HOURS_PER_DAY)
            carry = carry_of(aggregates.last_carry_out(series, first, hours.start - 1))
        else:
            made_of_readings |= set(windows.filed_hours(series, range(first, last + 1)))
        carry = windows.carry_before(series, hours.start, carry, sorted(made_of_readings))
        return Open(frozenset(made_of_readings), frozenset(days), carry)


def _unknown(hour: int) -> Evenly:
    start = hour * MICROSECONDS_PER_HOUR
    return Evenly(UNKNOWN_HOUR_ROWS, start, start + MICROSECONDS_PER_HOUR - 1)


def _raw(found: Plan, reader: RawReader, thinning: Thinning | None) -> Iterator[pa.Table]:
    for part in found.parts:
        tables = reader.tables(part.series, found.interval)
        yield from thinning.thinned(tables) if thinning else tables


def nothing_stored(question: Question) -> NothingStored:
    """The error that names what was asked for."""
    assets, sensors = ", ".join(question.assets), ", ".join(question.sensors)
    return NothingStored(
        f"nothing is stored of asset {assets}, sensor {sensors}",
        hint="names differ by case; /assets and `sensor-storage ls` list those there are",
    )


def uncatalogued(layout: Layout) -> list[str]:
    """What an answer over all sensors lacks where hour files have no catalog."""
    if not layout.raw.is_dir() or not any(layout.raw.iterdir()):
        return []
    return [
        "there is no catalog to read: only sensors with staged readings are here; run `sensor-storage rebuild`"
    ]
