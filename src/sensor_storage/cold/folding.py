"""Fold the days that are over: their receipts leave the catalog for a manifest in the cold store, by asset and day.

One round takes these steps for some of the days of which nothing is on this disk any more:
 1. hold what is known of the day against the rules (`why_not`, pure);
 2. write its manifest into the cold store, and keep the receipt of that;
 3. ask the owner of the tree, who looks at the day once more, under the catalog's lock: commit point.

A death before the third leaves a manifest that is written again. The owner unfolds a day before anything of it
changes (`Unfold`); without its manifest it stays folded, and whatever would change it waits.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.keepsakes import SERVICES, replace_blob
from sensor_storage.cold.manifests import FOLDER, day_manifest_name, encode_manifest, known_in
from sensor_storage.cold.store import ColdStore, same_blob
from sensor_storage.log import get
from sensor_storage.storage.alive import Alive, nothing
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.digests import stored_digest
from sensor_storage.storage.folded import HOURS
from sensor_storage.storage.folding import DayState
from sensor_storage.storage.known import HOUR_SECONDS, Known
from sensor_storage.storage.receipts import Receipt

_REST_SECONDS: Final = 7 * 86_400
"""A day folds so long after its last upload: late readings are mostly less late."""

_LOOKED_AT: Final = 200
_DAYS_AT_ONCE: Final = 20
_BLOBS_AT_ONCE: Final = 10_000
"""So many days are looked at in a round, and so many folded; fewer of large assets: the owner has else to do."""

_log = get("folding")

Day = tuple[str, int, str]
"""An asset, a day since 1970, and the name of its manifest."""


@dataclass(slots=True)
class FoldReport:
    """How many assets' days were folded; is there `more` to look at?"""

    folded: int = 0
    more: bool = False


def why_not(state: DayState) -> str:
    """Why a day may not fold, or nothing."""
    if state.here:
        return "files of it are on this disk"
    if state.due:
        return "something of it is due"
    if state.unproven:
        return "the cold store is not known to have all of it"
    return ""


def ready_at(state: DayState) -> float:
    """When a day may fold: nothing of it was uploaded for long."""
    return state.uploaded_at + _REST_SECONDS


def is_told(state: DayState, told: float) -> bool:
    """Are all its receipts in manifests of hours that are written no more, the latest of them at that time?"""
    return state.uploaded_at < told - 2 * HOUR_SECONDS


class Folding:
    """The cold worker's part. `fold` is what the owner of the tree does: for each day why not, or nothing."""

    def __init__(
        self,
        catalog: Catalog,
        store: ColdStore,
        service: str,
        fold: Callable[[Sequence[Day]], Sequence[str]],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._folder = f"{SERVICES}/{service}"
        self._fold = fold
        self._left: deque[tuple[str, int]] = deque()
        self._ready_at: dict[tuple[str, int], float] = {}
        self.alive: Alive = nothing
        """Called between the days of a round."""

    def run_once(self, now: float) -> FoldReport:
        """Fold some days; a round that begins anew looks for which."""
        if not self._left:
            self._left.extend(self._catalog.folded.cold_days())
            self._ready_at = {day: self._ready_at.get(day, 0.0) for day in self._left}
        days: list[Day] = []
        blobs = 0
        for _ in range(_LOOKED_AT):
            if not self._left or len(days) == _DAYS_AT_ONCE or blobs > _BLOBS_AT_ONCE:
                break
            self.alive()
            if known := self._ready(*self._left[0], now):  # 1
                asset, day = self._left[0]
                days.append((asset, day, self._write(asset, day, known, now)))  # 2
                blobs += len(known)
            self._left.popleft()
        refused = self._fold(days) if days else ()  # 3
        for (asset, day, _), why in zip(days, refused, strict=True):
            if why:
                _log.debug("not_folded", asset=asset, day=day, why=why)
        return FoldReport(sum(not why for why in refused), more=bool(self._left))

    def _ready(self, asset: str, day: int, now: float) -> list[Known]:
        """What is known of the day, if it may fold."""
        if self._ready_at[asset, day] > now:
            return []
        state, known = self._catalog.folded.state(asset, day)
        self._ready_at[asset, day] = ready_at(state)
        told = self._catalog.receipts.newest(f"{self._folder}/{FOLDER}/")
        return known if not why_not(state) and ready_at(state) <= now and is_told(state, told) else []

    def _write(self, asset: str, day: int, known: Sequence[Known], now: float) -> str:
        """Write the manifest, unless it is there as it would be; its name."""
        name = day_manifest_name(self._folder, asset, day)
        content = encode_manifest(known)
        digest, held = stored_digest(content), self._catalog.receipts.find(name)
        if held and held.digest == digest:
            there = self._store.look(name)
            if there and same_blob(held, there):
                return name
        etag = replace_blob(self._store, name, content, {"digest": digest})
        receipt = Receipt(name, etag, len(content), digest, digest, len(known), digest, now)
        self._catalog.receipts.record([(None, receipt)])
        return name


class Folder:
    """The owner's part."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def fold(self, days: Iterable[Day]) -> list[str]:
        """Fold the days into their manifests; for each why not, or nothing."""
        return [self._one(*day) for day in days]

    def from_request(self, days: Iterable[Any]) -> list[str]:
        """As asked over the control socket."""
        return self.fold((asset, day, manifest) for asset, day, manifest in days)

    def _one(self, asset: str, day: int, manifest: str) -> str:
        receipt = self._catalog.receipts.find(manifest)
        if receipt is None:
            return "there is no manifest"

        def judge(state: DayState, known: list[Known]) -> str:
            if receipt.digest != stored_digest(encode_manifest(known)):
                return "it has changed since its manifest was written"
            return why_not(state)

        return self._catalog.folded.fold(asset, day, receipt, judge)


class Unfold:
    """Brings days back into the catalog's tables, for the owner, before anything of them changes."""

    def __init__(self, catalog: Catalog, files: ColdFiles) -> None:
        self._catalog = catalog
        self._files = files

    def __call__(self, asset: str, first: int, last: int) -> None:
        """Those of an asset that hours between two, both included, are in. Errors as of `ColdFiles.find`."""
        for day in self._catalog.folded.days(asset, first // HOURS, last // HOURS):
            known = known_in(self._files.manifests.of(day))
            self._catalog.folded.unfold(day, known)
            _log.info("unfolded", asset=asset, day=day.day, files=len(known))
