"""A file of the tree, wherever it is: on this disk, or brought from the cold store into a bounded cache.

Which blobs there are is known from receipts; those of a folded day are in its manifest, which is brought like any
other blob. A cached copy carries its digest as its name: one that a receipt still names is used without asking the
store.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Lock, local
from typing import Final, TypeVar

from sensor_storage.aggregation.windows import Level, period_start
from sensor_storage.clock import Clock
from sensor_storage.cold.day_manifests import DayManifests
from sensor_storage.cold.manifests import receipt_in
from sensor_storage.cold.store import ColdStore
from sensor_storage.errors import Damaged, DamagedBlob, NoColdStore, SensorStorageError, Transient
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.catalog import connect_read_only
from sensor_storage.storage.digests import file_digest
from sensor_storage.storage.durable import hint_file, remove_hint
from sensor_storage.storage.folded import FoldedDay, hours_in
from sensor_storage.storage.layout import Layout, day_of, encode_name
from sensor_storage.storage.receipts import Receipt
from sensor_storage.storage.status import read_cold

HOW_TO_SET: Final = (
    "set it as the service has it, by COLD_STORE_URL or AZURE_STORAGE_…:"
    " in the environment, or in a file with --env-file"
)
_QUIET_SECONDS: Final = 20.0
"""After a failure the store is left alone for so long, so that nobody waits for it again and again."""

_REMEDY: Final = (
    "`sensor-storage verify --cold --full` lists such blobs,"
    " `sensor-storage verify --repair` brings back what Kafka still has"
)
_RECEIPT: Final = """
SELECT *, NULL, NULL, NULL, NULL, NULL FROM receipt WHERE name = ?1
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, * FROM folded_day WHERE folder = ?2 AND day = ?3
"""
_FILES: Final = """
SELECT sensor, hours, minutes, day_file IS NOT NULL FROM folded WHERE asset = ? AND day = ?
"""
_HOUR: Final = 5
"""Where a name has its hour: behind tree, asset, year, month and day."""

_LOOKS: Final = 10
_NANOSECONDS: Final = 1_000_000_000
_T = TypeVar("_T")


class ColdFiles:
    """Finds files; safe for several threads and processes. Without a store, those that are here or in the cache."""

    def __init__(self, layout: Layout, store: ColdStore | None, clock: Clock, max_bytes: int) -> None:
        self._layout = layout
        self._store = store
        self._clock = clock
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._failed: tuple[float, Transient] | None = None
        self._held_bytes: int | None = None
        self._kept = local()
        self.manifests = DayManifests(self._kept_or_brought)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """This thread looks for many files: it keeps its connection to the catalog, once it has needed one."""
        if self._look is not None:
            yield
            return
        with ExitStack() as look:
            self._kept.look = look
            try:
                yield
            finally:
                self._kept.look = self._kept.connection = None

    def find(self, path: Path) -> Path:
        """The path itself if the file is there, else that of a sound copy from the cold store.

        FileNotFoundError where neither this disk nor a receipt knows it. DamagedBlob where its blob is missing or
        not what was written. Transient while the store is away,
        Refused when it will not give the blob, for one that is archived; NoColdStore where none is set.
        """
        found = self._found(path)
        with suppress(FileNotFoundError):
            return self._found(path) if self._thrown_away(found) else found
        return self._found(path)  # another reader has thrown it away, or made room

    def _found(self, path: Path) -> Path:
        if path.exists():
            return path
        name = self._layout.relative(path)
        receipt = self.receipt(name)
        if receipt is None:
            if path.exists():  # written meanwhile
                return path
            raise FileNotFoundError(path)
        return self._kept_or_brought(name, receipt.digest)

    def receipt(self, name: str) -> Receipt | None:
        """The receipt of a blob; of a folded day out of its manifest, with errors as of `find`."""
        for _ in range(_LOOKS):
            found = self._known(name)
            if not isinstance(found, FoldedDay):
                return found
            try:
                return receipt_in(self.manifests.of(found), name)
            except SensorStorageError:
                if self._known(name) != found:  # unfolded meanwhile
                    continue
                if not self._is_in(found, name):
                    return None
                raise
        return None

    def _kept_or_brought(self, name: str, digest: str) -> Path:
        copy = self._copy(digest)
        try:
            status = copy.stat()
            # Least recently used goes first. When it was written stays: by that a reader knows the file again.
            os.utime(copy, ns=(int(self._clock.now() * _NANOSECONDS), status.st_mtime_ns))
        except FileNotFoundError:
            copy = self._bring(name)
        return copy

    def opened(self, path: Path, open_: Callable[[Path], _T]) -> _T:
        """What `open_` makes of the file, or of a copy of it. Errors as of `find`.

        Between the look and the opening the file may go to the cold store, and a copy out of the cache: then it is
        looked for again. A copy that was damaged here is brought once more.
        """
        again = False
        for _ in range(_LOOKS - 1):
            found = self._found(path)
            with suppress(FileNotFoundError):
                try:
                    return open_(found)
                except Damaged:
                    if again or not self._thrown_away(found):
                        raise
                    again = True
        return open_(self.find(path))

    def _thrown_away(self, found: Path) -> bool:
        """Was it a copy whose bytes have changed here? It is gone then: what the store has may be whole."""
        if not found.is_relative_to(self._layout.cache):
            return False
        try:
            if file_digest(found) == found.stem:
                return False
        except Damaged:
            pass
        remove_hint(found)
        return True

    def check_reach(self, paths: Iterable[Path]) -> None:
        """NoColdStore, with their number, where some of the files are in a cold store that is not set."""
        if self._store is None:
            with self.looking():
                lacking = sum(self._out_of_reach(path) for path in paths)
            if lacking:
                raise self._no_store(f"{lacking:,} file{'s' * (lacking > 1)} of this answer")

    def _out_of_reach(self, path: Path) -> bool:
        try:
            self._found(path)
        except NoColdStore:
            return True
        except FileNotFoundError:
            return False
        return False

    def _no_store(self, what: str) -> NoColdStore:
        told = read_cold(self._layout)
        where = f" ({told.url})" if told and told.url else ""
        return NoColdStore(
            f"only the cold store{where} has {what}",
            hint=HOW_TO_SET,
        )

    def _known(self, name: str) -> Receipt | FoldedDay | None:
        """The blob's receipt, or the folded day that has it: one look."""
        with suppress(sqlite3.DatabaseError), self.looking():
            if connection := self._connected():
                place = (name, *(day_of(name) or ("", 0)))
                for *receipt, folder, day, asset, manifest, digest in connection.execute(_RECEIPT, place):
                    return (
                        Receipt(*receipt)
                        if folder is None
                        else FoldedDay(folder, day, asset, manifest, digest)
                    )
        return None

    def _is_in(self, day: FoldedDay, name: str) -> bool:
        """Does the catalog say of a folded day that it has the file?"""
        *folders, file = name.split("/")
        of_hour = sum(1 << int(hour) for hour in folders[_HOUR:] if hour.isdecimal())
        with suppress(sqlite3.DatabaseError), self.looking():
            if connection := self._connected():
                for sensor, hours, minutes, of_day in connection.execute(_FILES, (day.asset, day.day)):
                    if not file.startswith(encode_name(sensor)):
                        continue
                    series = Series(day.asset, sensor)
                    raw = (SensorHour(series, hour) for hour in hours_in(hours & of_hour, day.day))
                    there = [self._layout.hour_file(key) for key in raw]
                    there += [
                        self._made(series, "minute", one) for one in hours_in(minutes & of_hour, day.day)
                    ]
                    there += [self._made(series, "hour", day.day)] if of_day else []
                    if self._layout.root / name in there:
                        return True
        return False

    def _made(self, series: Series, level: Level, period: int) -> Path:
        return self._layout.aggregate_file(series, level, period_start(level, period))

    @property
    def _look(self) -> ExitStack | None:
        return getattr(self._kept, "look", None)

    def _connected(self) -> sqlite3.Connection | None:
        """This look's connection to the catalog, if there is one that can be opened."""
        known: sqlite3.Connection | None = getattr(self._kept, "connection", None)
        if known is None and self._look is not None and self._layout.catalog.exists():
            known = self._kept.connection = self._look.enter_context(
                closing(connect_read_only(self._layout.catalog))
            )
        return known

    def _copy(self, digest: str) -> Path:
        return self._layout.cache / digest[:2] / f"{digest}.parquet"

    def _bring(self, name: str) -> Path:
        if self._store is None:
            raise self._no_store(name)
        if self._failed and self._clock.monotonic() < self._failed[0]:
            raise self._failed[1]
        try:
            return self._downloaded(self._store, name)
        except Transient as error:
            self._failed = (self._clock.monotonic() + _QUIET_SECONDS, error)
            raise

    def _downloaded(self, store: ColdStore, name: str) -> Path:
        names: list[Path] = []

        def named(aside: Path) -> Path:
            try:
                names.append(self._copy(file_digest(aside)))
            except Damaged as error:
                why = error.message.removeprefix(f"{aside}: ")
                raise DamagedBlob(f"{name} in {store.url} is damaged: {why}", hint=_REMEDY) from error
            return names[0]

        with hint_file(self._layout.cache, named) as file:
            if store.download(name, file) is None:
                raise DamagedBlob(f"{name} is not in {store.url} any more", hint=_REMEDY)
        (found,) = names
        self._make_room(found.stat().st_size)
        return found

    def _make_room(self, brought: int) -> None:
        """Drop the copies used longest ago once there are too many."""
        with self._lock:
            held = brought if self._held_bytes is None else self._held_bytes + brought
            if self._held_bytes is not None and held <= self._max_bytes:
                self._held_bytes = held
                return
            copies = [(path.stat(), path) for path in self._layout.cache.glob("*/*.parquet")]
            held = sum(status.st_size for status, _ in copies)
            for status, path in sorted(copies, key=lambda item: item[0].st_atime_ns)[:-1]:
                if held <= self._max_bytes:
                    break
                remove_hint(path)
                held -= status.st_size
            self._held_bytes = held
