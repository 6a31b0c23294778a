"""`sensor-storage broker`: the embedded Apache Kafka alone."""

import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from sensor_storage.demo.broker import BrokerUnavailable, EmbeddedBroker
from sensor_storage.demo.java import find_java
from sensor_storage.demo.kafka_jars import KAFKA_VERSION, cache_folder, kafka_jars

EPILOG = """\b
Examples:
  sensor-storage broker                                    ~/.cache/sensor-storage/broker, a free port
  sensor-storage broker --directory ./kafka --port 9092    keep the messages here, at this address
  sensor-storage broker --fetch-only                       only download what it needs

Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 could not start; 2 usage."""
_LOOK_SECONDS = 1.0


@click.command("broker", epilog=EPILOG)
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), help="Where the messages stay."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port on 127.0.0.1; else a free one, remembered."
)
@click.option("--fetch-only", is_flag=True, help="Download Apache Kafka if it is not here yet, and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line on stdout in place of the bare address.")
def command(directory: Path | None, port: int | None, fetch_only: bool, as_json: bool) -> None:
    """Run a real Apache Kafka of one node until Ctrl-C, for demos and tests.

    Its address is the only thing on stdout, once it answers.
    """
    cache = cache_folder(os.environ)
    if fetch_only:
        _fetch(cache, as_json)
        return
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with EmbeddedBroker(directory or cache / "broker", port=port, cache=cache) as broker:
        line = {
            "type": "summary",
            "bootstrap_servers": broker.bootstrap_servers,
            "directory": str(broker.directory),
        }
        click.echo(json.dumps(line) if as_json else broker.bootstrap_servers)
        while not ending.wait(_LOOK_SECONDS):
            if not broker.running:
                raise BrokerUnavailable(
                    f"keep the embedded Kafka in {broker.directory} running: it ended by itself",
                    hint=f"read {broker.log_file}",
                )


def _fetch(cache: Path, as_json: bool) -> None:
    java, jars = find_java(), kafka_jars(cache)
    line = {"type": "summary", "kafka": KAFKA_VERSION, "java": str(java), "jars": str(jars)}
    click.echo(json.dumps(line) if as_json else f"Apache Kafka {KAFKA_VERSION} is in {jars}")
