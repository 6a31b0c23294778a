"""Requests nobody would write, made by Schemathesis from the API's own description, and what may be answered."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from requests.structures import CaseInsensitiveDict
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sensor_storage.api.app import create_app
from sensor_storage.api.keys import KeyRing, line_of, new_key
from sensor_storage.clock import ManualClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from support.statuses import NOW, tell_all_well
from support.trees import HOUR, compactor, readings_of, stage
from support.workers import FLUSHED, worker_that_answers

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
CALLERS = ("anybody", "nobody", "reader", "limited", "admin")
_KEYS = {name: new_key() for name in ("reader", "limited", "admin")}
_NAMES = {"asset": "press-1", "sensor": "temperature"}


@contextmanager
def furnished(folder: Path) -> Iterator[Callable[[str], tuple[FastAPI, Mapping[str, str]]]]:
    """An application over hour files, staged readings and a cold store, by who calls; with the caller's headers."""
    layout, clock = Layout(folder / "raw"), ManualClock(NOW)
    (folder / "cold").mkdir(parents=True)
    for number, asset in enumerate(("press-1", "press-2")):
        offsets = range(number * 100, number * 100 + 100)
        series = [Series(asset, "temperature"), Series(asset, "state")]
        stage(
            layout,
            readings_of(offsets, series=series, hour=HOUR - 1),
            number=number,
            start=offsets.start,
            stop=offsets.stop,
        )
        if number == 0:
            compactor(layout).run_once(NOW + 7200, NOW + 7200, flush=True)
    tell_all_well(layout)
    ring = ";".join(
        (
            line_of("reader", "read", _KEYS["reader"]),
            line_of("limited", "read", _KEYS["limited"], ["press-*"]),
            line_of("admin", "admin", _KEYS["admin"]),
        )
    )

    def make(caller: str) -> tuple[FastAPI, Mapping[str, str]]:
        keys = None if caller == "anybody" else KeyRing(clock, ring)
        headers = {"authorization": f"Bearer {_KEYS[caller]}"} if caller in _KEYS else {}
        return create_app(layout, clock, keys=keys, store=DirectoryStore(folder / "cold")), headers

    with ExitStack() as stack:
        for worker in ("maintain", "cold"):
            stack.enter_context(worker_that_answers(layout, worker, lambda _: FLUSHED))
        yield make


def ask_everything(app: FastAPI, headers: Mapping[str, str], examples: int, number: int) -> Counter[int]:
    """Ask every operation so often, half as described and half not; how often each status came.

    Fails on a 5xx, an answer that is not described, and one that is not as described.
    """
    statuses: Counter[int] = Counter()
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not _takes_anything(operation):
                continue

            @seed(number)
            @settings(
                max_examples=max(1, examples // 2),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case[Any]) -> None:
                for name, value in _NAMES.items():
                    if name in (case.query or {}) and len(str(case.query)) % 2:
                        case.query[name] = value
                case.headers = CaseInsensitiveDict(headers)
                answer = case.call()
                statuses[answer.status_code] += 1
                case.validate_response(answer, checks=CHECKS)

            ask()
    return statuses


def _takes_anything(operation: object) -> bool:
    return any(
        list(getattr(operation, kind)) for kind in ("path_parameters", "query", "headers", "cookies", "body")
    )
