"""What the environment, `.env` and a TOML file say, with the place of each value.

Only names are judged here: an unknown one is an error in a file, and in the environment a warning when it is
nearly ours.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from dotenv.parser import parse_stream

from sensor_storage.config.entries import entries, rooms

CONFIG_FILE_VARIABLE = "SENSOR_STORAGE_CONFIG"

_NOT_OURS_TO_JUDGE = frozenset({CONFIG_FILE_VARIABLE, "SENSOR_STORAGE_CACHE", "SENSOR_STORAGE_API_KEY"})
_KUBERNETES = re.compile(r".+_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)")
_NEARLY = 0.88


@dataclass(slots=True)
class Given:
    """What one source gives: values and origins by variable, and what is to be said about it."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take(self, name: str, value: object, origin: str) -> None:
        """Note a value; an empty text is as good as none."""
        if value != "":
            self.values[name], self.origins[name] = value, origin


def read_environment(environ: Mapping[str, str]) -> Given:
    """The settings in the environment, and warnings about names that are nearly ours."""
    given = Given()
    for name, value in environ.items():
        if name in entries():
            given.take(name, value, "environment")
        elif near := _nearly_ours(name):
            given.warnings.append(f"{name!a} in the environment is not a setting; did you mean {near}?")
    return given


def read_env_file(path: Path) -> Given:
    """The settings in a `.env` file: `NAME=value` lines, comments, quotes; nothing is expanded."""
    given = Given()
    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        given.problems.append(f"{path}: {_why(error)}")
        return given
    for binding in bindings:
        line = binding.original.line + _leading_lines(binding.original.string)
        origin = f"{path}:{line}"
        if binding.error or (binding.key is not None and binding.value is None):
            given.problems.append(f"{origin} is not NAME=value")
        elif binding.key is not None and binding.key in given.origins:
            given.warnings.append(
                f"{binding.key} stands twice: {origin} wins over {given.origins[binding.key]}"
            )
            given.take(binding.key, binding.value or "", origin)
        elif binding.key == CONFIG_FILE_VARIABLE or binding.key in entries():
            given.take(binding.key, binding.value or "", origin)
        elif binding.key is not None:
            given.problems.append(f"{origin}: {_unknown(binding.key, list(entries()))}")
    return given


def read_toml(path: Path) -> Given:
    """The settings in a TOML file: a table for each room, a key for each field."""
    given = Given()
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        given.problems.append(f"{path}: {_why(error)}")
        return given
    for room, table in tables.items():
        if isinstance(table, dict):
            _take_table(given, path, room, table)
        elif room.upper() in entries():
            entry = entries()[room.upper()]
            given.problems.append(f"{path}: {room} is written as {entry.field} below [{entry.room}]")
        else:
            given.problems.append(f"{path}: {_unknown(room, list(rooms()))}")
    return given


def _take_table(given: Given, path: Path, room: str, table: Mapping[str, object]) -> None:
    names = {entry.field: name for name, entry in entries().items() if entry.room == room}
    origin = f"{path} [{room}]"
    for key, value in table.items():
        if key in names:
            given.take(names[key], value, origin)
        elif names:
            given.problems.append(f"{origin}: {_unknown(key, list(names))}")
    if not names:
        given.problems.append(f"{path}: table {_unknown(room, list(rooms()))}")


def _unknown(name: str, known: list[str]) -> str:
    upper = name.isupper()
    near = get_close_matches(name.upper(), [one.upper() for one in known], n=1, cutoff=0.5)
    shown = near[0] if near and upper else near[0].lower() if near else ""
    return f"{name!a} is not a setting" + (f"; did you mean {shown}?" if shown else "")


def _nearly_ours(name: str) -> str:
    if name in _NOT_OURS_TO_JUDGE or _KUBERNETES.fullmatch(name):
        return ""
    near = get_close_matches(name.upper(), list(entries()), n=1, cutoff=_NEARLY)
    return near[0] if near else ""


def _leading_lines(text: str) -> int:
    return len(text[: len(text) - len(text.lstrip())].splitlines())


def _why(error: OSError | ValueError) -> str:
    """What is wrong with the file, without a word of what is in it."""
    if isinstance(error, OSError):
        return error.strerror or os.strerror(error.errno or 0)
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    place = re.search(r"\(at .*\)\Z", str(error))
    return f"it is not TOML {place.group()}" if place else "it is not TOML"
