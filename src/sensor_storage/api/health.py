"""`/health`, `/health/live` and `/health/ready`: how the service is, from what its workers last reported."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sensor_storage import __version__
from sensor_storage.api.errors import Problem
from sensor_storage.api.judgement import Reason, State, judge, lamp, state
from sensor_storage.api.snapshot import Snapshot, take_snapshot
from sensor_storage.api.threads import ProbeThreads
from sensor_storage.clock import Clock
from sensor_storage.storage.layout import Layout


class ReasonOut(BaseModel):
    """One thing amiss, and what to do about it."""

    state: State
    worker: str
    what: str
    hint: str

    @classmethod
    def of(cls, reason: Reason) -> "ReasonOut":
        """The reason as it is told."""
        return cls(state=reason.state, worker=reason.worker, what=reason.what, hint=reason.hint)


class LampOut(BaseModel):
    """Received against stored: equal is good."""

    line: str = Field(
        examples=["4,812,330 received = 4,812,330 stored · 0 dead letters · lag 0.4 s · 3 to upload"]
    )
    received_readings: int = Field(description="Readings received, by the ledger.")
    stored_readings: int = Field(description="Readings in hour files and staging.")
    dead_letters: int
    lag_messages: int = Field(description="Messages that wait in Kafka.")
    lag_seconds: float | None = Field(
        description="How long ago, by Kafka's time, the least advanced partition is; null before that is known."
    )
    to_upload: int | None = Field(
        description="Files of hours that are over and wait for the cold store; null where there is none."
    )


class Health(BaseModel):
    """How the service is as a whole."""

    status: State
    reasons: list[ReasonOut]
    lamp: LampOut
    version: str


class Alive(BaseModel):
    """This process answers."""

    status: Literal["ok"] = "ok"


def routes(layout: Layout, clock: Clock) -> APIRouter:
    """The routes over one data directory."""
    router = APIRouter(tags=["health"])
    threads = ProbeThreads()

    def now() -> Snapshot:
        return take_snapshot(layout, clock.now())

    @router.get("/health")
    async def health() -> Health:
        """How the service is: `ok`, `degraded` or `down`, with the reasons and the lamp.

        Always 200 while this process answers; probes want `/health/ready`.
        """
        return health_of(await threads.run(now))

    @router.get("/health/live")
    async def live() -> Alive:
        """200 while this process answers, whatever Kafka or the disk do."""
        return Alive()

    @router.get("/health/ready")
    async def ready() -> Alive:
        """200 while readings are consumed and put in place; 503 with the reasons otherwise."""
        reasons = [reason for reason in judge(await threads.run(now)) if reason.unready]
        if reasons:
            raise _not_ready(reasons)
        return Alive()

    return router


def health_of(snapshot: Snapshot) -> Health:
    """The health of a moment."""
    reasons = judge(snapshot)
    light = lamp(snapshot)
    return Health(
        status=state(reasons),
        reasons=[ReasonOut.of(reason) for reason in reasons],
        lamp=LampOut(
            line=str(light),
            received_readings=light.received,
            stored_readings=light.stored,
            dead_letters=light.dead_letters,
            lag_messages=light.lag_messages,
            lag_seconds=None if light.lag_seconds is None else round(light.lag_seconds, 3),
            to_upload=light.to_upload,
        ),
        version=__version__,
    )


def _not_ready(reasons: list[Reason]) -> Problem:
    return Problem(
        503,
        "not-ready",
        "The service is not ready",
        "; ".join(f"{reason.worker}: {reason.what}" for reason in reasons),
        hint="; ".join(dict.fromkeys(reason.hint for reason in reasons)),
        reasons=[ReasonOut.of(reason).model_dump() for reason in reasons],
    )
