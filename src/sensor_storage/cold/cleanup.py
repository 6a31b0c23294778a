"""The cleanup stage: a file leaves this disk only with a proof that the cold store has exactly its content.

One round takes these steps:
 1. find the candidates: by age of their last reading, or the oldest first while the disk is too full;
 2. hold each against its receipt and against the blob as the store lists it now (`judge`, pure);
 3. hand those that may go to the owner of the tree, which digests each file once more and looks for rows that
    wait for it, says in the catalog that it is cold, and only then removes it (`removal.py`).

A file that may not go stays, with the reason. If that is the blob, its receipt is worth nothing any more: the file
is due for upload again, which looks at what is there. Nothing here deletes anything in the cold store.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sensor_storage.aggregation.windows import LEVELS, period_bounds, period_of, period_start
from sensor_storage.cold.removal import Removal
from sensor_storage.cold.store import PAGE, Blob, ColdStore, same_blob
from sensor_storage.errors import Damaged
from sensor_storage.log import get
from sensor_storage.model import SensorHour
from sensor_storage.storage.alive import Alive, nothing
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.digests import checked_digest
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.receipts import Receipt

Verdict: TypeAlias = Literal[
    "proven",
    "without upload",
    "not uploaded",
    "changed since its upload",
    "blob missing",
    "blob changed",
    "blob damaged",
]
"""Why a file may go, the first two, or has to stay."""

_MAY_GO: Final = {"proven", "without upload"}
_DISPROVEN: Final = {"blob missing", "blob changed", "blob damaged"}
_BATCH: Final = 200
_SECONDS_PER_DAY: Final = 86_400
_MICROSECONDS: Final = 1_000_000
_MANY_DAYS: Final = 3
_TOLD: Final = 1000
_log = get("cleanup")


@dataclass(frozen=True, slots=True)
class CleanupPolicy:
    """After how many days files may go; between which shares of the disk also earlier; and how to look."""

    age_days: float = 7
    high: float = 0.95
    low: float = 0.90
    full: bool = False
    without_upload: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is old enough: its place in the tree and catalog, its digest, and its last reading's time, µs."""

    name: str
    removal: Removal
    size_bytes: int
    last: int


@dataclass(slots=True)
class CleanupReport:
    """What a round did, or with `dry_run` would do; `kept` counts by reason, `files` has the first verdicts."""

    dry_run: bool = False
    removed: int = 0
    removed_bytes: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    files: list[dict[str, object]] = field(default_factory=list)
    requests: int = 0


def judge(candidate: Candidate, receipt: Receipt | None, blob: Blob | None) -> Verdict:
    """May the file go? By what the receipt says was uploaded, and what the store says now."""
    if receipt is None:
        return "not uploaded"
    if receipt.local_digest != candidate.removal.digest:
        return "changed since its upload"
    if blob is None:
        return "blob missing"
    if not same_blob(receipt, blob):
        return "blob changed"
    return "proven"


def plan_prefixes(names: Iterable[str]) -> dict[str, str]:
    """For each name the prefix to list: its day's folder, or the month's where many days of it are asked for."""
    days: dict[str, set[str]] = {}
    folders = {}
    for name in names:
        tree, asset, year, month, *rest = name.split("/")
        above = f"{tree}/{asset}/{year}/{month}/"
        day = above + (rest[0] + "/" if len(rest) > 1 else "")
        folders[name] = (above, day)
        days.setdefault(above, set()).add(day)
    return {name: above if len(days[above]) > _MANY_DAYS else day for name, (above, day) in folders.items()}


def plan_lists(names: Sequence[str], known_blobs: int) -> list[str]:
    """The prefixes to list for these names: whole trees where that takes fewer requests."""
    near = sorted(set(plan_prefixes(names).values()))
    whole = sorted({name.split("/")[0] + "/" for name in names})
    return near if len(near) <= len(whole) + known_blobs // PAGE else whole


