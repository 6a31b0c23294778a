"""`verify --cold`: every receipt held against the store as it is, with the content if asked for.

The marks are those of a comparison of two folders: `=` as the receipt says, `+` there without a receipt of ours,
`-` not there, `*` written by somebody else since, `!` damaged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.manifests import receipts_in
from sensor_storage.cold.store import Blob, ColdStore, same_blob
from sensor_storage.errors import Damaged
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.digests import file_digest
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.receipts import Receipt

Mark: TypeAlias = Literal["=", "+", "-", "*", "!"]
MARKS: Final[tuple[Mark, ...]] = ("=", "+", "-", "*", "!")


class Held(NamedTuple):
    """What became of one blob; `good` is false where a reading may be missing."""

    mark: Mark
    name: str
    why: str = ""
    good: bool = True


class Audit:
    """Compares; changes nothing."""

    def __init__(
        self, store: ColdStore, catalog: Catalog, files: ColdFiles, disk: Disk, *, full: bool
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._files = files
        self._disk = disk
        self._full = full

    def run(self) -> Iterator[Held]:
        """Every blob, then every receipt whose blob is not there; of folded days a manifest at a time."""
        seen: set[int] = set()
        bad: set[str] = set()
        with self._files.looking():
            for held in self._blobs(seen):
                bad |= set() if held.good else {held.name}
                yield held
            for receipt in self._catalog.receipts.all():
                if missed := self._missed(receipt, seen):
                    bad.add(missed.name)
                    yield missed
            for day in self._catalog.folded.all():
                try:
                    receipts = receipts_in(self._files.manifests.of(day))
                except Damaged as error:
                    if day.manifest not in bad:
                        yield Held("!", day.manifest, error.message, good=False)
                    continue
                yield from filter(None, (self._missed(receipt, seen) for receipt in receipts))

    def _blobs(self, seen: set[int]) -> Iterator[Held]:
        for page in self._store.pages(""):
            for blob in page:
                try:
                    receipt = self._files.receipt(blob.name)
                except Damaged:  # told of below, once
                    seen.add(hash(blob.name))
                    yield Held("+", blob.name, "its receipt is in a manifest that is missing or damaged")
                    continue
                if receipt is None:
                    yield Held("+", blob.name, "no receipt of this service")
                else:
                    seen.add(hash(blob.name))
                    yield self._judged(receipt, blob)

    def _missed(self, receipt: Receipt, seen: set[int]) -> Held | None:
        """What there is to tell of a blob that was not listed."""
        if hash(receipt.name) in seen:
            return None
        there = self._store.look(receipt.name)  # written while the list went on?
        if there:
            return self._judged(receipt, there)
        return Held("-", receipt.name, "not in the store", good=False)

    def _judged(self, receipt: Receipt, blob: Blob) -> Held:
        if same_blob(receipt, blob) and not self._full:
            return Held("=", receipt.name)
        with self._disk.scratch() as path:
            with path.open("wb") as file:
                found = self._store.download(receipt.name, file)
            if found is None:
                return Held("-", receipt.name, "not in the store", good=False)
            try:
                return self._read(receipt, path)
            except Damaged as error:
                why = error.message.removeprefix(f"{path}: ")
                return Held("!", receipt.name, why, good=False)

    def _read(self, receipt: Receipt, path: Path) -> Held:
        if file_digest(path) == receipt.digest:
            return Held("=", receipt.name)
        rows = CheckedFile(path, coded=False).parquet.metadata.num_rows
        why = f"written since by somebody else: {rows:,} rows, the receipt has {receipt.rows:,}"
        return Held("*", receipt.name, why, good=rows >= receipt.rows)
