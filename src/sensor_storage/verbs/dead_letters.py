"""`dead-letters`: the messages that could not become readings."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
import pyarrow.parquet as pq

from sensor_storage.config import Settings
from sensor_storage.errors import SensorStorageError, Usage
from sensor_storage.kafka.refusal import Reason
from sensor_storage.log import json_line
from sensor_storage.main import build_replay
from sensor_storage.storage.dead_letter_words import chosen_by, line_of, record_of, replayed
from sensor_storage.storage.dead_letters import SCHEMA, DeadLetter, dead_letter_table, dead_letters_by_file
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import alone
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options

_Verb = TypeVar("_Verb", bound=Callable[..., Any])

LIST_EPILOG = """\b
Examples:
  sensor-storage dead-letters list                              the newest
  sensor-storage dead-letters list --reason bad_timestamp --limit 5
  sensor-storage dead-letters list --limit 0 --json | jq -r .reason | sort | uniq -c

Exit codes: 0 good; 1 a damaged file was passed over; 2 usage."""
SHOW_EPILOG = """\b
Examples:
  sensor-storage dead-letters show sensor-data-a/0@1234

Exit codes: 0 good; 1 there is no such dead letter; 2 usage."""
REPLAY_EPILOG = """\b
Examples:
  sensor-storage dead-letters replay --dry-run                  how many would be readable now
  FIELD_ALIASES=asset=machine sensor-storage dead-letters replay --reason no_asset

Give it the settings the service has. It may run beside the service; a letter becomes readings once, however often
this is done, and stays where it is. Exit codes: 0 good; 1 a damaged file was passed over; 2 usage; 5 another
replay runs."""
EXPORT_EPILOG = """\b
Examples:
  sensor-storage dead-letters export -o letters.parquet
  sensor-storage dead-letters export --reason not_json -o broken.ndjson

Exit codes: 0 good; 1 a damaged file was passed over; 2 usage."""
_COLUMNS = {
    "address": "address",
    "kafka_timestamp": "timestamp",
    "value_bytes": "bytes",
    "reason": "reason",
    "replayed": "replayed",
    "error": "error",
}
_ADDRESS = re.compile(r"(?P<topic>.+)/(?P<partition>\d+)@(?P<offset>\d+)", re.DOTALL)


def _narrowing(verb: _Verb) -> _Verb:
    """Give a verb `--reason` and `--topic`."""
    verb = click.option("--topic", help="Only those of this topic.")(verb)
    kind = click.Choice([reason.value for reason in Reason])
    return click.option("--reason", type=kind, metavar="REASON", help="Only those of this reason.")(verb)


@click.group("dead-letters")
def command() -> None:
    """Messages that could not become readings; each is kept whole."""


@command.command("list", epilog=LIST_EPILOG)
@click.option(
    "--limit", type=click.IntRange(0), default=100, show_default=True, help="At most so many; 0: all."
)
@_narrowing
@output_options
@settings_options
def list_letters(
    output: Output, settings: Settings, limit: int, reason: str | None, topic: str | None
) -> int:
    """List dead letters: those stored last first, and of those stored together those with Kafka's latest time."""
    damaged: list[str] = []
    listed = 0
    layout = data_layout(settings)
    since = replayed(layout)

    def told() -> Iterator[dict[str, object]]:
        nonlocal listed
        for letter in filter(chosen_by(reason, topic), _newest(layout, damaged.append)):
            listed += 1
            known = letter.address in since
            yield {"address": str(letter.address), **line_of(letter), "replayed": known}
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


@command.command("replay", epilog=REPLAY_EPILOG)
@_narrowing
@click.option("--dry-run", is_flag=True, help="Only tell what would become of them.")
@output_options
@settings_options
def replay(output: Output, settings: Settings, reason: str | None, topic: str | None, dry_run: bool) -> int:
    """Decode dead letters again with the settings of now, after a fix; those that are readable become readings."""
    layout = data_layout(settings)
    damaged: list[str] = []
    with alone(layout, "replay"):
        done = build_replay(settings, layout, damaged.append).run(chosen_by(reason, topic), dry_run=dry_run)
    for words in damaged:
        output.warn(words)
    told = "would become" if dry_run else "became"
    output.summary(
        {**asdict(done), "damaged": len(damaged), "dry_run": dry_run},
        f"{done.replayed:,} of {done.letters:,} dead letters {told} {done.readings:,} readings;"
        f" {done.already:,} had before, {done.unreadable:,} are still unreadable, {done.pending:,} will come again",
    )
    return 1 if damaged else 0


@command.command("export", epilog=EXPORT_EPILOG)
@_narrowing
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="FILE.parquet or FILE.ndjson",
)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@output_options
@settings_options
def export(
    *, output: Output, settings: Settings, reason: str | None, topic: str | None, target: Path, force: bool
) -> int:
    """Write dead letters whole into one file: key, value and headers, address, time, reason and error."""
    if target.suffix not in {".parquet", ".ndjson"}:
        raise Usage(f"{target.name} ends in neither .parquet nor .ndjson")
    if target.exists() and not force:
        raise Usage(f"{target} is there already", hint="--force replaces it")
    if not target.parent.is_dir():
        raise Usage(f"the folder {target.parent} is not there", hint="create it first")
    damaged: list[str] = []
    files = dead_letters_by_file(data_layout(settings), damaged.append)
    chosen = chosen_by(reason, topic)
    letters = ([letter for letter in some if chosen(letter)] for some in files)
    count = _write(target, letters)
    for words in damaged:
        output.warn(words)
    output.summary(
        {"dead_letters": count, "file": str(target), "damaged": len(damaged)},
        f"{count:,} dead letters are in {target}; none was removed",
    )
    return 1 if damaged else 0


def _write(target: Path, files: Iterable[list[DeadLetter]]) -> int:
    """Into a file beside it first: the file appears when it is complete."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    count = 0
    try:
        with ExitStack() as stack:
            if target.suffix == ".parquet":
                writer = stack.enter_context(pq.ParquetWriter(aside, SCHEMA, compression="zstd"))
                write = writer.write_table
                for letters in filter(None, files):
                    write(dead_letter_table(letters))
                    count += len(letters)
            else:
                lines = stack.enter_context(aside.open("w", encoding="utf-8"))
                for letters in files:
                    lines.writelines(f"{json_line(record_of(letter))}\n" for letter in letters)
                    count += len(letters)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return count


def _newest(layout: Layout, damaged: Callable[[str], object]) -> Iterator[DeadLetter]:
    """Every dead letter once, those stored last first; damaged files are told and passed over."""
    for letters in dead_letters_by_file(layout, damaged, newest_first=True):
        yield from letters


def _show(output: Output, letter: DeadLetter) -> None:
    record = record_of(letter)
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
