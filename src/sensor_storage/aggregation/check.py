"""Aggregates held against the readings: what `verify` says of them, and how the catalog is made again from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sensor_storage.aggregation.carry import time_weighted
from sensor_storage.aggregation.files import encode_aggregate, read_aggregate
from sensor_storage.aggregation.look import AssetFiles, Found, SeriesFiles, asset_files, assets, plan_stale
from sensor_storage.aggregation.raw_hours import HourSource, day_of, minutes_and_hour
from sensor_storage.aggregation.rows import Row, with_rows
from sensor_storage.aggregation.stage import AggregatePolicy, parameters_text
from sensor_storage.aggregation.windows import Level, period_start
from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import AggregateCatalog, Spanned
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import stored_digest

_AGAIN = "run `sensor-storage rebuild aggregates`"


@dataclass(slots=True)
class AggregateCheck:
    """What was looked at; `due` are windows the service is about to make, which is no fault."""

    files: int = 0
    due: int = 0
    made_again: int = 0
    findings: list[Finding] = field(default_factory=list)


def adopt(layout: Layout, catalog: AggregateCatalog, policy: AggregatePolicy) -> int:
    """Fill the catalog from the aggregates' footers; what is stale or missing is due. How many files there are."""
    catalog.use(parameters_text(policy))
    for asset in assets(layout):
        catalog.record_files(asset.sizes())
        for series, files in asset.series.items():
            look = plan_stale(series, files, catalog.contents(series), policy)
            catalog.record(look.records)
            catalog.mark_due(look.stale)
    return catalog.file_sums()[0]


def check_aggregates(
    layout: Layout,
    catalog: AggregateCatalog,
    policy: AggregatePolicy,
    *,
    full_with: HourSource | None = None,
) -> AggregateCheck:
    """Look at every aggregate file; with a source of readings make each again and compare.

    What seems wrong is looked at once more, for the service may run meanwhile.
    """
    check = AggregateCheck()
    looked = _AssetCheck(layout, catalog, policy, full_with)
    for asset in assets(layout):
        findings, due = looked.findings(asset)
        if findings:
            again = asset_files(layout, _paths(layout, asset))
            findings, due = looked.findings(again)
        check.files += sum(1 for _ in asset.sizes()) + len(asset.damaged) + len(asset.misplaced)
        check.due += due
        check.findings += findings
    check.made_again = looked.made_again
    return check


class _AssetCheck:
    """The checks of one asset after the other."""

    def __init__(
        self,
        layout: Layout,
        catalog: AggregateCatalog,
        policy: AggregatePolicy,
        source: HourSource | None,
    ) -> None:
        self.made_again = 0
        self._layout = layout
        self._catalog = catalog
        self._policy = policy
        self._source = source

    def findings(self, asset: AssetFiles) -> tuple[list[Finding], int]:
        """What is wrong with the asset's aggregates, and how many windows are due."""
        where = self._layout.relative
        findings = [Finding("damaged", where(path), why, _AGAIN) for path, why in asset.damaged.items()]
        findings += [
            Finding("misplaced", where(path), f"is the file of {where(place)}", "move it there")
            for path, place in asset.misplaced.items()
        ]
        waiting = 0
        for series, files in asset.series.items():
            contents = self._catalog.contents(series)
            stale = plan_stale(series, files, contents, self._policy).stale
            due = _due(self._catalog, series, stale)
            waiting += len(due)
            findings += [
                Finding("stale", _place(self._layout, key), why, _AGAIN)
                for key, why in stale.items()
                if key not in due
            ]
            if self._source:
                again = _Again(self._layout, self._source, self._policy, series)
                findings += again.differences(files, {*stale, *due}, set(contents))
                self.made_again += again.count
        return findings, waiting


