"""The upload stage: every sealed file of this disk into the cold store, with a receipt.

One round takes these steps, each harmless to repeat:
 1. read a page of the queue, oldest first (`storage/receipts.py`);
 2. for each file, several at once: write its blob if there is none. If there is one, read it: equal content needs
    no write; other content is united with the file's, and written in place of the ETag that was read;
 3. keep the receipts: commit point. What failed waits in the queue, longer each time; what the store turned away
    as a whole, until it takes another.

**An error says nothing about what happened.** After each one the blob is looked at, and only what it says counts.
Rows that somebody else put into a blob become staged rows here, and so come into this disk's file and aggregates.
An aggregate is written only while the blobs it was made from are the ones in the store, so that a reader who finds
both finds them consistent.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from threading import Event, Lock
from typing import Final

from sensor_storage.aggregation.files import footer_of
from sensor_storage.aggregation.windows import LEVELS, WIDTH, period_bounds, period_start
from sensor_storage.aggregation.windows import Level as Width
from sensor_storage.cold.pace import Pace
from sensor_storage.cold.presence import Presence
from sensor_storage.cold.store import (
    Blob,
    Changed,
    ColdStore,
    Content,
    Refused,
    ShutOut,
    mapped,
    same_blob,
)
from sensor_storage.cold.unite import Unite, United, moved
from sensor_storage.errors import Damaged, DiskFull, Halt, SensorStorageError, Transient
from sensor_storage.log import get
from sensor_storage.model import SensorHour
from sensor_storage.storage.alive import Alive, nothing
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.digests import checked_digest, file_digest
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.footers import FORMAT_VERSION, content_digest
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.receipts import PLACES_PER_HOUR, Due, Level, Receipt

_PAGE: Final = 200
_TIERS_OF_LARGE_BLOBS: Final = {"Cool", "Cold", "Archive"}
_CHARGED_BYTES: Final = 128 * 1024
"""As so large, at least, each blob of those tiers is charged."""

_RIVALS: Final = 20
"""So often a blob may be written by others between our look and our write before it is left for later."""

_LONGEST_WAIT_SECONDS: Final = 600.0
_LARGE_BYTES: Final = 64_000_000
_PERSON_SECONDS: Final = 1800.0
_ALIVE_SECONDS: Final = 1.0
_AWAY: Final = "the store is away"
_BELOW: Final[dict[Level, tuple[Width, Level]]] = {"hour": ("hour", "minute"), "day": ("day", "hour")}
"""Files of hours are made from files of minutes, those of days from files of hours."""

_log = get("upload")


@dataclass(slots=True)
class UploadReport:
    """What rounds did; `waiting` files are left in the queue, `errors` are by file."""

    uploaded: int = 0
    unchanged: int = 0
    merged: int = 0
    adopted_rows: int = 0
    bytes: int = 0
    failed: int = 0
    postponed: int = 0
    waiting: int = 0
    away: bool = False
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, later: "UploadReport") -> None:
        """Take in a later round."""
        for name in ("uploaded", "unchanged", "merged", "adopted_rows", "bytes", "failed", "postponed"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        self.waiting, self.away = later.waiting, later.away
        self.errors = later.errors


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """How many files at once, the first wait after a failure, bytes a second (0: no bound), and the blobs' tier."""

    workers: int = 4
    retry_delay_seconds: float = 5.0
    bytes_per_second: int = 0
    compression: str = "zstd"
    max_rows: int = 400_000
    access_tier: str = ""


@dataclass(frozen=True, slots=True)
class _Outcome:
    due: Due
    name: str
    receipt: Receipt | None = None
    wrote: bool = False
    merged: bool = False
    adopted_rows: int = 0
    gone: bool = False
    later: str = ""
    error: SensorStorageError | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """A file to upload, with what the catalog knows: its receipt, its digest, rows and content, and its sources."""

    due: Due
    name: str
    receipt: Receipt | None
    known: tuple[str, int, str] | None
    sources: dict[int, str]
    now: float


@dataclass(frozen=True, slots=True)
class _Mine:
    """The local file as it is uploaded, and the receipt of a blob with just its content."""

    path: Path
    content: Content
    receipt: Receipt


