"""What the verbs share: their options, and the way they answer.

    @click.command("ls", epilog=EPILOG)
    @output_options
    @settings_options
    def command(output: Output, settings: Settings) -> int | None: ...

The answer goes to stdout, everything else to stderr. With `--json` it is lines: items, then exactly one
summary, or the error line that `sensor_storage.cli` writes.
"""

import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO, TypeVar

import click

from sensor_storage import log
from sensor_storage.config import Settings, load
from sensor_storage.errors import Usage
from sensor_storage.storage.layout import Layout

Item = Mapping[str, object]
_Verb = TypeVar("_Verb", bound=Callable[..., Any])
MOMENT: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
"""The type of options that name a time; `seconds_of` reads it."""

_EXISTING_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class Output:
    """A verb's answer: items as they come, then one summary, as JSON lines or for people.

    Use it as a context: the summary is written when the block ends without an error.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._summary: tuple[Item, str, bool] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, click.exceptions.Exit):
            self._close()

    def item(self, record: Item, text: str = "") -> None:
        """One thing of the answer: a JSON line of type `item`, or the text."""
        self._write(log.json_line({"type": "item", **record}) if self.as_json else log.escaped(text))

    def detail(self, record: Item, text: str) -> None:
        """One thing of the answer that is as it should be: a person sees it with `-v`."""
        if self.as_json or self.verbose:
            self.item(record, text)

    def items(self, records: Iterable[Item], columns: Sequence[str] | Mapping[str, str]) -> None:
        """Many things: JSON lines; on a terminal a table of the columns (key: heading); else tabbed lines."""
        headings = columns if isinstance(columns, Mapping) else {key: key for key in columns}
        if self.as_json:
            for record in records:
                self.item(record)
        elif self._out.isatty():
            tables = importlib.import_module("sensor_storage.verbs.tables")
            tables.print_table(records, headings, self._out, cell)
        else:
            self._write("\t".join(headings.values()))
            for record in records:
                self._write("\t".join(cell(record.get(key)) for key in headings))

    def summary(self, record: Item, text: str = "", *, answer: bool = False) -> None:
        """The end of the answer: one JSON line of type `summary`, or the text. The last one counts.

        When quiet the text is left out, unless it is what was asked for: the `answer`.
        """
        self._summary = (record, text, answer)

    def progress(self, record: Item, text: str) -> None:
        """How far it got, on stderr: a JSON line of type `progress`, or the text."""
        if not self.quiet:
            line = log.json_line({"type": "progress", **record}) if self.as_json else log.escaped(text)
            click.echo(line, file=self._err)

    def note(self, text: str) -> None:
        """A word to the person, on stderr."""
        if not self.quiet:
            click.echo(log.escaped(text), file=self._err)

    def warn(self, text: str) -> None:
        """A word to the person that something may be wrong, on stderr, also when quiet."""
        click.echo(f"warning: {log.escaped(text)}", file=self._err)

    def _close(self) -> None:
        record, text, answer = self._summary or ({}, "", False)
        if self.as_json:
            self._write(log.json_line({"type": "summary", **record}))
        elif text and (answer or not self.quiet):
            for line in text.split("\n"):
                self._write(log.escaped(line))

    def _write(self, line: str) -> None:
        click.echo(line, file=self._out)


def output_options(verb: _Verb) -> _Verb:
    """Give a verb `--json`, `-q`, `-v` and the argument `output`."""

    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON lines: items, then one summary.")
    @click.option("-q", "--quiet", is_flag=True, help="Only the answer and what is wrong.")
    @click.option(
        "-v", "--verbose", is_flag=True, help="Tell what is as it should be, and on stderr what is done."
    )
    @functools.wraps(verb)
    def wrapped(*args: Any, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> Any:  # noqa: ANN401
        level = "DEBUG" if verbose else "ERROR" if quiet else "WARNING"
        log.configure(level, "json" if as_json else "console")
        with Output(as_json=as_json, quiet=quiet, verbose=verbose) as output:
            return verb(*args, output=output, **options)

    return wrapped  # type: ignore[return-value]  # the argument `output` is given here


def settings_options(verb: _Verb) -> _Verb:
    """Give a verb `--data`, `--config`, `--env-file` and the argument `settings`; warnings go to stderr."""

    @click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="The data directory, the parent of raw/; by default that of LOCAL_STORAGE_PATH.",
    )
    @click.option(
        "--config", "config_file", type=_EXISTING_FILE, help="Settings in TOML; also SENSOR_STORAGE_CONFIG."
    )
    @click.option("--env-file", type=_EXISTING_FILE, help="Settings as NAME=value, instead of .env here.")
    @functools.wraps(verb)
    def wrapped(
        *args: Any,  # noqa: ANN401
        data: Path | None,
        config_file: Path | None,
        env_file: Path | None,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        overrides = {"LOCAL_STORAGE_PATH": str(data.absolute() / "raw")} if data else {}
        settings = load(os.environ, env_file=env_file, config_file=config_file, overrides=overrides)
        tell_warnings(settings)
        return verb(*args, settings=settings, **options)

    return wrapped  # type: ignore[return-value]  # the argument `settings` is given here


def data_layout(settings: Settings) -> Layout:
    """The data directory a verb is to look at. Usage unless it is one, or empty: nothing proves nothing."""
    layout = Layout(settings.storage.local_storage_path)
    hint = "name the data directory, the parent of raw/, by --data or LOCAL_STORAGE_PATH"
    if not layout.root.is_dir():
        raise Usage(f"{layout.root} is not there", hint=hint)
    if not layout.may_be_ours():
        raise Usage(f"{layout.root} is no data directory: it has no {layout.raw.name}/", hint=hint)
    return layout


def seconds_of(moment: datetime | None) -> float | None:
    """Since 1970; one without an offset is of UTC."""
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def tell_warnings(settings: Settings) -> None:
    """Say on stderr what about the settings is odd and not wrong."""
    for warning in settings.warnings:
        click.echo(f"warning: {log.escaped(warning)}", err=True)


def cell(value: object) -> str:
    """A value as a person reads it in a line or a table."""
    return "" if value is None else log.escaped(str(value))
