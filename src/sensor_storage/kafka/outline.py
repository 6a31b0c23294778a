"""What a message looks like: which keys it has, in which roles, with which kinds of scalars."""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from sensor_storage.kafka.names import ENTRIES, FIELD_MAP, Aliases

_UNFIT_KEY = re.compile(r'[\x00-\x1f"\\]')
"""Keys msgspec does not take as a field's name."""
_ENTRIES_LOOKED_AT = 64
MAX_SPOTS = 1024
"""Messages with more scalars than so many in an object are worth no columns."""

Path: TypeAlias = tuple[str | int, ...]
"""Keys of objects, and places in arrays."""


class Kind(Enum):
    """Which JSON scalars a key holds."""

    NUMBER = "number"
    """Numbers, true, false, null."""
    TEXT = "text"
    """Strings."""
    INTEGER = "integer"
    """Integers."""
    MIXED = "mixed"
    """Any scalar."""


class Role(Enum):
    """What a scalar is that is no part of its message's frame."""

    FIELD = "field"
    NEAR = "near"
    """A further field of a named entry of a map; the others are what the entry is made of."""
    VALUE = "value"
    TIME = "time"
    UNIT = "unit"
    QUALITY = "quality"


class Part(NamedTuple):
    """A key in a role, and the kind of its scalars."""

    key: str
    kind: Kind


class Spot(NamedTuple):
    """A scalar of an object that is no part of its frame."""

    path: Path
    kind: Kind
    role: Role


class Frame(NamedTuple):
    """The keys of one object that are no mere fields; None where it has none."""

    asset: Part | None
    sensor: Part | None
    time: Part | None
    unit: Part | None
    quality: Part | None
    value: Part | None


class Form(NamedTuple):
    """The frame of a message, or None if it is an array, and that of its entries, if it is a batch."""

    outer: Frame | None
    entries: Frame | None


class Outline(NamedTuple):
    """The form of a message, and the further scalars of the message and of its entries."""

    form: Form
    outer: frozenset[Spot]
    entries: frozenset[Spot]


def outline(tree: Any, aliases: Aliases) -> Outline | None:  # noqa: ANN401 - any JSON
    """The outline of a message whose every key can be read in columns by its kind alone; else None."""
    try:
        if isinstance(tree, list):
            frame, spots = _entries(tree, aliases)
            return Outline(Form(None, frame), frozenset(), spots)
        if not isinstance(tree, dict):
            return None
        outer, around, items = _object(tree, aliases)
        if items is None:
            return Outline(Form(outer, None), around, frozenset())
        frame, spots = _entries(items, aliases)
        return Outline(Form(outer, frame), around, spots)
    except _NoColumnError:
        return None


class _NoColumnError(Exception):
    """A key's meaning depends on more than its kind."""


def _entries(items: Sequence[Any], aliases: Aliases) -> tuple[Frame, frozenset[Spot]]:
    merged: Frame | None = None
    found: set[Spot] = set()
    for item in items[:_ENTRIES_LOOKED_AT]:
        if not isinstance(item, dict):
            raise _NoColumnError
        frame, spots, inner = _object(item, aliases)
        if inner is not None:
            raise _NoColumnError
        merged = frame if merged is None else _merged(merged, frame)
        found |= spots
    if merged is None:
        raise _NoColumnError
    return merged, frozenset(found)


def _merged(one: Frame, other: Frame) -> Frame:
    """The frame of objects of which some leave out unit or quality, or have texts where others have numbers."""
    if (one.asset, one.sensor, one.time) != (other.asset, other.sensor, other.time):
        raise _NoColumnError
    unit, quality, value = one.unit or other.unit, one.quality or other.quality, one.value
    if (other.unit or unit) != unit or (other.quality or quality) != quality:
        raise _NoColumnError
    if value != other.value:
        if value is None or other.value is None or value.key != other.value.key:
            raise _NoColumnError
        value = Part(value.key, Kind.MIXED)
    return Frame(one.asset, one.sensor, one.time, unit, quality, value)


