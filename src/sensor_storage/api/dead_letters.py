"""`/dead-letters`: the messages that could not become readings, and another try after a fix."""

import base64
import binascii
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from sensor_storage.api.access import ChangesAllowed
from sensor_storage.api.errors import Problem
from sensor_storage.api.jobs import Job, Jobs, TooManyJobs, no_such_job
from sensor_storage.api.parameters import MAX_INT32, MAX_INT64
from sensor_storage.api.query import invalid
from sensor_storage.kafka.refusal import Reason
from sensor_storage.model import Address
from sensor_storage.storage.dead_letter_words import chosen_by, record_of, replayed
from sensor_storage.storage.dead_letters import DeadLetter, dead_letters_by_file
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import ask

_DEFAULT_WAIT_SECONDS: Final = 60.0
_MAX_WAIT_SECONDS: Final = 600.0
_SHOWN: Final = 2_000
"""So many bytes of a payload are told, unless all are asked for."""


class Header(BaseModel):
    """One header of a message; bytes that are no text as base64."""

    name: str
    value: str | None = None
    value_base64: str | None = None


class Letter(BaseModel):
    """One message as Kafka had it, and why it is not readings; bytes that are no text as base64."""

    kafka_topic: str
    kafka_partition: int
    kafka_offset: int
    kafka_timestamp: str
    reason: str
    error: str
    replayed: bool = Field(description="Has it become readings since?")
    value_bytes: int | None
    key: str | None = None
    key_base64: str | None = None
    value: str | None = Field(
        default=None, description="The first two thousand letters, or all with `whole`."
    )
    value_base64: str | None = None
    headers: list[Header]
    kafka_topic_id: str | None = None
    kafka_leader_epoch: int


class Letters(BaseModel):
    """A page of dead letters, those stored last first; `next` is there when there may be more."""

    dead_letters: list[Letter]
    damaged: list[str] = Field(description="Files that were passed over, and why.")
    next: str | None = None


class Replayed(BaseModel):
    """What became of dead letters that were decoded again, in messages; or with `dry_run` would."""

    letters: int = Field(default=0, description="Those chosen.")
    replayed: int = Field(default=0, description="Became readings now.")
    readings: int = Field(default=0, description="How many readings that were.")
    already: int = Field(default=0, description="Had become readings before.")
    unreadable: int = Field(default=0, description="Stay dead letters.")
    pending: int = Field(default=0, description="Kafka delivers them again by itself.")
    damaged: int = Field(default=0, description="Files that were passed over.")


class ReplayJob(BaseModel):
    """A replay that runs or has ended; look again at `location`."""

    job: int
    state: Literal["running", "done"]
    location: str
    report: Replayed | None = None


ByReason = Annotated[Reason | None, Query(description="Only those of this reason.")]
Topic = Annotated[str | None, Query(description="Only those of this topic.")]


def routes(layout: Layout, changes_allowed: ChangesAllowed) -> APIRouter:
    """The routes over one data directory."""
    router = APIRouter(tags=["dead letters"])
    jobs = Jobs(partial(ask, layout, "maintain", "replay", timeout_seconds=_MAX_WAIT_SECONDS))

    @router.get("/dead-letters")
    def dead_letters(
        *,
        reason: ByReason = None,
        topic: Topic = None,
        partition: Annotated[
            int | None, Query(ge=0, le=MAX_INT32, description="Only those of this partition.")
        ] = None,
        offset: Annotated[
            int | None, Query(ge=0, le=MAX_INT64, description="Only the one at this offset.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
        whole: Annotated[
            bool, Query(description="Payloads of any length, not just their beginning.")
        ] = False,
    ) -> Letters:
        """The messages that could not become readings, those stored last first: reason, payload, key, headers."""
        damaged: list[str] = []
        chosen = chosen_by(reason, topic)
        found = (
            letter
            for letter in _behind(_newest(layout, damaged.append), after)
            if chosen(letter)
            and partition in {None, letter.address.source.partition}
            and offset in {None, letter.address.offset}
        )
        page = list(islice(found, limit))
        since = replayed(layout) if page else set()
        most = None if whole else _SHOWN
        letters = [
            Letter.model_validate({**record_of(one, most), "replayed": one.address in since}) for one in page
        ]
        more = _cursor(page[-1].address) if len(page) == limit else None
        return Letters(dead_letters=letters, damaged=damaged, next=more)

    @router.post(
        "/dead-letters/replay",
        dependencies=[Depends(changes_allowed)],
        responses={202: {"model": ReplayJob, "description": "It still runs; look at its address."}},
    )
    async def replay(
        response: Response,
        *,
        reason: ByReason = None,
        topic: Topic = None,
        dry_run: Annotated[bool, Query(description="Only tell what would become of them.")] = False,
        wait: Annotated[
            float, Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for its end.")
        ] = _DEFAULT_WAIT_SECONDS,
    ) -> Replayed | ReplayJob:
        """Decode dead letters again with the service's settings of now, after a fix; none is removed."""
        try:
            job = jobs.start(reason=reason, topic=topic, dry_run=dry_run)
        except TooManyJobs:
            detail = "several replays run already and this one would only wait behind them"
            raise Problem(
                429, "busy", "Too many at once", detail, hint="wait for one of them to end"
            ) from None
        if await job.wait(wait):
            return _report(job)
        response.status_code = 202
        told = _told(job)
        response.headers["location"] = told.location
        return told

    @router.get("/dead-letters/replay/{job}")
    async def replay_job(job: int) -> ReplayJob:
        """How far a replay is that was not waited for."""
        found = jobs.find(job)
        if found is None:
            raise no_such_job(f"no replay has the number {job}")
        return _told(found)

    return router


def _newest(layout: Layout, damaged: Callable[[str], object]) -> Iterator[DeadLetter]:
    for letters in dead_letters_by_file(layout, damaged, newest_first=True):
        yield from letters


def _behind(letters: Iterator[DeadLetter], after: str | None) -> Iterator[DeadLetter]:
    """Those behind the cursor; none when its letter is gone."""
    if after is not None:
        place = _place(after)
        while (letter := next(letters, None)) is not None and letter.address != place:
            pass
    return letters


def _cursor(address: Address) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(address)).decode()


def _place(cursor: str) -> Address:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=Address)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise invalid("after", "is not a cursor", "give `next` of the page before, as it was") from None


def _report(job: Job) -> Replayed:
    report: Any = job.outcome.result()
    if "error" in report:
        hint = str(report.get("hint", ""))
        raise Problem(503, "replay-failed", "The replay did not end well", str(report["error"]), hint=hint)
    return Replayed.model_validate(dict(report))


def _told(job: Job) -> ReplayJob:
    place = f"/dead-letters/replay/{job.number}"
    if not job.outcome.done():
        return ReplayJob(job=job.number, state="running", location=place)
    return ReplayJob(job=job.number, state="done", location=place, report=_report(job))
