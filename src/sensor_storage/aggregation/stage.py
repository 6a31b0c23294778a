"""The aggregate stage: hour files into minutes, minutes into hours, hours into days.

`Aggregator.run_once` takes these steps, each harmless to repeat:
 1. ask the catalog which sensor-hours are due: their hour file holds other readings than their aggregates;
 2. make the minutes of each, and its row in the day's file of hours; publish: commit point of the hours;
 3. mark what they reach, their days and the hours in which a last reading is newly held; then record them;
 4. once no hour is due, do the same for the days, each a row in the month's file of days.

What is made depends on the readings alone, so a death anywhere leaves work that is due still, and the same bytes
are made again. Nothing here removes anything.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from sensor_storage.aggregation.ahead import Ahead
from sensor_storage.aggregation.batch import Batch, Known, carry_json, carry_of
from sensor_storage.aggregation.carry import carry_out, time_weighted
from sensor_storage.aggregation.files import Parameters, Part, encode_aggregate, read_aggregate
from sensor_storage.aggregation.plan import plan_carried, plan_carry_in, plan_closed, plan_days, reached_hours
from sensor_storage.aggregation.raw_hours import HourSource, day_of
from sensor_storage.aggregation.rows import Row, with_rows
from sensor_storage.aggregation.statistics import Statistics
from sensor_storage.aggregation.windows import HOURS_PER_DAY, LEVELS, WIDTH, Level, period_of, period_start
from sensor_storage.errors import Damaged, DiskFull, Halt, NoColdStore, SensorStorageError, Transient
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import AggregateFile, AggregateRecord, Span, Spanned
from sensor_storage.storage.alive import Alive, GoOn, always, nothing
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import NOT_BACK

DEFAULT_PARAMETERS: Final = Parameters()
_RETRY_SECONDS = 60.0

Make: TypeAlias = Callable[[Series, Sequence[int], float, Batch], None]
"""Makes the hours, or the days, of one sensor that have these numbers, and puts them into the batch."""


@dataclass(frozen=True, slots=True)
class AggregatePolicy:
    """Which levels are made, with which parameters, and when.

    An hour or day is made once it is over for `settle_seconds`; with `open_hours` also before, whenever its hour
    file was written. One round makes at most `round_hours` hours, then as many days.
    """

    levels: tuple[Level, ...] = LEVELS
    parameters: Parameters = DEFAULT_PARAMETERS
    settle_seconds: float = 120
    open_hours: bool = False
    round_hours: int = 200


@dataclass(slots=True)
class AggregateReport:
    """What one round did; `more` says that due work is left, `blocked` what can't be made, and why.

    `mended` of the `hours` had been made before: late readings reached them.
    """

    hours: int = 0
    mended: int = 0
    days: int = 0
    readings: int = 0
    files: int = 0
    written_bytes: int = 0
    more: bool = False
    blocked: dict[Path, str] = field(default_factory=dict)

    def add(self, later: "AggregateReport") -> None:
        """Take in a later round; what is left and what is blocked are as that round found them."""
        self.hours += later.hours
        self.mended += later.mended
        self.days += later.days
        self.readings += later.readings
        self.files += later.files
        self.written_bytes += later.written_bytes
        self.more = later.more
        self.blocked = later.blocked

    @property
    def did_something(self) -> bool:
        """Was anything made?"""
        return bool(self.hours or self.days)


def parameters_text(policy: AggregatePolicy) -> str:
    """What the catalog keeps, to see that aggregates were made with other settings."""
    return msgspec.json.encode((policy.levels, policy.parameters)).decode()


class Aggregator:
    """The only writer of aggregates of one data directory."""

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        catalog: Catalog,
        source: HourSource,
        policy: AggregatePolicy,
        *,
        find: Callable[[Path], Path] = lambda path: path,
        looking: Callable[[], AbstractContextManager[None]] = nullcontext,
        unfold: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._catalog = catalog.aggregates
        self._source = source
        self._find = find
        self._looking = looking
        self._unfold = unfold
        self._policy = policy
        self._limit = policy.parameters.carry_limit_us
        self._started = False
        self.alive: Alive = nothing
        """Called between the hours of a round, and between a large one's blocks."""
        self.go_on: GoOn = always
        self._blocked: dict[Spanned, tuple[float, Path, str]] = {}

    def run_once(self, now: float, watermark: float, *, flush: bool = False) -> AggregateReport:
        """Make what is due, up to the policy's bound and while `go_on` says so; with `flush` also what is not over.

        `watermark` is the least Kafka time, in seconds, that ingest has consumed on any partition.
        """
        report = AggregateReport()
        if not self._policy.levels:
            return report
        if not self._started:
            self._disk.settle()
            self._catalog.use(parameters_text(self._policy))
            self._started = True
        self._blocked = {key: item for key, item in self._blocked.items() if item[0] > now}
        hours = self._due("hour", watermark, report, flush=flush or self._policy.open_hours)  # 1
        ahead = Ahead(
            self._source, [SensorHour(key.series, key.number) for key in hours], self.alive, limit=self._limit
        )
        made = self._make(hours, now, report, partial(self._hours_of, ahead))  # 2, 3
        report.hours += len(made.records)
        report.mended += made.mended
        report.more |= any(key.span == "hour" for key in made.reached)
        if "day" in self._policy.levels and not report.more:
            made = self._make(
                self._due("day", watermark, report, flush=flush), now, report, self._days_of
            )  # 4
            report.days += len(made.records)
            report.more |= bool(made.reached)
        report.blocked = {path: why for _, path, why in self._blocked.values()}
        return report

    def due_hours(self, watermark: float) -> int:
        """How many sensor-hours are over and have readings that their aggregates have not."""
        return self._catalog.due_count("hour", before=self._closed("hour", watermark))

    def make_all_again(self) -> None:
        """Everything is due, whatever was known."""
        self._catalog.forget_all()
        self._started = False

    def try_all_now(self) -> None:
        """Wait for nothing: what could not be made is tried again in the next round."""
        self._blocked.clear()

    def _closed(self, span: Span, watermark: float) -> int:
        return plan_closed(span, watermark, self._policy.settle_seconds)

    def _due(self, span: Span, watermark: float, report: AggregateReport, *, flush: bool) -> list[Spanned]:
        before = None if flush else self._closed(span, watermark)
        bound = self._policy.round_hours
        found = self._catalog.due(span, before=before, limit=bound + len(self._blocked))
        due = [key for key in found if key not in self._blocked]
        report.more = len(due) >= bound
        return due[:bound]

    def _make(self, due: Sequence[Spanned], now: float, report: AggregateReport, make: Make) -> Batch:
        """Make what is due, publish and record it; what was made."""
        batch = Batch()
        try:
            with self._looking():
                report.more |= self._of_each(due, now, batch, make)
            self._disk.publish(batch.asides)  # commit point
        except Exception:
            self._disk.discard(batch.asides)
            raise
        self._catalog.mark_due(batch.reached)
        self._catalog.record(batch.records)
        self._catalog.record_files(batch.files)
        report.files += len(batch.asides)
        report.written_bytes += batch.written_bytes
        report.readings += batch.readings
        return batch

    def _of_each(self, due: Sequence[Spanned], now: float, batch: Batch, make: Make) -> bool:
        """One sensor after the other while there is time; are some left?"""
        for series, keys in groupby(due, attrgetter("series")):
            if batch.records and not self.go_on():
                return True
            self._of_one(series, list(keys), now, batch, make)
        return False

    def _of_one(
        self,
        series: Series,
        keys: Sequence[Spanned],
        now: float,
        batch: Batch,
        make: Make,
    ) -> None:
        """One sensor's part of a batch, or none of it while a file it needs is out of reach."""
        mine = Batch()
        try:
            make(series, [key.number for key in keys], now, mine)
        except (DiskFull, Halt):
            raise
        except SensorStorageError as error:
            self._disk.discard(mine.asides)
            for key in keys:
                self._block(key, self._layout.hour_file(SensorHour(series, key.number)), error, now)
        except Exception:
            self._disk.discard(mine.asides)
            raise
        else:
            batch.take(mine)

    def _hours_of(
        self, ahead: Ahead, series: Series, numbers: Sequence[int], now: float, batch: Batch
    ) -> None:
        """Steps 2 and 3 for due hours of one sensor, in order; nothing is published yet."""
        reach = reached_hours(self._limit)
        for number in numbers:
            self._unfold(series.asset, number - reach, number + 2 * reach)
        known = Known(self._catalog.find(series, "hour", *self._around(numbers)))
        rows: dict[int, Row] = {}
        changed: list[int] = []
        for number in numbers:
            key = SensorHour(series, number)
            try:
                content, minutes, hour = ahead.of(key)
            except (Damaged, FileNotFoundError) as error:
                self._block(Spanned(series, "hour", number), self._layout.hour_file(key), error, now)
                continue
            carry_in = plan_carry_in(known.carries, number, self._limit)
            part = Part(number, content, carry_in)
            digest = self._write_minutes(series, minutes, part, batch)
            rows[number] = Row(hour, digest, carry_in)
            out = carry_out(minutes)
            batch.mended += number in known.carries
            if number not in known.carries or known.carries[number] != out:
                changed.append(number)
            record = AggregateRecord(
                Spanned(series, "hour", number),
                content,
                carry_json(carry_in),
                carry_json(out),
                digest,
            )
            known.add(record)
            batch.records.append(record)
            batch.readings += int(
                (hour.count + hour.bad + hour.null + hour.other_unit + hour.text_count).sum()
            )
        if not rows:
            return
        if "hour" in self._policy.levels:
            self._write_rows(series, "hour", rows, known.digests, batch)
        again = plan_carried(changed, known.carries, known.made_from, self._limit)
        batch.reached += [Spanned(series, "hour", number) for number in again if number not in rows]
        if "day" in self._policy.levels:
            batch.reached += self._reached_days(series, rows, changed, known)

    def _reached_days(
        self, series: Series, rows: dict[int, Row], changed: Sequence[int], known: Known
    ) -> list[Spanned]:
        """The days of the hours made, and made days that begin with another number held."""
        own = {number // HOURS_PER_DAY for number in rows}
        later = [day for day in plan_days(changed, self._limit) if day not in own]
        if later:
            for record in self._catalog.find(series, "day", later[0], later[-1]):
                expected = plan_carry_in(known.carries, record.key.number * HOURS_PER_DAY, self._limit)
                if carry_of(record.carry_in) != expected:
                    own.add(record.key.number)
        return [Spanned(series, "day", day) for day in sorted(own)]

    def _days_of(self, series: Series, days: Sequence[int], now: float, batch: Batch) -> None:
        rows: dict[int, Row] = {}
        for day in days:
            path = self._path(series, "hour", day * WIDTH["day"])
            first = day * HOURS_PER_DAY
            self._unfold(series.asset, first, first)
            try:
                hours = read_aggregate(self._find(path))
            except (Damaged, FileNotFoundError) as error:
                if not self._make_again(series, first, batch):
                    self._block(Spanned(series, "day", day), path, error, now)
                continue
            try:
                whole = day_of(hours, self._source, limit=self._limit)
            except (Damaged, FileNotFoundError) as error:
                self._block(Spanned(series, "day", day), path, error, now)
                continue
            before = self._catalog.carries(series, first - reached_hours(self._limit), first - 1)
            carries = {hour: carry_of(carry) for hour, carry in before.items()}
            carry_in = plan_carry_in(carries, first, self._limit)
            rows[day] = Row(whole, hours.digest, carry_in)
        if not rows:
            return
        known = self._catalog.find(series, "day", *self._month_around(rows))
        digests = self._write_rows(
            series, "day", rows, {item.key.number: item.source for item in known}, batch
        )
        batch.records += [
            AggregateRecord(
                Spanned(series, "day", day), row.source, carry_json(row.carry_in), None, digests[day]
            )
            for day, row in rows.items()
        ]

    def _make_again(self, series: Series, first: int, batch: Batch) -> bool:
        """Let the hours of a day whose file can't be read be made again; whether there are any."""
        there = self._catalog.hours_of(series, first, first + HOURS_PER_DAY - 1)
        keys = [Spanned(series, "hour", number) for number in there]
        able = [key for key in keys if key not in self._blocked]
        batch.reached += able
        return bool(able)

    def _write_minutes(self, series: Series, minutes: Statistics, part: Part, batch: Batch) -> str:
        held = time_weighted(minutes, "minute", [part.carry_in], limit=self._limit)
        data = encode_aggregate(
            series, "minute", minutes, held, parts=[part], parameters=[self._policy.parameters]
        )
        path = self._path(series, "minute", part.number * WIDTH["hour"])
        file = AggregateFile(series, "minute", part.number, len(data))
        return batch.write(self._disk, path, data, file=file)

    def _write_rows(
        self, series: Series, level: Level, rows: dict[int, Row], sources: dict[int, str], batch: Batch
    ) -> dict[int, str]:
        """Replace rows in the files of hours or days; by number the digest of the file it is in.

        `sources` are what the catalog says the rows were made from. What a file lacks of them is made again.
        """
        digests: dict[int, str] = {}
        width = WIDTH[level]
        for period, numbers in groupby(rows, lambda number: period_of(level, number * width)):
            path = self._layout.aggregate_file(series, level, period_start(level, period))
            mine = {number: rows[number] for number in numbers}
            try:
                kept = read_aggregate(self._find(path))
            except (Damaged, FileNotFoundError):
                kept = None
            there = {part.number: part.digest for part in kept.footer.parts} if kept else {}
            batch.reached += [
                Spanned(series, "hour" if level == "hour" else "day", number)
                for number, source in sources.items()
                if period_of(level, number * width) == period
                and number not in rows
                and there.get(number) != source
            ]
            data = with_rows(
                kept,
                mine,
                series=series,
                level=level,
                limit=self._limit,
                parameters=self._policy.parameters,
            )
            file = AggregateFile(series, level, period, len(data))
            digests |= dict.fromkeys(mine, batch.write(self._disk, path, data, file=file))
        return digests

    def _around(self, numbers: Sequence[int]) -> tuple[int, int]:
        """The hours of the days of these, and those a reading is held into or from."""
        reach = reached_hours(self._limit)
        first, last = numbers[0], numbers[-1]
        start = min(first - first % HOURS_PER_DAY, first - reach)
        end = max(last - last % HOURS_PER_DAY + HOURS_PER_DAY - 1, last + 2 * reach)
        return start, end

    @staticmethod
    def _month_around(days: dict[int, Row]) -> tuple[int, int]:
        most = 31
        return min(days) - most, max(days) + most

    def _path(self, series: Series, level: Level, instant: int) -> Path:
        return self._layout.aggregate_file(series, level, period_start(level, period_of(level, instant)))

    def _block(self, key: Spanned, path: Path, error: Exception, now: float) -> None:
        why = error.message if isinstance(error, SensorStorageError) else "is not here"
        if isinstance(error, Transient | NoColdStore):
            why = f"{NOT_BACK}: {why}"
        self._blocked[key] = (now + _RETRY_SECONDS, path, why)
