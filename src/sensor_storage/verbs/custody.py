"""Whoever may change the directory: this process while no service runs on it, else the service, which is asked."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from sensor_storage.config import Settings
from sensor_storage.errors import Owned, SensorStorageError
from sensor_storage.main import build_unfold
from sensor_storage.model import SensorHour
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import alone, have_done, own
from sensor_storage.storage.set_aside import Moved, SetAside, hurt_files
from sensor_storage.verbs.aggregate import ask_to_aggregate, make_due
from sensor_storage.verbs.compact import put_in_place
from sensor_storage.verbs.options import Output
from sensor_storage.verbs.rebuild import make_catalog

_FILES_AT_ONCE = 100


class Custody(Protocol):
    """What a repair needs done by the one process that may do it."""

    def set_aside(self, paths: Sequence[Path]) -> list[Moved]:
        """Move damaged files out of the way; a catalog among them is made again."""
        ...

    def forget(self, hours: Sequence[SensorHour]) -> None:
        """Name hours no more that were in the cold store alone and are lost there."""
        ...

    def compact(self) -> None:
        """Put everything staged in its place."""
        ...

    def aggregate(self, *, again: bool) -> None:
        """Make the aggregates that are due, or all of them again."""
        ...


@contextmanager
def custody(output: Output, settings: Settings, layout: Layout) -> Iterator[Custody]:
    """The directory's owner, for one repair at a time. Owned when the service does not answer."""
    with alone(layout, "repair"):
        try:
            lock = own(layout)
        except Owned:
            output.note("a service runs on this directory; asking it for what is its own to do")
            yield _Service(output, layout)
            return
        with lock:
            Disk(layout.root).clear_aside()
            yield _Self(output, settings, layout)


class _Self:
    """This process owns the directory."""

    def __init__(self, output: Output, settings: Settings, layout: Layout) -> None:
        self._output = output
        self._settings = settings
        self._layout = layout
        if not layout.catalog.exists():
            make_catalog(output, settings, layout)

    def set_aside(self, paths: Sequence[Path]) -> list[Moved]:
        """Move them."""
        disk = Disk(self._layout.root)
        if self._layout.catalog in paths:
            moved = SetAside(self._layout, disk, None).move(hurt_files(None, paths))
            make_catalog(self._output, self._settings, self._layout)
            return moved
        with closing(Catalog(self._layout)) as catalog:
            return SetAside(self._layout, disk, catalog).move(hurt_files(catalog, paths))

    def forget(self, hours: Sequence[SensorHour]) -> None:
        """Forget them."""
        with closing(Catalog(self._layout)) as catalog:
            unfold = build_unfold(self._settings, self._layout, catalog)
            SetAside(self._layout, Disk(self._layout.root), catalog, unfold).forget(hours)

    def compact(self) -> None:
        """As the service's `flush`."""
        with closing(Catalog(self._layout)) as catalog:
            put_in_place(self._settings, self._layout, catalog)

    def aggregate(self, *, again: bool) -> None:
        """In rounds, until none is due."""
        make_due(self._output, self._settings, self._layout, again=again)


class _Service:
    """A service owns the directory."""

    def __init__(self, output: Output, layout: Layout) -> None:
        self._output = output
        self._layout = layout

    def set_aside(self, paths: Sequence[Path]) -> list[Moved]:
        """Ask it to; a catalog that it has open it cannot make again."""
        if self._layout.catalog in paths or not self._layout.catalog.exists():
            raise SensorStorageError(
                f"{self._layout.catalog} is damaged, and the service has it open",
                hint="stop the service, run `sensor-storage verify --repair`, and start it again",
            )
        with closing(Catalog(self._layout, read_only=True)) as catalog:
            files = hurt_files(catalog, paths)
        root, moved = self._layout.root, list[Moved]()
        asked = [
            (self._layout.relative(path), (*hour.series, hour.hour) if hour else None) for path, hour in files
        ]
        for start in range(0, len(asked), _FILES_AT_ONCE):
            some = asked[start : start + _FILES_AT_ONCE]
            done = have_done(self._layout, "maintain", "set_aside", "set damaged files aside", files=some)
            moved += [(root / was, root / now) for was, now in done["moved"]]
        return moved

    def forget(self, hours: Sequence[SensorHour]) -> None:
        """Ask it to."""
        asked = [(*hour.series, hour.hour) for hour in hours]
        for start in range(0, len(asked), _FILES_AT_ONCE):
            some = asked[start : start + _FILES_AT_ONCE]
            have_done(self._layout, "maintain", "forget", "forget what is lost in the cold store", hours=some)

    def compact(self) -> None:
        """Ask it to flush."""
        have_done(self._layout, "maintain", "flush", "compact")

    def aggregate(self, *, again: bool) -> None:
        """Ask it for round after round."""
        ask_to_aggregate(self._output, self._layout, again=again)
