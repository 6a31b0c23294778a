"""What is known of the service at one moment: the workers' status, the catalog, the directory's sizes."""

import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from sensor_storage.clock import Clock
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.processes import Process, read_processes
from sensor_storage.storage.status import (
    ApiStatus,
    ColdStatus,
    IngestStatus,
    MaintainStatus,
    least_watermark,
    read_api,
    read_cold,
    read_ingest,
    read_maintain,
)

_WALK_SECONDS = 30.0
"""Dead letters and ledger are files without end; their sizes are looked at again only so often."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The workers as they last reported, and the time by which to judge that."""

    now: float
    ingest: tuple[IngestStatus, ...] = ()
    maintain: MaintainStatus | None = None
    cold: ColdStatus | None = None
    processes: tuple[Process, ...] = ()
    api: ApiStatus | None = None

    @property
    def lag(self) -> int:
        """Messages that wait in Kafka, as far as the workers know."""
        return sum(status.lag for status in self.ingest)

    @property
    def lag_seconds(self) -> float | None:
        """How long ago, by Kafka's time, the least advanced partition is; None before that is known."""
        mark = least_watermark(self.ingest)
        return max(0.0, self.now - mark) if mark else None

    @property
    def workers(self) -> tuple[IngestStatus | MaintainStatus, ...]:
        """Every worker of the pipeline that has reported."""
        return (*self.ingest, *((self.maintain,) if self.maintain else ()))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much the data directory holds. `oldest_staged` is in seconds since 1970, if any.

    `oldest_due_hour` is of hour files that the cold store has not as they are.
    """

    hour_files: int
    rows: int
    raw_bytes: int
    aggregate_files: int
    aggregated_bytes: int
    oldest_due_hour: int | None
    staged_files: int
    staged_bytes: int
    oldest_staged: float | None
    dead_letter_bytes: int
    ledger_bytes: int
    disk_size_bytes: int
    disk_free_bytes: int

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by part of the tree."""
        return {
            "raw": self.raw_bytes,
            "aggregated": self.aggregated_bytes,
            "staging": self.staged_bytes,
            "deadletter": self.dead_letter_bytes,
            "ledger": self.ledger_bytes,
        }


def oldest_unsafe_hour(snapshot: Snapshot, sizes: Sizes) -> int | None:
    """The oldest hour of which readings are on this disk and in Kafka alone: in staging, or not uploaded."""
    staged = snapshot.maintain.oldest_waiting_hour if snapshot.maintain else None
    return min((hour for hour in (staged, sizes.oldest_due_hour) if hour is not None), default=None)


def take_snapshot(layout: Layout, now: float) -> Snapshot:
    """Read what the workers and their supervisor tell."""
    reports = tuple(read_ingest(layout)), read_maintain(layout), read_cold(layout)
    processes, api = tuple(read_processes(layout)), read_api(layout)
    mine = api if api and any(one.pid == api.pid for one in processes) else None
    return Snapshot(now, *reports, processes, mine)


class Meter:
    """Measures one data directory; safe to call from several threads."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout = layout
        self._clock = clock
        self._lock = Lock()
        self._walked: tuple[float, int, int] | None = None

    def measure(self) -> Sizes:
        """Raw by the catalog, staging by its directory, the rest by a walk at most every half minute."""
        known = catalog_sums(self._layout)
        staged = self._layout.staged_files()
        dead_letter_bytes, ledger_bytes = self._walk()
        disk = shutil.disk_usage(_existing(self._layout.root))
        return Sizes(
            **known._asdict(),
            staged_files=len(staged),
            staged_bytes=_size(path for _, path in staged),
            oldest_staged=staged[0][0].created / 1000 if staged else None,
            dead_letter_bytes=dead_letter_bytes,
            ledger_bytes=ledger_bytes,
            disk_size_bytes=disk.total,
            disk_free_bytes=disk.free,
        )

    def _walk(self) -> tuple[int, int]:
        with self._lock:
            now = self._clock.monotonic()
            if self._walked is None or now - self._walked[0] >= _WALK_SECONDS:
                letters = _size(self._layout.dead_letter_files())
                self._walked = (now, letters, _size(self._layout.ledger_files()))
            return self._walked[1:]


class CatalogSums(NamedTuple):
    """What the catalog adds up to."""

    hour_files: int = 0
    rows: int = 0
    raw_bytes: int = 0
    aggregate_files: int = 0
    aggregated_bytes: int = 0
    oldest_due_hour: int | None = None


def catalog_sums(layout: Layout) -> CatalogSums:
    """Zeros without a catalog that can be read: it is only a cache."""
    nothing = CatalogSums()
    if not layout.catalog.exists():
        return nothing
    try:
        catalog = Catalog(layout, read_only=True)
    except sqlite3.DatabaseError:
        return nothing
    try:
        aggregates, oldest = catalog.aggregates.file_sums(), catalog.receipts.oldest_hour()
        return CatalogSums(*catalog.sums(), *aggregates, oldest)
    except (sqlite3.DatabaseError, TypeError):
        return nothing
    finally:
        catalog.close()


def _size(paths: Iterable[Path]) -> int:
    """The files' bytes; one removed meanwhile has none."""
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
