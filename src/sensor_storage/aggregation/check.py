"""Aggregates held against the readings: what `verify` says of them, and how the catalog is made again from them."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sensor_storage.aggregation.again import AGAIN, Again, SeenHours
from sensor_storage.aggregation.look import (
    AssetFiles,
    Found,
    asset_files,
    asset_of,
    assets,
    plan_stale,
    without_cold,
)
from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.stage import AggregatePolicy, parameters_text
from sensor_storage.aggregation.windows import Level, period_start
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import AggregateCatalog, Spanned
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.layout import Layout, encode_name
from sensor_storage.storage.readings import Readings


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
    full_with: LocalHours | None = None,
) -> AggregateCheck:
    """Look at every aggregate file; with a source of readings make each again and compare."""
    return AggregateLook(layout, catalog, policy, full_with).finish()


class AggregateLook:
    """A look at every aggregate file; with a source of readings each is made again and compared.

    Who reads all hour files anyway lets it `see` them asset by asset; what it has not seen it reads itself. What
    seems wrong is looked at once more, for the service may run meanwhile.
    """

    def __init__(
        self,
        layout: Layout,
        catalog: AggregateCatalog,
        policy: AggregatePolicy,
        source: LocalHours | None = None,
    ) -> None:
        self._layout = layout
        self._catalog = catalog
        self._policy = policy
        self._source = source
        self._seen = SeenHours(layout, source.judge, policy.parameters.carry_limit_us) if source else None
        self._check = AggregateCheck()
        self._done: set[str] = set()

    def see(self, key: SensorHour, content: str, readings: Readings) -> None:
        """All readings of a sensor-hour's file, in canonical order, and the digest of their set."""
        if self._seen and key.series.asset not in self._done:
            self._seen.see(key, content, readings)

    def asset_done(self, asset: str) -> None:
        """The asset's hour files have been seen, most of them."""
        if asset not in self._done:
            self._done.add(asset)
            known: dict[Path, Found] = {}
            if self._seen:
                self._seen.settle()
                known = self._seen.files
            self._look(asset_of(self._layout, asset, known))

    def finish(self) -> AggregateCheck:
        """Look at the assets that were not seen; the whole outcome."""
        done = {encode_name(asset) for asset in self._done}
        for asset in assets(self._layout, without=done):
            self._look(asset)
        return self._check

    def _look(self, asset: AssetFiles) -> None:
        try:
            findings, due = self._findings(asset)
            if self._seen:
                self._seen.forget()
            if findings:
                findings, due = self._findings(asset_files(self._layout, _paths(self._layout, asset)))
        except (
            sqlite3.DatabaseError
        ):  # a damaged catalog, which is told elsewhere, or one of an earlier version
            return
        self._check.files += sum(1 for _ in asset.sizes()) + len(asset.damaged) + len(asset.misplaced)
        self._check.due += due
        self._check.findings += findings

    def _findings(self, asset: AssetFiles) -> tuple[list[Finding], int]:
        """What is wrong with the asset's aggregates, and how many windows are due."""
        where = self._layout.relative
        findings = [Finding("damaged", where(path), why, AGAIN) for path, why in asset.damaged.items()]
        findings += [
            Finding("misplaced", where(path), f"is the file of {where(place)}", "move it there")
            for path, place in asset.misplaced.items()
        ]
        waiting = 0
        for series, files in asset.series.items():
            contents = self._catalog.contents(series)
            stale = without_cold(
                plan_stale(series, files, contents, self._policy).stale,
                self._catalog.cold_periods(series),
                self._policy.parameters.carry_limit_us,
            )
            due = _due(self._catalog, series, stale)
            waiting += len(due)
            findings += [
                Finding("stale", _place(self._layout, key), why, AGAIN)
                for key, why in stale.items()
                if key not in due
            ]
            if self._source and self._seen:
                again = Again(self._layout, self._source, self._policy, series, self._seen)
                findings += again.differences(files, {*stale, *due}, contents)
                self._check.made_again += again.count
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
    return layout.aggregate_name(key.series, level, period_start(level, key.number))


def _paths(layout: Layout, asset: AssetFiles) -> list[Path]:
    there = [
        layout.aggregate_file(item.series, item.level, period_start(item.level, item.period))  # type: ignore[arg-type]
        for item in asset.sizes()
    ]
    return [*there, *asset.damaged, *asset.misplaced]
