"""The part of Prometheus' HTTP API that Grafana reads by, under `/prometheus/api/v1`: point a data source there.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/. Errors have that API's shape.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.datastructures import MultiDict
from starlette.types import Receive

from sensor_storage.api.leaving import while_waited_for
from sensor_storage.cold.store import Refused
from sensor_storage.errors import DamagedBlob, NoColdStore, SensorStorageError, Transient, Usage
from sensor_storage.query.planner import TooMuch
from sensor_storage.query.promql import (
    NAME,
    Matcher,
    OutsideSubset,
    Result,
    Times,
    Vectors,
    evaluate,
    read_duration,
    selector,
)
from sensor_storage.query.queries import Queries
from sensor_storage.query.steps import StepReader
from sensor_storage.query.times import read_instant
from sensor_storage.query.watch import Watch

LIKE_PROMETHEUS: Final = "2.45.0"
"""Clients are told this version: the API's level they may count on."""

MAX_STEPS: Final = 11_000
_MAX_BODY: Final = 1_000_000
_MAX_SERIES: Final = 10_000
_LABELS: Final = [NAME, "asset_id", "unit"]


_TEXT: Final = {"type": "string"}
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "query": {**_TEXT, "examples": ['temperature{asset_id="press-1"}']},
    "time": {**_TEXT, "description": "Seconds since 1970, or ISO 8601; now, if there is none."},
    "start": {**_TEXT, "description": "Seconds since 1970, or ISO 8601."},
    "end": {**_TEXT, "description": "Likewise; included."},
    "step": {**_TEXT, "description": "Seconds, or a duration such as 1m."},
    "match[]": {"type": "array", "items": _TEXT, "description": "Selectors of sensors."},
    "limit": {**_TEXT, "description": "So many at most."},
    "metric": {**_TEXT, "description": "A sensor's name."},
}
_NEEDED: Final = frozenset({"query", "start", "end", "step"})
_TAKES: Final = {
    "/query": ("query", "time"),
    "/query_range": ("query", "start", "end", "step"),
    "/labels": ("match[]",),
    "/series": ("match[]", "limit"),
    "/metadata": ("metric", "limit"),
}


class Success(BaseModel):
    """What Prometheus answers; what `data` is depends on the address."""

    status: Literal["success"]
    data: Any
    warnings: list[str] = []


class Failure(BaseModel):
    """An error as Prometheus tells it."""

    status: Literal["error"]
    errorType: Literal["bad_data", "execution", "internal", "timeout"]  # noqa: N815 - Prometheus' name
    error: str


_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Failure, "description": words}
    for status, words in (
        (400, "A parameter is wrong."),
        (422, "Outside the subset of PromQL, or too much."),
        (503, "It took too long."),
    )
}

Form: TypeAlias = MultiDict
"""Parameters by name, each as often as it was given."""


async def _given(request: Request) -> Form:
    """The parameters of the address, and those of a form."""
    found = MultiDict(request.query_params.multi_items())
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            break
    for name, value in parse_qsl(body[:_MAX_BODY].decode(errors="replace"), keep_blank_values=True):
        found.append(name, value)
    return found


Given: TypeAlias = Annotated[Form, Depends(_given)]


def routes(queries: Queries) -> APIRouter:
    """The routes over one data directory."""
    router = APIRouter(prefix="/prometheus/api/v1", tags=["Prometheus"])
    for path, methods, make in _ROUTES:
        for method in methods:
            name = f"prometheus_{path.strip('/').split('/')[-1]}_{method.lower()}"
            router.add_api_route(
                path,
                _endpoint(queries, make),
                methods=[method],
                operation_id=name,
                name=name,
                response_model=Success,
                responses=_ERRORS,
                openapi_extra=_described(method, _TAKES.get(path, ())),
            )
    router.add_api_route(
        "/label/{name}/values",
        _label_values(queries),
        methods=["GET"],
        operation_id="prometheus_label_values",
        response_model=Success,
        responses=_ERRORS,
        openapi_extra=_described("GET", ("match[]", "limit")),
    )
    return router


