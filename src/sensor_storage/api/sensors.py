"""Which sensors there are: `/assets` and `/latest`; and `/where` a message is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import quote, unquote

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from sensor_storage.api.parameters import MAX_INT32, MAX_INT64
from sensor_storage.api.query import invalid, nothing_stored
from sensor_storage.model import Series
from sensor_storage.query.queries import Held, NothingStored, Queries
from sensor_storage.query.question import ALL
from sensor_storage.query.tails import LastReading, SensorFacts
from sensor_storage.query.whereabouts import MAX_READINGS, Whereabouts
from sensor_storage.storage.layout import Layout

_PAGE: Final = 1_000
_MAX_PAGE: Final = 10_000
_SEARCH_SECONDS: Final = 2.0
"""A search among very many sensors ends a page after so long, with where to go on."""

_EPOCH = datetime.fromtimestamp(0, UTC)

Names: TypeAlias = Annotated[list[str], Query(description="By name, repeatable; `*` for all.")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=_MAX_PAGE, description="So many at most.")]
After: TypeAlias = Annotated[str | None, Query(description="Go on behind this: `next` of the page before.")]


class Assets(BaseModel):
    """Assets in order of name; `next` is there when there may be more."""

    assets: list[str]
    next: str | None = None


class Latest(BaseModel):
    """The newest reading of a sensor by its own time."""

    asset_id: str
    sensor_name: str
    timestamp: datetime
    age_seconds: float
    value: float | None = None
    text: str | None = None
    unit: str | None = None
    quality: str | None = None
    recent: list[tuple[float, float]] | None = Field(
        default=None,
        description="With `recent`: epoch seconds and value of the newest numbers, oldest first.",
    )


class LatestReadings(BaseModel):
    """The newest reading of each sensor asked for; `next` is there when there may be more sensors."""

    readings: list[Latest]
    next: str | None = None
    warnings: list[str] = Field(
        default=[], description="Files that are damaged; what they hold is missing here."
    )


class Sensor(BaseModel):
    """What there is of a sensor."""

    sensor_name: str
    kind: Literal["number", "text"]
    unit: str | None = None
    first: datetime | None = None
    last: Latest | None = None
    readings: int = Field(description="In hour files.")
    staged: int = Field(description="In staging; some may be in hour files too for a while.")
    usual_interval_seconds: float | None = Field(
        default=None, description="The median time between its newest readings."
    )


class Sensors(BaseModel):
    """The sensors of one asset; `next` is there when there may be more."""

    asset_id: str
    sensors: list[Sensor]
    next: str | None = None


class Place(BaseModel):
    """One reading of a message, and the file it is in."""

    file: str
    asset_id: str
    sensor_name: str
    timestamp: datetime
    value: float | None = None
    index: int = Field(description="Its place in the message.")
    tier: Literal["staging", "local", "cloud"] = Field(description="Where that file is.")


class Fate(BaseModel):
    """What the ledger says of the range of offsets a message is in."""

    fate: Literal["consumed", "gap", "replayed"]
    first_offset: int
    last_offset: int
    reason: str = ""


class Where(BaseModel):
    """What became of a message. `state` is `unknown` when the ledger has not answered for it."""

    state: Literal["stored", "dead letter", "gap", "empty", "unknown"]
    ledger: list[Fate]
    reading_count: int = Field(
        description=f"How many readings it holds; of more than {MAX_READINGS:,} the first are listed."
    )
    readings: list[Place]


def routes(queries: Queries) -> APIRouter:
    """The routes over one data directory."""
    router = APIRouter(tags=["readings"])

    @router.get("/assets")
    def assets(limit: Limit = _PAGE, after: After = None) -> Assets:
        """The assets something is stored of."""
        with queries.look() as now:
            names = list(islice(now.directory.assets(after), limit))
        return Assets(assets=names, next=names[-1] if len(names) == limit else None)

    @router.get("/assets/{asset:path}/sensors")
    def sensors(asset: str, limit: Limit = _PAGE, after: After = None) -> Sensors:
        """An asset's sensors: first and last reading, how many, unit, kind, and how often they come."""
        with queries.look() as now:
            behind = Series(asset, after) if after is not None else None
            series = list(islice(now.directory.series(after=behind, asset=asset), limit))
            if not series and after is None:
                raise nothing_stored(NothingStored(f"nothing is stored of asset {asset}", hint=_NAMES))
            facts = [_sensor(now.tails.facts(one), queries.clock.now()) for one in series]
        return Sensors(
            asset_id=asset, sensors=facts, next=series[-1].sensor if len(series) == limit else None
        )

    @router.get("/latest")
    def latest(
        *,
        asset: Names = [ALL],  # noqa: B006
        sensor: Names = [ALL],  # noqa: B006
        limit: Limit = _PAGE,
        after: After = None,
        contains: Annotated[
            str, Query(description="Only sensors that have each of these words in their asset's or own name.")
        ] = "",
        recent: Annotated[int, Query(ge=0, le=200, description="So many newest readings of each too.")] = 0,
    ) -> LatestReadings:
        """The newest reading of each sensor, and its age; in order of asset and sensor, by pages."""
        behind = _series(after) if after is not None else None
        words = contains.casefold().split()
        found, last = [], None
        with queries.look() as now:
            for one in _wanted(now, asset, sensor, behind):
                now.watch.look()
                last = one
                if _has(one, words):
                    found.append(now.tails.recent(one, recent))
                if len(found) == limit or (words and now.watch.seconds > _SEARCH_SECONDS):
                    break
            else:
                last = None
        moment = queries.clock.now()
        readings = [_latest(newest, moment, some if recent else None) for newest, some in found if newest]
        more = "/".join(quote(name, safe="") for name in last) if last else None
        return LatestReadings(readings=readings, next=more, warnings=now.warnings.texts)

    @router.get("/where")
    def where(
        topic: Annotated[str, Query(description="The message's topic.")],
        partition: Annotated[int, Query(ge=0, le=MAX_INT32)],
        offset: Annotated[int, Query(ge=0, le=MAX_INT64)],
        index: Annotated[
            int | None,
            Query(ge=0, le=MAX_INT32, description="Only the reading at this place in the message."),
        ] = None,
    ) -> Where:
        """In which files the readings of one Kafka message are, and what the ledger says of it."""
        return _where(queries.layout, queries.where(topic, partition, offset, index))

    return router


