"""Workers that only answer."""

import json
import socketserver
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from typing import Any

from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import socket_path

FLUSHED = {
    "hour_files": 2,
    "rows": 400,
    "unchanged": 1,
    "runs": 0,
    "retired": 3,
    "written_bytes": 9_000,
    "blocked": {},
}


def maintain_that_answers(
    layout: Layout, answer: Callable[[dict[str, Any]], dict[str, Any]]
) -> AbstractContextManager[list[dict[str, Any]]]:
    """Answers each request on the maintain worker's socket; gives the list of requests that came."""
    return worker_that_answers(layout, "maintain", answer)


@contextmanager
def worker_that_answers(
    layout: Layout, worker: str, answer: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[list[dict[str, Any]]]:
    """The same for any worker."""
    came: list[dict[str, Any]] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            came.append(json.loads(self.rfile.readline()))
            self.wfile.write(json.dumps(answer(came[-1])).encode() + b"\n")

    layout.run.mkdir(parents=True, exist_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(socket_path(layout, worker)), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield came
        finally:
            server.shutdown()
            thread.join()
