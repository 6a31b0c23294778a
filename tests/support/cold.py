"""A data directory beside a cold store, with every stage at hand; and stores that fail as told."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy, Aggregator
from sensor_storage.clock import SystemClock
from sensor_storage.cold.cleanup import Cleaner, CleanupPolicy, CleanupReport
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.folding import Folder, Folding
from sensor_storage.cold.keepsakes import Keepsakes
from sensor_storage.cold.removal import Remover
from sensor_storage.cold.store import Blob, ColdStore, Content, Page
from sensor_storage.cold.thaw import Thaw
from sensor_storage.cold.upload import Uploader, UploadPolicy, UploadReport
from sensor_storage.errors import Transient
from sensor_storage.model import Series
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Interval, Question
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, CompactReport, WritePolicy
from sensor_storage.storage.durable import Disk, Steps
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.readings import Readings
from support.aggregates import LATER, SERIES
from support.trees import NOW, readings_of, stage

SERVICE = "one"


class Plant:
    """One service's stages on one directory, as `run` wires them."""

    def __init__(
        self, root: Path, store: ColdStore, *, max_rows: int = 400_000, steps: Steps | None = None
    ) -> None:
        self.layout = Layout(root / "raw")
        self.store = store
        self.disk = Disk(self.layout.root, steps)
        self.catalog = Catalog(self.layout)
        self.files = ColdFiles(self.layout, store, SystemClock(), 1_000_000_000)
        thaw = Thaw(self.layout, self.disk, self.catalog, self.files)
        self.compactor = Compactor(self.layout, self.disk, self.catalog, WritePolicy(), "m1", bring_back=thaw)
        self.aggregator = Aggregator(
            self.layout,
            self.disk,
            self.catalog,
            LocalHours(self.layout, judge_by("opc-ua", uncertain_is_good=True), self.files.find),
            AggregatePolicy(),
            find=self.files.find,
            unfold=thaw.unfold,
        )
        self.uploader = Uploader(
            self.layout, self.disk, self.catalog, store, UploadPolicy(max_rows=max_rows), chance=lambda: 0.5
        )
        self.remover = Remover(self.layout, self.disk, self.catalog, self.compactor.staging)
        self.keepsakes = Keepsakes(self.layout, self.catalog, store, SERVICE, "group")
        self.folding = Folding(self.catalog, store, SERVICE, Folder(self.catalog).fold)

    def arrive(self, offsets: Sequence[int], **words: object) -> Readings:
        """Readings come, as one segment."""
        rows = readings_of(offsets, **words)  # type: ignore[arg-type]  # handed on
        number = next(_NUMBERS)
        stage(self.layout, rows, number=number, start=min(offsets), stop=max(offsets) + 1)
        return rows

    def compact(self) -> CompactReport:
        return self.compactor.run_once(NOW, NOW, flush=True)

    def aggregate(self) -> None:
        while self.aggregator.run_once(LATER, LATER, flush=True).more:
            pass

    def upload(self, now: float = LATER) -> UploadReport:
        return self.uploader.run_once(now, None)

    def upload_now(self) -> UploadReport:
        self.uploader.try_all_now()
        return self.upload()

    def cleaner(self, **policy: object) -> Cleaner:
        words = CleanupPolicy(**{"age_days": 7, **policy})  # type: ignore[arg-type]  # handed on
        return Cleaner(
            self.layout, self.catalog, self.store, words, remove=self.remover.remove, used_share=lambda: 0.0
        )

    def clean(self, now: float = LATER, *, dry_run: bool = False, **policy: object) -> CleanupReport:
        return self.cleaner(**policy).run_once(now, dry_run=dry_run)

    def fold(self, now: float) -> int:
        """Fold what may be, with the manifests told of that have to be told before; how many days."""
        report = UploadReport()
        self.keepsakes.run_once(now - 86_400, report)
        assert not report.errors
        rounds = [self.folding.run_once(now)]
        while rounds[-1].more:
            rounds.append(self.folding.run_once(now))
        return sum(one.folded for one in rounds)

    def all_stages(self) -> None:
        """Everything once: compact, aggregate, upload."""
        self.compact()
        self.aggregate()
        self.upload()

    def offsets(self, series: Series = SERIES) -> list[int]:
        """The offsets of every reading a query finds of the sensor, in order."""
        queries = Queries(self.layout, SystemClock(), Limits(0, 0), files=self.files)
        asked = Question((series.asset,), (series.sensor,), EVERYTHING, "raw", addresses=True)
        found: list[Any] = [
            offset for table in queries.answer(asked).tables for offset in table["kafka_offset"].to_pylist()
        ]
        return sorted(found)

    def local(self) -> list[str]:
        """The files of both trees on this disk."""
        trees = (self.layout.raw, self.layout.aggregated)
        paths = (path for tree in trees for path in tree.rglob("*.parquet"))
        return sorted(self.layout.relative(path) for path in paths)

    def close(self) -> None:
        self.catalog.close()


