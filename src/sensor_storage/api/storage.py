"""`/storage/stats` and `/storage/flush`: what is stored where, and everything put in its place now."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from sensor_storage.api.access import ChangesAllowed
from sensor_storage.api.errors import Problem
from sensor_storage.api.jobs import Job, Jobs, Report, TooManyJobs, no_such_job
from sensor_storage.api.judgement import age_seconds
from sensor_storage.api.snapshot import Meter, Sizes, Snapshot, oldest_unsafe_hour, take_snapshot
from sensor_storage.clock import Clock
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import ask
from sensor_storage.storage.processes import Process
from sensor_storage.storage.status import (
    ApiStatus,
    ColdStatus,
    IngestStatus,
    MaintainStatus,
    is_fresh,
)

_DEFAULT_WAIT_SECONDS = 60.0
_MAX_WAIT_SECONDS = 600.0

Role = Literal["ingest", "maintain", "cold", "api"]


class Counts(BaseModel):
    """How many of each, over all time; by ledger, staging and catalog."""

    received_messages: int = 0
    received_readings: int = 0
    stored_readings: int = 0
    waiting_readings: int = Field(default=0, description="In staging, not yet in their hour file.")
    dead_letters: int = 0
    empty_messages: int = 0
    gaps: int = Field(default=0, description="Stretches of offsets that Kafka no longer had.")
    hour_files: int = 0
    aggregate_files: int = 0
    due_aggregates: int = Field(
        default=0, description="Sensor-hours that are over and whose aggregates are to be made or mended."
    )
    mended_aggregates: int = Field(
        default=0, description="Sensor-hours made again because late readings reached them, since the start."
    )
    staged_files: int = 0


class Disk(BaseModel):
    """The data directory's disk."""

    size_bytes: int
    free_bytes: int


class Worker(BaseModel):
    """What one worker process says of itself, and what its supervisor says of the process."""

    name: str
    role: Role
    pid: int = Field(description="0 while it waits to be started again.")
    started: datetime
    age_seconds: float | None = Field(description="How long ago it reported; null before it has.")
    fresh: bool = Field(description="Has it reported lately enough to count as running?")
    ends: int = Field(
        default=0, description="How often it ended untold in the last quarter of an hour, at most 3."
    )
    paused: str = ""
    halted: str = ""
    error: str = ""
    lag_messages: int | None = None
    lag_seconds: float | None = Field(
        default=None, description="How old the newest message is that was consumed, by Kafka's time."
    )
    topics: int | None = Field(default=None, description="How many topics match the pattern.")
    pattern: str = ""
    other_topics: list[str] = Field(
        default=[], description="While no topic matches: some of those that the broker has."
    )
    blocked: dict[str, str] = Field(
        default={}, description="Damaged files that keep readings from their place."
    )


class ColdStore(BaseModel):
    """What its worker did since it started, and what waits."""

    url: str
    uploaded_files: int = Field(description="Since the worker's start.")
    uploaded_bytes: int = Field(description="Since the worker's start.")
    failures: int
    waiting_files: int = Field(description="Not in the store yet, those of open hours among them.")
    sealed_waiting_files: int = Field(description="Those of them whose hour is over.")
    failing_files: int
    oldest_waiting_hour: datetime | None = Field(
        description="The oldest hour of which readings are on this disk and in Kafka alone; none: all is safe."
    )
    away: bool = Field(description="Does the store not answer?")
    errors: list[str]
    removed_files: int = Field(description="Since the worker's start.")
    removed_bytes: int = Field(description="Since the worker's start.")
    kept: dict[str, int] = Field(description="Old files the last cleanup had to keep, by reason.")


class Stats(BaseModel):
    """What is stored, where, and by whom."""

    time: datetime
    counts: Counts
    size_bytes: dict[str, int] = Field(
        description="Bytes by part: raw, aggregated, staging, deadletter, ledger, total."
    )
    disk: Disk
    oldest_waiting: datetime | None = Field(description="When the oldest file in staging was begun.")
    cold: ColdStore | None = Field(default=None, description="The cold store, if there is one.")
    workers: list[Worker]


class Flushed(BaseModel):
    """What a flush did."""

    hour_files: int = Field(default=0, description="Hour files written.")
    rows: int = Field(default=0, description="Readings put in their place.")
    unchanged: int = Field(default=0, description="Hour files that held everything already.")
    runs: int = 0
    retired: int = Field(default=0, description="Staged files that were no longer needed.")
    written_bytes: int = 0
    blocked: dict[str, str] = {}


class FlushJob(BaseModel):
    """A flush that runs or has ended; look again at `location`."""

    job: int
    state: Literal["running", "done"]
    location: str
    report: Flushed | None = None


def routes(layout: Layout, clock: Clock, meter: Meter, changes_allowed: ChangesAllowed) -> APIRouter:
    """The routes over one data directory."""
    router = APIRouter(tags=["storage"])
    jobs = Jobs(partial(ask, layout, "maintain", "flush", timeout_seconds=_MAX_WAIT_SECONDS))

    @router.get("/storage/stats")
    def stats() -> Stats:
        """Counts, sizes, free disk and each worker's own words."""
        return stats_of(take_snapshot(layout, clock.now()), meter.measure())

    @router.post(
        "/storage/flush",
        dependencies=[Depends(changes_allowed)],
        responses={202: {"model": FlushJob, "description": "It still runs; look at its address."}},
    )
    async def flush(
        response: Response,
        wait: Annotated[
            float, Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for its end.")
        ] = _DEFAULT_WAIT_SECONDS,
    ) -> Flushed | FlushJob:
        """Put every reading in its hour file now and tell what it did; 202 with a job when it takes long."""
        try:
            job = jobs.start()
        except TooManyJobs:
            raise _busy() from None
        if await job.wait(wait):
            return _report(job)
        response.status_code = 202
        response.headers["location"] = _location(job)
        return _told(job)

    @router.get("/storage/flush/{job}")
    async def flush_job(job: int) -> FlushJob:
        """How far a flush is that was not waited for."""
        found = jobs.find(job)
        if found is None:
            raise no_such_job(f"no flush has the number {job}")
        return _told(found)

    return router


