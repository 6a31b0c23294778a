"""Every order of what may happen to one sensor-hour around a cleanup: no reading is lost in any.

Compaction and aggregation are one act here; `scripts/cold_proofs.py` has them apart.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sensor_storage.cold.removal import Remover
from sensor_storage.model import SensorHour
from sensor_storage.storage.catalog import Catalog
from support.cold_orders import Order, Story, losing, orders_of

ORDERS = orders_of(("late", "compact+aggregate", "upload", "prove", "remove", "crash"))


@pytest.mark.parametrize("first", sorted({order[:2] for order in ORDERS}), ids="-then-".join)
def test_no_order_loses_a_reading(tmp_path: Path, first: Order) -> None:
    orders = [order for order in ORDERS if order[:2] == first]
    assert orders
    assert list(losing(tmp_path, orders)) == []


def test_without_the_second_look_under_the_owners_lock_an_order_loses_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remover, "_why_not", lambda *_: "")
    order = next(losing(tmp_path, ORDERS))
    assert order.index("prove") < order.index("remove")
    assert order.index("late") < order.index("remove")


def test_a_compaction_between_the_owners_look_and_its_removal_would_lose_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nothing but the owner's one thread keeps from happening."""
    story, mark = Story(tmp_path), Catalog.mark_cold

    def amid(catalog: Catalog, hours: Sequence[SensorHour]) -> None:
        if hours:
            story.act("late+compact")
        mark(catalog, hours)

    monkeypatch.setattr(Catalog, "mark_cold", amid)
    story.act("prove")
    story.act("remove")
    assert story.lost() == [10, 12]
