"""`/query`: raw readings or windows, as JSON, CSV, Arrow or Parquet."""

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Annotated, Final, TypeVar, get_args

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from sensor_storage.api.errors import Problem
from sensor_storage.api.leaving import WatchedStream, while_waited_for
from sensor_storage.errors import Damaged, Usage
from sensor_storage.query.formats import MEDIA_TYPES, Format, encode
from sensor_storage.query.planner import TooMuch
from sensor_storage.query.queries import Answer, NothingStored, Queries
from sensor_storage.query.question import ALL, Asked, Interval, Question
from sensor_storage.query.times import as_text, read_instant, read_zone
from sensor_storage.query.watch import Cancelled, Watch

_T = TypeVar("_T")
_CLIENT_LEFT: Final = 499
"""Nobody is there to read it; it counts as a 4xx."""

_WARNINGS_IN_HEADER: Final = 10


class QueryParameters(BaseModel):
    """What `/query` takes."""

    asset: list[str] = Field(default=[ALL], description="By name, repeatable; `*` for all.")
    sensor: list[str] = Field(default=[ALL], description="By name, repeatable; `*` for all.")
    start: str = Field(default="-1h", description="ISO 8601, epoch number, or relative to now, such as -6h.")
    end: str = Field(default="now", description="Likewise; not included.")
    resolution: Asked = Field(default="auto", description="auto is the finest within max_points.")
    max_points: int | None = Field(
        default=None, ge=8, le=1_000_000, description="Of a sensor; raw readings are thinned to it by M4."
    )
    tz: str = Field(default="UTC", description="Time zone of days, and of times without an offset.")
    addresses: bool = Field(default=False, description="Raw readings with their Kafka address.")
    fields: list[str] = Field(
        default=[],
        description="Columns wanted beside names and time, repeatable or with commas; all if none.",
    )
    format: Format | None = Field(default=None, description="In place of the header Accept.")

    def question(self, now: float) -> Question:
        """The question asked. A problem that names the parameter where one can't be understood."""
        zone = _read("tz", lambda: read_zone(self.tz))
        start = _read("start", lambda: read_instant(self.start, now, zone))
        end = _read("end", lambda: read_instant(self.end, now, zone))
        if end <= start:
            detail = f"{as_text(end)} is not after the start, {as_text(start)}"
            raise invalid("end", detail, "give a later end, or an earlier start")
        assets, sensors = tuple(self.asset), tuple(self.sensor)
        return Question(
            assets=assets,
            sensors=sensors,
            interval=Interval(start, end),
            resolution=self.resolution,
            max_points=self.max_points,
            zone=zone,
            addresses=self.addresses,
            fields=tuple(name for item in self.fields for name in item.split(",") if name),
        )


def routes(queries: Queries) -> APIRouter:
    """The route over one data directory."""
    router = APIRouter(tags=["readings"])

    @router.get(
        "/query",
        response_class=Response,
        responses={
            200: {
                "description": "The rows, as JSON, CSV, Arrow IPC stream or Parquet.",
                "content": {media.split(";")[0]: {} for media in MEDIA_TYPES.values()},
            },
            304: {"description": "Nothing has changed since the answer with that ETag."},
        },
    )
    async def query(request: Request, asked: Annotated[QueryParameters, Query()]) -> Response:
        """Raw readings or windows of any sensors, in order of asset, sensor and time."""
        watch = Watch(queries.clock, queries.limits.deadline_seconds)
        try:
            return await while_waited_for(
                request.receive, watch, lambda: _answered(queries, asked, request.headers, watch)
            )
        except Cancelled:
            return Response(status_code=_CLIENT_LEFT)

    return router


def _answered(queries: Queries, asked: QueryParameters, given: Headers, watch: Watch) -> Response:
    form = asked.format or accepted(given.get("accept", "*/*"))
    question = asked.question(queries.clock.now())
    tag = queries.tag(question)
    headers = {"vary": "Accept, Accept-Encoding", "cache-control": "no-cache"}
    if tag:
        headers["etag"] = f'W/"{tag}-{form}"'
        if headers["etag"] in given.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
    try:
        answer = queries.answer(question, watch)
    except NothingStored as error:
        raise nothing_stored(error) from error
    except TooMuch as error:
        raise Problem(
            413, "too-much", "The answer would be too large", error.message, hint=error.hint
        ) from error
    except Usage as error:
        raise invalid("fields", error.message, error.hint) from error
    return _streamed(answer, form, headers)


def accepted(accept: str) -> Format:
    """The format a header Accept asks for: the first it names that there is; JSON for anything."""
    for part in accept.split(","):
        media = part.split(";")[0].strip().lower()
        for form in get_args(Format):
            if media == MEDIA_TYPES[form].split(";")[0]:
                found: Format = form
                return found
        if media in {"*/*", "application/*", "text/html", ""}:
            return "json"
    raise Problem(
        406,
        "not-acceptable",
        "There is no answer of that kind",
        f"Accept: {accept} names none of the formats there are",
        hint=f"ask for one of {', '.join(dict.fromkeys(MEDIA_TYPES.values()))}, or set format=",
    )


def _streamed(answer: Answer, form: Format, headers: dict[str, str]) -> Response:
    """The first piece is made before anything is sent, so that its errors are problems with a status."""
    headers["sensor-storage-resolution"] = answer.plan.resolution
    answer.begin()
    if answer.thinned_by:
        headers["sensor-storage-thinned-by"] = answer.thinned_by
    if form in {"csv", "parquet"}:
        headers["content-disposition"] = f'attachment; filename="readings.{form}"'
    told: list[int] = []
    tables = answer.tables if form == "json" else _as_told(answer, told)
    pieces = filter(None, encode(form, answer.schema, tables, answer.meta, answer.end))
    first = next(pieces, b"")
    told.append(answer.sources.warnings.lacking)
    if answer.warnings:
        headers.pop("etag", None)
        more = len(answer.warnings) - _WARNINGS_IN_HEADER
        texts = answer.warnings[:_WARNINGS_IN_HEADER] + ([f"and {more} more"] if more > 0 else [])
        headers["sensor-storage-warnings"] = json.dumps(texts)
    return WatchedStream(chain([first], pieces), answer.watch, media_type=MEDIA_TYPES[form], headers=headers)


def _as_told(answer: Answer, told: list[int]) -> Iterator[pa.Table]:
    """The tables, as long as no more readings turn out to be lacking than the header has told of."""
    warnings = answer.sources.warnings

    def check() -> None:
        if told and warnings.lacking > told[0]:
            raise Damaged(warnings.texts[-1], hint="asked again, the answer says so and goes on")

    for table in answer.tables:
        check()
        yield table
    check()


def nothing_stored(error: NothingStored) -> Problem:
    """The answer where nobody knows the names."""
    return Problem(404, "nothing-stored", "Nothing is stored of that", error.message, hint=error.hint)


def invalid(name: str, detail: str, hint: str) -> Problem:
    """The answer where a parameter can't be understood."""
    return Problem(
        422,
        "invalid-request",
        "The request breaks a rule of this address",
        f"{name}: {detail}",
        hint=hint,
        parameter=name,
    )


def instant(name: str, text: str, now: float) -> int:
    """The time a parameter means, in µs since 1970."""
    return _read(name, lambda: read_instant(text, now, read_zone("UTC")))


def _read(name: str, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except Usage as error:
        raise invalid(name, error.message, error.hint) from error
