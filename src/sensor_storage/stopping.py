"""When a process is told to stop, and how it ends then: by itself in time, or without what hangs in it."""

import os
import signal
import sys
from collections.abc import Callable
from threading import Event, Thread

from sensor_storage.log import get

LIFELINE = "SENSOR_STORAGE_LIFELINE"
"""Names the descriptor of a pipe that closes when the process's parent ends."""

WORKER_DEADLINE_SECONDS = 20
_log = get("supervisor")


def until_told() -> Event:
    """An event that SIGTERM, SIGINT or the end of the supervisor sets. Call it from the main thread.

    The handlers do nothing: a handler that sets an event can meet the main thread inside the event's own lock.
    Python writes a byte for each signal, and a thread waits for it.
    """
    stop = Event()
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _nothing)
    _set_when_read(heard, stop, "signals")
    if lifeline := os.environ.get(LIFELINE):
        _set_when_read(int(lifeline), stop, "lifeline")
    return stop


def _nothing(_signal: int, _frame: object) -> None:
    """Be heard, and no more."""


def _set_when_read(descriptor: int, stop: Event, name: str) -> None:
    def wait() -> None:
        os.read(descriptor, 1)
        stop.set()

    Thread(target=wait, name=name, daemon=True).start()


def work(run: Callable[[Event], None], stop: Event) -> int:
    """Run a worker's loop on a thread of its own and wait; its exit status.

    A client library that hangs cannot keep the process: once told to stop, the loop has
    `WORKER_DEADLINE_SECONDS`; what was not durable by then Kafka delivers again.
    """
    outcome: list[BaseException | None] = []

    def body() -> None:
        try:
            run(stop)
            outcome.append(None)
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            outcome.append(error)
        finally:
            stop.set()

    thread = Thread(target=body, name="worker", daemon=True)
    thread.start()
    while not stop.wait(3600):
        pass
    thread.join(WORKER_DEADLINE_SECONDS)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # one more while the interpreter ends would look like a crash
    if outcome and outcome[0] is not None:
        raise outcome[0]
    if not outcome:
        _log.warning("worker_left_hanging")
        sys.stderr.flush()
        os._exit(0)
    return 0
