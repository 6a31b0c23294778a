"""The owner's part of repair: damaged files out of the way, never deleted: below `damaged/`, by the path they had.

It runs on the thread that compacts and aggregates, so nothing is merging the file meanwhile. The catalog is told
first: of what is lacking it never says that it is here.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sensor_storage.errors import Usage
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout

Moved = tuple[Path, Path]
"""Where a file was, and where it is now."""


class Hurt(NamedTuple):
    """A damaged file; and which sensor-hour it was of, if the catalog knows it, for the file cannot be asked."""

    path: Path
    hour: SensorHour | None = None


class SetAside:
    """Moves damaged files of one data directory, for its owner; `catalog` is None where there is no sound one.

    `unfold` puts what is known of an asset's hours back into the catalog's tables, where their day is folded.
    """

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        catalog: Catalog | None,
        unfold: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._catalog = catalog
        self._unfold = unfold

    def move(self, files: Iterable[Hurt]) -> list[Moved]:
        """Move the files, those that are there."""
        moved = []
        for path, hour in files:
            if not path.is_file():
                continue
            if self._catalog and hour and self._layout.hour_file(hour) == path:
                self._miss(self._catalog, hour, path)
            target = _free(self._layout.damaged / path.relative_to(self._layout.root))
            self._disk.move(path, target)
            moved.append((path, target))
        return moved

    def forget(self, hours: Iterable[SensorHour]) -> None:
        """What was in the cold store alone and is lost there: the catalog names it no more, as if nobody had it."""
        if self._catalog:
            lost = [hour for hour in hours if self._catalog.is_cold(hour)]
            lost = [hour for hour in lost if not self._layout.hour_file(hour).exists()]
            for hour in lost:
                self._unfold(hour.series.asset, hour.hour, hour.hour)
            self._catalog.receipts.distrust(self._layout.hour_name(hour) for hour in lost)
            self._catalog.forget(lost)

    def from_request(self, files: Iterable[Any]) -> list[tuple[str, str]]:
        """As asked over the control socket, with paths from the data directory on."""
        moved = self.move([self._hurt(*file) for file in files])
        return [(self._layout.relative(path), self._layout.relative(target)) for path, target in moved]

    def _hurt(self, where: str, hour: Sequence[Any] | None) -> Hurt:
        path = self._layout.root / where
        if ".." in path.parts or self._layout.root not in path.parents:
            raise Usage(f"{where!a} is not a file of this directory")
        return Hurt(path, SensorHour(Series(hour[0], hour[1]), hour[2]) if hour else None)

    def _miss(self, catalog: Catalog, hour: SensorHour, path: Path) -> None:
        """Where the cold store has what the file held, it is there alone from now on; else nobody has it."""
        known = catalog.find(hour)
        receipt = catalog.receipts.find(self._layout.relative(path))
        if known and receipt and receipt.local_digest == known.digest:
            catalog.mark_cold([hour])
        else:
            catalog.forget([hour])


def hurt_files(catalog: Catalog | None, paths: Sequence[Path]) -> list[Hurt]:
    """The files with what the catalog knows of them."""
    wanted = set(paths)
    hours = {entry.path: entry.key for entry, _ in catalog.files() if entry.path in wanted} if catalog else {}
    return [Hurt(path, hours.get(path)) for path in paths]


def _free(path: Path) -> Path:
    """The path, or the first of its numbered siblings that nothing has."""
    names = itertools.chain(
        [path], (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    )
    return next(name for name in names if not name.exists())
