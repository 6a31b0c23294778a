"""`sensor-storage simulate`: a plant that publishes to Kafka and says what the broker has of it."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from types import FrameType
from typing import Any, TypeAlias

import click
from rich.console import Console
from rich.table import Table

from sensor_storage.clock import SystemClock
from sensor_storage.config import load
from sensor_storage.config.event_hubs import PRODUCER, is_event_hubs
from sensor_storage.demo.messages import SENSIBLE_FAULTS, STYLES, Faults, Form, MessageSource
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import Pace, Publisher, Report, simulate
from sensor_storage.errors import Usage

Progress: TypeAlias = Callable[[int, int], None]
PROGRESS_SECONDS = 2.0
AHEAD_SECONDS = 23 * 3600
EPILOG = """\b
Examples:
  sensor-storage simulate                                  1,000 readings a second, until Ctrl-C
  sensor-storage simulate --form mixed --faults            every form, with mishaps
  sensor-storage simulate --rate max --messages 5000000    fill a backlog
  sensor-storage simulate --start 2024-01-01T00:00:00Z --speed 60 --duration 3600 --seed 7

The same seed, plant, start and duration give the same readings again.
Exit codes: 0 all acknowledged; 1 some were not; 2 usage; 4 Kafka unreachable."""


class Rate(click.ParamType[float | str]):
    """A positive number, or `max`, which becomes None."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Give the number, or `max`."""
        if value == "max":
            return "max"
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'max'", param, ctx)
        if not 0 < number < float("inf"):
            self.fail(f"{value!r} is not above 0", param, ctx)
        return number


class Moment(click.ParamType[int]):
    """A time in ISO 8601; without an offset it is UTC."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Give microseconds, whole milliseconds."""
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time like 2024-01-01T00:00:00Z", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000) * 1000


SHARE = click.FloatRange(0.0, 1.0)


