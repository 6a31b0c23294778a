"""A worker's ear: requests from command line, API and other workers, answered between two steps of its loop."""

import contextlib
import json
import socketserver
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

from sensor_storage.errors import SensorStorageError

_ANSWER_SECONDS = 600
_MAX_REQUEST_BYTES = 1 << 20

Verb = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class _Request:
    content: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict)
    done: Event = field(default_factory=Event)


class Control:
    """A socket whose requests wait until the worker's own thread calls `serve`."""

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self._path = path
        self._verbs = verbs
        self._waiting: Queue[_Request] = Queue(maxsize=16)
        self._server = _Server(path, self._waiting)

    def start(self) -> None:
        """Begin to listen."""
        Thread(target=self._server.serve_forever, name="control", daemon=True).start()

    @property
    def asked(self) -> bool:
        """Does a request wait?"""
        return not self._waiting.empty()

    def serve(self) -> None:
        """Do what was asked since the last call, in order."""
        with contextlib.suppress(Empty):
            while True:
                request = self._waiting.get_nowait()
                request.answer = self._answer(request.content)
                request.done.set()

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, content: Mapping[str, Any]) -> dict[str, Any]:
        verb = self._verbs.get(str(content.get("verb")))
        if verb is None:
            return {"error": f"no verb {content.get('verb')!r} here", "hint": ", ".join(self._verbs)}
        try:
            return verb(content)
        except SensorStorageError as error:
            return {"error": error.message, "hint": error.hint}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, waiting: "Queue[_Request]") -> None:
        self.waiting = waiting
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            self.wfile.write(json.dumps(self._answered()).encode() + b"\n")

    def _answered(self) -> dict[str, Any]:
        try:
            request = _Request(json.loads(self.rfile.readline(_MAX_REQUEST_BYTES)))
        except ValueError as error:
            return {"error": f"not a request: {error}", "hint": "one JSON object on one line"}
        self.server.waiting.put(request)
        if not request.done.wait(_ANSWER_SECONDS):
            return {"error": "no answer in time", "hint": "see the service's log"}
        return request.answer
