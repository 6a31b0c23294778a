"""Work asked of another worker, that a request may wait for or come back to."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from threading import Lock, Thread
from typing import Any

from sensor_storage.api.errors import Problem

_KEPT_JOBS = 32
_MAX_RUNNING = 4

Report = Mapping[str, Any]


class TooManyJobs(Exception):
    """As many jobs run as may."""


def no_such_job(detail: str) -> Problem:
    """The answer to whoever looks for a job that is not known, or not any more."""
    hint = f"the last {_KEPT_JOBS} since the service began are known; a POST begins one and names it"
    return Problem(404, "no-such-job", "There is no such job", detail, hint=hint)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work and its outcome to be."""

    number: int
    outcome: "Future[Report]"

    async def wait(self, seconds: float) -> bool:
        """Is it done within so many seconds? It goes on either way."""
        waiting = asyncio.wrap_future(self.outcome)
        done, _ = await asyncio.wait([waiting], timeout=seconds)
        if not done:
            waiting.add_done_callback(_look_at)
        return bool(done)


class Jobs:
    """The last jobs. Each runs on a thread that does not keep the process from ending."""

    def __init__(self, work: Callable[..., Report]) -> None:
        self._work = work
        self._lock = Lock()
        self._numbers = count(1)
        self._jobs: OrderedDict[int, Job] = OrderedDict()

    def start(self, **arguments: object) -> Job:
        """Begin one more, with these arguments. TooManyJobs while others have not ended."""
        with self._lock:
            if sum(not job.outcome.done() for job in self._jobs.values()) >= _MAX_RUNNING:
                raise TooManyJobs
            job = Job(next(self._numbers), Future())
            self._jobs[job.number] = job
            while len(self._jobs) > _KEPT_JOBS:
                self._jobs.popitem(last=False)
        Thread(target=self._run, args=(job, arguments), name=f"job-{job.number}", daemon=True).start()
        return job

    def find(self, number: int) -> Job | None:
        """The job, unless so many came after it that it was forgotten."""
        return self._jobs.get(number)

    def _run(self, job: Job, arguments: Mapping[str, object]) -> None:
        try:
            report = self._work(**arguments)
        except BaseException as error:  # noqa: BLE001 - whoever asks for the outcome gets it
            job.outcome.set_exception(error)
        else:
            job.outcome.set_result(report)


def _look_at(waiting: "asyncio.Future[Report]") -> None:
    """Take the outcome of a wait nobody waits on any more, so that asyncio does not complain of it."""
    if not waiting.cancelled():
        waiting.exception()
