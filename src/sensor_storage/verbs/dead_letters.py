"""`dead-letters`: the messages that could not become readings."""

import base64
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import click

from sensor_storage.config import Settings
from sensor_storage.errors import Damaged, SensorStorageError, Usage
from sensor_storage.model import Address
from sensor_storage.storage.dead_letters import DeadLetter, read_dead_letters
from sensor_storage.storage.layout import Layout
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options

LIST_EPILOG = """\b
Examples:
  sensor-storage dead-letters list                              the newest
  sensor-storage dead-letters list --reason timestamp --limit 5
  sensor-storage dead-letters list --limit 0 --json | jq -r .reason | sort | uniq -c

Exit codes: 0 good; 1 a damaged file was passed over; 2 usage."""
SHOW_EPILOG = """\b
Examples:
  sensor-storage dead-letters show sensor-data-a/0@1234

Exit codes: 0 good; 1 there is no such dead letter; 2 usage."""
_COLUMNS = {
    "address": "address",
    "kafka_timestamp": "timestamp",
    "value_bytes": "bytes",
    "reason": "reason",
    "error": "error",
}
_ADDRESS = re.compile(r"(?P<topic>.+)/(?P<partition>\d+)@(?P<offset>\d+)", re.DOTALL)
_EPOCH = datetime.fromtimestamp(0, UTC)


@click.group("dead-letters")
def command() -> None:
    """Look at messages that could not become readings; each is kept whole."""


@command.command("list", epilog=LIST_EPILOG)
@click.option(
    "--limit", type=click.IntRange(0), default=100, show_default=True, help="At most so many; 0: all."
)
@click.option("--reason", help="Only those of this reason.")
@click.option("--topic", help="Only those of this topic.")
@output_options
@settings_options
def list_letters(
    output: Output, settings: Settings, limit: int, reason: str | None, topic: str | None
) -> int:
    """List dead letters, the newest first."""
    damaged: list[str] = []
    listed = 0

    def told() -> Iterator[dict[str, object]]:
        nonlocal listed
        for letter in _newest(data_layout(settings), damaged.append):
            if reason not in {None, letter.reason} or topic not in {None, letter.address.source.topic}:
                continue
            listed += 1
            yield {"address": str(letter.address), **_line(letter)}
            if listed == limit:
                return

    output.items(told(), _COLUMNS)
    for words in damaged:
        output.warn(words)
    output.summary({"dead_letters": listed, "more": bool(limit) and listed == limit, "damaged": len(damaged)})
    return 1 if damaged else 0


@command.command("show", epilog=SHOW_EPILOG)
@click.argument("address")
@output_options
@settings_options
def show(output: Output, settings: Settings, address: str) -> None:
    """Show a dead letter whole: ADDRESS is topic/partition@offset, as `list` prints it."""
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise Usage(
            f"{address!a} is not an address", hint="such as sensor-data-a/0@1234: topic/partition@offset"
        )
    wanted = (match["topic"], int(match["partition"]), int(match["offset"]))
    found = 0
    for letter in _newest(data_layout(settings), output.warn):
        source = letter.address.source
        if (source.topic, source.partition, letter.address.offset) == wanted:
            found += 1
            _show(output, letter)
    if not found:
        raise SensorStorageError(
            f"there is no dead letter at {address}", hint="sensor-storage dead-letters list --limit 0"
        )
    output.summary({"dead_letters": found})


def _newest(layout: Layout, damaged: Callable[[str], object]) -> Iterator[DeadLetter]:
    """Every dead letter once, the newest file's last first; damaged files are told and passed over."""
    seen: set[Address] = set()
    for path in reversed(layout.dead_letter_files()):
        try:
            letters = read_dead_letters(path)
        except Damaged as error:
            damaged(error.message)
            continue
        for letter in reversed(letters):
            if letter.address not in seen:
                seen.add(letter.address)
                yield letter


def _line(letter: DeadLetter) -> dict[str, object]:
    time = _EPOCH + timedelta(milliseconds=letter.timestamp)
    return {
        "kafka_topic": letter.address.source.topic,
        "kafka_partition": letter.address.source.partition,
        "kafka_offset": letter.address.offset,
        "kafka_timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "reason": letter.reason,
        "error": letter.error,
        "value_bytes": None if letter.value is None else len(letter.value),
    }


def _show(output: Output, letter: DeadLetter) -> None:
    source = letter.address.source
    record = {
        **_line(letter),
        "kafka_topic_id": source.topic_id or None,
        "kafka_leader_epoch": source.leader_epoch,
        **_bytes("key", letter.key),
        **_bytes("value", letter.value),
        "headers": [{"name": name, **_bytes("value", value)} for name, value in letter.headers],
    }
    if output.as_json:
        output.item(record)
        return
    for name, value in _for_people(letter, record):
        output.item({}, f"{name + ':':<12} {value}")


def _for_people(letter: DeadLetter, record: dict[str, object]) -> Iterator[tuple[str, object]]:
    yield "address", letter.address
    yield "topic id", record["kafka_topic_id"] or "none"
    yield "timestamp", record["kafka_timestamp"]
    yield "reason", letter.reason
    yield "error", letter.error
    yield "key", _readable(letter.key)
    for name, value in letter.headers:
        yield "header", f"{name} = {_readable(value)}"
    yield "value", _readable(letter.value)


def _readable(data: bytes | None) -> str:
    """Text where the bytes are UTF-8, else hexadecimal."""
    if data is None:
        return "none"
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"({len(data):,} bytes, not UTF-8) {data.hex(' ')}"


def _bytes(name: str, data: bytes | None) -> dict[str, str | None]:
    """`name` as text where the bytes are UTF-8, else `name_base64`."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
