"""The settings as a list: each variable with its place in the tree, its rule, and its value as text."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Literal, NamedTuple, get_args, get_origin

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from sensor_storage.config.kinds import Rule
from sensor_storage.config.settings import Branch, Settings
from sensor_storage.secrecy import HIDDEN, without_secrets

NOT_SET = "(not set)"
_SIZES = [(f"{letter}{infix}B", base**power) for base, infix in ((1000, ""), (1024, "i"))
          for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K"))]  # fmt: skip
_DURATIONS = [("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1))]


class Entry(NamedTuple):
    """One setting: its variable, where it is in the tree, and what is declared about it."""

    name: str
    room: str
    field: str
    info: FieldInfo

    @property
    def secret(self) -> bool:
        """Whether the value must not be shown."""
        return SecretStr in _parts(self.info.annotation)

    @property
    def rule(self) -> str:
        """What the value must be, in words that end the sentence "NAME must be …"."""
        parts = [*self.info.metadata, *_parts(self.info.annotation)]
        choices = next((get_args(part) for part in parts if get_origin(part) is Literal), ())
        words = next((part.words for part in parts if isinstance(part, Rule)), "")
        if not choices:
            return words
        return "one of " + ", ".join(filter(None, choices)) + (", or not set" if "" in choices else "")

    @property
    def toml(self) -> str:
        """Its place in a TOML file."""
        return f"[{self.room}] {self.field}"

    def value(self, settings: Settings) -> object:
        """The setting's value."""
        return getattr(getattr(settings, self.room), self.field)

    def text(self, value: object) -> str:
        """The value as one would write it into `.env`; a secret as `(hidden)`, nothing as `(not set)`."""
        if value is None:
            return NOT_SET
        if self.secret:
            return HIDDEN
        return without_secrets(_text(value, seconds=self.name.endswith("_SECONDS")))


@cache
def entries() -> dict[str, Entry]:
    """Every setting by the name of its variable, in the order of the tree."""
    return {
        str(info.validation_alias): Entry(str(info.validation_alias), room, name, info)
        for room, branch in rooms().items()
        for name, info in branch.model_fields.items()
    }


@cache
def rooms() -> dict[str, type[Branch]]:
    """The branches by their names."""
    annotated = {name: info.annotation for name, info in Settings.model_fields.items()}
    return {
        name: kind for name, kind in annotated.items() if isinstance(kind, type) and issubclass(kind, Branch)
    }


def _parts(annotation: object) -> list[object]:
    """Everything a type is made of: the members of a union, and what is annotated to each."""

    def walk(part: object) -> Iterator[object]:
        yield part
        if get_origin(part) is not Literal:
            for inner in get_args(part):
                yield from walk(inner)
        if get_origin(part) is Annotated:
            yield from getattr(part, "__metadata__", ())

    return list(walk(annotation))


def _text(value: object, *, seconds: bool) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}" if seconds else _duration_text(value)
    if isinstance(value, ByteSize):
        return next(
            (f"{value // size}{unit}" for unit, size in _SIZES if value and value % size == 0),
            str(int(value)),
        )
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    return f"{value:g}" if isinstance(value, float) else _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _duration_text(value: timedelta) -> str:
    whole = (f"{value // size}{unit}" for unit, size in _DURATIONS if value and value % size == timedelta(0))
    return next(whole, f"{value.total_seconds():g}s")
