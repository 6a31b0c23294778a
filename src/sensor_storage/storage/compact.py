"""The compact stage: segments into runs, segments and runs into sensor-hour files.

`Compactor.run_once` takes these steps, each harmless to repeat:
 1. look at the staging area; after a start settle the disk, and remove what a death left beside a run;
 2. choose the sensor-hours whose file is due (`plan_hours`, pure) and write the union of waiting rows and
    file aside, chunk by chunk; publish: commit point of the hour files; record them in the catalog;
 3. retire drained staged files: fold their ledger entries into the ledger (commit point), then remove them;
 4. merge segments and small runs into larger runs (`plan_runs`, pure): publish the run, then remove its inputs.

A death anywhere leaves rows in more than one place, never in none; union by identity makes them one again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour
from sensor_storage.storage.alive import Alive, GoOn, always, nothing
from sensor_storage.storage.block_writer import BlockWriter
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Aside, Disk
from sensor_storage.storage.hour_files import HourMerge, merge_into_hour_file, merge_large_hour_file
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import fold
from sensor_storage.storage.ledger_files import fold_into_ledger
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.series_column import SeriesColumn
from sensor_storage.storage.staged_merge import Block, StagedMerge
from sensor_storage.storage.staging import (
    MAX_INDEX_ENTRIES,
    Keys,
    StagedDamaged,
    StagedFile,
    Staging,
    Waiting,
    superseded,
)

FAN_IN = 16
"""So many files of one level become one of the next."""

MAX_RUN_ROWS = 4_000_000
"""A run is not merged further once it is this large: its inputs are read whole."""

BLOCK_ROWS = 400_000
"""About so many rows are held in memory by one step of a merge."""

BLOCK_FILES = 200
"""So many hour files are written between two looks at the time."""

MANY_FILES = 64
"""While hour files are due, staged files are merged only where they are so many."""

CATCH_UP_SECONDS = 1800
"""So long at most an hour that is being caught up waits for its close."""

_SECONDS_PER_HOUR = 3600
_PLAN_SECONDS = 5.0
"""Hour files are planned no more often; a quarter of the flush interval if that is shorter."""


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """When a sensor-hour's file is written; see `plan_hours`."""

    flush_interval_seconds: float = 60
    open_hour_rewrite_factor: float = 4
    compression: str = "zstd"
    block_rows: int = BLOCK_ROWS
    index_entries: int = MAX_INDEX_ENTRIES


@dataclass(slots=True)
class CompactReport:
    """What one round did; `blocked` names what a damaged file keeps from being merged, and why."""

    hour_files: int = 0
    unchanged: int = 0
    rows: int = 0
    runs: int = 0
    retired: int = 0
    written_bytes: int = 0
    blocked: dict[Path, str] = field(default_factory=dict)

    def add(self, later: "CompactReport") -> None:
        """Take in a later round; what is blocked is as that round found it."""
        self.hour_files += later.hour_files
        self.unchanged += later.unchanged
        self.rows += later.rows
        self.runs += later.runs
        self.retired += later.retired
        self.written_bytes += later.written_bytes
        self.blocked = later.blocked

    def add_merges(self, merges: Sequence[HourMerge]) -> None:
        """Count the sensor-hours of one block."""
        written = [merge.file for merge in merges if merge.aside]
        self.hour_files += len(written)
        self.unchanged += len(merges) - len(written)
        self.written_bytes += sum(file.size_bytes for file in written)
        self.rows += sum(merge.new_rows for merge in merges)

    @property
    def did_something(self) -> bool:
        """Was anything written or removed?"""
        return bool(self.hour_files or self.unchanged or self.runs or self.retired)


def plan_hours(
    *,
    hours: NDArray[np.int64],
    waiting: NDArray[np.int64],
    since_seconds: NDArray[np.float64],
    held: NDArray[np.int64],
    now: float,
    watermark: float,
    policy: WritePolicy,
) -> NDArray[np.bool_]:
    """Which sensor-hours with waiting rows are due, all arguments by sensor-hour.

    A first file appears, and a closed hour's late rows join it, once rows have waited for the flush interval.
    An open hour's file is written again when the waiting rows are `open_hour_rewrite_factor` times what it
    holds; with factor 0 it is written only when its hour closes. An hour closes when `watermark`, the least
    Kafka time consumed, is half a flush interval past its end. One that is over by the clock alone is being
    caught up and closes in minutes: until then its rows wait, for `CATCH_UP_SECONDS` at most.
    """
    interval = policy.flush_interval_seconds
    settles = (hours + 1) * _SECONDS_PER_HOUR + interval / 2
    closed, over = watermark >= settles, now >= settles
    factor = policy.open_hour_rewrite_factor
    grown = (waiting >= factor * held) & (factor > 0)
    late = over & (now - np.maximum(since_seconds, settles) >= CATCH_UP_SECONDS)
    due: NDArray[np.bool_] = (now - since_seconds >= interval) & (closed | ~over & grown | late)
    return due


