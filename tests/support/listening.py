"""The API over a data directory, on a port of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from sensor_storage.api.server import serve
from sensor_storage.clock import SystemClock
from sensor_storage.storage.layout import Layout


@contextmanager
def listening_at(layout: Layout) -> Iterator[str]:
    """The address of a service over the directory."""
    stop, listening, ports = Event(), Event(), []

    def told(port: int) -> None:
        ports.append(port)
        listening.set()

    def run() -> None:
        serve(layout, SystemClock(), host="127.0.0.1", port=0, stop=stop, listening=told)

    thread = threading.Thread(target=run)
    thread.start()
    assert listening.wait(30)
    yield f"http://127.0.0.1:{ports[0]}"
    stop.set()
    thread.join(30)