class Cleaner:
    """Finds and judges; `remove` is what the owner of the tree does, and answers for each name why not."""

    def __init__(
        self,
        layout: Layout,
        catalog: Catalog,
        store: ColdStore | None,
        policy: CleanupPolicy,
        *,
        remove: Callable[[Sequence[Removal]], dict[str, str]],
        used_share: Callable[[], float],
    ) -> None:
        self._layout = layout
        self._catalog = catalog
        self._store = store
        self._policy = policy
        self._remove = remove
        self._used_share = used_share
        self.alive: Alive = nothing
        """Called between the files of a round, and between pages of the store's list."""

    def run_once(self, now: float, *, dry_run: bool = False, pressed: bool = False) -> CleanupReport:
        """Clean up what is old; with `pressed` the oldest of any age till the disk is below the low mark."""
        report = CleanupReport(dry_run=dry_run)
        if self._store is None and not self._policy.without_upload:
            return report
        found = self._oldest(now) if pressed else self._aged(now)
        while batch := list(islice(found, _BATCH * 5)):
            self._clean(batch, report, dry_run=dry_run)
            if pressed and (dry_run or self._used_share() < self._policy.low):
                break
        return report

    def _aged(self, now: float) -> Iterator[Candidate]:
        cutoff = int((now - self._policy.age_days * _SECONDS_PER_DAY) * _MICROSECONDS)
        after: SensorHour | None = None
        while page := self._catalog.older_than(cutoff, after):
            after = page[-1].key
            for file in page:
                yield self._raw(file.key, file.digest, file.size_bytes, file.last_timestamp)
        for level in LEVELS:
            place = None
            before = period_of(level, cutoff)
            while files := self._catalog.aggregates.files_after(level, before, place):
                place = (files[-1].series, files[-1].period)
                for one in files:
                    name = self._layout.aggregate_name(one.series, level, period_start(level, one.period))
                    removal = Removal(level, *one.series, one.period, one.digest)
                    end = period_bounds(level, one.period)[1]
                    yield Candidate(name, removal, one.size_bytes, end)

    def _oldest(self, now: float) -> Iterator[Candidate]:
        hour = -(1 << 62)
        while page := self._catalog.oldest(hour):
            for file in page:
                yield self._raw(file.key, file.digest, file.size_bytes, file.last_timestamp)
            hour = page[-1].key.hour + 1
            if hour * 3600 > now:
                return

    def _raw(self, key: SensorHour, digest: str, size: int, last: int) -> Candidate:
        removal = Removal("raw", *key.series, key.hour, digest)
        return Candidate(self._layout.hour_name(key), removal, size, last)

    def _clean(self, batch: Sequence[Candidate], report: CleanupReport, *, dry_run: bool) -> None:
        """Steps 2 and 3 for some candidates."""
        receipts = {item.name: self._catalog.receipts.find(item.name) for item in batch}
        blobs = self._listed([item.name for item in batch if receipts[item.name]], report)
        verdicts = {
            item.name: self._verdict(item, receipts[item.name], blobs.get(item.name), report)
            for item in batch
        }
        going = [item for item in batch if verdicts[item.name] in _MAY_GO]
        kept: dict[str, str] = {}
        if not dry_run:
            self._catalog.receipts.distrust(name for name, why in verdicts.items() if why in _DISPROVEN)
            for start in range(0, len(going), _BATCH):
                self.alive()
                kept |= self._remove([item.removal for item in going[start : start + _BATCH]])
        counts = Counter(report.kept)
        for item in batch:
            why: str = kept.get(item.name, verdicts[item.name])
            goes = why in _MAY_GO
            if goes:
                report.removed += 1
                report.removed_bytes += item.size_bytes
                if not dry_run:
                    _tell(item, receipts[item.name], why)
            else:
                counts[why] += 1
                if "blob" in why:
                    _log.warning("kept", file=item.name, why=why)
            if len(report.files) < _TOLD:
                report.files.append({"file": item.name, "goes": goes, "because": why})
        report.kept = dict(counts)

    def _verdict(
        self, item: Candidate, receipt: Receipt | None, blob: Blob | None, report: CleanupReport
    ) -> Verdict:
        self.alive()
        if self._store is None:
            return "without upload"
        verdict = judge(item, receipt, blob)
        if verdict == "proven" and self._policy.full and receipt and not self._content_is(receipt, report):
            return "blob damaged"
        return verdict

    def _content_is(self, receipt: Receipt, report: CleanupReport) -> bool:
        """Read the blob back, whole."""
        held = BytesIO()
        report.requests += 1
        if self._store is None or self._store.download(receipt.name, held) is None:
            return False
        try:
            return checked_digest(held.getvalue(), Path(receipt.name)) == receipt.digest
        except Damaged:
            return False

    def _listed(self, names: Sequence[str], report: CleanupReport) -> dict[str, Blob]:
        """The blobs of these names as the store lists them now."""
        wanted = set(names)
        found: dict[str, Blob] = {}
        if self._store:
            for prefix in plan_lists(names, self._catalog.receipts.count()):
                for page in self._store.pages(prefix):
                    self.alive()
                    report.requests += 1
                    found |= {blob.name: blob for blob in page if blob.name in wanted}
        return found


def _tell(item: Candidate, receipt: Receipt | None, why: str) -> None:
    """Every deletion is logged with its proof."""
    proof = {"etag": receipt.etag, "blob_digest": receipt.digest, "rows": receipt.rows} if receipt else {}
    _log.info("removed", file=item.name, because=why, digest=item.removal.digest, **proof)
