"""From spots to columns: which struct an object is read into, and where in it each scalar is found.

Spots that contradict each other (a scalar in one message, an object in the next) cannot all be columns: those
that come first stay. What has no column makes a message miss the struct, never be read wrongly.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import msgspec

from sensor_storage.kafka.names import FIELD_MAP, Aliases
from sensor_storage.kafka.outline import Frame, Kind, Part, Role, Spot
from sensor_storage.kafka.time_columns import INTEGER_LIMIT

MISSING = float("inf")
"""A number that is not there: this very object, for MessagePack knows other infinities."""
ABSENT = msgspec.UNSET
"""A text that is not there."""
_INTEGER: Any = Annotated[int, msgspec.Meta(ge=-INTEGER_LIMIT, le=INTEGER_LIMIT)]
_TYPES: dict[Kind, Any] = {
    Kind.NUMBER: float | bool | None,
    Kind.TEXT: str | None,
    Kind.INTEGER: _INTEGER,
    Kind.MIXED: float | bool | str | None,
}
_STRICT_TYPES: dict[Kind, Any] = {Kind.NUMBER: float, Kind.TEXT: str, Kind.INTEGER: _INTEGER}
_NO_TIME: dict[Kind, Any] = {Kind.NUMBER: 0.0, Kind.TEXT: "", Kind.INTEGER: 0}
_LABELS = (Role.UNIT, Role.QUALITY)
_ENTRY_DEPTH = 2


class Found(NamedTuple):
    """Where a struct has a key's scalar, and the kind of it."""

    attribute: str
    kind: Kind


class Column(NamedTuple):
    """Readings of one name: `name` is None for the value of a narrow message.

    `time`, `unit` and `quality` are its own; None where those of the object hold.
    """

    value: Found
    name: str | None
    time: Found | None = None
    unit: Found | None = None
    quality: Found | None = None


class Table(NamedTuple):
    """The struct of an object, its frame's attributes, and its columns in the order of their index."""

    struct: type[Any]
    frame: dict[str, Found]
    columns: list[Column]
    width: int


@dataclass(slots=True)
class _Leaf:
    kind: Kind
    role: Role
    path: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    array: bool
    entry: bool = False
    """Is it a narrow message named by its key in a map?"""
    members: dict[str | int, "_Node | _Leaf"] = field(default_factory=dict)

    def role(self, role: Role) -> str | None:
        """The key in a role."""
        return next(
            (str(k) for k, leaf in self.members.items() if isinstance(leaf, _Leaf) and leaf.role is role),
            None,
        )


def table(frame: Frame, spots: Iterable[Spot], aliases: Aliases, further: dict[str, Any]) -> Table:
    """The struct and columns of objects with that frame; `further` are required members by key."""
    root = _Node(array=False)
    for spot in spots:
        _place(root, spot)
    _prune(root, aliases)
    required, optional = _frame_members(frame)
    required |= further
    builder = _Builder()
    struct, _ = builder.struct(root, "", required, optional)
    names = [*required, *optional]
    places = {key: f"f{place}" for place, key in enumerate(names)}
    parts = zip(frame._fields, frame, strict=True)
    found = {role: Found(places[part.key], part.kind) for role, part in parts if part}
    found |= {key: Found(places[key], Kind.MIXED) for key in further}
    columns = [Column(found["value"], None)] if frame.value else []
    columns += builder.columns(narrow=frame.value is not None)
    return Table(struct, found, columns, len(names) + len(builder.leaves))


def _frame_members(frame: Frame) -> tuple[dict[str, Any], dict[str, tuple[Any, Any]]]:
    """Names, time and value must be there; unit and quality may be missing as well as null."""
    required = {
        part.key: _STRICT_TYPES[part.kind] for part in (frame.asset, frame.sensor, frame.time) if part
    }
    if frame.value:
        required[frame.value.key] = _value_type(frame.value)
    optional = {part.key: (_TYPES[part.kind], None) for part in (frame.unit, frame.quality) if part}
    return required, optional


def _value_type(part: Part) -> Any:  # noqa: ANN401 - a type
    return str if part.kind is Kind.TEXT else _TYPES[part.kind]


def _place(root: _Node, spot: Spot) -> None:
    """Put a spot into the tree, unless what is there already contradicts it."""
    node = root
    named = spot.role is not Role.FIELD
    for depth, step in enumerate(spot.path[:-1], 1):
        array = isinstance(spot.path[depth], int)
        child = node.members.setdefault(step, _Node(array, entry=named and depth == _ENTRY_DEPTH))
        if not isinstance(child, _Node) or child.array != array:
            return
        if child.entry != (named and depth == _ENTRY_DEPTH):
            return
        node = child
    last = spot.path[-1]
    if spot.role not in {Role.FIELD, Role.NEAR} and node.role(spot.role) is not None:
        return
    known = node.members.setdefault(last, _Leaf(spot.kind, spot.role, tuple(map(str, spot.path))))
    if (
        isinstance(known, _Leaf)
        and known.role is spot.role
        and known.kind is not spot.kind
        and spot.role in {Role.FIELD, Role.NEAR, Role.VALUE}
    ):
        known.kind = Kind.MIXED