MONTH = 30 * 86_400.0


def fold_all(plant: Plant) -> int:
    """Everything once, and what is over leaves the disk, and then the catalog; how many days were folded."""
    plant.all_stages()
    plant.clean(LATER + MONTH)
    return plant.fold(LATER + 2 * MONTH)


EVERYTHING = Interval(int((NOW - 100 * 86_400) * 1e6), int((NOW + 100 * 86_400) * 1e6))
_NUMBERS = iter(range(1, 1 << 40))


@dataclass
class FaultyStore:
    """A store whose calls fail as `fault` says: before they are done, or after, when the answer is lost."""

    inner: ColdStore
    before: Callable[[str, str], Exception | None] = lambda _act, _name: None
    after: Callable[[str, str], Exception | None] = lambda _act, _name: None
    calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.inner.url

    def look(self, name: str) -> Blob | None:
        self._fail(self.before, "look", name)
        return self.inner.look(name)

    def download(self, name: str, into: IO[bytes]) -> Blob | None:
        self._fail(self.before, "download", name)
        return self.inner.download(name, into)

    def write(
        self, name: str, content: Content, *, replaces: str | None, metadata: Mapping[str, str]
    ) -> Blob:
        self.calls.append(("write", name))
        self._fail(self.before, "write", name)
        blob = self.inner.write(name, content, replaces=replaces, metadata=metadata)
        self._fail(self.after, "write", name)
        return blob

    def pages(self, prefix: str) -> Iterator[list[Blob]]:
        self._fail(self.before, "list", prefix)
        yield from self.inner.pages(prefix)

    def page(self, prefix: str, *, cursor: str, limit: int) -> Page:
        self._fail(self.before, "list", prefix)
        return self.inner.page(prefix, cursor=cursor, limit=limit)

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def _fail(self, fault: Callable[[str, str], Exception | None], act: str, name: str) -> None:
        error = fault(act, name)
        if error:
            raise error


def every(number: int, error: Exception) -> Callable[[str, str], Exception | None]:
    """The error at each so-many-th write."""
    count = iter(range(1, 1 << 40))

    def fault(act: str, _name: str) -> Exception | None:
        return error if act == "write" and next(count) % number == 0 else None

    return fault


def away(_act: str, _name: str) -> Exception | None:
    """Nobody answers."""
    return Transient("the store is away")


def blobs(store: ColdStore, prefix: str = "") -> dict[str, Blob]:
    """Everything in the store by name."""
    return {blob.name: blob for page in store.pages(prefix) for blob in page}


def directory(tmp_path: Path) -> DirectoryStore:
    """An empty directory store."""
    return DirectoryStore(tmp_path / "cold")


def flip(store: DirectoryStore, name: str) -> None:
    """One bit of the blob, which keeps its size and ETag."""
    path = Path(store.url.removeprefix("file://")) / name
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


__all__ = ["FaultyStore", "Plant", "away", "blobs", "closing", "directory", "every", "flip"]