def _described(method: str, names: Sequence[str]) -> dict[str, Any]:
    """What OpenAPI says of the parameters: those of an address, or of a form."""
    needed = [name for name in names if name in _NEEDED]
    if method == "GET":
        listed = [
            {"name": name, "in": "query", "required": name in needed, "schema": _PARAMETERS[name]}
            for name in names
        ]
        return {"parameters": listed}
    schema = {"type": "object", "properties": {name: _PARAMETERS[name] for name in names}, "required": needed}
    return {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


def _endpoint(queries: Queries, make: "Make") -> Callable[..., Awaitable[JSONResponse]]:
    async def endpoint(request: Request, given: Given) -> JSONResponse:
        return await _answer(queries, request.receive, lambda reader: make(reader, given))

    endpoint.__doc__ = make.__doc__
    return endpoint


def _label_values(queries: Queries) -> Callable[..., Awaitable[JSONResponse]]:
    async def endpoint(request: Request, name: str, given: Given) -> JSONResponse:
        """The values of a label, of all sensors or those chosen."""
        return await _answer(queries, request.receive, lambda reader: _values_of(reader, given, name))

    return endpoint


async def _answer(queries: Queries, receive: Receive, make: Callable[[StepReader], object]) -> JSONResponse:
    """What `make` finds, or its error, as Prometheus would say it."""
    watch = Watch(queries.clock, queries.limits.deadline_seconds)
    reader = StepReader(queries, watch)
    try:
        data = await while_waited_for(receive, watch, lambda: make(reader))
    except SensorStorageError as error:
        status, kind = _judged(error)
        text = f"{error.message}; {error.hint}" if error.hint else error.message
        return JSONResponse({"status": "error", "errorType": kind, "error": text}, status)
    warned = {"warnings": reader.warnings} if reader.warnings else {}
    return JSONResponse({"status": "success", "data": data} | warned)


def _query(reader: StepReader, given: Form) -> object:
    """The value of an expression at one time."""
    times = np.array([_time("time", given.get("time"), reader.queries.clock.now())], np.int64)
    return _instant(evaluate(_text(given, "query"), times, 0, reader), times)


def _query_range(reader: StepReader, given: Form) -> object:
    """The values of an expression, step by step."""
    now = reader.queries.clock.now()
    start, end = (_time(name, _text(given, name), now) for name in ("start", "end"))
    step = read_duration(_text(given, "step"))
    if end < start:
        raise Usage("end: it is before the start", hint="give a later end")
    if (end - start) // step >= MAX_STEPS:
        raise Usage(f"step: it makes more than {MAX_STEPS:,} points a series", hint="give a longer step")
    times = np.arange(start, end + 1, step, dtype=np.int64)
    return _matrix(evaluate(_text(given, "query"), times, step, reader), times)


def _labels(reader: StepReader, given: Form) -> object:
    """The names of labels."""
    chosen = _selectors(given)
    return _LABELS if not chosen or any(reader.select(one) for one in chosen) else []


def _values_of(reader: StepReader, given: Form, name: str) -> object:
    chosen: list[tuple[Matcher, ...]] = _selectors(given) or [()]
    limit = _limit(given)
    if name == "unit" or any(one.label == "unit" for matchers in chosen for one in matchers):
        found = {one.get(name, "") for matchers in chosen for one in reader.labels(matchers, limit)}
        return sorted(found - {""})[:limit]
    place = {"asset_id": 0, NAME: 1}.get(name)
    if place is None:
        return []
    return sorted({one[place] for matchers in chosen for one in reader.select(matchers)})[:limit]


def _series(reader: StepReader, given: Form) -> object:
    """The label sets of the sensors chosen."""
    chosen = _selectors(given)
    if not chosen:
        raise Usage("match[]: it is missing", hint='such as match[]={asset_id="press-1"}')
    limit = _limit(given)
    found = [one for matchers in chosen for one in reader.labels(matchers, limit)]
    return list({tuple(one.items()): one for one in found}.values())[:limit]


def _metadata(reader: StepReader, given: Form) -> object:
    """Every sensor's name is a gauge."""
    wanted = [Matcher(NAME, given["metric"])] if given.get("metric") else []
    names = sorted({one.sensor for one in reader.select(wanted)})[: _limit(given)]
    return {name: [{"type": "gauge", "help": "", "unit": ""}] for name in names}


def _build_info(_: StepReader, __: Form) -> object:
    """The version of Prometheus whose API this follows."""
    return {"version": LIKE_PROMETHEUS, "revision": "", "branch": "", "goVersion": ""}


Make: TypeAlias = Callable[[StepReader, Form], object]
_ROUTES: Final[list[tuple[str, list[str], Make]]] = [
    ("/query", ["GET", "POST"], _query),
    ("/query_range", ["GET", "POST"], _query_range),
    ("/labels", ["GET", "POST"], _labels),
    ("/series", ["GET", "POST"], _series),
    ("/metadata", ["GET"], _metadata),
    ("/status/buildinfo", ["GET"], _build_info),
]


def _judged(error: SensorStorageError) -> tuple[int, str]:
    """Status and kind, as Prometheus has them."""
    if isinstance(error, Transient):
        return 503, "timeout"
    if isinstance(error, NoColdStore | DamagedBlob | Refused):
        return 503, "unavailable"
    if isinstance(error, OutsideSubset | TooMuch):
        return 422, "execution"
    if isinstance(error, Usage):
        return 400, "bad_data"
    return 500, "internal"


def _text(given: Form, name: str) -> str:
    value = given.get(name)
    if not value:
        raise Usage(f"{name}: it is missing", hint=f"give {name}=")
    return str(value)


def _time(name: str, text: str | None, now: float) -> int:
    """µs of seconds or of an ISO time; now, if there is none."""
    if not text:
        return round(now * 1_000_000)
    try:
        seconds = float(text)
    except ValueError:
        return read_instant(text, now, UTC)
    if not math.isfinite(seconds) or abs(seconds) > 1e11:  # noqa: PLR2004 - beyond the year 5138 nothing is stored
        raise Usage(f"{name}: {text!a} is no time", hint="seconds since 1970, or ISO 8601")
    return round(seconds * 1_000_000)


def _limit(given: Form) -> int:
    text = given.get("limit") or "0"
    if not text.isdecimal():
        raise Usage(f"limit: {text!a} is no number", hint="a whole number from 0, which is none")
    return min(int(text) or _MAX_SERIES, _MAX_SERIES)


def _selectors(given: Form) -> list[tuple[Matcher, ...]]:
    return [selector(text) for text in given.getlist("match[]")]


def _instant(found: Result, times: Times) -> dict[str, Any]:
    moment = times[0] / 1e6
    if not isinstance(found, Vectors):
        return {"resultType": "scalar", "result": [moment, _number(found)]}
    rows = [
        {"metric": labels, "value": [moment, _number(values[0])]}
        for labels, values in zip(found.labels, found.values, strict=True)
        if not np.isnan(values[0])
    ]
    return {"resultType": "vector", "result": rows}


def _matrix(found: Result, times: Times) -> dict[str, Any]:
    if not isinstance(found, Vectors):
        found = Vectors(({},), np.full((1, len(times)), found))
    rows = []
    for labels, values in zip(found.labels, found.values, strict=True):
        there = ~np.isnan(values)
        if there.any():
            pairs = zip((times[there] / 1e6).tolist(), values[there].tolist(), strict=True)
            rows.append({"metric": labels, "values": [[time, _number(value)] for time, value in pairs]})
    return {"resultType": "matrix", "result": rows}


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))
