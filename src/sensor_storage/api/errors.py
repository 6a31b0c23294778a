"""One shape for every error: RFC 9457 problem details, with a `hint` that says what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from sensor_storage.cold.store import Refused
from sensor_storage.errors import DamagedBlob, NoColdStore, Owned, SensorStorageError, Transient, Usage
from sensor_storage.log import get
from sensor_storage.secrecy import without_secrets

PROBLEM_TYPE: Final = "urn:sensor-storage:problem:"
_MEDIA_TYPE: Final = "application/problem+json"
_HINTS: Final = {
    HTTPStatus.NOT_FOUND: "the addresses there are stand at /docs",
    HTTPStatus.METHOD_NOT_ALLOWED: "the header Allow names the methods of this address",
}
_log = get("api")


class ProblemDetails(BaseModel):
    """What every error answers, as RFC 9457 has it. `hint` says what to do; some errors tell more."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Which kind of problem; about:blank where the title says it all.")
    title: str
    status: int
    detail: str
    hint: str = ""


class Problem(Exception):
    """An answer other than the one asked for."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.content: dict[str, object] = {
            "type": PROBLEM_TYPE + kind,
            "title": title,
            "status": status,
            "detail": detail,
            "hint": hint,
            **more,
        }


def problem_responses() -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of errors, for every route."""
    return {
        "default": {
            "description": "Any error, as problem details (RFC 9457).",
            "content": {_MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}},
        }
    }


def install(app: FastAPI) -> None:
    """Let every error of the app answer as problem details."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(SensorStorageError, _on_own)
    app.add_exception_handler(Exception, _on_unexpected)


def answer_of(problem: Problem) -> JSONResponse:
    """The answer that tells it."""
    return _answer(problem.content, problem.headers)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Problem):  # pragma: no cover - registered for nothing else
        raise error
    return answer_of(error)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    detail = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    return _answer(_plain(status, detail, _HINTS.get(status, "")), headers)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"at": ".".join(map(str, one["loc"])), "what": str(one["msg"])} for one in found]
    detail = "; ".join(f"{one['at']}: {one['what']}" for one in errors)
    content = {
        "type": PROBLEM_TYPE + "invalid-request",
        "title": "The request breaks a rule of this address",
        "status": HTTPStatus.UNPROCESSABLE_ENTITY.value,
        "detail": detail,
        "hint": "see /docs for what this address takes",
        "errors": errors,
    }
    return _answer(content, headers={})


async def _on_own(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, SensorStorageError):  # pragma: no cover - registered for nothing else
        raise error
    if isinstance(error, NoColdStore):
        title = "The cold store is not set"
        return answer_of(Problem(503, "no-cold-store", title, error.message, hint=error.hint))
    if isinstance(error, DamagedBlob):
        title = "A blob of the cold store is missing or damaged"
        return answer_of(Problem(503, "damaged-blob", title, error.message, hint=error.hint))
    if isinstance(error, Refused):
        title = "The cold store refuses this"
        return answer_of(Problem(503, "cold-store-refuses", title, error.message, hint=error.hint))
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, Transient | Owned):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    elif isinstance(error, Usage):
        status = HTTPStatus.BAD_REQUEST
    return _answer(_plain(status, error.message, error.hint), headers={})


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("request_broke", method=request.method, path=request.url.path, error=repr(error))
    detail = "the service met an error of its own; nothing was changed by this request"
    return _answer(_plain(HTTPStatus.INTERNAL_SERVER_ERROR, detail, "see the service's log"), headers={})


def _plain(status: HTTPStatus, detail: str, hint: str) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "hint": hint,
    }


def _answer(content: Mapping[str, Any], headers: Mapping[str, str]) -> JSONResponse:
    told = {**content, "detail": without_secrets(content["detail"])}
    return JSONResponse(told, status_code=content["status"], headers=dict(headers), media_type=_MEDIA_TYPE)
