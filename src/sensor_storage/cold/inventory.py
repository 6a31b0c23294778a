"""What a cold store has: by the manifests of the services, and where these do not tell by the blobs themselves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from sensor_storage.aggregation.batch import carry_json
from sensor_storage.aggregation.files import footer_of
from sensor_storage.aggregation.windows import period_of
from sensor_storage.cold.keepsakes import SERVICES
from sensor_storage.cold.manifests import DAYS_FOLDER, FOLDER, read_manifest
from sensor_storage.cold.store import Blob, ColdStore, same_blob
from sensor_storage.errors import Damaged, Transient
from sensor_storage.model import SensorHour
from sensor_storage.storage.digests import file_digest
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.footers import content_digest
from sensor_storage.storage.hour_files import describe
from sensor_storage.storage.known import Known
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.receipts import Level, Receipt

_MICROSECONDS: Final = 1_000_000


@dataclass(slots=True)
class Inventoried:
    """How many files of readings and aggregates the store has, and how many of both were read to know that.

    `missing` blobs are in a manifest and not in the store; `damaged` by name why. What damaged manifests told of is
    read from the blobs themselves.
    """

    files: int = 0
    aggregates: int = 0
    read: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    damaged_manifests: dict[str, str] = field(default_factory=dict)


class Inventory:
    """Looks at a store; `layout` says how files are named, `disk` has room for one blob at a time."""

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        store: ColdStore,
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._store = store
        self._progress = progress

    def of_service(self, service: str, done: Inventoried, now: float) -> Iterator[Known]:
        """Each file that is this service's, or that no service tells of, as the store has it now."""
        mine: dict[str, Known] = {}
        others: dict[str, str] = {}
        for teller, known in self._told(done):
            if teller != service:
                others[known.receipt.name] = known.receipt.etag.strip('"')
            elif _later(known, mine.get(known.receipt.name)):
                mine[known.receipt.name] = known
        return self._present(mine, others, done, now)

    def of_all(self, done: Inventoried, now: float) -> Iterator[Known]:
        """Each file, whichever service uploaded it last, as the store has it now."""
        told: dict[str, Known] = {}
        for _, known in self._told(done):
            if _later(known, told.get(known.receipt.name)):
                told[known.receipt.name] = known
        return self._present(told, {}, done, now)

    def _present(
        self, mine: dict[str, Known], others: dict[str, str], done: Inventoried, now: float
    ) -> Iterator[Known]:
        number = 0
        for tree in (self._layout.raw, self._layout.aggregated):
            for blob in self.blobs(f"{tree.name}/"):
                number += 1
                self._progress(number)
                known = mine.pop(blob.name, None)
                if known and known.described and same_blob(known.receipt, blob):
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
        with self.fetched(blob.name) as path:
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

    def _told(self, done: Inventoried) -> Iterator[tuple[str, Known]]:
        """Which service tells what of a blob, by its hours of uploads and by its folded days."""
        for blob in self.blobs(f"{SERVICES}/"):
            service, _, rest = blob.name.removeprefix(f"{SERVICES}/").partition("/")
            if rest.startswith((f"{FOLDER}/", f"{DAYS_FOLDER}/")):
                with self.fetched(blob.name) as path:
                    try:
                        told = read_manifest(path)
                    except Damaged as error:
                        done.damaged_manifests[blob.name] = error.message.removeprefix(f"{path}: ")
                        continue
                yield from ((service, known) for known in told)

    def blobs(self, prefix: str) -> Iterator[Blob]:
        """The blobs below a prefix."""
        for page in self._store.pages(prefix):
            yield from page

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """A copy of a blob, gone afterwards."""
        with self._disk.scratch() as path:
            with path.open("wb") as file:
                found = self._store.download(name, file)
            if found is None:
                raise Transient(f"{name} has gone meanwhile", hint="try again")
            yield path


def _counted(known: Known, done: Inventoried) -> Known:
    if known.level == "raw":
        done.files += 1
    else:
        done.aggregates += 1
    return known


def _later(known: Known, held: Known | None) -> bool:
    """Was it uploaded later? Of one upload the manifest counts that describes the file."""
    if held is None:
        return True
    return (known.receipt.uploaded_at, known.described) >= (held.receipt.uploaded_at, held.described)


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
