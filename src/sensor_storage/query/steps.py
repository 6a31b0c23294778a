"""Numbers over stretches of time, step by step: from the coarsest aggregates whose windows fit the steps."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import gcd
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.aggregation.samples import Judge, judge_by
from sensor_storage.aggregation.windows import WIDTH
from sensor_storage.errors import Usage
from sensor_storage.model import Series
from sensor_storage.query.planner import TooMuch
from sensor_storage.query.promql import NAME, Matcher, Numbers, OverTime, Times, Vectors
from sensor_storage.query.queries import Limits, NothingStored, Queries
from sensor_storage.query.question import Interval, Question, Resolution
from sensor_storage.query.watch import Watch

MAX_ROWS: Final = 2_000_000
MAX_NUMBERS: Final = 5_000_000
ROUNDED: Final = (
    "there are too many raw readings: stretches of time are rounded down to whole minutes;"
    " steps and ranges of whole minutes need no rounding"
)
_COLUMNS: Final[dict[OverTime, list[str]]] = {
    "avg": ["sum", "count"],
    "min": ["min"],
    "max": ["max"],
    "sum": ["sum"],
    "count": ["count"],
    "last": ["last"],
}


def plan_level(times: Times, width: int) -> Resolution:
    """The coarsest resolution whose windows neither a step nor a range cuts."""
    distance = int(times[1] - times[0]) if len(times) > 1 else 0
    fits = gcd(int(times[0]), distance, width)
    levels: tuple[Resolution, ...] = ("day", "hour", "minute")
    return next((level for level in levels if fits % WIDTH[level] == 0), "raw")  # type: ignore[index]


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One sensor's numbers in order of time; `weight` is how many readings each stands for."""

    time: NDArray[np.int64]
    value: Numbers
    weight: Numbers | None = None

    def over(self, function: OverTime, times: Times, width: int) -> Numbers:
        """The function of the numbers from `width` before each of the times up to it; NaN where there are none."""
        low, high = np.searchsorted(self.time, times - width), np.searchsorted(self.time, times)
        some = high > low
        found = np.full(len(times), np.nan)
        if not some.any():
            return found
        if function == "last":
            found[some] = self.value[high[some] - 1]
            return found
        cuts = np.stack([low[some], high[some]], axis=1).ravel()
        if function in {"min", "max"}:
            found[some] = _over(np.minimum if function == "min" else np.maximum, self.value, cuts)
        elif function == "count":
            found[some] = _over(np.add, self.value, cuts)
        else:
            found[some] = _over(np.add, self.value, cuts)
            if function == "avg":
                weight = np.ones(len(self.value)) if self.weight is None else self.weight
                found[some] /= _over(np.add, weight, cuts)
        return found


def _over(function: np.ufunc, values: Numbers, cuts: NDArray[np.intp]) -> Numbers:
    reduced: Numbers = function.reduceat(np.append(values, 0.0), cuts)[::2]
    return reduced


