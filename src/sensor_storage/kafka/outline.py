"""What a flat message looks like: which keys it has, in which roles, with which kinds of scalars."""

import re
from enum import Enum
from typing import Any, NamedTuple

from sensor_storage.kafka.names import ENTRIES, FIELD_MAP, Aliases

_UNFIT_KEY = re.compile(r'[\x00-\x1f"\\]')
"""Keys msgspec does not take as a field's name."""


class Kind(Enum):
    """Which JSON scalars a key holds."""

    NUMBER = "number"
    """Numbers, true, false, null."""
    TEXT = "text"
    """Strings."""
    INTEGER = "integer"
    """Integers."""


class Part(NamedTuple):
    """A key in a role, and the kind of its scalars."""

    key: str
    kind: Kind


class Frame(NamedTuple):
    """The keys of one message that are no mere fields; None where it has none."""

    asset: Part | None
    sensor: Part | None
    time: Part | None
    unit: Part | None
    quality: Part | None
    value: Part | None


class Outline(NamedTuple):
    """The frame of a message, and the kinds of its further fields."""

    frame: Frame
    fields: dict[str, Kind]


def outline(tree: Any, aliases: Aliases) -> Outline | None:  # noqa: ANN401 - any JSON
    """The outline of a flat object whose every key can be read in columns by its kind alone; else None."""
    if not isinstance(tree, dict) or ENTRIES in tree or FIELD_MAP in tree or any(map(_unfit, tree.items())):
        return None
    value = next((key for key in aliases.value if key in tree), None)
    qualities = aliases.quality if value is not None else aliases.quality[:1]
    try:
        frame = Frame(
            _name(tree, aliases.asset),
            _name(tree, aliases.sensor),
            _time(tree, aliases.time),
            _label(tree, aliases.unit),
            _label(tree, qualities),
            None if value is None else Part(value, _kind(tree[value])),
        )
    except _NoColumnError:
        return None
    roles = {part.key for part in frame if part}
    return Outline(frame, {key: _kind(item) for key, item in tree.items() if key not in roles})


class _NoColumnError(Exception):
    """A key's meaning depends on more than its kind."""


def _name(tree: dict[str, Any], aliases: tuple[str, ...]) -> Part | None:
    key = next((key for key in aliases if key in tree), None)
    if key is None:
        return None
    if type(tree[key]) is str and tree[key]:
        return Part(key, Kind.TEXT)
    if type(tree[key]) is int:
        return Part(key, Kind.INTEGER)
    raise _NoColumnError


def _time(tree: dict[str, Any], aliases: tuple[str, ...]) -> Part | None:
    key = next((key for key in aliases if key in tree), None)
    if key is None:
        return None
    if type(tree[key]) is float:
        return Part(key, Kind.NUMBER)
    return _name(tree, (key,))


def _label(tree: dict[str, Any], aliases: tuple[str, ...]) -> Part | None:
    """A unit's or quality's part; null as good as text, for which no other alias may stand in."""
    keys = [key for key in aliases if key in tree]
    if not keys:
        return None
    item = tree[keys[0]]
    if len(keys) > 1 or not (item is None or type(item) in {str, int}):
        raise _NoColumnError
    return Part(keys[0], Kind.INTEGER if type(item) is int else Kind.TEXT)


def _kind(item: object) -> Kind:
    return Kind.TEXT if isinstance(item, str) else Kind.NUMBER


def _unfit(entry: tuple[str, object]) -> bool:
    key, item = entry
    return not key or isinstance(item, dict | list) or _UNFIT_KEY.search(key) is not None
