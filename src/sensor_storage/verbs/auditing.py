"""What `verify --cold` does and tells."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field

from sensor_storage.clock import SystemClock
from sensor_storage.cold.audit import MARKS, Audit, Held
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.manifests import is_manifest
from sensor_storage.config import Settings
from sensor_storage.errors import Usage
from sensor_storage.main import build_store
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.verbs.options import Output
from sensor_storage.verbs.stores import no_store

_PROGRESS_BLOBS = 1000


@dataclass(slots=True)
class Audited:
    """How many blobs by mark; how many of them are `bad`, and of how many of those there is no file here either.

    Bad `manifests` are not among the lost: they tell of blobs, and can be done without.
    """

    marks: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    lost: int = 0
    manifests: int = 0

    def summary(self) -> dict[str, int]:
        """As JSON tells it."""
        counts = {"bad": self.bad, "lost": self.lost, "manifests": self.manifests}
        return {**{mark: self.marks[mark] for mark in MARKS}, **counts}

    def verdict(self) -> str:
        """What it comes to, for people; nothing where nothing is wrong."""
        if not self.bad:
            return ""
        here, away = (
            self.bad - self.lost - self.manifests,
            f"{self.lost:,} are not on this disk either: what they held is lost",
        )
        what = f"{self.bad:,} blobs are missing, damaged or differ" + (f", {away}" if self.lost else "")
        hints = ["`sensor-storage verify --repair` brings back what Kafka still has"] if self.lost else []
        hints += [f"{here:,} are whole on this disk"] if here else []
        told = f"{self.manifests:,} are manifests: `sensor-storage rebuild` reads what they tell of itself"
        hints += [told] if self.manifests else []
        return f"{what}; {'; '.join(hints)}."


def audit(output: Output, settings: Settings, layout: Layout, *, full: bool) -> Audited:
    """Hold the receipts against the store; each blob that is not as its receipt says is named."""
    store = build_store(settings)
    if store is None:
        raise no_store(layout)
    if not layout.catalog.exists():
        raise Usage("there is no catalog, so no receipts", hint="sensor-storage restore --rewind, or rebuild")
    audited = Audited()
    files = ColdFiles(layout, store, SystemClock(), settings.cold.cache_bytes)
    with closing(Catalog(layout, read_only=True)) as catalog:
        for number, held in enumerate(Audit(store, catalog, files, Disk(layout.root), full=full).run(), 1):
            audited.marks[held.mark] += 1
            audited.bad += not held.good
            manifest = is_manifest(held.name)
            audited.manifests += not held.good and manifest
            audited.lost += not held.good and not manifest and not (layout.root / held.name).exists()
            _tell(output, held)
            if number % _PROGRESS_BLOBS == 0:
                output.progress({"blobs": number}, f"{number:,} blobs …")
    told = "   ".join(f"{mark} {audited.marks[mark]:,}" for mark in MARKS)
    counts: dict[str, object] = {mark: audited.marks[mark] for mark in MARKS}
    output.item({"kind": "cold", **counts}, f"cold store   {told}")
    return audited


def _tell(output: Output, held: Held) -> None:
    record, text = {"cold": held.mark, **held._asdict()}, f"{held.mark} {held.name}: {held.why}"
    if held.mark == "+":
        output.detail(record, text)
    elif held.mark != "=":
        output.item(record, text)
