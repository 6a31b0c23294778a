"""Received and stored, counted as the stages go: the lamp. `verify` is the proof."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensor_storage.errors import Damaged
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry, uncovered
from sensor_storage.storage.ledger_files import read_ledger
from sensor_storage.storage.staging import StagedFile


@dataclass(frozen=True, slots=True)
class Received:
    """What ledger entries add up to."""

    messages: int = 0
    readings: int = 0
    dead_letters: int = 0
    empty: int = 0
    gaps: int = 0

    @classmethod
    def of(cls, entries: Iterable[LedgerEntry]) -> "Received":
        """The sums over the entries."""
        entries = list(entries)
        return cls(
            messages=sum(entry.messages for entry in entries),
            readings=sum(entry.readings for entry in entries),
            dead_letters=sum(entry.dead_letters for entry in entries),
            empty=sum(entry.empty for entry in entries),
            gaps=sum(entry.fate == "gap" for entry in entries),
        )

    def __add__(self, other: "Received") -> "Received":
        """Both together."""
        return Received(
            self.messages + other.messages,
            self.readings + other.readings,
            self.dead_letters + other.dead_letters,
            self.empty + other.empty,
            self.gaps + other.gaps,
        )


@dataclass(frozen=True, slots=True)
class Account:
    """Received by the ledger, and where it is now.

    More stored than received means rows that stand in two places since a crash; the next compaction of their
    sensor-hour makes them one.
    """

    received_messages: int
    received_readings: int
    dead_letters: int
    empty: int
    gaps: int
    stored_readings: int
    staged_files: int
    staged_bytes: int
    waiting_readings: int
    hour_files: int
    hour_file_bytes: int


class Accounts:
    """The sums of the ledger files, read again only when a file has changed."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._by_file: dict[Path, tuple[int, Received]] = {}

    def take(self, staged: Sequence[StagedFile], catalog: Catalog) -> Account:
        """The account over ledger, staging and catalog as they are now."""
        self._read_changed()
        entries = uncovered(entry for file in staged for entry in file.footer.ledger)
        received = sum((sums for _, sums in self._by_file.values()), start=Received()) + Received.of(entries)
        files, rows, size = catalog.sums()
        waiting = sum(int(file.waiting.sum()) for file in staged)
        return Account(
            received_messages=received.messages,
            received_readings=received.readings,
            dead_letters=received.dead_letters,
            empty=received.empty,
            gaps=received.gaps,
            stored_readings=rows + waiting,
            staged_files=len(staged),
            staged_bytes=sum(file.size_bytes for file in staged),
            waiting_readings=waiting,
            hour_files=files,
            hour_file_bytes=size,
        )

    def _read_changed(self) -> None:
        present = self._layout.ledger_files()
        self._by_file = {path: self._by_file[path] for path in present if path in self._by_file}
        for path in present:
            stamp = path.stat().st_mtime_ns
            if self._by_file.get(path, (0, None))[0] != stamp:
                try:
                    self._by_file[path] = (stamp, Received.of(read_ledger(path)))
                except Damaged:
                    self._by_file[path] = (stamp, Received())
