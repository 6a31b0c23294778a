"""`demo`: everything on this machine."""

import os
import socket
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from sensor_storage.clock import SystemClock
from sensor_storage.demo.azurite import Azurite
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.demo import DemoPlant, DemoService, LiveLine
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.errors import Owned
from sensor_storage.stopping import until_told
from sensor_storage.storage.durable import Lock
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import alone

EPILOG = """\b
Examples:
  sensor-storage demo                      in ./demo-data, until Ctrl-C
  sensor-storage demo --data /tmp/plant --seconds 60

The data stays; start it again and it goes on. Exit codes: 0 ended as told; 1 could not start; 5 a demo runs in
that folder already."""
_LINE_SECONDS = 1.0
_BROKER = {"message.max.bytes": str(32 << 20)}
"""Waveforms are welcome; by itself Kafka takes messages of one megabyte."""

_TROUBLES = "/explore?" + "&".join(
    [f"pen={pen}" for pen in ("press-1/temperature", "pump-1/flow", "kiln-1/draught", "press-1/alarm~step")]
    + ["live=1h"]
)


@click.command("demo", epilog=EPILOG)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-data"), show_default=True
)
@click.option("--port", type=click.IntRange(1, 65535), help="The API's port; by default 8080, or a free one.")
@click.option("--seconds", type=click.FloatRange(1), help="End by itself after so long.")
@click.option(
    "--past",
    type=click.IntRange(0),
    default=3900,
    show_default=True,
    help="Seconds of history to begin with.",
)
@click.option("--azurite", "emulator", is_flag=True, help="Upload to Azurite instead of to a folder.")
def command(data: Path, port: int | None, seconds: float | None, past: int, *, emulator: bool) -> None:
    """Run a Kafka broker, a simulated plant and the service on this machine, and watch readings arrive."""
    clock, stop = SystemClock(), until_told()
    data = data.absolute()
    layout = Layout(data / "raw")
    port = port or _free_port(8080)
    data.mkdir(parents=True, exist_ok=True)
    click.echo("starting Apache Kafka …", err=True)
    cache = cache_folder(os.environ)
    azurite = Azurite(data / "azurite", cache=cache) if emulator else None
    with (
        _only_one(layout),
        EmbeddedBroker(data / "kafka", properties=_BROKER, cache=cache) as broker,
        azurite or nullcontext(),
    ):
        environment = _environment(layout, broker.bootstrap_servers, port) | _cold(data, azurite)
        login = azurite.write_login(data / "azurite.env") if azurite else None
        service = DemoService(environment, data / "service.log")
        plant = DemoPlant(broker.bootstrap_servers, clock, past_seconds=past)
        try:
            service.keep_running()
            plant.start()
            click.echo(_introduction(layout, port, broker.bootstrap_servers, service.pid, login))
            line = LiveLine(layout, clock, lambda: plant.acknowledged)
            writer = 0
            ends = clock.monotonic() + seconds if seconds else None
            while not stop.wait(_LINE_SECONDS) and (ends is None or clock.monotonic() < ends):
                if not broker.running:
                    _show("Apache Kafka had ended; started again", final=True)
                    broker.start()
                if azurite and not azurite.running:
                    _show("Azurite had ended; started again", final=True)
                    azurite.start()
                before = service.pid
                service.keep_running()
                if service.pid != before:
                    _show(f"the service had ended; started again with process id {service.pid}", final=True)
                if line.writer not in {0, writer}:
                    writer = line.writer
                    _show(
                        f"the writer is process {writer}: kill -9 it, and see that nothing is lost",
                        final=True,
                    )
                _show(line.text())
        finally:
            click.echo("\nending …", err=True)
            acknowledged = plant.stop()
            service.stop()
    click.echo(f"{acknowledged:,} messages were published; the data is in {data}")


def _only_one(layout: Layout) -> Lock:
    """Hold the directory's demo. Owned while another runs in it."""
    try:
        return alone(layout, "demo")
    except Owned:
        hint = "end that one, or name another folder by --data"
        raise Owned(f"a demo runs in {layout.root} already", hint=hint) from None


def _environment(layout: Layout, bootstrap_servers: str, port: int) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "LOCAL_STORAGE_PATH": str(layout.raw),
        "SERVICE_PORT": str(port),
        "BUFFER_FLUSH_INTERVAL_SECONDS": "10",
        "LOG_FORMAT": "json",
    }


def _cold(data: Path, azurite: Azurite | None) -> dict[str, str]:
    """A cold store with intervals so short that the way there and back can be watched."""
    soon = {
        "UPLOAD_INTERVAL_SECONDS": "15",
        "SEAL_GRACE_SECONDS": "0",
        "CLEANUP_INTERVAL_HOURS": "0.005",
        "CLEANUP_AGE_DAYS": "0.001",
    }
    return {**soon, **(azurite.settings if azurite else {"COLD_STORE_URL": (data / "cold").as_uri()})}


def _introduction(layout: Layout, port: int, bootstrap_servers: str, pid: int, login: Path | None) -> str:
    data = os.path.relpath(layout.root)
    store = f" --env-file {os.path.relpath(login)}" if login else ""
    program = os.path.relpath(sys.argv[0]) if os.path.sep in sys.argv[0] else "sensor-storage"
    return f"""
A plant of 100 machines publishes to Kafka at {bootstrap_servers}; its readings arrive below {data}/raw.
Page http://127.0.0.1:{port}/ · API http://127.0.0.1:{port}/docs · log {data}/service.log

See on the page:
  http://127.0.0.1:{port}{_TROUBLES}
      the last hour as it comes in: a spike every minute, a sensor that falls silent, a stretch of bad quality,
      alarms in words
  http://127.0.0.1:{port}/explore?tab=pipeline
      late readings that mend aggregates; files uploaded, proven and cleaned up

Try, in another terminal:
  {program} ls --data {data}
  {program} status --data {data}
  {program} verify --data {data}
  {program} query press-1 temperature --data {data}{store}
  curl -s 'http://127.0.0.1:{port}/azure/files?limit=3'     hours that are over; the query reads them back
  .venv/bin/python -c "import duckdb; print(duckdb.sql(\\"from '{data}/raw/press-1/*/*/*/*/*.parquet'\\"))"
  kill -9 {pid}        # the whole service; watch it come back with nothing lost

Ctrl-C ends everything.
"""


def _show(text: str, *, final: bool = False) -> None:
    if sys.stdout.isatty():
        click.echo(f"\r\x1b[K{text}", nl=final)
    else:
        click.echo(text)


def _free_port(wish: int) -> int:
    for port in (wish, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return wish
