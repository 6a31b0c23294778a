"""Every order of what may happen to one sensor-hour around a cleanup: no reading is lost in any."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest

from sensor_storage.cold.removal import Removal, Remover
from support.aggregates import LATER
from support.cold import Plant, directory

MUCH_LATER = LATER + 30 * 86_400
ACTS = ("late", "compact", "upload", "prove", "remove", "crash")


class Story:
    """One sensor-hour, uploaded, and what happens to it then; cleanup is cut between its proof and the removal."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = directory(root)
        self._plant = Plant(root / "data", self._store)
        self._arrived = list(range(0, 10, 2))
        self._proven: list[Removal] = []
        self._plant.arrive(self._arrived)
        self._plant.all_stages()

    def act(self, act: str) -> None:
        """Let it happen."""
        plant = self._plant
        if act == "late":
            self._arrived += [10, 12]
            plant.arrive([10, 12])
        elif act == "compact":
            plant.compact()
            plant.aggregate()
        elif act == "upload":
            plant.upload_now()
        elif act == "prove":
            cleaner = plant.cleaner()
            cleaner._remove = self._note
            cleaner.run_once(MUCH_LATER)
        elif act == "remove":
            plant.remover.remove(self._proven)
        else:
            plant.close()
            self._plant = Plant(self._root / "data", self._store)

    def _note(self, removals: Sequence[Removal]) -> dict[str, str]:
        self._proven += removals
        return {}

    def lost(self) -> list[int]:
        """The readings nobody finds any more, now and when all stages have run again."""
        with closing(self._plant) as plant:
            now = set(self._arrived) - set(plant.offsets())
            plant.all_stages()
            return sorted(now | (set(self._arrived) - set(plant.offsets())))


ORDERS = [order for order in permutations(ACTS) if order.index("prove") < order.index("remove")]


def losing_orders(root: Path, orders: Iterable[tuple[str, ...]], *, most: int) -> list[tuple[str, ...]]:
    """Those of the orders in which a reading is lost, up to so many."""
    found: list[tuple[str, ...]] = []
    for number, order in enumerate(orders):
        story = Story(root / str(number))
        for act in order:
            story.act(act)
        if story.lost():
            found.append(order)
            if len(found) == most:
                break
    return found


@pytest.mark.parametrize("first", sorted({order[:2] for order in ORDERS}), ids="-then-".join)
def test_no_order_loses_a_reading(tmp_path: Path, first: tuple[str, ...]) -> None:
    orders = [order for order in ORDERS if order[:2] == first]
    assert orders
    assert losing_orders(tmp_path, orders, most=3) == []


def test_without_the_second_look_under_the_owners_lock_an_order_loses_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remover, "_why_not", lambda *_: "")
    (order,) = losing_orders(tmp_path, ORDERS, most=1)
    assert order.index("prove") < order.index("remove")
    assert order.index("late") < order.index("remove")
