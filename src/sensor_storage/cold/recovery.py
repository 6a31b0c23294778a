"""A new disk in place of a lost one: `restore --rewind`.

What the cold store has is known again without a copy of it here; what it has not, Kafka sends again. The steps:
 1. read the service's ledger as it was uploaded, and cut it where its rows were not all safe (`plan_rewind`);
 2. set the consumer group back to there (`kafka/rewind.py`): from now on nothing can be passed over;
 3. take what the store has into the catalog, by the manifests; what they don't tell is read from the blob itself;
 4. bring the dead letters back, and last the ledger, which lets ingest pass over what it answers for.

A death between any two leaves a directory on which a service reads too much again and loses nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from sensor_storage.aggregation.batch import carry_json
from sensor_storage.aggregation.files import footer_of
from sensor_storage.aggregation.windows import period_of
from sensor_storage.cold.keepsakes import SERVICES
from sensor_storage.cold.manifests import FOLDER, read_manifest
from sensor_storage.cold.store import Blob, ColdStore
from sensor_storage.errors import Damaged, Transient
from sensor_storage.model import SensorHour
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.digests import file_digest
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.footers import content_digest
from sensor_storage.storage.hour_files import describe
from sensor_storage.storage.known import Known
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.ledger_files import fold_into_ledger, read_ledger
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.receipts import Level, Receipt
from sensor_storage.storage.safe_offsets import SafeOffset

_MICROSECONDS: Final = 1_000_000
_MARK: Final = "restore.unfinished"

Place: TypeAlias = tuple[str, str, int]
"""A partition: topic, topic id, number."""


@dataclass(slots=True)
class Recovered:
    """What a new disk knows now: files of readings, aggregates, and how many of both were read for that.

    `missing` blobs are in a manifest and not in the store; `damaged` by name why.
    """

    files: int = 0
    aggregates: int = 0
    read: int = 0
    ledger_entries: int = 0
    dead_letter_files: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)


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
        self._store = store
        self._folder = f"{SERVICES}/{service}"
        self._progress = progress

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
        for blob in self._blobs(f"{self._folder}/ledger/"):
            with self._fetched(blob.name) as path:
                found[_day(blob.name)] = read_ledger(path)
        return found

    def take(self, catalog: Catalog, now: float) -> Recovered:
        """Step 3."""
        done = Recovered()
        mine, others = self._manifests()
        catalog.known.take(self._present(mine, others, done, now))
        return done

    def finish(
        self, ledger: Mapping[float, Sequence[LedgerEntry]], kept: frozenset[LedgerEntry], done: Recovered
    ) -> None:
        """Step 4."""
        for blob in self._blobs(f"{self._folder}/deadletter/"):
            with self._fetched(blob.name) as path:
                target = self._layout.root / blob.name.removeprefix(self._folder + "/")
                self._disk.publish_bytes(target, path.read_bytes())
                done.dead_letter_files += 1
        for day in sorted(ledger):
            entries = [entry for entry in ledger[day] if entry in kept]
            if entries:
                fold_into_ledger(self._disk, self._layout, entries, day)
                done.ledger_entries += len(entries)
        self._disk.remove([self._layout.root / _MARK])

    def _present(
        self, mine: dict[str, Known], others: dict[str, str], done: Recovered, now: float
    ) -> Iterator[Known]:
        """Each file that is ours, or that no service tells of, as the store has it now."""
        number = 0
        for tree in (self._layout.raw, self._layout.aggregated):
            for blob in self._blobs(f"{tree.name}/"):
                number += 1
                self._progress(number)
                known = mine.pop(blob.name, None)
                if known and known.described and _same(known.receipt, blob):
                    yield _counted(known, done)
                elif known or others.get(blob.name) != blob.etag.strip('"'):
                    try:
                        yield _counted(self._read(blob, now), done)
                        done.read += 1
                    except Damaged as error:
                        done.damaged[blob.name] = error.message
        done.missing = sorted(mine)

    def _read(self, blob: Blob, now: float) -> Known:
        """What the blob itself says."""
        with self._fetched(blob.name) as path:
            known = (
                _of_readings(path, blob, now)
                if blob.name.startswith("raw/")
                else _of_windows(path, blob, now)
            )
        expected = (
            self._layout.hour_file(SensorHour(known.series, known.period))
            if known.level == "raw"
            else self._layout.aggregate_file(known.series, known.level, _start(blob.name))
        )
        if self._layout.relative(expected) != blob.name:
            raise Damaged(f"{blob.name}: holds {known.series}, {known.level}, which has another name")
        return known

    def _manifests(self) -> tuple[dict[str, Known], dict[str, str]]:
        """What this service tells of each blob; and the ETags others tell of."""
        mine: dict[str, Known] = {}
        others: dict[str, str] = {}
        for blob in self._blobs(f"{SERVICES}/"):
            service, _, rest = blob.name.removeprefix(f"{SERVICES}/").partition("/")
            if not rest.startswith(f"{FOLDER}/"):
                continue
            with self._fetched(blob.name) as path:
                for known in read_manifest(path):
                    if f"{SERVICES}/{service}" != self._folder:
                        others[known.receipt.name] = known.receipt.etag.strip('"')
                    elif _later(known, mine.get(known.receipt.name)):
                        mine[known.receipt.name] = known
        return mine, others

    def _blobs(self, prefix: str) -> Iterator[Blob]:
        for page in self._store.pages(prefix):
            yield from page

    @contextmanager
    def _fetched(self, name: str) -> Iterator[Path]:
        with self._disk.scratch() as path:
            with path.open("wb") as file:
                found = self._store.download(name, file)
            if found is None:
                raise Transient(f"{name} has gone meanwhile", hint="try again")
            yield path


def _counted(known: Known, done: Recovered) -> Known:
    if known.level == "raw":
        done.files += 1
    else:
        done.aggregates += 1
    return known


def _later(known: Known, held: Known | None) -> bool:
    return held is None or known.receipt.uploaded_at >= held.receipt.uploaded_at


def _same(receipt: Receipt, blob: Blob) -> bool:
    return (receipt.etag.strip('"'), receipt.size_bytes) == (blob.etag.strip('"'), blob.size_bytes)


def _of_readings(path: Path, blob: Blob, now: float) -> Known:
    file = describe(path)
    receipt = Receipt(
        blob.name,
        blob.etag,
        blob.size_bytes,
        file.digest,
        content_digest(file.totals),
        file.rows,
        file.digest,
        now,
    )
    return Known(
        receipt,
        "raw",
        file.key.series,
        file.key.hour,
        file.rows,
        file.size_bytes,
        file.first_timestamp,
        file.last_timestamp,
        msgspec.json.encode(file.totals),
        None,
        None,
        None,
    )


def _of_windows(path: Path, blob: Blob, now: float) -> Known:
    footer = footer_of(CheckedFile(path, coded=False))
    digest = file_digest(path)
    receipt = Receipt(blob.name, blob.etag, blob.size_bytes, digest, digest, footer.rows, digest, now)
    level: Level = footer.level
    period = period_of(footer.level, int(_start(blob.name).timestamp()) * _MICROSECONDS)
    part = footer.parts[0] if level == "minute" else None
    return Known(
        receipt,
        level,
        footer.series,
        period,
        footer.rows,
        blob.size_bytes,
        None,
        None,
        None,
        part.digest if part else None,
        carry_json(part.carry_in) if part else None,
        carry_json(footer.carry_out) if part else None,
    )


def _start(name: str) -> datetime:
    """The first instant of what an aggregate's blob is of, by its folders."""
    numbers = [int(part) for part in name.split("/")[2:-1]]
    year, month, day, hour = (*numbers, *(1, 1, 0)[len(numbers) - 1 :])
    return datetime(year, month, day, hour, tzinfo=UTC)


def _day(name: str) -> float:
    """The day of a ledger file, `…/yyyy/mm/dd.parquet`."""
    year, month, day = name.removesuffix(".parquet").split("/")[-3:]
    return datetime(int(year), int(month), int(day), tzinfo=UTC).timestamp()