def _due(catalog: AggregateCatalog, series: Series, stale: Iterable[Spanned]) -> set[Spanned]:
    """Of the spans those, and whatever else, that the catalog has as due."""
    found = set()
    for span in ("hour", "day"):
        numbers = catalog.due_of(series, span, -(1 << 62), 1 << 62)
        found |= {Spanned(series, span, number) for number in numbers}
    days = {Spanned(series, "day", key.number // 24) for key in found if key.span == "hour"}
    return found | (days & set(stale))


def _place(layout: Layout, key: Spanned) -> str:
    level: Level = "minute" if key.span == "hour" else "hour"
    return layout.relative(layout.aggregate_file(key.series, level, period_start(level, key.number)))


def _paths(layout: Layout, asset: AssetFiles) -> list[Path]:
    there = [
        layout.aggregate_file(item.series, item.level, period_start(item.level, item.period))  # type: ignore[arg-type]
        for item in asset.sizes()
    ]
    return [*there, *asset.damaged, *asset.misplaced]


class _Again:
    """Makes the aggregates of one sensor again, and compares digests."""

    def __init__(self, layout: Layout, source: HourSource, policy: AggregatePolicy, series: Series) -> None:
        self.count = 0
        self._layout = layout
        self._source = source
        self._parameters = policy.parameters
        self._limit = policy.parameters.carry_limit_us
        self._series = series

    def differences(self, files: SeriesFiles, skipped: set[Spanned], there: set[int]) -> Iterator[Finding]:
        """Files that are not what their sources make; those with a row that is due are left out."""
        for number, found in files.files["minute"].items():
            if number in there and Spanned(self._series, "hour", number) not in skipped:
                yield from self._compared("minute", number, found, self._minutes(number, found))
        for day, found in files.files["hour"].items():
            if not any(Spanned(self._series, "hour", part.number) in skipped for part in found.footer.parts):
                yield from self._compared("hour", day, found, self._hours(found, there))
        for month, found in files.files["day"].items():
            if not any(Spanned(self._series, "day", part.number) in skipped for part in found.footer.parts):
                yield from self._compared("day", month, found, self._days(found))

    def _compared(self, level: Level, period: int, found: Found, digest: str | None) -> Iterator[Finding]:
        if digest is None:
            return
        self.count += 1
        if digest != found.digest:
            path = self._layout.aggregate_file(self._series, level, period_start(level, period))
            detail = "its sources make another file than this one"
            yield Finding("changed", self._layout.relative(path), detail, _AGAIN)

    def _minutes(self, number: int, found: Found) -> str | None:
        try:
            raw = self._source.open(SensorHour(self._series, number))
        except (Damaged, FileNotFoundError):
            return None  # told where the hour files are checked
        minutes, _ = minutes_and_hour(raw, limit=self._limit)
        (part,) = found.footer.parts
        held = time_weighted(minutes, "minute", [part.carry_in], limit=self._limit)
        data = encode_aggregate(
            self._series, "minute", minutes, held, parts=[part], parameters=[self._parameters]
        )
        return stored_digest(data)

    def _hours(self, found: Found, there: set[int]) -> str | None:
        rows = {}
        for part in found.footer.parts:
            if part.number not in there:
                return None
            try:
                raw = self._source.open(SensorHour(self._series, part.number))
            except (Damaged, FileNotFoundError):
                return None
            rows[part.number] = Row(minutes_and_hour(raw, limit=self._limit)[1], part.digest, part.carry_in)
        return self._joined("hour", rows)

    def _days(self, found: Found) -> str | None:
        rows = {}
        for part in found.footer.parts:
            path = self._layout.aggregate_file(self._series, "hour", period_start("hour", part.number))
            try:
                hours = read_aggregate(path)
                day = day_of(hours, self._source, limit=self._limit)
            except (Damaged, FileNotFoundError):
                return None
            rows[part.number] = Row(day, part.digest, part.carry_in)
        return self._joined("day", rows)

    def _joined(self, level: Level, rows: dict[int, Row]) -> str:
        data = with_rows(
            None, rows, series=self._series, level=level, limit=self._limit, parameters=self._parameters
        )
        return stored_digest(data)
