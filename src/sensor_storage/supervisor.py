"""Worker processes by role: started, started again when they end badly, and ended with their parent.

Every worker inherits two descriptors: the data directory's lock, so that the directory stays owned until the
last worker has ended, and one end of a pipe whose other end only the supervisor holds. However the supervisor
ends, the pipe closes, and each worker finishes as if it had been told to.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from sensor_storage.clock import Clock
from sensor_storage.log import get
from sensor_storage.stopping import LIFELINE
from sensor_storage.storage.processes import Board
from sensor_storage.watchdog import Watchdog

STOP_SECONDS = 25
"""Workers that have not ended by themselves then are killed: nothing durable is lost by it."""

_POLL_SECONDS = 0.05
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 30.0
_STEADY_SECONDS = 10.0
"""A worker that has run for so long is started again at once: it was killed, or its trouble is rare."""

_UNREACHABLE = 4
"""How a worker ends that needs a store at its start and does not reach it."""

ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 22),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 24),
}
"""What glibc reads at a worker's start (mallopt(3)): what large messages took is given back once they are stored.

By default it comes from an arena a thread and stays there: six messages of 10 MB left 540 MB behind, now 310.
Other C libraries pass over it, and what the service's own environment says of it holds.
"""

_log = get("supervisor")


@dataclass(slots=True)
class _Worker:
    name: str
    arguments: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    backoff: float = 0.0
    restart_at: float = 0.0


class Supervisor:
    """Runs one process a worker until told to stop."""

    def __init__(
        self,
        workers: Sequence[tuple[str, Sequence[str]]],
        clock: Clock,
        lock: int,
        environment: Mapping[str, str],
        *,
        watchdog: Watchdog | None = None,
        board: Board | None = None,
    ) -> None:
        self._workers = [_Worker(name, arguments) for name, arguments in workers]
        self._clock = clock
        self._lock = lock
        self._environment = environment
        self._watchdog = watchdog
        self._board = board
        self._lifeline, self._held = os.pipe()

    def run(self, stop: Event) -> int:
        """Keep the workers running until `stop` is set, then end them. The exit status for the process."""
        try:
            while not stop.wait(_POLL_SECONDS):
                for worker in self._workers:
                    self._look_after(worker)
                self._end_what_hangs()
        finally:
            clean = self._end()
        return 0 if clean else 1

    def _look_after(self, worker: _Worker) -> None:
        now = self._clock.monotonic()
        if worker.process is None:
            if now >= worker.restart_at:
                self._start(worker)
            return
        status = worker.process.poll()
        if status is None:
            return
        worker.backoff = plan_backoff(now - worker.started, worker.backoff)
        _log.warning("worker_ended", worker=worker.name, status=status, again_in_seconds=worker.backoff)
        if self._board:
            self._board.ended(worker.name, status)
        worker.process = None
        worker.restart_at = now + worker.backoff

    def _end_what_hangs(self) -> None:
        """Kill it, as a crash would: the next look starts it again, and nothing durable is lost."""
        now = self._clock.monotonic()
        if self._watchdog is None or not self._watchdog.is_due(now):
            return
        for worker in self._workers:
            process = worker.process
            if process is not None and self._watchdog.hangs(worker.name, process.pid, now):
                _log.error("worker_hangs", worker=worker.name, pid=process.pid)
                process.kill()

    def _start(self, worker: _Worker) -> None:
        worker.started = self._clock.monotonic()
        worker.process = subprocess.Popen(
            [sys.executable, "-m", "sensor_storage", *worker.arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(self._lifeline, self._lock),
            env={**ALLOCATOR, **self._environment, LIFELINE: str(self._lifeline)},
        )
        if self._board:
            self._board.started(worker.name, worker.process.pid)
        _log.info("worker_started", worker=worker.name, pid=worker.process.pid)

    def _end(self) -> bool:
        running = [worker for worker in self._workers if worker.process is not None]
        for worker in running:
            if worker.process is not None:
                worker.process.terminate()
        deadline = self._clock.monotonic() + STOP_SECONDS
        clean = True
        for worker in running:
            clean &= self._ended(worker, deadline)
        os.close(self._held)
        os.close(self._lifeline)
        return clean

    def _ended(self, worker: _Worker, deadline: float) -> bool:
        if worker.process is None:
            return True
        try:
            status = worker.process.wait(max(0.1, deadline - self._clock.monotonic()))
        except subprocess.TimeoutExpired:
            _log.warning("worker_killed", worker=worker.name)
            worker.process.kill()
            worker.process.wait()
            return False
        if status in {
            -signal.SIGTERM,
            _UNREACHABLE,
        }:  # told before it could listen, or while it waited to begin
            return True
        if status:
            _log.warning("worker_ended", worker=worker.name, status=status)
        return status == 0


def plan_backoff(ran_seconds: float, before_seconds: float) -> float:
    """How long to wait before a worker that ran for so long is started again; `before` is what was waited last."""
    if ran_seconds >= _STEADY_SECONDS:
        return 0.0
    return min(max(before_seconds * 2, _FIRST_BACKOFF_SECONDS), _LONGEST_BACKOFF_SECONDS)
