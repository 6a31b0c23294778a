"""What may happen to one sensor-hour around a cleanup, in any order, and the readings an order loses."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import permutations
from pathlib import Path
from shutil import rmtree
from typing import Final, TypeAlias

from sensor_storage.cold.removal import Removal
from support.aggregates import LATER
from support.cold import Plant, directory

MUCH_LATER: Final = LATER + 30 * 86_400
ACTS: Final = ("late", "compact", "aggregate", "upload", "prove", "remove", "crash")
Order: TypeAlias = tuple[str, ...]


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
        """Let it happen; with a plus between them, several acts one after the other."""
        for one in act.split("+"):
            self._act(one)

    def _act(self, act: str) -> None:
        plant = self._plant
        if act == "late":
            self._arrived += [10, 12]
            plant.arrive([10, 12])
        elif act == "compact":
            plant.compact()
        elif act == "aggregate":
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


def orders_of(acts: Sequence[str]) -> list[Order]:
    """Every order of the acts in which a removal comes after its proof."""
    return [order for order in permutations(acts) if order.index("prove") < order.index("remove")]


def losing(root: Path, orders: Iterable[Order]) -> Iterator[Order]:
    """Those of the orders in which a reading is lost."""
    for number, order in enumerate(orders):
        story = Story(root / str(number))
        for act in order:
            story.act(act)
        if story.lost():
            yield order
        rmtree(root / str(number))