def stats_of(snapshot: Snapshot, sizes: Sizes) -> Stats:
    """The statistics of a moment; counts are as the maintain worker last reported them."""
    maintain = snapshot.maintain
    counts = Counts(
        hour_files=sizes.hour_files, aggregate_files=sizes.aggregate_files, staged_files=sizes.staged_files
    )
    if maintain:
        counts.received_messages = maintain.received_messages
        counts.received_readings = maintain.received_readings
        counts.stored_readings = maintain.stored_readings
        counts.waiting_readings = maintain.waiting_readings
        counts.dead_letters = maintain.dead_letters
        counts.empty_messages = maintain.empty
        counts.gaps = maintain.gaps
        counts.due_aggregates = maintain.due_aggregates
        counts.mended_aggregates = maintain.mended_aggregates
    oldest = sizes.oldest_staged
    return Stats(
        time=datetime.fromtimestamp(snapshot.now, UTC),
        counts=counts,
        size_bytes={**sizes.parts, "total": sum(sizes.parts.values())},
        disk=Disk(size_bytes=sizes.disk_size_bytes, free_bytes=sizes.disk_free_bytes),
        oldest_waiting=datetime.fromtimestamp(oldest, UTC) if oldest else None,
        workers=_workers(snapshot),
        cold=_cold(snapshot.cold, oldest_unsafe_hour(snapshot, sizes)) if snapshot.cold else None,
    )


def _cold(status: ColdStatus, hour: int | None) -> ColdStore:
    return ColdStore(
        url=status.url,
        uploaded_files=status.uploaded,
        uploaded_bytes=status.uploaded_bytes,
        failures=status.failures,
        waiting_files=status.waiting,
        sealed_waiting_files=status.waiting_sealed,
        failing_files=status.failing,
        oldest_waiting_hour=None if hour is None else datetime.fromtimestamp(hour * 3600, UTC),
        away=status.away,
        errors=list(status.errors),
        removed_files=status.removed,
        removed_bytes=status.removed_bytes,
        kept=status.kept,
    )


def _workers(snapshot: Snapshot) -> list[Worker]:
    """Those that report, by what they say; then those of which only the supervisor knows."""
    workers = [_ingest(status, snapshot.now) for status in snapshot.ingest]
    if snapshot.maintain:
        workers.append(_reporting(snapshot.maintain, "maintain", snapshot.now))
        workers[-1].blocked = snapshot.maintain.blocked
    if snapshot.cold:
        workers.append(_reporting(snapshot.cold, "cold", snapshot.now))
        workers[-1].error = snapshot.cold.error
    known = {worker.name: worker for worker in workers}
    for process in snapshot.processes:
        if process.worker not in known:
            told = snapshot.api if snapshot.api and snapshot.api.pid == process.pid else None
            workers.append(_other(process, told, snapshot.now))
            known[process.worker] = workers[-1]
        worker = known[process.worker]
        worker.ends = process.ends_lately(snapshot.now)
        if process.is_troubled(snapshot.now):
            worker.pid, worker.fresh, worker.error = (
                process.pid,
                False,
                f"ends again and again: {process.error}",
            )
    return workers


def _ingest(status: IngestStatus, now: float) -> Worker:
    worker = _reporting(status, "ingest", now)
    worker.paused, worker.error, worker.lag_messages = status.paused, status.kafka_error, status.lag
    worker.topics, worker.pattern = status.topics, status.pattern
    worker.other_topics = list(status.other_topics)
    if status.watermark > 0:
        worker.lag_seconds = round(max(0.0, now - status.watermark), 3)
    return worker


def _reporting(status: IngestStatus | MaintainStatus | ColdStatus, role: Role, now: float) -> Worker:
    return Worker(
        name=status.worker,
        role=role,
        pid=status.pid,
        started=datetime.fromtimestamp(status.started, UTC),
        age_seconds=round(age_seconds(status, now), 3),
        fresh=is_fresh(status, now),
        halted=status.halted,
    )


def _other(process: Process, api: ApiStatus | None, now: float) -> Worker:
    """The API, which says of itself that it serves; or one that has not come to report."""
    role = next(one for one in get_args(Role) if process.worker.startswith(one))
    return Worker(
        name=process.worker,
        role=role,
        pid=process.pid,
        started=datetime.fromtimestamp(process.started, UTC),
        age_seconds=round(age_seconds(api, now), 3) if api else None,
        fresh=role == "api" and process.pid > 0 and (api is None or is_fresh(api, now)),
    )


def _told(job: Job) -> FlushJob:
    if not job.outcome.done():
        return FlushJob(job=job.number, state="running", location=_location(job))
    return FlushJob(job=job.number, state="done", location=_location(job), report=_report(job))


def _report(job: Job) -> Flushed:
    """What the maintain worker answered; an error of its own is a problem, no answer raises Owned."""
    report: Report = job.outcome.result()
    if "error" in report:
        hint = str(report.get("hint", ""))
        raise Problem(503, "flush-failed", "The flush did not end well", str(report["error"]), hint=hint)
    return Flushed.model_validate(dict(report))


def _location(job: Job) -> str:
    return f"/storage/flush/{job.number}"


def _busy() -> Problem:
    detail = "several flushes run already and this one would only wait behind them"
    return Problem(429, "busy", "Too many flushes at once", detail, hint="wait for one of them to end")
