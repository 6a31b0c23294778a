"""`verify --cold`: every receipt held against the store as it is, with the content if asked for.

The marks are those of a comparison of two folders: `=` as the receipt says, `+` there without a receipt of ours,
`-` not there, `*` written by somebody else since, `!` damaged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from sensor_storage.cold.store import Blob, ColdStore
from sensor_storage.errors import Damaged
from sensor_storage.storage.digests import file_digest
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.receipts import Receipt, Receipts

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

    def __init__(self, store: ColdStore, receipts: Receipts, disk: Disk, *, full: bool) -> None:
        self._store = store
        self._receipts = receipts
        self._disk = disk
        self._full = full

    def run(self) -> Iterator[Held]:
        """Every blob, then every receipt whose blob is not there."""
        seen: set[int] = set()
        for page in self._store.pages(""):
            for blob in page:
                receipt = self._receipts.find(blob.name)
                if receipt is None:
                    yield Held("+", blob.name, "no receipt of this service")
                else:
                    seen.add(hash(blob.name))
                    yield self._judged(receipt, blob)
        for receipt in self._receipts.all():
            if hash(receipt.name) not in seen:
                there = self._store.look(receipt.name)  # written while the list went on?
                yield (
                    self._judged(receipt, there)
                    if there
                    else Held("-", receipt.name, "not in the store", good=False)
                )

    def _judged(self, receipt: Receipt, blob: Blob) -> Held:
        same = (blob.etag.strip('"'), blob.size_bytes) == (receipt.etag.strip('"'), receipt.size_bytes)
        if same and not self._full:
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
