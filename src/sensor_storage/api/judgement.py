"""How the service is, judged from one snapshot: pure, and the same on the API, the metrics and the screen."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sensor_storage.api.snapshot import Snapshot
from sensor_storage.storage.processes import Process
from sensor_storage.storage.status import (
    NOT_BACK,
    AnyStatus,
    ApiStatus,
    ColdStatus,
    IngestStatus,
    MaintainStatus,
    is_fresh,
)


class State(StrEnum):
    """The service in one word: it works, it works with something amiss, it does not store what comes."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing amiss: how bad, in which worker, what, and what to do; `unready`: does it stop the flow?"""

    state: State
    worker: str
    what: str
    hint: str
    unready: bool = True


@dataclass(frozen=True, slots=True)
class Lamp:
    """Received against stored in readings; how far behind Kafka that is; what is on this disk alone.

    `lag_seconds` is unknown before ingest has read, `to_upload`, the files of hours that are over, where there is
    no cold store.
    """

    received: int
    stored: int
    dead_letters: int
    lag_messages: int
    lag_seconds: float | None
    to_upload: int | None

    @property
    def even(self) -> bool:
        """Is as much stored as was received?"""
        return self.received == self.stored

    def __str__(self) -> str:
        """The line that stands on the page, in `status` and in the demo."""
        parts = [
            f"{self.received:,} received {'=' if self.even else '≠'} {self.stored:,} stored",
            f"{self.dead_letters:,} dead letter{'' if self.dead_letters == 1 else 's'}",
            f"lag {'unknown' if self.lag_seconds is None else _spoken(self.lag_seconds)}",
        ]
        return " · ".join([*parts, *([] if self.to_upload is None else [f"{self.to_upload:,} to upload"])])


def lamp(snapshot: Snapshot) -> Lamp:
    """The lamp as the maintain worker last reported it; zeros before it has."""
    maintain, cold = snapshot.maintain, snapshot.cold
    return Lamp(
        received=maintain.received_readings if maintain else 0,
        stored=maintain.stored_readings if maintain else 0,
        dead_letters=maintain.dead_letters if maintain else 0,
        lag_messages=snapshot.lag,
        lag_seconds=snapshot.lag_seconds,
        to_upload=cold.waiting_sealed if cold else None,
    )


def state(reasons: list[Reason]) -> State:
    """The worst of them."""
    worst = {reason.state for reason in reasons}
    return next((item for item in (State.DOWN, State.DEGRADED) if item in worst), State.OK)


def judge(snapshot: Snapshot) -> list[Reason]:
    """Everything amiss, worker by worker; empty when all is well."""
    reasons = [reason for status in snapshot.ingest for reason in _ingest(status, snapshot.now)]
    if not snapshot.ingest:
        reasons.append(_silent("ingest", "has not reported yet"))
    if snapshot.maintain is None:
        reasons.append(_silent("maintain", "has not reported yet"))
    else:
        reasons += _maintain(snapshot.maintain, snapshot.now)
    if snapshot.cold:
        reasons += _cold(snapshot.cold, snapshot.now)
    if snapshot.api and not is_fresh(snapshot.api, snapshot.now):
        reasons.append(_stuck(snapshot.api, snapshot.now))
    reasons += [_again_and_again(one) for one in snapshot.processes if one.is_troubled(snapshot.now)]
    return reasons


def age_seconds(status: AnyStatus, now: float) -> float:
    """How long ago the worker reported."""
    return max(0.0, now - status.time)


def _ingest(status: IngestStatus, now: float) -> Iterator[Reason]:
    if end := _stale_or_halted(status, now):
        yield end
        return
    if status.kafka_error:
        yield Reason(
            State.DEGRADED,
            status.worker,
            f"Kafka does not answer: {status.kafka_error}",
            "check KAFKA_BOOTSTRAP_SERVERS and that the broker runs; reading goes on by itself",
        )
    elif not status.ready:
        yield Reason(
            State.DEGRADED,
            status.worker,
            "has not seen Kafka's topics yet",
            "wait a moment; then see its log",
        )
    elif not status.topics:
        yield Reason(
            State.DEGRADED,
            status.worker,
            f"no topic matches {status.pattern or 'the pattern'}; {_seen(status.other_topics)}",
            "check KAFKA_TOPIC_PATTERN; it looks for new topics every ten seconds",
            unready=False,
        )
    if status.unread_partitions:
        yield Reason(
            State.DEGRADED,
            status.worker,
            f"nobody in the group reads {status.unread_partitions:,} of the partitions",
            "it has the group share them out anew by itself; if that does not help, see the log",
            unready=False,
        )
    if status.paused:
        yield Reason(
            State.DEGRADED,
            status.worker,
            f"paused: {status.paused}",
            "it goes on by itself when there is room",
        )


