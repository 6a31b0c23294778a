"""What happens, told on stderr: one event a line, for machines or for people; telling never raises.

    log = get("ingest")
    log.info("segment_written", rows=3600, seconds=0.02)

Names and messages come from strangers: whatever a terminal could take for a command, a line break or a change
of direction is written as an escape, and long text is cut. Logins and tokens in addresses are hidden.
"""

import json
import logging
import math
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from sensor_storage.secrecy import without_secrets

ROOT: Final = "sensor_storage"
MAX_TEXT: Final = 2000
_MAX_DEPTH: Final = 6
_QUIET: Final = ("kafka",)
_MOST_REMEMBERED: Final = 1_000
_RESERVED: Final = frozenset({"time", "level", "logger", "event", "traceback"})


class EventLog:
    """Tells the events of one room; fields are anything, and end as text where JSON knows no better."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, /, **fields: object) -> None:
        """Tell a detail."""
        self._tell(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Tell what is as it should be."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Tell what somebody should look at."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Tell what somebody must do something about."""
        self._tell(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """Tell an error together with the exception being handled."""
        self._tell(logging.ERROR, event, fields, handled=True)

    def _tell(self, level: int, event: str, fields: dict[str, object], *, handled: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, extra={"fields": fields}, exc_info=handled)


def get(room: str) -> EventLog:
    """The log of a room."""
    return EventLog(logging.getLogger(f"{ROOT}.{room}"))


def configure(
    level: str,
    log_format: Literal["auto", "json", "console"],
    *,
    stream: TextIO | None = None,
    **context: str,
) -> None:
    """Send every log of this process to stderr, or to `stream`; `context` goes into each line.

    May be called again: the last call counts. Libraries tell what is amiss, never details: some put passwords among
    them. Those of `_QUIET` raise what is amiss, and their callers tell it.
    """
    target = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and target.isatty())
    handler = _Handler(target)
    handler.setFormatter(_ConsoleFormatter(context) if console else _JsonFormatter(context))
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(logging.getLevelName(level), logging.WARNING))
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    logging.getLogger(ROOT).setLevel(level)


class Seldom(logging.Filter):
    """Lets the same words through once in so many seconds; what stands behind `(after` is none of them."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Is it new, or told long ago?"""
        words = record.getMessage().partition("(after")[0]
        if record.created - self._told.get(words, float("-inf")) < self._seconds:
            return False
        if len(self._told) >= _MOST_REMEMBERED:
            self._told.clear()
        self._told[words] = record.created
        return True


def escaped(text: str) -> str:
    """The text on one line, without anything that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def json_line(record: Mapping[str, object]) -> str:
    """The record as one line of valid JSON in ASCII: no NaN, and every value that JSON lacks as text."""
    return json.dumps(_plain(dict(record)), separators=(",", ":"), allow_nan=False)


def _plain(value: object, depth: int = 0) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines, and keeps quiet when it can't: a full pipe must not stop the service."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Let the line go."""


class _Formatter(logging.Formatter):
    """Collects what a line tells, and tells less when a field can't be put into words."""

    def __init__(self, context: Mapping[str, str]) -> None:
        super().__init__()
        self._context = dict(context)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        head = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix(f"{ROOT}."),
        }
        try:
            return self.line(head, _event(record), self._context | _fields(record), _traceback(record))
        except Exception as error:  # noqa: BLE001 - a field's own __str__ may raise anything
            return self.line(head, "unspeakable_event", {"reason": type(error).__name__}, [])

    def line(self, head: dict[str, str], event: str, fields: Mapping[str, object], trace: list[str]) -> str:
        """Put it together."""
        raise NotImplementedError


class _JsonFormatter(_Formatter):
    def line(self, head: dict[str, str], event: str, fields: Mapping[str, object], trace: list[str]) -> str:
        named = {f"{name}_" if name in _RESERVED else name: _short(value) for name, value in fields.items()}
        return json_line({**head, "event": event, **named, **({"traceback": trace} if trace else {})})


class _ConsoleFormatter(_Formatter):
    def line(self, head: dict[str, str], event: str, fields: Mapping[str, object], trace: list[str]) -> str:
        words = " ".join(f"{escaped(name)}={_word(_short(value))}" for name, value in fields.items())
        first = f"{head['time']} {head['level']:<7} {escaped(head['logger'])} {escaped(event)}  {words}"
        return "\n".join([first.rstrip(), *(f"    | {escaped(line)}" for line in trace)])


def _event(record: logging.LogRecord) -> str:
    return str(_short(record.getMessage()))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    text = "".join(traceback.format_exception(*record.exc_info))
    return [str(_short(line)) for line in text.split("\n") if line]


def _short(value: object) -> object:
    plain = _plain(value)
    if not isinstance(plain, str):
        return plain
    cut = plain if len(plain) <= MAX_TEXT else f"{plain[:MAX_TEXT]}… ({len(plain):,} characters)"
    return without_secrets(cut)


def _word(value: object) -> str:
    """A value as one word: quoted when it would look like two, or like another field."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    quoted = isinstance(value, str) and (not text or any(one in text for one in " =\"'"))
    return escaped(json.dumps(text, ensure_ascii=False) if quoted else text)
