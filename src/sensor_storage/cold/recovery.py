"""A new disk in place of a lost one: `restore --rewind`.

What the cold store has is known again without a copy of it here; what it has not, Kafka sends again. The steps:
 1. read the service's ledger as it was uploaded, and cut it where its rows were not all safe (`plan_rewind`);
 2. set the consumer group back to there (`kafka/rewind.py`): from now on nothing can be passed over;
 3. take what the store has into the catalog, by the manifests; what they don't tell is read from the blob itself;
 4. bring the dead letters back, and last the ledger, which lets ingest pass over what it answers for.

A death between any two leaves a directory on which a service reads too much again and loses nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from sensor_storage.cold.inventory import Inventoried, Inventory
from sensor_storage.cold.keepsakes import SERVICES
from sensor_storage.cold.store import ColdStore
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.ledger_files import fold_into_ledger, read_ledger
from sensor_storage.storage.safe_offsets import SafeOffset

_MICROSECONDS: Final = 1_000_000
_MARK: Final = "restore.unfinished"

Place: TypeAlias = tuple[str, str, int]
"""A partition: topic, topic id, number."""


@dataclass(slots=True)
class Recovered(Inventoried):
    """What a new disk knows now: what the store has, and what one service alone could say."""

    ledger_entries: int = 0
    dead_letter_files: int = 0


@dataclass(frozen=True, slots=True)
class Rewind:
    """The ledger entries that stay true without the lost disk, and from where each partition is read again."""

    kept: frozenset[LedgerEntry]
    offsets: dict[Place, int]


def plan_rewind(entries: Iterable[LedgerEntry], safe: Iterable[SafeOffset]) -> Rewind:
    """Cut the memory where not all it answers for is in the cold store: pure.

    An entry is true as a whole or not at all, so one that reaches beyond the safe offset is read again from its
    start; so is everything of a partition of which nothing is known to be safe.
    """
    limits = {one.place: one.offset for one in safe}
    offsets = dict(limits)
    kept = set()
    for entry in entries:
        place = entry.source[:3]
        if entry.stop <= limits.get(place, -1):
            kept.add(entry)
        else:
            offsets[place] = min(entry.start, offsets.get(place, entry.start))
    held = {entry for entry in kept if entry.stop <= offsets[entry.source[:3]]}
    while held != kept:  # a wider entry that goes may take others with it
        for entry in kept - held:
            place = entry.source[:3]
            offsets[place] = min(entry.start, offsets[place])
        kept, held = held, {entry for entry in held if entry.stop <= offsets[entry.source[:3]]}
    return Rewind(frozenset(kept), offsets)


class Recovery:
    """Brings back what one service knew, into an empty data directory."""

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        store: ColdStore,
        service: str,
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._service = service
        self._folder = f"{SERVICES}/{service}"
        self._inventory = Inventory(layout, disk, store, progress=progress)

    @staticmethod
    def may_begin(layout: Layout) -> bool:
        """Is there nothing yet that it would mix with? What an earlier, unfinished one left is fine."""
        if (layout.root / _MARK).exists():
            return True
        full = (layout.raw, layout.ledger, layout.staging)
        return not layout.catalog.exists() and not any(
            path.suffix == ".parquet" for folder in full for path in folder.rglob("*.parquet")
        )

    def begin(self) -> None:
        """Leave a mark that tells an unfinished one."""
        self._disk.publish_bytes(self._layout.root / _MARK, b"")

    def ledger(self) -> dict[float, list[LedgerEntry]]:
        """Step 1: the ledger's entries by the day of their file, as seconds since 1970."""
        found = {}
        for blob in self._inventory.blobs(f"{self._folder}/ledger/"):
            with self._inventory.fetched(blob.name) as path:
                found[_day(blob.name)] = read_ledger(path)
        return found

    def take(self, catalog: Catalog, now: float) -> Recovered:
        """Step 3."""
        done = Recovered()
        catalog.known.take(self._inventory.of_service(self._service, done, now))
        return done

    def finish(
        self, ledger: Mapping[float, Sequence[LedgerEntry]], kept: frozenset[LedgerEntry], done: Recovered
    ) -> None:
        """Step 4."""
        for blob in self._inventory.blobs(f"{self._folder}/deadletter/"):
            with self._inventory.fetched(blob.name) as path:
                target = self._layout.root / blob.name.removeprefix(self._folder + "/")
                self._disk.publish_bytes(target, path.read_bytes())
                done.dead_letter_files += 1
        for day in sorted(ledger):
            entries = [entry for entry in ledger[day] if entry in kept]
            if entries:
                fold_into_ledger(self._disk, self._layout, entries, day)
                done.ledger_entries += len(entries)
        self._disk.remove([self._layout.root / _MARK])


def _day(name: str) -> float:
    """The day of a ledger file, `…/yyyy/mm/dd.parquet`."""
    year, month, day = name.removesuffix(".parquet").split("/")[-3:]
    return datetime(int(year), int(month), int(day), tzinfo=UTC).timestamp()