def plan_runs(files: Sequence[tuple[StagedName, int]], *, pressed: bool = False) -> list[list[StagedName]]:
    """Which staged files (oldest first, with their rows) to merge: each group of `FAN_IN` of one level.

    If there is none and more files wait for room in the index, what there is of the lowest level.
    """
    levels: dict[int, list[StagedName]] = {}
    for name, rows in files:
        if rows < MAX_RUN_ROWS:
            levels.setdefault(name.level, []).append(name)
    groups = [
        names[start : start + FAN_IN]
        for _, names in sorted(levels.items())
        for start in range(0, len(names) - FAN_IN + 1, FAN_IN)
    ]
    if pressed and not groups:
        return [names for _, names in sorted(levels.items()) if len(names) > 1][:1]
    return groups


class Compactor:
    """The only writer of runs and hour files of one data directory."""

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        catalog: Catalog,
        policy: WritePolicy,
        name: str,
        *,
        bring_back: Callable[[SensorHour], str] = lambda _: "",
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._catalog = catalog
        self._policy = policy
        self._name = name
        self._bring_back = bring_back
        self._runs = 0
        self._started = False
        self._removed = 0
        self._stuck = False
        self._settled = False
        self.alive: Alive = nothing
        """Called between the files of a round, which may be very many, and between a large one's blocks."""
        self.go_on: GoOn = always
        self._left: Keys = np.empty(0, np.int64)
        self._planned_at = float("-inf")
        self._held: dict[int, int] = {}
        self.staging = Staging(layout, policy.index_entries)

    @property
    def more(self) -> bool:
        """Are hour files due that the last round had no time for? The next one begins with them."""
        return bool(len(self._left))

    def run_once(self, now: float, watermark: float, *, flush: bool = False) -> CompactReport:
        """Write what is due at `now` (everything with `flush`), retire what is drained, merge what is many.

        Without `flush` the round ends once `go_on` says so, and the next one writes what is left before it plans.
        `watermark` is the least Kafka time, in seconds, that ingest has consumed on any partition.
        """
        report = CompactReport()
        while True:
            removed = self._removed
            try:
                self._round(now, watermark, report, flush=flush or self._stuck)
            except StagedDamaged as error:
                self.staging.exclude(error)  # and once more without that file
                continue
            self._stuck = not self.staging.complete and self._removed == removed
            if self.staging.complete or not flush or self._stuck:
                return report

    def _round(self, now: float, watermark: float, report: CompactReport, *, flush: bool) -> None:
        files = self._live_files()  # 1
        report.blocked.update(self.staging.damaged)
        due = self._left if self.more and not flush else self._due(files, now, watermark, flush=flush)
        self._left = self._write_hours(files, due, report, flush=flush)  # 2
        self._retire([file for file in files if file.drained], now, report)  # 3
        self._merge_runs([file for file in files if not file.drained], report)  # 4
        self.staging.refresh()

    def _live_files(self) -> list[StagedFile]:
        if not self._started:
            self._disk.settle()
            self._disk.remove(superseded(self.staging.footers()))
            self._started = True
        return self.staging.refresh()

    def _drop(self, files: Sequence[StagedFile]) -> None:
        """Remove staged files whose rows and ledger entries are durable elsewhere."""
        self._disk.remove(file.path for file in files)
        self.staging.forget(files)
        self._removed += len(files)

    def _due(self, files: Sequence[StagedFile], now: float, watermark: float, *, flush: bool) -> Keys:
        soon = now - self._planned_at < min(_PLAN_SECONDS, self._policy.flush_interval_seconds / 4)
        if soon and self._settled and not flush:
            return np.empty(0, np.int64)
        waiting = Waiting.over(files)
        if flush or not len(waiting.keys):
            return waiting.keys
        self._planned_at = now
        self._held = {key: rows for key in waiting.keys.tolist() if (rows := self._held.get(key)) is not None}
        if not self._settled:
            self._settled = True
            return self._with_hour_files(waiting.keys)
        old = now - waiting.since / 1000 >= self._policy.flush_interval_seconds
        keys = waiting.keys[old]
        held = self._held_rows(keys)
        due = plan_hours(
            hours=self.staging.keys.hours(keys),
            waiting=waiting.rows[old],
            since_seconds=waiting.since[old] / 1000,
            held=held,
            now=now,
            watermark=watermark,
            policy=self._policy,
        )
        return keys[due]

    def _held_rows(self, keys: Keys) -> NDArray[np.int64]:
        """How many rows the file of each sensor-hour holds, asked of the catalog once while rows wait for it."""
        wanted = keys.tolist()
        unknown = [key for key in wanted if key not in self._held]
        found = self._catalog.rows_of([self.staging.keys.sensor_hour(key) for key in unknown])
        self._held |= zip(unknown, found, strict=True)
        return np.fromiter(map(self._held.__getitem__, wanted), np.int64, len(wanted))

    def _with_hour_files(self, keys: Keys) -> Keys:
        """Those that have a file. After a start it is not known which staged rows are in theirs already."""
        paths = (self._layout.hour_file(self.staging.keys.sensor_hour(key)) for key in keys.tolist())
        return keys[np.fromiter((path.exists() for path in paths), np.bool_, len(keys))]

    def _write_hours(
        self, files: Sequence[StagedFile], due: Keys, report: CompactReport, *, flush: bool
    ) -> Keys:
        """Write the files of these sensor-hours; those left once there is no more time."""
        left = due
        if not len(due):
            return left
        staged = StagedMerge(files, self.staging.keys, due)
        for block in staged.blocks(self._policy.block_rows, self._held_rows, BLOCK_FILES):
            if len(left) < len(due) and not flush and not self.go_on():
                return left
            left = np.setdiff1d(left, block.keys)
            merges = (
                self._merge_large(staged, block, report)
                if block.large
                else self._merge_block(staged.read(block), report)
            )
            self._disk.publish(aside for merge in merges if (aside := merge.aside))  # commit point
            self._catalog.record(merge.file for merge in merges)
            drained = self._drained_keys(merges)
            self._held |= zip(drained, (merge.file.rows for merge in merges), strict=True)
            staged.drain(block, drained)
            report.add_merges(merges)
        return left[:0]

    def _merge_large(self, staged: StagedMerge, block: Block, report: CompactReport) -> list[HourMerge]:
        key = self.staging.keys.sensor_hour(int(block.keys[0]))
        if why := self._bring_back(key):
            report.blocked[self._layout.hour_file(key)] = why
            return []
        try:
            merge = merge_large_hour_file(
                self._disk,
                self._layout,
                key,
                staged.stretches(block),
                compression=self._policy.compression,
                max_rows=self._policy.block_rows,
                alive=self.alive,
            )
        except StagedDamaged:
            raise
        except Damaged as error:
            report.blocked[self._layout.hour_file(key)] = str(error)
            return []
        return [merge]

    def _merge_block(self, block: Readings, report: CompactReport) -> list[HourMerge]:
        merges: list[HourMerge] = []
        try:
            for key, rows in block.sensor_hours():
                self.alive()
                if why := self._bring_back(key):
                    report.blocked[self._layout.hour_file(key)] = why
                    continue
                try:
                    merges.append(
                        merge_into_hour_file(self._disk, self._layout, key, rows, self._policy.compression)
                    )
                except Damaged as error:
                    report.blocked[self._layout.hour_file(key)] = str(error)
        except Exception:
            self._disk.discard(merge.aside for merge in merges if merge.aside)
            raise
        return merges

    def _drained_keys(self, merges: Sequence[HourMerge]) -> list[int]:
        series = SeriesColumn.encode(merge.file.key.series for merge in merges)
        hours = np.array([merge.file.key.hour for merge in merges], np.int64)
        keys: list[int] = self.staging.keys.keys(series, hours).tolist()
        return keys

    def _retire(self, files: Sequence[StagedFile], now: float, report: CompactReport) -> None:
        if not files:
            return
        entries = [entry for file in files for entry in file.footer.ledger]
        try:
            fold_into_ledger(self._disk, self._layout, entries, now, self._policy.compression)  # commit point
        except Damaged as error:
            report.blocked[self._layout.ledger_file(now)] = str(error)
            return
        self._drop(files)
        report.retired += len(files)

    def _merge_runs(self, files: Sequence[StagedFile], report: CompactReport) -> None:
        by_name = {file.name: file for file in files}
        sizes = [(file.name, int(file.waiting.sum())) for file in files]
        for group in plan_runs(sizes, pressed=not self.staging.complete):
            if self.more and len(files) < MANY_FILES and self.staging.complete:
                return
            inputs = [by_name[name] for name in group]
            run = self._write_run(inputs)
            self._disk.publish([run])  # commit point
            self._drop(inputs)
            report.runs += 1
            report.written_bytes += run.target.stat().st_size

    def _write_run(self, inputs: Sequence[StagedFile]) -> Aside:
        """The union of the inputs' waiting rows, aside; it keeps the age of its oldest input."""
        self._runs += 1
        level = max(file.name.level for file in inputs) + 1
        name = StagedName(min(file.name.created for file in inputs), self._name, self._runs, level)
        with (
            self._disk.writing(self._layout.staged(name)) as aside,
            BlockWriter(aside.path, "run", self._policy.compression) as writer,
        ):
            merge = StagedMerge(inputs, self.staging.keys)
            for block in merge.rows(self._disk, self._policy.block_rows, self.alive):
                writer.write(block)
                self.alive()
            writer.finish(ledger=fold(entry for file in inputs for entry in file.footer.ledger))
        return aside