_NAMES: Final = "names differ by case; /assets lists those there are"


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _wanted(now: Held, assets: list[str], sensors: list[str], after: Series | None) -> Iterator[Series]:
    """The sensors so named behind one, in order; of all of them one at a time."""
    if ALL in assets and ALL in sensors:
        return now.directory.series(after=after)
    return (one for one in now.directory.select(assets, sensors) if after is None or one > after)


def _has(series: Series, words: list[str]) -> bool:
    names = f"{series.asset} {series.sensor}".casefold() if words else ""
    return all(word in names for word in words)


def _series(cursor: str) -> Series:
    asset, slash, sensor = cursor.partition("/")
    if not slash:
        raise invalid("after", "is not a cursor", "give `next` of the page before, as it was")
    return Series(unquote(asset), unquote(sensor))


def _latest(one: LastReading, now: float, recent: list[tuple[int, float]] | None = None) -> Latest:
    return Latest(
        recent=None if recent is None else [(time / 1e6, value) for time, value in recent],
        asset_id=one.series.asset,
        sensor_name=one.series.sensor,
        timestamp=_time(one.timestamp),
        age_seconds=round(now - one.timestamp / 1e6, 3),
        value=one.value,
        text=one.text,
        unit=one.unit,
        quality=one.quality,
    )


def _sensor(facts: SensorFacts, now: float) -> Sensor:
    return Sensor(
        sensor_name=facts.series.sensor,
        kind=facts.kind,
        unit=facts.last.unit if facts.last else None,
        first=_time(facts.first) if facts.first is not None else None,
        last=_latest(facts.last, now) if facts.last else None,
        readings=facts.readings,
        staged=facts.staged,
        usual_interval_seconds=facts.usual_interval / 1e6 if facts.usual_interval is not None else None,
    )


def _tier(layout: Layout, path: Path) -> Literal["staging", "local", "cloud"]:
    if path.parent == layout.staging:
        return "staging"
    return "local" if path.exists() else "cloud"


def _where(layout: Layout, found: Whereabouts) -> Where:
    entries = [
        Fate(fate=one.fate, first_offset=one.start, last_offset=one.stop - 1, reason=one.reason)
        for one in found.entries
    ]
    places = [
        Place(
            file=layout.relative(one.path),
            asset_id=one.series.asset,
            sensor_name=one.series.sensor,
            timestamp=_time(one.timestamp),
            value=one.value,
            index=one.index,
            tier=_tier(layout, one.path),
        )
        for one in found.readings
    ]
    state: Literal["stored", "dead letter", "gap", "empty", "unknown"] = "unknown"
    if places:
        state = "stored"
    elif found.dead_letter:
        state = "dead letter"
    elif any(one.fate == "gap" for one in entries):
        state = "gap"
    elif entries:
        state = "empty"
    return Where(state=state, ledger=entries, reading_count=found.count, readings=places)