def _object(tree: dict[str, Any], aliases: Aliases) -> tuple[Frame, frozenset[Spot], Sequence[Any] | None]:
    """Frame, further scalars, and the entries of a batch."""
    value = _first(tree, aliases.value)
    frame = Frame(
        _name(tree, aliases.asset),
        _name(tree, aliases.sensor),
        _time(tree, aliases.time),
        _label(tree, aliases.unit),
        _label(tree, aliases.quality if value is not None else aliases.quality[:1]),
        None if value is None else Part(value, _kind(tree[value])),
    )
    roles = {part.key for part in frame if part}
    entries: Sequence[Any] | None = None
    spots: list[Spot] = []
    for key, item in tree.items():
        if key in roles:
            continue
        if value is None and key == ENTRIES and isinstance(item, list):
            entries = item
        elif value is None and key == FIELD_MAP and isinstance(item, list):
            raise _NoColumnError
        elif value is None and key == FIELD_MAP and isinstance(item, dict):
            for name, inner in item.items():
                spots += _named((FIELD_MAP, _fit(name)), inner, aliases)
        else:
            spots += _spots((_fit(key),), item, Role.FIELD)
        if len(spots) > MAX_SPOTS:
            raise _NoColumnError
    return frame, frozenset(spots), entries


def _named(path: Path, item: Any, aliases: Aliases) -> Iterator[Spot]:  # noqa: ANN401 - any JSON
    """The scalars of one field of a map, which may be a narrow message named by its key."""
    value = _first(item, aliases.value) if isinstance(item, dict) else None
    if value is None:
        yield from _spots(path, item, Role.FIELD)
        return
    roles = {
        Role.VALUE: Part(value, _kind(item[value])),
        Role.TIME: _time(item, aliases.time),
        Role.UNIT: _label(item, aliases.unit),
        Role.QUALITY: _label(item, aliases.quality),
    }
    for role, part in roles.items():
        if part:
            yield Spot((*path, _fit(part.key)), part.kind, role)
    taken = {part.key for part in roles.values() if part}
    for key, inner in item.items():
        if key not in taken:
            yield from _spots((*path, _fit(key)), inner, Role.NEAR)


def _spots(path: Path, item: Any, role: Role) -> Iterator[Spot]:  # noqa: ANN401 - any JSON
    if isinstance(item, dict):
        for key, inner in item.items():
            yield from _spots((*path, _fit(key)), inner, role)
    elif isinstance(item, list):
        if len(item) > MAX_SPOTS:
            raise _NoColumnError
        for place, inner in enumerate(item):
            yield from _spots((*path, place), inner, role)
    else:
        yield Spot(path, _kind(item), role)


def _first(tree: dict[str, Any], aliases: Iterable[str]) -> str | None:
    return next((key for key in aliases if key in tree), None)


def _name(tree: dict[str, Any], aliases: tuple[str, ...]) -> Part | None:
    key = _first(tree, aliases)
    if key is None:
        return None
    if type(tree[key]) is str and tree[key]:
        return Part(_fit(key), Kind.TEXT)
    if type(tree[key]) is int:
        return Part(_fit(key), Kind.INTEGER)
    raise _NoColumnError


def _time(tree: dict[str, Any], aliases: tuple[str, ...]) -> Part | None:
    key = _first(tree, aliases)
    if key is None:
        return None
    if type(tree[key]) is float:
        return Part(_fit(key), Kind.NUMBER)
    return _name(tree, (key,))


def _label(tree: dict[str, Any], aliases: tuple[str, ...]) -> Part | None:
    """A unit's or quality's part; null as good as text, for which no other alias may stand in."""
    keys = [key for key in aliases if key in tree]
    if not keys:
        return None
    item = tree[keys[0]]
    if len(keys) > 1 or not (item is None or type(item) in {str, int}):
        raise _NoColumnError
    return Part(_fit(keys[0]), Kind.INTEGER if type(item) is int else Kind.TEXT)


def _kind(item: object) -> Kind:
    if isinstance(item, dict | list):
        raise _NoColumnError
    return Kind.TEXT if isinstance(item, str) else Kind.NUMBER


def _fit(key: str) -> str:
    if not key or _UNFIT_KEY.search(key):
        raise _NoColumnError
    return key
