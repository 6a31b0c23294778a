"""The command `sensor-storage`: names its verbs without loading them, turns errors into words and exit codes.

Exit codes: 0 good; 1 finished and found a problem; 2 usage or settings; 3 partly done; 4 Kafka, cloud or
service unreachable; 5 data directory owned by a service that does not answer; 130 ended by Ctrl-C.
"""

import importlib
import importlib.util
import json
import os
import select
import sys
import traceback
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn, TextIO

import click

from sensor_storage import __version__
from sensor_storage.errors import SensorStorageError, Usage

INTERRUPTED: Final = 130
STDOUT_GONE: Final = 141
"""What a shell reports of a program that died because nobody read its output."""

VERBS: Final = {
    "run": ("sensor_storage.verbs.run:command", "The service: from Kafka to files."),
    "worker": ("sensor_storage.verbs.worker:command", ""),
    "demo": (
        "sensor_storage.verbs.demo:command",
        "Everything on this machine: broker, plant, service, page.",
    ),
    "simulate": ("sensor_storage.verbs.simulate:command", "A plant that publishes readings to Kafka."),
    "broker": ("sensor_storage.verbs.broker:command", "The embedded Apache Kafka alone."),
    "check": ("sensor_storage.verbs.check:command", "Can it work here? Each thing ✓ or ✗ with the fix."),
    "status": ("sensor_storage.verbs.status:command", "One screen: lag, staging, files, last errors."),
    "ls": ("sensor_storage.verbs.ls:command", "Assets and sensors with what is stored of them."),
    "latest": ("sensor_storage.verbs.latest:command", "Each sensor's newest reading, and its age."),
    "query": ("sensor_storage.verbs.query:command", "Readings, minutes, hours or days of any sensors."),
    "export": ("sensor_storage.verbs.export:command", "The same, of any size, into a file."),
    "inspect": ("sensor_storage.verbs.inspect:command", "What a file holds, and whether it is sound."),
    "compact": ("sensor_storage.verbs.compact:command", "Put staged readings in their files, once."),
    "aggregate": ("sensor_storage.verbs.aggregate:command", "Make minutes, hours and days, once."),
    "upload": ("sensor_storage.verbs.upload:command", "Put files into the cold store, once."),
    "cleanup": ("sensor_storage.verbs.cleanup:command", "Remove old files the cold store has, once."),
    "verify": ("sensor_storage.verbs.verify:command", "Prove that nothing is missing or double."),
    "backfill": ("sensor_storage.verbs.backfill:command", "Past readings from files, or a range of Kafka."),
    "restore": ("sensor_storage.verbs.restore:command", "Bring files back, or a lost disk."),
    "rebuild": ("sensor_storage.verbs.rebuild:command", "Make the catalog or the aggregates again."),
    "dead-letters": ("sensor_storage.verbs.dead_letters:command", "Messages that could not become readings."),
    "config": ("sensor_storage.verbs.config:command", "Settings: show, check, docs."),
}
"""Verb: where it is, and what it does in one line; without words it is not for people."""

HIDDEN: Final = {"worker": "sensor_storage.verbs.worker:command"}
"""What only the program itself calls."""

EPILOG = """\b
Examples:
  sensor-storage demo                 see it work, on this machine alone
  sensor-storage run                  the service, as set by environment and .env
  sensor-storage ls --json | jq .     every verb speaks JSON
  sensor-storage VERB --help          more, with examples"""


class LazyGroup(click.Group):
    """A group that imports a verb's module when the verb is used, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs that are there, in the order of the table."""
        return [verb for verb, (place, _) in VERBS.items() if importlib.util.find_spec(place.split(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, loaded."""
        if cmd_name not in HIDDEN and cmd_name not in self.list_commands(ctx):
            return None
        place = HIDDEN.get(cmd_name) or VERBS[cmd_name][0]
        module, _, attribute = place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, click.Command):
            raise TypeError(f"{place} is no click command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one is near."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            possible = self.list_commands(ctx)
            raise click.NoSuchCommand(error.command_name, possibilities=possible, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, loading none."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, VERBS[verb][1]) for verb in self.list_commands(ctx) if VERBS[verb][1]])

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; end quietly when the reader of our output has gone, as `head` does."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            if not _stdout_is_gone():
                raise
            ctx.exit(STDOUT_GONE)


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sensor-storage")
def group() -> None:
    """Keep every sensor reading from Kafka exactly once, in plain Parquet files."""


def main() -> NoReturn:
    """Run the command line of this process, and end it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    if not _flushed(sys.stdout):
        code = code or STDOUT_GONE
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments ask and give the exit code; every error has then been told."""
    try:
        result = group.main(list(arguments), prog_name="sensor-storage", standalone_mode=False)
    except SensorStorageError as error:
        ending = _Ending(type(error).__name__, error.message, error.hint, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Usage.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "sensor-storage"
        ending = _Ending("Usage", error.format_message(), f"{path} --help", Usage.exit_code)
    except click.ClickException as error:
        ending = _Ending(type(error).__name__, error.format_message(), "", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        ending = _Ending("Interrupted", "ended by Ctrl-C", "", INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last one who can put it into words
        ending = _unexpected(error, verbose=_asks_detail(arguments))
    else:
        return result if isinstance(result, int) else 0
    _tell(ending, as_json="--json" in _before_dashes(arguments))
    return ending.exit_code


class _Ending(NamedTuple):
    """How a command ended that did not end well."""

    error: str
    message: str
    hint: str
    exit_code: int


def _unexpected(error: Exception, *, verbose: bool) -> _Ending:
    if verbose:
        traceback.print_exception(error)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = "" if verbose else "-v shows where it happened; please report it."
    return _Ending(type(error).__name__, f"unexpected {words}", hint, 1)


def _tell(ending: _Ending, *, as_json: bool) -> None:
    if as_json:
        try:
            click.echo(json.dumps({"type": "error", **ending._asdict()}))
        except BrokenPipeError:
            return
    click.echo(f"error: {_safe(ending.message)}", err=True)
    if ending.hint:
        click.echo(f"hint: {_safe(ending.hint)}", err=True)


def _safe(text: str) -> str:
    """The text with its own line breaks, and without anything else that a terminal obeys."""
    return "".join(
        one if one == "\n" or one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _before_dashes(arguments: Sequence[str]) -> list[str]:
    return list(arguments[: arguments.index("--")]) if "--" in arguments else list(arguments)


def _asks_detail(arguments: Sequence[str]) -> bool:
    given = _before_dashes(arguments)
    return "--verbose" in given or any(
        one[:1] == "-" and one[1:].isalpha() and "v" in one[1:] for one in given
    )


def _stdout_is_gone() -> bool:
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


def _flushed(stream: TextIO) -> bool:
    """Write out what is left; where nobody reads, see that the interpreter does not complain of it."""
    try:
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True
