"""The scalars of a JSON object by flattened name, in the order that gives readings their index."""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from sensor_storage.kafka.json_tree import Tree
from sensor_storage.kafka.refusal import Reason, Refused

MAX_FIELDS = 10_000
Fields: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]


class Own(NamedTuple):
    """What holds for the scalars of one named entry of a map, whatever holds around it."""

    timestamp: int
    unit: str | None
    quality: str | None


Leaf: TypeAlias = tuple[str, Path, Any, Own | None]
"""A scalar with its flattened name and its path; the value of a narrow message has no path."""


class Leaves:
    """Collects the scalars of one object."""

    def __init__(self) -> None:
        self._leaves: list[Leaf] = []

    def add_value(self, key: str, item: Tree) -> None:
        """The value of a narrow message; a container's scalars stand under the sensor itself."""
        if isinstance(item, dict | list):
            self._children("", (key,), item, None)
        else:
            self._leaves.append(("", (), item, None))

    def add_fields(self, fields: Fields, taken: set[str]) -> None:
        """Each field that is not taken, containers flattened with dots."""
        for key, item in fields.items():
            if key not in taken:
                self.add(key, (key,), item, None)

    def add(self, name: str, path: Path, item: Tree, own: Own | None) -> None:
        """A field under that name, or what it contains under names that begin with it."""
        if isinstance(item, dict | list):
            self._children(f"{name}.", path, item, own)
            return
        self._leaves.append((name, path, item, own))
        if len(self._leaves) > MAX_FIELDS:
            raise Refused(
                Reason.TOO_MANY_FIELDS,
                f"an object has more than {MAX_FIELDS} fields",
                hint="split it into several messages",
            )

    def ranked(self) -> list[Leaf]:
        """By the bytes of the flattened name, then by path: the order of code points is that of UTF-8."""
        self._leaves.sort(key=_rank)
        return self._leaves

    def _children(self, prefix: str, path: Path, container: Tree, own: Own | None) -> None:
        items: Iterable[tuple[str, Tree]] = (
            container.items()
            if isinstance(container, dict)
            else ((str(place), item) for place, item in enumerate(container))
        )
        for key, item in items:
            self.add(prefix + key, (*path, key), item, own)


def _rank(leaf: Leaf) -> tuple[str, Path]:
    return leaf[0], leaf[1]