def _prune(node: _Node, aliases: Aliases) -> None:
    """Drop named entries without a sure meaning, arrays behind a hole, and what is then empty."""
    for step, child in list(node.members.items()):
        if isinstance(child, _Node):
            _prune(child, aliases)
            if not child.members or (child.entry and not _is_sure(child, aliases)):
                del node.members[step]
    if node.array:
        whole: dict[str | int, _Node | _Leaf] = {}
        while len(whole) in node.members:
            whole[len(whole)] = node.members[len(whole)]
        node.members = whole


def _is_sure(entry: _Node, aliases: Aliases) -> bool:
    """Has a named entry a value, and no further field that could be taken for its value or time?"""
    for role, names in ((Role.VALUE, aliases.value), (Role.TIME, aliases.time)):
        key = entry.role(role)
        if key is None and role is Role.VALUE:
            return False
        before = names if key is None else names[: names.index(key)]
        if any(name in entry.members for name in before):
            return False
    labels = (*aliases.unit, *aliases.quality)
    return not any(
        name in entry.members and name not in {entry.role(role) for role in _LABELS} for name in labels
    )


class _Builder:
    """Makes structs from the inside out, and notes where each leaf is."""

    def __init__(self) -> None:
        self.leaves: list[tuple[_Leaf, str]] = []

    def struct(
        self, node: _Node, prefix: str, required: dict[str, Any], optional: dict[str, tuple[Any, Any]]
    ) -> tuple[type[Any], Any]:
        """A struct for the node, and what stands for it where it is missing.

        `required` and `optional` members come first, in their order, and stand for nothing.
        """
        members: dict[str | int, tuple[Any, ...]] = {key: (kind,) for key, kind in required.items()}
        members.update(optional)
        missing: dict[str | int, Any] = {}
        items = sorted(node.members.items(), key=lambda item: not _must(item[1]))
        for step, child in items if not node.array else node.members.items():
            attribute = f"{prefix}f{len(members)}"
            if isinstance(child, _Node):
                kind, default = self.struct(child, f"{attribute}.", {}, {})
            else:
                kind, default = _member(child)
                self.leaves.append((child, attribute))
            if _must(child):
                missing[step] = default
                members[step] = (kind,)
            else:
                members[step] = (kind, default)
        places = {key: f"f{place}" for place, key in enumerate(members)}
        struct = msgspec.defstruct(
            "Record",
            [(places[key], *member) for key, member in members.items()],
            rename=None if node.array else {place: str(key) for key, place in places.items()},
            forbid_unknown_fields=True,
            array_like=node.array,
            frozen=bool(prefix),
            gc=False,
        )
        if not prefix:
            return struct, None
        return struct, struct(**{places[key]: default for key, default in missing.items()})

    def columns(self, *, narrow: bool) -> list[Column]:
        """A column a reading, by name, then path."""
        own: dict[tuple[str, ...], dict[Role, Found]] = {}
        for leaf, attribute in self.leaves:
            own.setdefault(leaf.path[:_ENTRY_DEPTH], {})[leaf.role] = Found(attribute, leaf.kind)
        named = []
        for leaf, attribute in self.leaves:
            if leaf.role not in {Role.FIELD, Role.NEAR, Role.VALUE}:
                continue
            path = (
                leaf.path[1:]
                if leaf.path[0] == FIELD_MAP and len(leaf.path) > 1 and not narrow
                else leaf.path
            )
            name = ".".join(path[:-1] if leaf.role is Role.VALUE else path)
            parts = own[leaf.path[:_ENTRY_DEPTH]] if leaf.role is not Role.FIELD else {}
            column = Column(
                Found(attribute, leaf.kind),
                name,
                parts.get(Role.TIME),
                parts.get(Role.UNIT),
                parts.get(Role.QUALITY),
            )
            named.append((name, leaf.path, column))
        return [column for _, _, column in sorted(named, key=lambda item: item[:2])]


def _must(child: "_Node | _Leaf") -> bool:
    return isinstance(child, _Leaf) and child.role in {Role.VALUE, Role.TIME}


def _member(leaf: _Leaf) -> tuple[Any, Any]:
    """The type of a leaf, and what stands for it where it is missing."""
    if leaf.role is Role.TIME:
        return _STRICT_TYPES[leaf.kind], _NO_TIME[leaf.kind]
    if leaf.role in _LABELS:
        return _TYPES[leaf.kind], None
    return _TYPES[leaf.kind], MISSING if leaf.kind is Kind.NUMBER else ABSENT
