"""One look at everything a data directory holds, while the service may go on; `verify` says in which steps."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour, Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.file_checks import BLOCK_ROWS, HourFileCheck, check_hour_file, peek
from sensor_storage.storage.findings import Finding, addresses
from sensor_storage.storage.footers import content_digest
from sensor_storage.storage.held_staging import Held, dead_letter_offsets, entries_now, hold
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings, conflicts, union
from sensor_storage.storage.staged_merge import StagedMerge
from sensor_storage.storage.staging import Keys
from sensor_storage.storage.stretches import Stretch, may_overlap, sets_by_offset
from sensor_storage.storage.tally import Difference, Tally
from sensor_storage.storage.trace import Trace
from sensor_storage.storage.tree_walk import foreign_files, hour_files
from sensor_storage.storage.verify_report import PartitionReport, VerifyReport, partitions_of

_SETTLE_LOOKS = 5
_MARKED_AT_ONCE = 1000
_REBUILD = "run `sensor-storage rebuild` once the file is known to be right"

Progress = Callable[[int, int], None]
"""Called with the files looked at so far, and the readings."""


class Witness(Protocol):
    """Who wants to see the readings of hour files while they are read; those of few are not shown."""

    def see(self, key: SensorHour, content: str, readings: Readings) -> None:
        """All readings of a sound file, in canonical order, and the digest of their set."""
        ...

    def asset_done(self, asset: str) -> None:
        """No more files of that asset are shown."""
        ...


@dataclass(slots=True)
class Counted:
    """What a look has seen."""

    files: int = 0
    trusted: int = 0
    cold: int = 0
    rows: int = 0
    doubles: int = 0
    conflicts: int = 0
    pending_letters: int = 0
    marked: int = 0


class Look:
    """One look at everything."""

    def __init__(
        self,
        layout: Layout,
        catalog: Catalog | None,
        *,
        full: bool,
        trace: Trace,
        progress: Progress | None,
        witness: Witness | None,
        use: Callable[[Readings], None] = lambda _: None,
    ) -> None:
        self.trace = trace
        self.findings: list[Finding] = []
        self.tally = Tally(())
        self.counted = Counted()
        self._layout = layout
        self._catalog = catalog
        self._full = full
        self._progress = progress
        self._witness = witness
        self._use = use
        self._entries: list[LedgerEntry] = []
        self._done: set[Path] = set()
        self._staged_alone: set[Path] = set()
        self._unsettled: dict[Path, SensorHour] = {}
        self._good: list[HourFile] = []

    def take(self) -> list[Difference]:
        """Steps 1 to 7; what differs between tree and ledger."""
        held = hold(self._layout)  # 1
        self.findings += held.findings
        self._entries = held.entries
        self.counted.doubles += held.doubles
        self.counted.files += len(held.files)
        self.tally = Tally(held.entries)
        self._letters()  # 2
        self._staged(held)  # 3
        held.files.clear()
        self._catalogued()  # 4
        self._rest()  # 5
        self._cold()  # 6
        self._settle_ledger()  # 7
        self._settle_catalog()
        return self.tally.differences()

    def mark(self) -> None:
        """Let the catalog remember what was found good; a busy or read-only one is left as it is."""
        try:
            for start in range(0, len(self._good), _MARKED_AT_ONCE):
                part = self._good[start : start + _MARKED_AT_ONCE]
                self._catalog.mark_verified(part)  # type: ignore[union-attr]  # asked only with a catalog
                self.counted.marked += len(part)
        except sqlite3.OperationalError:
            return

    def report(self, findings: list[Finding], found: int, differences: Iterable[Difference]) -> VerifyReport:
        """What was seen, by partition and in all."""
        counted = self.counted
        partitions: list[PartitionReport] = partitions_of(self._entries, self.tally, differences)
        return VerifyReport(
            findings=findings,
            more_findings=found - len(findings),
            partitions=partitions,
            full=self._full,
            files=counted.files,
            trusted_files=counted.trusted,
            cold_files=counted.cold,
            marked_files=counted.marked,
            rows_read=counted.rows,
            doubles_in_files=counted.doubles,
            conflicts=counted.conflicts,
            pending_dead_letters=counted.pending_letters,
            catalog=self._catalog is not None,
            differing=[(item.source, item.start, item.stop) for item in differences],
        )

    def _letters(self) -> None:
        """Dead letters become durable just before their segment: those beyond the ledger's end are pending."""
        letters, findings = dead_letter_offsets(self._layout)
        self.findings += findings
        for source, offsets in letters.items():
            tally = self.tally.of(source)
            self.trace.add_letters(source, offsets)
            loose = tally.add_letters(offsets)
            end = max((entry.stop for entry in tally.entries), default=0)
            self.counted.pending_letters += int(np.count_nonzero(loose >= end))
            if (loose < end).any():
                self._find_unanswered(source, loose[loose < end], "dead letters")

    def _staged(self, held: Held) -> None:
        merge = StagedMerge(held.files, held.keys)

        def held_rows(keys: Keys) -> NDArray[np.int64]:
            hours = map(held.keys.sensor_hour, keys.tolist())
            return np.fromiter(map(self._rows_in_file, hours), np.int64, len(keys))

        for block in merge.blocks(BLOCK_ROWS, held_rows):
            if block.large:
                self._staged_large(held.keys.sensor_hour(int(block.keys[0])), merge.stretches(block))
                continue
            loose = []
            for key, rows in merge.read(block).sensor_hours():
                path = self._layout.hour_file(key)
                parts: list[Readings] = []
                check = self._read(path, parts.append)
                self._done.add(path)
                if check is None or not parts:
                    loose.append(rows)
                    self._staged_alone.add(path)
                else:
                    self._count(union([*parts, rows]), self._layout.relative(path))
            self._count(Readings.concat(loose), "staging")

    def _rows_in_file(self, key: SensorHour) -> int:
        """About how many rows the sensor-hour's file holds; a damaged one is told of when it is read."""
        if self._catalog:
            return self._catalog.rows_of([key])[0]
        try:
            return CheckedFile(self._layout.hour_file(key)).footer().rows
        except (FileNotFoundError, Damaged):
            return 0

    def _staged_large(self, key: SensorHour, staged: list[Stretch]) -> None:
        """As for the others, without ever holding all of it."""
        path = self._layout.hour_file(key)
        where = self._layout.relative(path)
        parts = list(staged)
        with suppress(FileNotFoundError, Damaged):  # told of below
            file = CheckedFile(path)
            parts.append(Stretch(file, 0, file.footer().rows))
        if len(parts) == len(staged):
            self._staged_alone.add(path)
        if may_overlap(parts):
            self._read(path, lambda _: None)
            self._done.add(path)
            for rows in sets_by_offset(parts, BLOCK_ROWS):
                self._count(rows, where)
            return
        self._read(path, lambda rows: self._count(rows, where))
        self._done.add(path)
        for stretch in staged:
            for group in stretch.groups:
                self._count(stretch.read(group), "staging")

    def _catalogued(self) -> None:
        if not self._catalog:
            return
        undecided = self.tally.undecided()
        asset: str | None = None
        for entry, verified in self._catalog.files():
            if self._witness and asset not in {None, entry.key.series.asset}:
                self._witness.asset_done(str(asset))
            asset = entry.key.series.asset
            if entry.path in self._done:
                continue
            state = peek(entry.path)
            if state is None:
                self._unsettled[entry.path] = entry.key
            elif (
                verified
                and not self._full
                and (state.digest, state.size_bytes) == (entry.digest, entry.size_bytes)
                and undecided.isdisjoint(item.source for item in entry.totals)
            ):
                self._done.add(entry.path)
                self.tally.trust(entry.totals)
                self.counted.trusted += 1
                self._step()
            else:
                self._read_counted(entry.path, entry)
        if self._witness and asset is not None:
            self._witness.asset_done(asset)

    def _cold(self) -> None:
        """Files in the cold store alone by now; last, for cleanup may have taken them in the middle of the look.

        Rows that wait for one of them in staging came after it had gone: while there were any it stayed.
        """
        if not self._catalog:
            return
        for entry in self._catalog.cold_files():
            counted = entry.path in self._done and entry.path not in self._staged_alone
            if not counted and not entry.path.exists():
                self.tally.trust(entry.totals)
                self.counted.cold += 1

    def _rest(self) -> None:
        for path in hour_files(self._layout):
            if path not in self._done:
                self._read_counted(path, None)
        self.findings += [
            Finding(
                "foreign",
                self._layout.relative(path),
                "not a file of this service",
                "move it elsewhere",
            )
            for path in foreign_files(self._layout)
        ]

    def _settle_ledger(self) -> None:
        """Readings younger than the look at the ledger are answered for by now."""
        now: Tally | None = None
        for source, tally in self.tally.sources.items():
            for offsets in tally.unanswered.pages():
                now = now or Tally(entries_now(self._layout))
                loose = offsets[~now.of(source).answers_for(offsets)]
                if len(loose):
                    self._find_unanswered(source, loose, "readings")

    def _settle_catalog(self) -> None:
        """A catalog that differs from a file lags behind while the sensor-hour's rows are staged; else not."""
        if not self._catalog:
            return
        for _ in range(_SETTLE_LOOKS):
            before = {path: self._state(path, key) for path, key in self._unsettled.items()}
            if not before:
                return
            staged = hold(self._layout)
            waiting = {
                self._layout.hour_file(staged.keys.sensor_hour(k))
                for f in staged.files
                for k in f.keys.tolist()
            }
            for path, key in list(self._unsettled.items()):
                state = self._state(path, key)
                if state.agree or path in waiting:
                    del self._unsettled[path]
                elif state == before[path]:
                    del self._unsettled[path]
                    self.findings += state.findings(self._layout.relative(path))

    def _state(self, path: Path, key: SensorHour) -> "_Agreement":
        state = peek(path)
        if self._catalog is None or (state is None and self._catalog.is_cold(key)):
            return _Agreement(None, state.digest if state else None)
        entry = self._catalog.find(key)
        return _Agreement(entry.digest if entry else None, state.digest if state else None)

    def _read_counted(self, path: Path, entry: HourFile | None) -> None:
        where = self._layout.relative(path)
        shown: list[Readings] = []

        def use(rows: Readings) -> None:
            self._count(rows, where)
            if self._witness and entry and entry.rows <= BLOCK_ROWS:
                shown.append(rows)

        check = self._read(path, use)
        if check is None:
            return
        if self._witness and len(shown) == 1 and not check.findings:
            self._witness.see(check.file.key, content_digest(check.file.totals), shown[0])
        if entry is None and self._catalog:
            entry = self._catalog.find(check.file.key)
        if not self._catalog:
            return
        if entry is None or entry.digest != check.file.digest:
            self._unsettled[path] = check.file.key
        elif entry != check.file:
            self.findings.append(
                Finding("changed", where, "the catalog says something else of this very file", _REBUILD)
            )
        elif not check.findings:
            self._good.append(entry)

    def _read(self, path: Path, use: Callable[[Readings], None]) -> HourFileCheck | None:
        self._done.add(path)
        try:
            check = check_hour_file(self._layout, path, use)
        except FileNotFoundError:  # gone to the cold store meanwhile
            self._done.discard(path)
            return None
        self._step()
        if isinstance(check, list):
            self.findings += check
            return None
        self.findings += check.findings
        self.counted.doubles += check.doubles
        return check

    def _count(self, rows: Readings, where: str) -> None:
        self.tally.add(rows)
        self._use(rows)
        self.trace.add(rows, where)
        self.counted.rows += len(rows)
        self.counted.conflicts += conflicts(rows) if len(rows) else 0

    def _find_unanswered(self, source: Source, offsets: NDArray[np.int64], what: str) -> None:
        detail = f"the ledger does not answer for these {what}"
        self.findings.append(
            Finding("unanswered", addresses(source, offsets), detail, self._why_unanswered())
        )

    def _why_unanswered(self) -> str:
        """Segments carry the ledger's newest entries: it need not be a file of the ledger that is hurt."""
        hurt = {Path(item.where).parts[0] for item in self.findings if item.kind == "damaged"}
        if self._layout.staging.name in hurt and self._layout.ledger.name not in hurt:
            return "their entry was in a damaged staged file; `sensor-storage verify --repair` reads it again"
        return (
            "a file of the ledger is missing or damaged: restore it, or run `sensor-storage verify --repair`"
        )

    def _step(self) -> None:
        self.counted.files += 1
        if self._progress:
            self._progress(self.counted.files, self.counted.rows)


@dataclass(frozen=True, slots=True)
class _Agreement:
    """The digest the catalog has of a file, and the one the file carries; None where there is none."""

    catalog: str | None
    file: str | None

    @property
    def agree(self) -> bool:
        """Do both say the same?"""
        return self.catalog == self.file

    def findings(self, where: str) -> list[Finding]:
        """What it means when they do not agree for good."""
        if self.file is None:
            return [Finding("missing", where, "the catalog names this file, but it is gone", "restore it")]
        if self.catalog is None:
            return [Finding("changed", where, "the catalog does not know this file", _REBUILD)]
        return [
            Finding("changed", where, "another file than the one the catalog knows by its digest", _REBUILD)
        ]
