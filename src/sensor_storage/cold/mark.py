"""The mark in a folder by which it is known again as the store, and never taken for a new one.

A share that is not mounted looks like an empty folder. So the store has a random word in it, and the data directory
remembers that word. Where they differ, or one that was uploaded to has none, the store is away and nothing is made
there. A folder that was never uploaded to gets its mark at the first use, as does one of an earlier version, which
has blobs; a data directory that lost its word learns it again from the folder. Whoever wants to read what must be
there, for a lost disk or without a data directory, takes no folder for a new store.
"""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from threading import Lock

from sensor_storage.cold.apart import check_apart
from sensor_storage.cold.directory import OWN, DirectoryStore, files_below, locked
from sensor_storage.cold.store import Away
from sensor_storage.storage.catalog import connect_read_only
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout


def open_folder(
    store: Path, layout: Layout, *, may_mark: bool = False, may_be_new: bool = True
) -> DirectoryStore:
    """The folder as the data directory's store. Usage unless it is apart; each use raises Away as `Mark` says."""
    check_apart(store, layout)
    return DirectoryStore(store, check=Mark(store, layout, may_make=may_mark, may_be_new=may_be_new).check)


class Mark:
    """Is the folder the store of this data directory? `may_make` it so where neither knows the other yet.

    Without `may_be_new` one that was never uploaded to is none.
    """

    def __init__(self, store: Path, layout: Layout, *, may_make: bool, may_be_new: bool = True) -> None:
        self._store = store
        self._layout = layout
        self._may_make = may_make
        self._may_be_new = may_be_new
        self._path = store / OWN / "id"
        self._making = Lock()

    def check(self) -> None:
        """Away unless it is."""
        known, found = _word(self._layout.cold_store_id), _word(self._path)
        if known and found == known:
            return
        if known:
            why = "is another store than the one uploaded to" if found else "has not the store's mark"
            word = f"cp {self._layout.cold_store_id} {self._path}"
            raise self._away(why, word)
        if not found and not self._has_blobs():
            if self._was_uploaded_to():
                word = f"mkdir -p {self._path.parent}; uuidgen > {self._path}"
                raise self._away("is empty, and receipts say that it was uploaded to", word)
            if not self._may_be_new:
                raise Away(
                    f"{self._store} is no store: nothing was ever uploaded there",
                    hint="is the share mounted, and is this the folder the service uploads to?",
                )
        if self._may_make:
            self._make()

    def _make(self) -> None:
        """Mark the store, if nobody has, and remember it. After a death between the two it is learned."""
        with self._making, locked(self._store, OWN):
            found = _word(self._path)
            if not found:
                found = str(uuid.uuid4())
                Disk(self._store, aside=self._store / OWN / "aside").publish_bytes(self._path, found.encode())
        if _word(self._layout.cold_store_id) != found:
            Disk(self._layout.root).publish_bytes(self._layout.cold_store_id, found.encode())

    def _away(self, why: str, word: str) -> Away:
        return Away(
            f"{self._store} {why}",
            hint=f"is the share mounted? To upload to another, empty folder from now on: {word}",
        )

    def _was_uploaded_to(self) -> bool:
        if not self._layout.catalog.exists():
            return False
        try:
            with closing(connect_read_only(self._layout.catalog)) as catalog:
                return catalog.execute("SELECT 1 FROM receipt LIMIT 1").fetchone() is not None
        except sqlite3.DatabaseError:  # unknown is not none
            return True

    def _has_blobs(self) -> bool:
        trees = (self._layout.raw.name, self._layout.aggregated.name, "services")
        return any(next(files_below(self._store / tree), None) for tree in trees)


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