@click.command("simulate", epilog=EPILOG)
@click.option(
    "--bootstrap-servers",
    help="By default the service's Kafka and login: KAFKA_…, in the environment or .env.",
)
@click.option("--assets", type=click.IntRange(1), default=100, show_default=True, help="Machines.")
@click.option(
    "--sensors", type=click.IntRange(1), default=10, show_default=True, help="Sensors of each machine."
)
@click.option(
    "--rate",
    type=Rate(),
    help="Readings a second of event time, in all, by default one a sensor; 'max': no limit.",
)
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    help="Seconds of event time; without it until Ctrl-C.",
)
@click.option("--messages", type=click.IntRange(1), help="Stop after so many messages.")
@click.option(
    "--form", type=click.Choice(["narrow", "wide", "batch", "mixed"]), default="narrow", show_default=True
)
@click.option("--faults", is_flag=True, help="A sensible mix of the four faults below.")
@click.option("--late", type=SHARE, help="Share of messages that come 10 s to 17 min late.")
@click.option("--duplicate", type=SHARE, help="Share of messages that are published a second time.")
@click.option("--out-of-order", type=SHARE, help="Share of messages that a few later ones overtake.")
@click.option("--malformed", type=SHARE, help="Garbled or empty messages, as a share of the good ones.")
@click.option(
    "--text-share", type=SHARE, default=0.1, show_default=True, help="Share of sensors that say words."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--start",
    type=Moment(),
    help="Event time of the first reading; by default now, or such that a backlog ends about now. The time Kafka "
    "gives a message is now all the same.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Event time runs so much faster.",
)
@click.option("--topic-prefix", default="sensor-data-", show_default=True)
@click.option(
    "--partitions",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Of topics that don't exist yet.",
)
@click.option("--json", "as_json", is_flag=True, help="One summary line on stdout, progress lines on stderr.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - as parsed
    """Publish the readings of a simulated plant to Kafka, and report what the broker acknowledged."""
    clock, stop = SystemClock(), Event()
    source, pace = _source(options), _pace(options, int(clock.now()) * SECOND)
    client = _client(options["bootstrap_servers"])
    publisher = Publisher(client["bootstrap.servers"], config=client)
    publisher.ensure_topics(source.topics, options["partitions"])
    began = clock.monotonic()
    progress = _progress(publisher, clock, as_json=options["as_json"])
    with _ended_politely(stop):
        reached = simulate(
            source, publisher, pace, clock, wait=stop.wait, stopped=stop.is_set, progress=progress
        )
        report = publisher.flush()
    seconds = clock.monotonic() - began
    _show(report, seconds, pace.start_us, reached, as_json=options["as_json"])
    ctx.exit(1 if report.messages_failed else 0)


def _client(servers: str | None) -> dict[str, str]:
    """The client's properties: as the service has them, or of a Kafka that is named and wants no login."""
    if servers is not None:
        return {"bootstrap.servers": servers}
    client = load(os.environ).kafka.client_properties()
    return client | PRODUCER if is_event_hubs(client) else client


def _source(options: dict[str, Any]) -> MessageSource:
    plant = Plant(
        options["assets"], options["sensors"], seed=options["seed"], text_share=options["text_share"]
    )
    usual = SENSIBLE_FAULTS if options["faults"] else Faults()
    names = ("late", "out_of_order", "duplicate", "malformed")
    shares = {name: getattr(usual, name) if options[name] is None else options[name] for name in names}
    form: Form = options["form"]
    return MessageSource(
        plant,
        form=form,
        faults=Faults(**shares),
        interval_us=_interval_us(options),
        topic_prefix=options["topic_prefix"],
    )


def _interval_us(options: dict[str, Any]) -> int:
    rate, sensors = options["rate"], options["assets"] * options["sensors"]
    if rate in (None, "max"):
        return SECOND
    interval = round(sensors / rate * SECOND)
    if interval < 1000:  # noqa: PLR2004 - a millisecond
        raise Usage(
            f"--rate {rate:g} asks each of {sensors:,} sensors for more than 1,000 readings a second",
            hint="Raise --assets or --sensors, or use --rate max.",
        )
    return int(interval)


def _pace(options: dict[str, Any], now_us: int) -> Pace:
    """Let a backlog end now when no start is given; refuse event times the service would rightly reject."""
    start, duration, messages = options["start"], options["duration"], options["messages"]
    speed = None if options["rate"] == "max" else options["speed"]
    length_us = None if duration is None else int(duration * 1000) * 1000
    if start is None and speed is not None and speed <= 1:
        start = now_us
    elif start is None:
        if length_us is None and messages is None:
            raise Usage(
                "--speed above 1 or --rate max, without an end, would run into the future",
                hint="Give it an end, --duration or --messages, or a --start: then it goes on live from now.",
            )
        start = now_us - (length_us or _lasting_us(options))
    elif start > now_us + AHEAD_SECONDS * SECOND:
        raise Usage(
            "--start is more than 23 hours ahead",
            hint="The service rejects readings that are a day ahead of Kafka's timestamp.",
        )
    return Pace(start, None if length_us is None else start + length_us, messages, speed)


def _lasting_us(options: dict[str, Any]) -> int:
    """Give the event time that so many messages fill, and a fifth more: alarms speak on change only."""
    styles = STYLES[options["form"]]
    per_poll = sum(options["sensors"] if style == "narrow" else 1 for style in styles) / len(styles)
    polls = options["messages"] / per_poll / options["assets"]
    return 60 * SECOND + int(1.2 * polls * _interval_us(options)) // 1000 * 1000


@contextmanager
def _ended_politely(stop: Event) -> Iterator[None]:
    """Take the first Ctrl-C or SIGTERM as a wish to finish; a second one ends at once."""

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _progress(publisher: Publisher, clock: SystemClock, *, as_json: bool) -> Progress:
    """Say every two seconds on stderr how far it got."""
    last = clock.monotonic()

    def tell(sent: int, event_us: int) -> None:
        nonlocal last
        if clock.monotonic() - last < PROGRESS_SECONDS:
            return
        last = clock.monotonic()
        report = publisher.report()
        event = _iso(event_us)
        if as_json:
            line: dict[str, Any] = {"type": "progress", "messages_sent": sent, "event_time": event}
            line["messages_acknowledged"] = report.messages_acknowledged
            line["readings_acknowledged"] = report.readings_acknowledged
            click.echo(json.dumps(line), err=True)
        else:
            counts = f"{report.messages_acknowledged:,} messages, {report.readings_acknowledged:,} readings"
            text = f"{event}  {counts} acknowledged"
            click.echo(text + (f"  {report.last_error}" if report.last_error else ""), err=True)

    return tell


def _show(report: Report, seconds: float, start_us: int, reached_us: int, *, as_json: bool) -> None:
    rate = report.messages_acknowledged / max(seconds, 1e-9)
    if as_json:
        timing = {"seconds": round(seconds, 3), "messages_per_second": round(rate)}
        span = {"event_start": _iso(start_us), "event_end": _iso(reached_us)}
        click.echo(json.dumps({"type": "summary"} | report.to_json() | timing | span))
        return
    table = Table("topic", "partition", "messages", "highest offset", box=None)
    for (topic, partition), (count, last) in sorted(report.partitions.items()):
        table.add_row(topic, str(partition), f"{count:,}", f"{last:,}")
    console = Console()
    console.print(table)
    acknowledged = f"{report.messages_acknowledged:,} messages acknowledged"
    click.echo(f"{acknowledged} in {seconds:.1f} s, {rate:,.0f} a second; they hold")
    click.echo(f"  {report.readings_acknowledged:,} readings")
    click.echo(f"  {report.dead_letters_expected:,} dead letters")
    click.echo(f"  {report.empty_messages_expected:,} empty messages")
    if report.messages_failed:
        click.echo(
            f"{report.messages_failed:,} messages, {report.readings_failed:,} readings, were not "
            f"acknowledged and may or may not have arrived: {report.last_error}",
            err=True,
        )


def _iso(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / SECOND, UTC):%Y-%m-%dT%H:%M:%S}Z"
