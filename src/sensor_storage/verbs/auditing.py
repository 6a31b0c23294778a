"""What `verify --cold` does and tells."""

from collections import Counter
from contextlib import closing

from sensor_storage.cold.audit import MARKS, Audit
from sensor_storage.config import Settings
from sensor_storage.errors import Usage
from sensor_storage.main import build_store
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.verbs.options import Output

_PROGRESS_BLOBS = 1000


def audit(output: Output, settings: Settings, layout: Layout, *, full: bool) -> dict[str, int]:
    """Hold the receipts against the store; by mark how many, and how many of those are `bad`."""
    store = build_store(settings)
    if store is None:
        raise Usage("no cold store is set", hint="set COLD_STORE_URL or AZURE_STORAGE_ACCOUNT")
    if not layout.catalog.exists():
        raise Usage("there is no catalog, so no receipts", hint="sensor-storage restore --rewind, or rebuild")
    counts: Counter[str] = Counter()
    with closing(Catalog(layout, read_only=True)) as catalog:
        for number, held in enumerate(Audit(store, catalog.receipts, Disk(layout.root), full=full).run(), 1):
            counts[held.mark] += 1
            counts["bad"] += not held.good
            if held.mark not in "=+":
                output.item({"cold": held.mark, **held._asdict()}, f"{held.mark} {held.name}: {held.why}")
            if number % _PROGRESS_BLOBS == 0:
                output.progress({"blobs": number}, f"{number:,} blobs …")
    told = "   ".join(f"{mark} {counts[mark]:,}" for mark in MARKS)
    output.item({"kind": "cold", **{mark: counts[mark] for mark in MARKS}}, f"cold store   {told}")
    return {**{mark: counts[mark] for mark in MARKS}, "bad": counts["bad"]}
