"""Which sensors there are: by the catalog, and by what is staged."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from heapq import merge
from itertools import groupby
from typing import TypeVar

from sensor_storage.model import Series
from sensor_storage.query.allowed import allowed
from sensor_storage.query.question import ALL
from sensor_storage.query.staged import HeldStaging
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.layout import Layout

_T = TypeVar("_T")


class Directory:
    """The sensors of one data directory at one moment, as far as whoever asks may know them."""

    def __init__(self, layout: Layout, catalog: CatalogView, held: HeldStaging) -> None:
        self._layout = layout
        self._catalog = catalog
        self._held = held
        self._allowed = allowed()

    @cached_property
    def _staged(self) -> list[Series]:
        return self._held.series()

    def assets(self, after: str | None = None) -> Iterator[str]:
        """The assets behind this one, in order."""
        staged = (one.asset for one in self._staged if after is None or one.asset > after)
        yield from filter(self._allowed, _once(merge(self._catalog.assets(after), staged)))

    def sensors(self, asset: str) -> Iterator[str]:
        """The sensors of an asset, in order."""
        return (one.sensor for one in self.series(asset=asset))

    def series(self, *, after: Series | None = None, asset: str | None = None) -> Iterator[Series]:
        """The sensors behind this one, of one asset or all, in order."""
        staged = (
            one
            for one in self._staged
            if (after is None or one > after) and (asset is None or one.asset == asset)
        )
        if asset is None or self._allowed(asset):
            found = _once(merge(self._catalog.series(after, asset), staged))
            yield from (one for one in found if asset is not None or self._allowed(one.asset))

    def select(self, assets: Iterable[str], sensors: Iterable[str]) -> list[Series]:
        """Every sensor so named, in order; `*` stands for all. Whoever is named needs no catalog to be found."""
        assets, sensors = set(assets), set(sensors)
        if ALL in assets and ALL in sensors:
            return list(self.series())
        found: set[Series] = set()
        for asset in self.assets() if ALL in assets else assets:
            if ALL in sensors:
                found.update(self.series(asset=asset))
            else:
                found.update(series for sensor in sensors if self.has(series := Series(asset, sensor)))
        return sorted(found)

    def has(self, series: Series) -> bool:
        """Is anything stored of it, by catalog or staging? An asset that has files the catalog lacks may have."""
        return self._allowed(series.asset) and (
            self._catalog.has(series) or self._held.has(series) or self._uncatalogued(series.asset)
        )

    def _uncatalogued(self, asset: str) -> bool:
        return (
            self._layout.asset_folder(asset).is_dir()
            and next(self._catalog.series(asset=asset), None) is None
        )


def _once(items: Iterable[_T]) -> Iterator[_T]:
    return (item for item, _ in groupby(items))
