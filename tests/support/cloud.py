"""Azurite with a line before it that fails as told: refusals, throttling, lost answers, bodies cut half-way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sensor_storage.demo.azurite import ACCOUNT, Azurite


class Asked(NamedTuple):
    """A request as it came, with the number it has, and the tier it asks for."""

    number: int
    method: str
    path: str
    tier: str | None = None

    @property
    def writes(self) -> bool:
        return self.method == "PUT"


@dataclass(frozen=True)
class Answer:
    """What is answered in the store's place, without asking it."""

    status: int
    code: str
    headers: dict[str, str] = field(default_factory=dict)


Cut: TypeAlias = Literal["in the request", "before the answer", "in the answer"]
"""Where the line breaks: the store has half the body; it has done what was asked; half of what it says has come."""

Fault: TypeAlias = Callable[[Asked], Answer | Cut | None]

SLOW_DOWN: Final = Answer(503, "ServerBusy", {"Retry-After": "1"})
TOO_MANY: Final = Answer(429, "TooManyRequests", {"Retry-After": "1"})
CLOCK_SKEW: Final = Answer(403, "AuthenticationFailed")
FORBIDDEN: Final = Answer(403, "AuthorizationFailure")


def good(_: Asked) -> None:
    """Nothing is wrong."""


class Line:
    """The line: `fault` says what becomes of each request, `asked` has them all.

    `at_half` is called while the store has half a body and waits for the rest.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.fault: Fault = good
        self.at_half: Callable[[], object] = lambda: None
        self.asked: list[Asked] = []
        self._lock = Lock()

    @property
    def endpoint(self) -> str:
        """Where the store is asked through it."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def comes(self, method: str, path: str, tier: str | None) -> Asked:
        with self._lock:
            asked = Asked(len(self.asked), method, path, tier)
            self.asked.append(asked)
        return asked

    def writes(self, since: int = 0) -> list[str]:
        """The paths of the PUTs, from a number on."""
        return [asked.path.split("?")[0] for asked in self.asked[since:] if asked.writes]


def every(number: int, fault: Answer | Cut) -> Fault:
    """The fault at each so-many-th write."""
    writes = iter(range(1, 1 << 40))

    def judge(asked: Asked) -> Answer | Cut | None:
        return fault if asked.writes and next(writes) % number == 0 else None

    return judge


@contextmanager
def line_to(azurite: Azurite) -> Iterator[Line]:
    """A line to Azurite, by which it is asked."""
    line = Line(azurite.port)

    class Handler(_Handler):
        through = line

    server = _Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    line.port = server.server_address[1]
    try:
        yield line
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    """A connection too many would not be refused but waited for, for seconds."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    through: Line

    def _any(self) -> None:
        line = self.through
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = line.fault(line.comes(self.command, self.path, self.headers.get("x-ms-access-tier")))
        if isinstance(fault, Answer):
            self._say(fault.status, {**fault.headers, "x-ms-error-code": fault.code}, _error(fault.code))
            return
        if fault == "in the request":
            self._half(body)
            return
        link = HTTPConnection("127.0.0.1", line.target, timeout=20)
        try:
            link.request(self.command, self.path, body, dict(self.headers))
            answer = link.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            self.close_connection = True
            return
        finally:
            link.close()
        if fault == "before the answer":
            self.close_connection = True
        else:
            self._say(answer.status, dict(answer.getheaders()), content, half=fault == "in the answer")

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _any  # noqa: N815 - as the library names them

    def _say(self, status: int, headers: dict[str, str], content: bytes, *, half: bool = False) -> None:
        self.send_response_only(status)
        length = (
            headers.get("content-length", str(len(content))) if self.command == "HEAD" else str(len(content))
        )
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "keep-alive"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if half else content)
        self.close_connection = self.close_connection or half

    def _half(self, body: bytes) -> None:
        """The store gets the head and half the body, and then nobody is there any more."""
        link = HTTPConnection("127.0.0.1", self.through.target, timeout=20)
        try:
            link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                link.putheader(name, value)
            link.endheaders(body[: len(body) // 2])
            self.through.at_half()
        except OSError:
            pass
        finally:
            link.close()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - nothing is told
        pass


def _error(code: str) -> bytes:
    said = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return f'<?xml version="1.0" encoding="utf-8"?>{said}'.encode()