@dataclass(slots=True)
class StepReader:
    """The numbers of one request; `warnings` say where they are not exactly what was asked for."""

    queries: Queries
    watch: Watch
    warnings: list[str] = field(default_factory=list)

    def over_time(self, function: OverTime, matchers: Sequence[Matcher], times: Times, width: int) -> Vectors:
        """What `promql.Source` promises."""
        selected = self.select(matchers)
        if len(selected) * len(times) > MAX_NUMBERS:
            raise TooMuch(
                f"{len(selected):,} sensors × {len(times):,} steps are more than {MAX_NUMBERS:,} numbers",
                hint="ask for fewer sensors, or a longer step",
            )
        if not selected:
            return Vectors((), np.zeros((0, len(times))))
        level = plan_level(times, width)
        try:
            return self._read(function, matchers, selected, times, width, level)
        except TooMuch:
            if level != "raw":
                raise
        minute = WIDTH["minute"]
        width = max(minute, width // minute * minute)
        if ROUNDED not in self.warnings:
            self.warnings.append(ROUNDED)
        return self._read(function, matchers, selected, times // minute * minute, width, "minute")

    def select(self, matchers: Sequence[Matcher]) -> list[Series]:
        """The sensors whose names fit; whether their unit does shows only when they are read."""
        others = [one for one in matchers if one.label not in {NAME, "asset_id", "unit"}]
        if not all(one.accepts([""])[0] for one in others):
            return []
        exact = {one.label: one.value for one in matchers if not one.regex and not one.negative}
        with self.queries.look(self.watch) as now:
            if "asset_id" in exact and NAME in exact:
                series = now.directory.select([exact["asset_id"]], [exact[NAME]])
            else:
                series = list(now.directory.series(asset=exact.get("asset_id")))
        for place, label in enumerate(("asset_id", NAME)):
            for matcher in (one for one in matchers if one.label == label):
                fits = _accepted(matcher, [one[place] for one in series])
                series = [one for one, fit in zip(series, fits, strict=True) if fit]
        return series

    def labels(self, matchers: Sequence[Matcher], limit: int) -> list[dict[str, str]]:
        """The label sets of the sensors that fit, so many at most."""
        series = self.select(matchers)
        found: list[dict[str, str]] = []
        with self.queries.look(self.watch) as now:
            for one in series:
                self.watch.look()
                last = now.tails.last(one)
                labels = _labels(one, last.unit if last else None)
                if _unit_fits(matchers, labels):
                    found.append(labels)
                if len(found) == limit:
                    break
        return found

    def _read(  # noqa: PLR0917 - what over_time was asked, and the level it chose
        self,
        function: OverTime,
        matchers: Sequence[Matcher],
        selected: Sequence[Series],
        times: Times,
        width: int,
        level: Resolution,
    ) -> Vectors:
        columns = ["value", "quality"] if level == "raw" else _COLUMNS[function]
        question = Question(
            assets=tuple({one.asset for one in selected}),
            sensors=tuple({one.sensor for one in selected}),
            interval=Interval(int(times[0]) - width, int(times[-1])),
            resolution=level,
            fields=(*columns, "unit"),
        )
        try:
            answer = self.queries.answer(question, self.watch, Limits(max_rows=MAX_ROWS))
        except NothingStored:
            return Vectors((), np.zeros((0, len(times))))
        judge = self._judge()
        labels: list[dict[str, str]] = []
        values: list[Numbers] = []
        wanted = set(selected)
        for series, table in _by_series(answer.tables):
            named = _labels(series, _last_unit(table))
            if series not in wanted or not _unit_fits(matchers, named):
                continue
            numbers = _raw_row(table, function, judge) if level == "raw" else _window_row(table, columns)
            found = numbers.over(function, times, width)
            if not np.isnan(found).all():
                labels.append(named)
                values.append(found)
        self.warnings.extend(one for one in answer.warnings if one not in self.warnings)
        return Vectors(tuple(labels), np.array(values).reshape(len(values), len(times)))

    def _judge(self) -> Judge:
        parameters = self.queries.parameters
        return judge_by(parameters.quality_numbering, uncertain_is_good=parameters.uncertain_is_good)


def _accepted(matcher: Matcher, texts: Sequence[str]) -> NDArray[np.bool_]:
    try:
        return matcher.accepts(texts)
    except pa.ArrowInvalid as error:
        raise Usage(f"{matcher.label}: {error}", hint="regular expressions are those of RE2") from error


def _labels(series: Series, unit: str | None) -> dict[str, str]:
    return {NAME: series.sensor, "asset_id": series.asset} | ({"unit": unit} if unit else {})


def _unit_fits(matchers: Sequence[Matcher], labels: dict[str, str]) -> bool:
    return all(_accepted(one, [labels.get("unit", "")])[0] for one in matchers if one.label == "unit")


def _by_series(tables: Iterable[pa.Table]) -> Iterator[tuple[Series, pa.Table]]:
    """An answer's tables, joined by sensor."""
    there = (table for table in tables if table.num_rows)
    named: Any = groupby(
        there, key=lambda one: Series(one["asset_id"][0].as_py(), one["sensor_name"][0].as_py())
    )
    for series, parts in named:
        plain = [
            part.set_column(part.num_columns - 1, "unit", part["unit"].cast(pa.string()))
            for part in map(_unit_last, parts)
        ]
        yield series, pa.concat_tables(plain)


def _unit_last(table: pa.Table) -> pa.Table:
    return table.select([*(name for name in table.column_names if name != "unit"), "unit"])


def _last_unit(table: pa.Table) -> str | None:
    units: Any = table["unit"].drop_null()
    return str(units[-1].as_py()) if len(units) else None


def _raw_row(table: pa.Table, function: OverTime, judge: Judge) -> Row:
    time: Any = table["timestamp"].cast(pa.int64())
    value: Any = table["value"].cast(pa.float64())
    quality: Any = table["quality"].cast(pa.string()).combine_chunks().dictionary_encode()
    good = np.array([*map(judge, quality.dictionary.to_pylist()), judge(None)], np.bool_)
    codes = quality.indices.fill_null(len(good) - 1).to_numpy(zero_copy_only=False)
    numbers = value.to_numpy(zero_copy_only=False)
    kept = np.isfinite(numbers) & good[codes]
    numbers = numbers[kept]
    return Row(time.to_numpy()[kept], np.ones(len(numbers)) if function == "count" else numbers)


def _window_row(table: pa.Table, columns: Sequence[str]) -> Row:
    time: Any = table["window_start"].cast(pa.int64())
    arrays: list[Any] = [table[name].cast(pa.float64()) for name in columns]
    value, *weight = (array.to_numpy(zero_copy_only=False) for array in arrays)
    kept = np.isfinite(value)
    if columns[0] == "count":
        kept &= value > 0
    return Row(time.to_numpy()[kept], value[kept], weight[0][kept] if weight else None)