class Uploader:
    """The only writer of receipts of one data directory."""

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        catalog: Catalog,
        store: ColdStore,
        policy: UploadPolicy,
        *,
        stopped: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._receipts = catalog.receipts
        self._catalog = catalog
        self._store = store
        self._policy = policy
        self.stopped = stopped
        self._chance = chance
        self._pace = Pace(policy.bytes_per_second)
        self._large = Lock()
        self.alive: Alive = nothing
        """Called between files, and meanwhile about each second as long as one of them gets on."""
        self._got_on = Event()
        self._presence = Presence(policy.workers, self._doubled)
        self._told_of_size = False
        self._unite = Unite(layout, disk, policy.compression, policy.max_rows)

    def run_once(self, now: float, sealed_before: int | None) -> UploadReport:
        """Upload what is due of hours below `sealed_before`, and what failed of later ones; with None all."""
        report = UploadReport()
        if self._presence.left_alone(now):
            report.away, report.waiting = True, self._receipts.waiting().files
            return report
        self._presence.begin_round()
        with ThreadPoolExecutor(self._policy.workers, "upload") as pool:
            for _ in LEVELS:  # what waited for its sources may find them now
                before, report.postponed = report.uploaded, 0
                self._pass(pool, now, sealed_before, report)
                if turned_away := self._presence.back():
                    self._receipts.try_now(turned_away)
                elif not report.postponed or report.uploaded == before or self._presence.away:
                    break
        self._warn_of_small_blobs(report)
        report.waiting = self._receipts.waiting().files
        self._presence.end_round(now)
        if self._presence.away and (trouble := self._presence.trouble):
            report.away = True
            _log.warning("store_away", failed=report.failed, error=str(trouble), hint=trouble.hint)
        return report

    def try_all_now(self) -> None:
        """Wait for nothing: what failed is tried again in the next round."""
        self._receipts.try_all_now()
        self._presence.try_now()

    def _warn_of_small_blobs(self, report: UploadReport) -> None:
        """Once, and with the figures: small blobs in a tier for large ones cost more than in Hot."""
        mean = report.bytes / max(report.uploaded, 1)
        tier = self._policy.access_tier
        if tier in _TIERS_OF_LARGE_BLOBS and 0 < mean < _CHARGED_BYTES and not self._told_of_size:
            self._told_of_size = True
            times = round(_CHARGED_BYTES / mean, 1)
            hint = f"they are charged as {times} times their size; AZURE_ACCESS_TIER=Hot may cost less"
            _log.warning("small_blobs", tier=tier, mean_bytes=round(mean), hint=hint)

    def _pass(
        self, pool: ThreadPoolExecutor, now: float, sealed_before: int | None, report: UploadReport
    ) -> None:
        """Once through the queue."""
        before = None if sealed_before is None else sealed_before * PLACES_PER_HOUR
        after: Due | None = None
        while not self.stopped():
            page = self._receipts.due(now, before=before, limit=_PAGE, after=after)
            if not page:
                return
            after = page[-1]
            for group in self._groups(page):
                self._take(list(self._outcomes(pool, group, now)), now, report)
                if self._presence.away:
                    return
            self._presence.end_page()
            if self._presence.away:
                return

    def _groups(self, page: Sequence[Due]) -> Iterator[list[Due]]:
        """Files to try together: sources before what is made from them.

        While nothing tells that the store is back, one file by itself, and first the one that failed least: the
        oldest may fail for itself.
        """
        left = deque(sorted(page, key=attrgetter("attempts")) if self._presence.doubtful else page)
        while left and self._presence.doubtful:
            yield [left.popleft()]
        yield from (list(group) for _, group in groupby(left, attrgetter("level")))

    def _outcomes(self, pool: ThreadPoolExecutor, page: Sequence[Due], now: float) -> Iterator[_Outcome]:
        """What became of each. The catalog is asked here, on one thread; the store on many."""
        tasks = [self._task(due, now) for due in page]

        def one(task: _Task) -> _Outcome:
            if self.stopped() or self._presence.away:
                return _Outcome(task.due, task.name, later=_AWAY)
            outcome = self._upload(task)
            self._got_on.set()
            asked = outcome.receipt is not None and outcome.receipt is not task.receipt
            self._presence.hear(task.due, outcome.error, taken=asked)
            return outcome

        yield from self._in_turn([pool.submit(one, task) for task in tasks])

    def _in_turn(self, begun: Sequence[Future[_Outcome]]) -> Iterator[_Outcome]:
        """The outcome of each, in their order, with signs of life."""
        try:
            for future in begun:
                while not wait([future], _ALIVE_SECONDS).done:
                    if self._got_on.is_set():
                        self._got_on.clear()
                        self.alive()
                self.alive()
                yield future.result()
        finally:
            for future in begun:
                future.cancel()

    def _task(self, due: Due, now: float) -> _Task:
        name = self._name(due)
        file = self._catalog.find(SensorHour(due.series, due.period)) if due.level == "raw" else None
        known = (file.digest, file.rows, content_digest(file.totals)) if file else None
        sources = self._sources(due) if due.level != "raw" else {}
        return _Task(due, name, self._receipts.find(name), known, sources, now)

    def _sources(self, due: Due) -> dict[int, str]:
        """By number of hour or day, the digest of what the store has that the aggregate must be made from."""
        if due.level == "minute":
            receipt = self._receipts.find(self._name(due._replace(level="raw")))
            return {due.period: receipt.content} if receipt else {}
        level, below = _BELOW[due.level]
        start, end = period_bounds(level, due.period)
        width = WIDTH[level]
        found = {}
        for number in range(start // width, end // width):
            if receipt := self._receipts.find(self._name(Due(0, below, due.series, number, 0))):
                found[number] = receipt.digest
            elif level == "day" and (digest := self._catalog.folded.day_file(due.series, number)):
                found[number] = digest
        return found

    def _take(self, outcomes: Sequence[_Outcome], now: float, report: UploadReport) -> None:
        """Step 3."""
        self._receipts.record((item.due, item.receipt) for item in outcomes if item.receipt)
        self._receipts.drop(item.due for item in outcomes if item.gone)
        failed = []
        for item in outcomes:
            if item.receipt:
                report.uploaded += item.wrote
                report.unchanged += not item.wrote
                report.merged += item.merged
                report.adopted_rows += item.adopted_rows
                report.bytes += item.receipt.size_bytes if item.wrote else 0
            elif item.error:
                report.failed += 1
                report.errors[item.name] = str(item.error)
                failed.append((item.due, now + self._wait(item), str(item.error)))
                if isinstance(item.error, Refused | Damaged) and not isinstance(item.error, ShutOut):
                    _log.error(
                        "upload_refused", file=item.name, error=item.error.message, hint=item.error.hint
                    )
            elif item.later:
                report.postponed += 1
        self._receipts.postpone(failed)

    def _wait(self, item: _Outcome) -> float:
        """Twice as long after each failure, with jitter; a file that needs a person is tried twice an hour."""
        if isinstance(item.error, Refused | Damaged) and not isinstance(item.error, ShutOut):
            return _PERSON_SECONDS * (0.5 + self._chance())
        return self._doubled(item.due.attempts)

    def _doubled(self, times: int) -> float:
        """The first wait, doubled so often, up to a bound; with jitter."""
        doubled = self._policy.retry_delay_seconds * 2.0 ** min(times, 20)
        return float(min(_LONGEST_WAIT_SECONDS, doubled) * (0.5 + self._chance() / 2))

    def _upload(self, task: _Task) -> _Outcome:
        """Step 2 for one file, whatever happens."""
        try:
            return self._uploaded(task)
        except FileNotFoundError:
            return _Outcome(task.due, task.name, gone=True)
        except (Halt, DiskFull):
            raise
        except SensorStorageError as error:
            return _Outcome(task.due, task.name, error=error)

    def _turn(self, path: Path) -> AbstractContextManager[object]:
        """Large files go one after the other: what is mapped of a file counts as this process' memory."""
        return self._large if path.stat().st_size > _LARGE_BYTES else nullcontext()

    def _uploaded(self, task: _Task) -> _Outcome:
        path = self._layout.root / task.name
        with self._turn(path), mapped(path) as content:
            digest = checked_digest(content, path)
            if task.receipt and task.receipt.local_digest == digest:
                return _Outcome(task.due, task.name, task.receipt)
            mine = _Mine(path, content, self._receipt(task, path, digest, len(content)))
            if task.due.level != "raw" and (stale := _stale(path, task.sources)):
                return _Outcome(task.due, task.name, later=stale)
            if task.receipt is None:
                written = self._try_write(task, content, mine.receipt, None)
                if written:
                    return written
            return self._settled(task, mine)

    def _receipt(self, task: _Task, path: Path, digest: str, size: int) -> Receipt:
        """The receipt to be, of a blob with just the file's content."""
        if task.known and task.known[0] == digest:
            _, rows, content = task.known
        elif task.due.level == "raw":
            footer = CheckedFile(path).footer()
            rows, content = footer.rows, content_digest(footer.totals)
        else:
            rows, content = footer_of(CheckedFile(path, coded=False)).rows, digest
        return Receipt(task.name, "", size, digest, content, rows, digest, task.now)

    def _try_write(
        self, task: _Task, content: Content, receipt: Receipt, replaces: str | None
    ) -> _Outcome | None:
        """Write the blob. None when what happened has to be looked at; Transient when even that fails."""
        metadata = {
            "digest": receipt.digest,
            "content": receipt.content,
            "rows": str(receipt.rows),
            "level": task.due.level,
            "format": str(FORMAT_VERSION),
        }
        self._pace.take(len(content), self._got_on.set)
        self._got_on.set()
        try:
            blob = self._store.write(task.name, content, replaces=replaces, metadata=metadata)
        except Changed:
            return None
        except Transient as error:
            try:
                there = self._store.look(task.name)
            except SensorStorageError:
                raise error from None
            if there is None or there.etag == replaces:  # it was not applied
                raise
            return None
        receipt = receipt._replace(etag=blob.etag, size_bytes=len(content))
        return _Outcome(task.due, task.name, receipt, wrote=True)

    def _settled(self, task: _Task, mine: _Mine) -> _Outcome:
        """Read what is there, unite, write in its place; again while others write between."""
        for _ in range(_RIVALS):
            with self._disk.scratch() as path:
                with path.open("wb") as file:
                    blob = self._store.download(task.name, file)
                self._got_on.set()
                if blob is None:
                    written = self._try_write(task, mine.content, mine.receipt, None)
                else:
                    written = self._united(task, mine, path, blob)
            if written:
                return written
        raise Transient(f"{task.name}: others write this blob all the time", hint="it is tried again")

    def _united(self, task: _Task, mine: _Mine, theirs: Path, blob: Blob) -> _Outcome | None:
        if _digest_of_blob(task.name, theirs) == mine.receipt.digest:  # by us, and the answer was lost
            return _Outcome(task.due, task.name, mine.receipt._replace(etag=blob.etag))
        if task.due.level != "raw":
            return self._finish(
                task, mine, blob, self._unite.aggregates(mine.path, theirs, mine.receipt.digest)
            )
        own = CheckedFile(mine.path)
        if own.digest != mine.receipt.digest:
            raise moved(mine.path)
        key = SensorHour(task.due.series, task.due.period)
        with self._unite.readings(key, own, CheckedFile(theirs)) as united:
            return self._finish(task, mine, blob, united)

    def _finish(self, task: _Task, mine: _Mine, blob: Blob, united: United) -> _Outcome | None:
        receipt = mine.receipt._replace(digest=united.digest, content=united.content_digest, rows=united.rows)
        if united.content is None:  # the blob includes this file's content as it is
            receipt = receipt._replace(etag=blob.etag, size_bytes=blob.size_bytes)
            return _Outcome(task.due, task.name, receipt, adopted_rows=united.adopted)
        written = self._try_write(task, united.content, receipt, blob.etag)
        foreign = not (task.receipt and same_blob(task.receipt, blob))
        return replace(written, merged=foreign, adopted_rows=united.adopted) if written else None

    def _name(self, due: Due) -> str:
        if due.level == "raw":
            return self._layout.hour_name(SensorHour(due.series, due.period))
        return self._layout.aggregate_name(due.series, due.level, period_start(due.level, due.period))


def _digest_of_blob(name: str, copy: Path) -> str:
    """The digest of what the store has. Damaged, with what to do: nobody but a person may give up a blob."""
    try:
        return file_digest(copy)
    except Damaged:
        raise Damaged(
            f"{name}: the blob in the store is not a whole file",
            hint="remove or rename it there, and this file goes up in its place",
        ) from None


def _stale(path: Path, sources: dict[int, str]) -> str:
    """Why the aggregate has to wait, or nothing."""
    parts = footer_of(CheckedFile(path, coded=False)).parts
    wrong = sum(sources.get(part.number) != part.digest for part in parts)
    return f"{wrong} of its sources are not in the store as they were" if wrong else ""