def _seen(topics: tuple[str, ...]) -> str:
    return f"topics seen: {', '.join(topics)}" if topics else "the broker has none"


def _cold(status: ColdStatus, now: float) -> Iterator[Reason]:
    """The cold store never stops the flow: what is consumed stays on this disk till it is proven to be there."""
    if status.halted or not is_fresh(status, now):
        what = f"halted: {status.halted}" if status.halted else "has not reported for long"
        yield Reason(
            State.DEGRADED, status.worker, what, "see its log; nothing is removed meanwhile", unready=False
        )
    elif status.away or status.error:
        yield Reason(
            State.DEGRADED,
            status.worker,
            f"the cold store does not answer: {status.error or '; '.join(status.errors[:1])}",
            "`sensor-storage check` looks at it; uploads go on by themselves, and nothing is removed meanwhile",
            unready=False,
        )
    elif status.failing:
        yield Reason(
            State.DEGRADED,
            status.worker,
            f"{status.failing:,} files can't be uploaded: {'; '.join(status.errors[:2])}",
            "`sensor-storage upload` tries them again now",
            unready=False,
        )


def _maintain(status: MaintainStatus, now: float) -> Iterator[Reason]:
    if end := _stale_or_halted(status, now):
        yield end
        return
    for path, why in sorted(status.blocked.items()):
        hint = (
            "it goes on once that comes; `sensor-storage check --only cold` looks at the store"
            if why.startswith(NOT_BACK)
            else "run `sensor-storage verify --repair`, which sets it aside and reads it from Kafka again"
        )
        yield Reason(State.DEGRADED, status.worker, f"blocked by {path}: {why}", hint, unready=False)
    missing = status.received_readings - status.stored_readings
    if missing > 0:
        what = f"{missing:,} of {status.received_readings:,} readings received are not accounted for"
        yield Reason(State.DEGRADED, status.worker, what, "run `sensor-storage verify`", unready=False)


def _stale_or_halted(status: IngestStatus | MaintainStatus, now: float) -> Reason | None:
    if status.halted:
        hint = "mend the cause, then start the service again; nothing is lost"
        return Reason(State.DOWN, status.worker, f"halted: {status.halted}", hint)
    if status.ended:
        return _silent(status.worker, f"has ended (process {status.pid})")
    age = age_seconds(status, now)
    if not is_fresh(status, now):
        return _silent(status.worker, f"has not reported for {age:,.0f} s (process {status.pid})")
    return None


def _stuck(status: ApiStatus, now: float) -> Reason:
    """Readings flow without it."""
    return Reason(
        State.DEGRADED,
        status.worker,
        f"does not serve; it has not reported for {age_seconds(status, now):,.0f} s (process {status.pid})",
        "it is started again by itself after five minutes; see its log",
        unready=False,
    )


def _again_and_again(process: Process) -> Reason:
    """Readiness is judged by what the worker reports."""
    return Reason(
        State.DEGRADED,
        process.worker,
        f"ends again and again; last: {process.error}",
        "mend the cause; it is started again by itself, and nothing is lost",
        unready=False,
    )


def _silent(worker: str, what: str) -> Reason:
    return Reason(State.DOWN, worker, what, "see the service's log; if the worker hangs, restart the service")


def _spoken(seconds: float) -> str:
    """Tenths where they matter, then whole minutes, hours, days."""
    for least, size, unit in ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (60, 60, "min")):
        if seconds >= least:
            return f"{seconds // size:,.0f} {unit}"
    return f"{seconds:.1f} s"
