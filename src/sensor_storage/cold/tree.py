"""A cold store as a directory of which every file is there: a catalog of what it has, for those who only read."""

from contextlib import closing

from sensor_storage.cold.inventory import Inventoried, Inventory
from sensor_storage.cold.store import ColdStore
from sensor_storage.model import Series
from sensor_storage.storage.aggregate_catalog import Spanned
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.known import Known
from sensor_storage.storage.layout import Layout


def learn(layout: Layout, store: ColdStore, now: float) -> list[str]:
    """Make the catalog of an empty directory: the store's files as they are now, whichever service uploaded them.

    Gives what an answer has to warn of. An hour whose minutes were made of other readings than its blob holds is
    due, so that it is read from those.
    """
    disk, done = Disk(layout.root), Inventoried()
    layout.raw.mkdir(parents=True, exist_ok=True)
    found = list(Inventory(layout, disk, store).of_all(done, now))
    with closing(Catalog(layout)) as catalog:
        catalog.known.take(found)
        catalog.aggregates.mark_due(_stale(found))
    return [f"{name} is damaged; what it holds is missing here: {why}" for name, why in done.damaged.items()]


def _stale(found: list[Known]) -> list[Spanned]:
    contents: dict[tuple[Series, int], str] = {
        (one.series, one.period): one.receipt.content for one in found if one.level == "raw"
    }
    return [
        Spanned(one.series, "hour", one.period)
        for one in found
        if one.level == "minute" and one.source != contents.get((one.series, one.period), one.source)
    ]
