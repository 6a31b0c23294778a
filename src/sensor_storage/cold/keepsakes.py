"""What can't be made again from raw files: ledger, dead letters, and how far Kafka is safe. Uploaded like data.

They are of one service, so their names begin with its own: `services/<id>/`. The **safe offsets** say, for each
partition, below which offset everything is in the cold store: a new disk goes on from there (`restore --rewind`).
"""

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from sensor_storage.cold.manifests import FOLDER, manifest_name, write_manifest
from sensor_storage.cold.store import Changed, ColdStore, Content, ShutOut, mapped
from sensor_storage.cold.upload import UploadReport
from sensor_storage.errors import Damaged, SensorStorageError, Transient
from sensor_storage.log import get
from sensor_storage.storage.alive import Alive, nothing
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.digests import file_digest
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.known import HOUR_SECONDS
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.receipts import Receipt
from sensor_storage.storage.safe_offsets import SafeOffset, safe_offsets

SERVICES: Final = "services"
_ROUNDS_A_MANIFEST: Final = 20
"""So many times as long as writing manifests took, at least, passes before they are written again."""

_log = get("keepsakes")


class Published(msgspec.Struct, frozen=True):
    """The document `safe-offsets.json`: when it was true, and the offsets."""

    time: float
    group: str
    offsets: tuple[SafeOffset, ...]


class Keepsakes:
    """Uploads one service's own files; each has one writer."""

    def __init__(self, layout: Layout, catalog: Catalog, store: ColdStore, service: str, group: str) -> None:
        self._layout = layout
        self._catalog = catalog
        self._receipts = catalog.receipts
        self._store = store
        self._prefix = f"{SERVICES}/{service}"
        self._group = group
        self._disk = Disk(layout.root)
        self._tell_at = 0.0
        self.published: Published | None = None
        self.alive: Alive = nothing
        """Called between files."""

    def run_once(self, now: float, report: UploadReport) -> None:
        """Upload what has changed. The offsets are looked up first: what they promise is uploaded behind them.

        A promise that no longer holds, as when a past range came in, is taken back before the ledger tells of it.
        """
        offsets = safe_offsets(self._layout, self._catalog)
        try:
            self._take_back(now, offsets)
        except SensorStorageError as error:
            _failed(report, self._document, error)
            return
        for path in self._files():
            self.alive()
            name = f"{self._prefix}/{self._layout.relative(path)}"
            try:
                self._upload(path, name, now, report)
            except FileNotFoundError:
                continue
            except SensorStorageError as error:
                _failed(report, name, error)
        try:
            self._tell_receipts(now)
        except SensorStorageError as error:
            _failed(report, f"{self._prefix}/{FOLDER}", error)
        if not report.failed:
            self._publish(Published(now, self._group, offsets))

    def _files(self) -> Iterator[Path]:
        yield from self._layout.ledger_files()
        yield from self._layout.dead_letter_files()

    def _upload(self, path: Path, name: str, now: float, report: UploadReport) -> None:
        known = self._receipts.find(name)
        digest = file_digest(path) if known is None or path.stat().st_mtime >= known.uploaded_at - 2 else None
        if known and digest in {None, known.local_digest}:
            return
        content = path.read_bytes()
        digest = file_digest(path)
        blob = replace_blob(self._store, name, content, {"digest": digest})
        rows = CheckedFile(path, coded=False).parquet.metadata.num_rows
        receipt = Receipt(name, blob, len(content), digest, digest, rows, digest, now)
        self._receipts.record([(None, receipt)])
        report.uploaded += 1
        report.bytes += len(content)

    def _tell_receipts(self, now: float) -> None:
        """Write the manifest of each hour of uploads that has more to tell.

        Where it is large, after a standstill, it is not written in each round. Nobody loses a file by that: who
        rebuilds looks at the blobs that no manifest tells of.
        """
        if now < self._tell_at:
            return
        began = monotonic()
        told = self._receipts.newest(f"{self._prefix}/{FOLDER}/")
        for hour in self._catalog.known.hours(told - HOUR_SECONDS):
            self.alive()
            self._tell_hour(hour, now)
        self._tell_at = now + _ROUNDS_A_MANIFEST * (monotonic() - began)

    def _tell_hour(self, hour: int, now: float) -> None:
        name = manifest_name(self._prefix, hour)
        with self._disk.scratch() as path:
            rows, digest = write_manifest(path, self._catalog.known.of_hour(hour))
            held = self._receipts.find(name)
            if held and held.local_digest == digest:
                return
            with mapped(path) as content:
                etag = replace_blob(self._store, name, content, {"digest": digest})
                size = len(content)
        self._receipts.record([(None, Receipt(name, etag, size, digest, digest, rows, digest, now))])

    def _take_back(self, now: float, offsets: tuple[SafeOffset, ...]) -> None:
        if self.published is None:
            with suppress(Damaged):  # it promises nothing, and is replaced
                self.published = read_published(self._store, self._document)
        told = {one.place: one.offset for one in self.published.offsets} if self.published else {}
        least = tuple(
            msgspec.structs.replace(one, offset=min(one.offset, told.get(one.place, one.offset)))
            for one in offsets
        )
        if any(one.offset < told.get(one.place, one.offset) for one in least):
            self._publish(Published(now, self._group, least))

    def _publish(self, document: Published) -> None:
        replace_blob(self._store, self._document, msgspec.json.encode(document), {})
        self.published = document

    @property
    def _document(self) -> str:
        return f"{self._prefix}/safe-offsets.json"


def replace_blob(store: ColdStore, name: str, content: Content, metadata: dict[str, str]) -> str:
    """Write in place of whatever is there, for the one writer of that name; the ETag."""
    while True:
        held = store.look(name)
        try:
            blob = store.write(name, content, replaces=held.etag if held else None, metadata=metadata)
        except Changed:
            continue
        return blob.etag


def _failed(report: UploadReport, name: str, error: SensorStorageError) -> None:
    """With nothing else to upload too, a store that does not answer is told."""
    report.failed += 1
    report.errors[name] = str(error)
    report.away = report.away or isinstance(error, Transient | ShutOut)


def published(store: ColdStore) -> dict[str, Published]:
    """What each service that writes to this store has published, by its name."""
    found = {}
    for page in store.pages(f"{SERVICES}/"):
        for blob in page:
            if blob.name.endswith("/safe-offsets.json") and (told := read_published(store, blob.name)):
                found[blob.name.split("/")[1]] = told
    return found


def read_published(store: ColdStore, name: str) -> Published | None:
    """The document of that name, if there is one."""
    held = BytesIO()
    if store.download(name, held) is None:
        return None
    try:
        return msgspec.json.decode(held.getvalue(), type=Published)
    except msgspec.DecodeError as error:
        raise Damaged(f"{name}: {error}") from error
