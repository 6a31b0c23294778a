"""`status`: one screen that says how the service is."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import click
from pydantic import BaseModel, ValidationError
from rich.filesize import decimal

from sensor_storage.api.health import Health, health_of
from sensor_storage.api.snapshot import Meter, take_snapshot
from sensor_storage.api.storage import ColdStore, Stats, Worker, stats_of
from sensor_storage.client import authorization
from sensor_storage.clock import Clock, SystemClock
from sensor_storage.config import Settings
from sensor_storage.errors import Transient, Usage
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import is_owned
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options

EPILOG = """\b
Examples:
  sensor-storage status                                  how it is now
  sensor-storage status --watch                          again every second, until Ctrl-C
  sensor-storage status --json | jq .lamp
  sensor-storage status --url http://plant-3:8080        of a service on another machine

Exit codes: 0 all is well; 1 something is amiss, or no service runs; 2 usage; 4 the URL does not answer."""
_URL_SECONDS = 10
_Answer = TypeVar("_Answer", bound=BaseModel)


class Report(BaseModel):
    """How the service is, as far as can be seen from here."""

    running: bool
    health: Health
    stats: Stats


@click.command("status", epilog=EPILOG)
@click.option("--watch", is_flag=True, help="Look again every so often, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often, with --watch.",
)
@click.option("--url", help="Ask the service at this address; by default the data directory is looked at.")
@output_options
@settings_options
def command(output: Output, settings: Settings, watch: bool, interval: float, url: str | None) -> int:
    """Show how the service is: received and stored, lag, staging, files, and what is amiss."""
    clock = SystemClock()
    look = _remote(url) if url else _local(data_layout(settings), clock)
    if watch:
        return _watch(output, look, interval)
    report = look()
    if output.as_json:
        output.summary(_record(report))
    else:
        _show(output, report)
    return _exit_code(report)


def _local(layout: Layout, clock: Clock) -> Callable[[], Report]:
    """Looks at the data directory: works whether a service runs or not, and changes nothing."""
    meter = Meter(layout, clock)

    def look() -> Report:
        snapshot = take_snapshot(layout, clock.now())
        running = layout.run.is_dir() and is_owned(layout)
        return Report(running=running, health=health_of(snapshot), stats=stats_of(snapshot, meter.measure()))

    return look


def _remote(url: str) -> Callable[[], Report]:
    """Asks the API of a service."""
    if not url.startswith(("http://", "https://")):
        raise Usage(f"--url {url}: not an address", hint="such as http://127.0.0.1:8080")

    def look() -> Report:
        health, stats = _get(url, "health", Health), _get(url, "storage/stats", Stats)
        return Report(running=True, health=health, stats=stats)

    return look


def _get(url: str, path: str, kind: type[_Answer]) -> _Answer:
    address = f"{url.rstrip('/')}/{path}"
    hint = "check that the service runs and that the address is its SERVICE_HOST and SERVICE_PORT"
    try:
        request = Request(address, headers={"accept": "application/json", **authorization()})  # noqa: S310 - http only, see _remote
        with urlopen(request, timeout=_URL_SECONDS) as answer:  # noqa: S310 - as above
            return kind.model_validate_json(answer.read())
    except HTTPError as error:
        raise Transient(f"ask {address}: {error.code} {error.reason}", hint=hint) from error
    except (URLError, OSError) as error:
        raise Transient(f"ask {address}: {getattr(error, 'reason', error)}", hint=hint) from error
    except ValidationError as error:
        raise Transient(f"ask {address}: the answer is not from this service", hint=hint) from error


def _watch(output: Output, look: Callable[[], Report], interval: float) -> int:
    looks, code = 0, 0
    try:
        while True:
            report = look()
            looks, code = looks + 1, _exit_code(report)
            if output.as_json:
                output.item(_record(report))
            else:
                click.clear()
                _show(output, report)
            time.sleep(interval)
    except KeyboardInterrupt:
        output.summary({"looks": looks})
        return code


def _exit_code(report: Report) -> int:
    return 0 if report.running and not report.health.reasons else 1


def _record(report: Report) -> dict[str, object]:
    health = report.health.model_dump(mode="json")
    return {"running": report.running, **health, **report.stats.model_dump(mode="json")}


def _show(output: Output, report: Report) -> None:
    for line in screen(report):
        output.item({}, line)


def screen(report: Report) -> Iterator[str]:
    """The lines of the screen."""
    stats = report.stats
    yield f"● {report.health.lamp.line}"
    if not report.running:
        left = "this is what is left of its last report" if stats.workers else "none has reported yet"
        yield f"no service runs on this directory; {left}"
    yield ""
    for worker in stats.workers:
        yield _row(worker.name, _worker(worker))
    yield _row("staging", _staging(stats))
    yield _row("raw", f"{stats.counts.hour_files:,} hour files · {decimal(stats.size_bytes['raw'])}")
    yield _row("aggregates", _aggregates(stats))
    yield _row("letters", f"{stats.counts.dead_letters:,} · {decimal(stats.size_bytes['deadletter'])}")
    if stats.counts.gaps:
        yield _row(
            "gaps", f"{stats.counts.gaps:,} · Kafka had let messages go before they were read; see verify"
        )
    if stats.cold:
        yield _row("cold store", _cold(stats.cold, stats.time))
    yield _row("disk", f"{decimal(stats.disk.free_bytes)} free of {decimal(stats.disk.size_bytes)}")
    if report.running and report.health.reasons:
        yield ""
        for reason in report.health.reasons:
            yield _row(reason.state.value, f"{reason.worker}: {reason.what}")
            yield _row("", f"→ {reason.hint}")


def _worker(worker: Worker) -> str:
    told = [f"process {worker.pid}" if worker.pid else "waits to be started again"]
    told += [f"{worker.age_seconds:,.0f} s ago"] if worker.age_seconds is not None else []
    if worker.lag_messages is not None:
        told.append(f"{worker.lag_messages:,} messages wait")
    told += [f"HALTED: {worker.halted}"] if worker.halted else []
    told += [f"paused: {worker.paused}"] if worker.paused else []
    told += [f"error: {worker.error}"] if worker.error else []
    told += [f"blocked by {path}" for path in worker.blocked]
    return " · ".join(told)


def _aggregates(stats: Stats) -> str:
    text = f"{stats.counts.aggregate_files:,} files · {decimal(stats.size_bytes['aggregated'])}"
    due = stats.counts.due_aggregates
    return text + (f" · {due:,} sensor-hours to be made" if due else "")


def _cold(cold: ColdStore, now: datetime) -> str:
    text = f"{cold.sealed_waiting_files:,} to upload, {cold.waiting_files:,} with open hours"
    text += f" · since the start {cold.uploaded_files:,} uploaded, {cold.removed_files:,} removed here"
    if oldest := cold.oldest_waiting_hour:
        hours = (now - oldest).total_seconds() / 3600
        text += f" · the oldest only here and in Kafka is of {oldest:%Y-%m-%d %H:00}, {hours:,.1f} h ago"
    else:
        text += " · nothing is only here"
    return text + (" · DOES NOT ANSWER" if cold.away else "")


def _staging(stats: Stats) -> str:
    counts = stats.counts
    text = f"{counts.staged_files:,} files · {decimal(stats.size_bytes['staging'])}"
    if counts.waiting_readings:
        text += f" · {counts.waiting_readings:,} readings wait for their hour file"
    if stats.oldest_waiting:
        text += f" · oldest {(stats.time - stats.oldest_waiting).total_seconds():,.0f} s"
    return text


def _row(head: str, text: str) -> str:
    return f"{head:<10} {text}"
