"""Workers that only answer, and those beside a folder as cold store."""

import json
import socketserver
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread
from typing import Any

from sensor_storage.api.app import create_app
from sensor_storage.clock import SystemClock
from sensor_storage.config import load
from sensor_storage.main import build_cold, build_maintain, build_store
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import own, socket_path
from support.sending import Send, sender

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


@contextmanager
def cold_workers(layout: Layout, **more: str) -> Iterator[Send]:
    """The service's workers behind ingest, with the folder `cold` beside the data, and requests to its API."""
    given = {"LOCAL_STORAGE_PATH": str(layout.raw), "CLEANUP_AGE_DAYS": "0", **more}
    settings = load({**given, "COLD_STORE_URL": (layout.root.parent / "cold").as_uri()})
    stop, store = Event(), build_store(settings)
    maintain, cold = build_maintain(settings), build_cold(settings)
    with own(layout), ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(maintain.run, stop), pool.submit(cold.run, stop)]
        try:
            yield sender(create_app(layout, SystemClock(), store=store))
        finally:
            stop.set()
        for one in ended:
            one.result()
