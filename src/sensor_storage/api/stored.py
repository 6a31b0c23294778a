"""`/coverage`, `/files` and `/files/content`: which hours there are, where, and what is in a file."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import pyarrow as pa
from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from sensor_storage.aggregation.windows import period_of, period_start
from sensor_storage.api.cold import Proof, proof_of
from sensor_storage.api.errors import Problem
from sensor_storage.api.query import instant, nothing_stored
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.query.formats import MEDIA_TYPES
from sensor_storage.query.queries import NothingStored, Queries
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.file_facts import facts_of
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile

_HOURS: Final = 24
_MAX_DAYS: Final = 366
_PAGE: Final = 200
_NONE, _STAGED, _LOCAL, _CLOUD, _BOTH = ".slcb"

Level: TypeAlias = Literal["raw", "minute", "hour", "day"]
Asset: TypeAlias = Annotated[str, Query(description="By name.")]
Time: TypeAlias = Annotated[str, Query(description="A time in the file, as in /query.")]


class Day(BaseModel):
    """One UTC day of a sensor."""

    day: date
    readings: int = Field(description="In hour files.")
    hours: str = Field(
        description="A letter for each hour: `.` nothing, `s` in staging alone, `l` a file here, `c` in the cold"
        " store alone, `b` both here and there."
    )


class SensorDays(BaseModel):
    """The days of which there is something of a sensor."""

    sensor_name: str
    days: list[Day]


class Coverage(BaseModel):
    """Which hours of an asset's sensors there are, and where; `next` is there when there may be more sensors."""

    asset_id: str
    first_day: date
    last_day: date
    sensors: list[SensorDays]
    next: str | None = None


class StoredFile(BaseModel):
    """What a file says of itself; its digest has been checked."""

    file: str = Field(description="Its path below the data directory, and its name in the cold store.")
    here: bool = Field(description="Is it on this disk?")
    receipt: Proof | None = Field(description="What was uploaded to the cold store under this name.")
    kind: str | None
    rows: int
    size_bytes: int
    digest: str
    format: int | None
    sources: list[str] = Field(description="Offset ranges by topic and partition.")
    columns: dict[str, str]


def routes(queries: Queries) -> APIRouter:
    """The routes over one data directory."""
    router = APIRouter(tags=["files"])
    _coverage_route(router, queries)

    @router.get("/files")
    def file(asset: Asset, sensor: Asset, time: Time, level: Level = "raw") -> StoredFile:
        """What is in one file of the tree: schema, rows, offsets, digest, and its receipt."""
        path = _path(queries, Series(asset, sensor), time, level)
        name = queries.layout.relative(path)
        here = path.exists()
        checked = CheckedFile(_found(queries, path))
        receipt = queries.files.receipt(name)
        facts: dict[str, Any] = facts_of(checked)
        return StoredFile(file=name, here=here, receipt=proof_of(receipt) if receipt else None, **facts)

    @router.get("/files/content", response_class=FileResponse)
    def content(asset: Asset, sensor: Asset, time: Time, level: Level = "raw") -> FileResponse:
        """The file itself, as it is."""
        path = _path(queries, Series(asset, sensor), time, level)
        name = "_".join(path.relative_to(queries.layout.root).parts[1:])
        return FileResponse(_found(queries, path), media_type=MEDIA_TYPES["parquet"], filename=name)

    return router


def _coverage_route(router: APIRouter, queries: Queries) -> None:
    @router.get("/coverage")
    def coverage(
        asset: Asset,
        start: Annotated[str, Query(description="The first day, as a time in it.")] = "-35d",
        end: Annotated[str, Query(description="The last day, likewise.")] = "now",
        limit: Annotated[int, Query(ge=1, le=1_000)] = _PAGE,
        after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    ) -> Coverage:
        """Day by day which hours of an asset's sensors there are: here, in the cold store, or both."""
        now = queries.clock.now()
        first, last = (instant(name, text, now) // _DAY_US for name, text in (("start", start), ("end", end)))
        if not first <= last < first + _MAX_DAYS:
            detail = f"from {start} to {end} is not a time of at most {_MAX_DAYS} days"
            hint = "ask a year at a time, by start and end, with start first"
            raise Problem(
                422, "invalid-request", "The request breaks a rule of this address", detail, hint=hint
            )
        hours = (first * _HOURS, last * _HOURS + _HOURS - 1)
        with queries.look() as held, CatalogView.of(queries.layout) as catalog:
            behind = Series(asset, after) if after is not None else None
            names = [one.sensor for one in islice(held.directory.series(after=behind, asset=asset), limit)]
            if not names and after is None:
                raise nothing_stored(NothingStored(f"nothing is stored of asset {asset}", hint=_NAMES))
            found = {name: _Hours() for name in names}
            for sensor, hour, rows, here, stored in catalog.hours_of_asset(asset, names, *hours):
                found[sensor].filed(hour, rows, here=here, stored=stored)
            for name in names:
                found[name].staged(held.staged.hours(Series(asset, name), *hours))
        return Coverage(
            asset_id=asset,
            first_day=_day(first),
            last_day=_day(last),
            sensors=[SensorDays(sensor_name=name, days=list(one.days())) for name, one in found.items()],
            next=names[-1] if len(names) == limit else None,
        )


class _Hours:
    """What there is of one sensor, hour by hour."""

    def __init__(self) -> None:
        self._letters: dict[int, str] = {}
        self._rows: dict[int, int] = {}

    def filed(self, hour: int, rows: int, *, here: bool, stored: bool) -> None:
        self._letters[hour] = (_BOTH if stored else _LOCAL) if here else _CLOUD
        self._rows[hour] = rows

    def staged(self, hours: Iterable[int]) -> None:
        for hour in hours:
            self._letters.setdefault(hour, _STAGED)

    def days(self) -> Iterator[Day]:
        for day in sorted({hour // _HOURS for hour in self._letters}):
            hours = range(day * _HOURS, (day + 1) * _HOURS)
            yield Day(
                day=_day(day),
                readings=sum(self._rows.get(hour, 0) for hour in hours),
                hours="".join(self._letters.get(hour, _NONE) for hour in hours),
            )


def _path(queries: Queries, series: Series, time: str, level: Level) -> Path:
    """Where the file is by its name; names from outside never are paths."""
    moment = instant("time", time, queries.clock.now())
    layout: Layout = queries.layout
    if level == "raw":
        return layout.hour_file(SensorHour(series, moment // MICROSECONDS_PER_HOUR))
    return layout.aggregate_file(series, level, period_start(level, period_of(level, moment)))


def _found(queries: Queries, path: Path) -> Path:
    try:
        found = queries.files.find(path)
        if found.is_file():
            return found
    except (FileNotFoundError, pa.ArrowException):
        pass
    detail = f"there is no {queries.layout.relative(path)}, here or in the cold store"
    hint = "/coverage lists the hours there are; readings may still be in staging"
    raise Problem(404, "no-such-file", "There is no such file", detail, hint=hint)


def _day(number: int) -> date:
    return (datetime.fromtimestamp(0, UTC) + timedelta(days=number)).date()


_NAMES: Final = "names differ by case; /assets lists those there are"
_DAY_US: Final = MICROSECONDS_PER_HOUR * _HOURS
