"""Around every request: headers that keep a browser safe, bounds of size, number and pace, counts for metrics."""

from asyncio import timeout
from collections import Counter
from threading import Lock
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sensor_storage.api.errors import Problem, answer_of
from sensor_storage.api.rate import RateLimit
from sensor_storage.clock import Clock
from sensor_storage.log import get

MAX_BODY_BYTES: Final = 1_000_000
MAX_AT_ONCE: Final = 32
"""More would only wait for a thread, and hold memory meanwhile."""
STALLED_SECONDS: Final = 20.0
"""Whoever takes nothing of an answer for so long is cut off: slow readers must not keep the places of all."""

_ALWAYS: Final = ("/health", "/metrics")
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
}
_log = get("api")
_HTTPS_ONLY: Final = {"strict-transport-security": "max-age=31536000"}


class Traffic:
    """How many requests were answered, and how."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.answers: Counter[str] = Counter(dict.fromkeys(("2xx", "3xx", "4xx", "5xx"), 0))
        self.seconds = 0.0
        self.at_once = 0

    def answered(self, status: int, seconds: float) -> None:
        """Note one answer."""
        with self._lock:
            self.answers[f"{status // 100}xx"] += 1
            self.seconds += seconds


class Gate:
    """The outermost part of the application."""

    def __init__(
        self,
        app: ASGIApp,
        traffic: Traffic,
        clock: Clock,
        *,
        rate: RateLimit | None = None,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._app = app
        self._rate = rate or RateLimit(0)
        self._stalled_seconds = stalled_seconds
        self._traffic = traffic
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, unless it is too large, too soon or one too many."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, stalled = self._clock.monotonic(), 500, False

        async def guarded(message: Message) -> None:
            nonlocal status, stalled
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, https=scope["scheme"] == "https")
            try:
                async with timeout(self._stalled_seconds):
                    await send(message)
            except TimeoutError:
                stalled = True
                raise

        counted = not scope["path"].startswith(_ALWAYS)
        refusal = self._refusal(scope, counted=counted)
        self._traffic.at_once += counted
        try:
            if refusal:
                await answer_of(refusal)(scope, receive, guarded)
            elif scope["method"] == "HEAD":  # as GET, and only the headers leave
                await self._app({**scope, "method": "GET"}, _bounded(receive), _bodiless(guarded))
            else:
                await self._app(scope, _bounded(receive), guarded)
        except Exception:
            if not stalled:
                raise
            _log.warning("answer_not_taken", path=scope["path"])  # the server cuts the connection off
        finally:
            self._traffic.at_once -= counted
            self._traffic.answered(status, self._clock.monotonic() - began)

    def _refusal(self, scope: Scope, *, counted: bool) -> Problem | None:
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return _too_large()
        if counted and (wait := self._rate.wait_seconds(scope, self._clock.monotonic())):
            return Problem(
                429,
                "too-fast",
                "Too many requests from one client",
                f"a client may ask {self._rate.per_second:g} times a second",
                hint="ask again after the time Retry-After tells, or raise MAX_REQUESTS_PER_SECOND",
                headers={"retry-after": str(wait)},
            )
        if counted and self._traffic.at_once >= MAX_AT_ONCE:
            return Problem(
                503,
                "busy",
                "Too many requests at once",
                f"{MAX_AT_ONCE} requests are being answered",
                hint="ask again in a moment",
                headers={"retry-after": "1"},
            )
        return None


def _bounded(receive: Receive) -> Receive:
    """The request's body, which may have come without a length, up to the bound."""
    got = 0

    async def piece() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return piece


def _bodiless(send: Send) -> Send:
    """Sends what is given, without the bytes of the body."""

    async def headers_alone(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return headers_alone


def _too_large() -> Problem:
    return Problem(
        413,
        "too-large",
        "The request is too large",
        f"a body may have {MAX_BODY_BYTES:,} bytes",
        hint="send less",
    )


def _add_headers(message: Message, *, https: bool) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in {**_HEADERS, **(_HTTPS_ONLY if https else {})}.items():
        headers.setdefault(name, value)
