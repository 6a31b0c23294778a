"""The owner's part of cleanup: remove a file whose proof somebody brings, or say why not.

It runs on the thread that compacts and aggregates, so no file changes between the last look at it and its
removal. The catalog is told first: a death between leaves a file that is still there, never one that is missed.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sensor_storage.aggregation.windows import period_start
from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.aggregate_catalog import AggregateFile
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.digests import file_digest
from sensor_storage.storage.durable import Disk, prune_folders
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.receipts import Level
from sensor_storage.storage.staging import Staging


class Removal(NamedTuple):
    """A file that may go, if its digest is still this one."""

    level: Level
    asset: str
    sensor: str
    period: int
    digest: str

    @property
    def key(self) -> SensorHour:
        """The sensor-hour of a raw file."""
        return SensorHour(Series(self.asset, self.sensor), self.period)


class Remover:
    """Removes files of one data directory, for its owner."""

    def __init__(
        self, layout: Layout, disk: Disk, catalog: Catalog, staging: Staging, *, without_upload: bool = False
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._catalog = catalog
        self._staging = staging
        self._without_upload = without_upload

    def remove(self, removals: Sequence[Removal]) -> dict[str, str]:
        """Remove the files; by name why one was not."""
        self._staging.refresh()
        waiting = self._waiting()
        kept: dict[str, str] = {}
        going: list[Removal] = []
        for item in removals:
            path = self._path(item)
            why = self._why_not(item, waiting)
            if why:
                kept[self._layout.relative(path)] = why
            else:
                going.append(item)
        raw = [item.key for item in going if item.level == "raw"]
        made = [
            AggregateFile(item.key.series, item.level, item.period, 0)
            for item in going
            if item.level != "raw"
        ]
        if self._without_upload:
            self._catalog.forget(raw)
            self._catalog.aggregates.forget_files(made)
        else:
            self._catalog.mark_cold(raw)
            self._catalog.aggregates.mark_cold(made)
        paths = [self._path(item) for item in going]
        self._disk.remove(paths)
        for item, path in zip(going, paths, strict=True):
            prune_folders(path.parent, self._layout.raw if item.level == "raw" else self._layout.aggregated)
        return kept

    def from_request(self, files: Iterable[Any]) -> dict[str, str]:
        """As asked over the control socket."""
        return self.remove([Removal(*file) for file in files])

    def _why_not(self, item: Removal, waiting: set[SensorHour] | None) -> str:
        if waiting is None:
            return "staging is not fully looked at"
        if item.level == "raw" and item.key in waiting:
            return "rows wait for it in staging"
        try:
            if file_digest(self._path(item)) != item.digest:
                return "changed since its upload"
        except FileNotFoundError:
            return "gone already"
        except Damaged:
            return "damaged here"
        return ""

    def _waiting(self) -> set[SensorHour] | None:
        """The sensor-hours some staged file holds rows of, whether or not their file has them already."""
        if not self._staging.complete or self._staging.damaged:
            return None
        keys = [np.empty(0, np.int64), *(file.keys for file in self._staging.live)]
        return {self._staging.keys.sensor_hour(key) for key in np.unique(np.concatenate(keys)).tolist()}

    def _path(self, item: Removal) -> Any:  # noqa: ANN401 - a path
        if item.level == "raw":
            return self._layout.hour_file(item.key)
        return self._layout.aggregate_file(item.key.series, item.level, period_start(item.level, item.period))
