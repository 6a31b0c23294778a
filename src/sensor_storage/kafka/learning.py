"""Which shapes the messages of a topic have, learned from those that had to be decoded one by one.

What is learned changes how fast a message is decoded, never what it becomes. All memory is bounded, and so is
the time: building a shape is paid for by messages seen before, so that a stream of ever new outlines costs
little more than decoding it exactly.
"""

from collections import Counter
from typing import NamedTuple

from sensor_storage.kafka.json_tree import Tree
from sensor_storage.kafka.names import Aliases
from sensor_storage.kafka.outline import Form, Spot, outline
from sensor_storage.kafka.shape import Shape

MAX_SHAPES = 32
MAX_FIELDS = 512
_FIRST_PATIENCE = 8
_MAX_PATIENCE = 4096
_MAX_SPOTS_WATCHED = 2048
_PRICE = 64
_CREDIT = 8 * _PRICE
_OFTEN = 8
"""A field worth a column is in at least one of so many messages, and in two."""


class _Kept(NamedTuple):
    """A scalar worth a column; of a message, or of its entries."""

    of_entries: bool
    spot: Spot


class _Key(NamedTuple):
    packed: bool
    form: Form


class _Watched:
    """Messages of one form that no shape had: how many since the last building, and their fields."""

    def __init__(self) -> None:
        self.patience = _FIRST_PATIENCE
        self.messages = 0
        self.parts: Counter[_Kept] = Counter()


class Shapes:
    """The shapes of one topic, one for each form."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases
        self._shapes: dict[_Key, Shape] = {}
        self._kept: dict[_Key, dict[_Kept, None]] = {}
        self._watched: dict[_Key, _Watched] = {}
        self._credit = _CREDIT

    def by_use(self) -> list[Shape]:
        """Those most used lately come first; call it once a batch."""
        ordered = sorted(self._shapes.values(), key=lambda shape: -shape.hits)
        for shape in ordered:
            shape.hits //= 2
        return ordered

    def learn(self, tree: Tree, *, packed: bool) -> None:
        """Take note of a message that had no shape; builds one after seeing several alike."""
        self._credit = min(self._credit + 1, _CREDIT)
        seen = outline(tree, self._aliases)
        if seen is None:
            return
        key = _Key(packed, seen.form)
        watched = self._watch(key)
        watched.messages += 1
        if len(watched.parts) < _MAX_SPOTS_WATCHED:
            watched.parts.update(_Kept(False, spot) for spot in seen.outer)
            watched.parts.update(_Kept(True, spot) for spot in seen.entries)
        if watched.messages >= watched.patience and self._credit >= _PRICE:
            self._build(key, watched)

    def _watch(self, key: _Key) -> _Watched:
        watched = self._watched.pop(key, None) or _Watched()
        if len(self._watched) >= MAX_SHAPES:
            del self._watched[next(iter(self._watched))]
        self._watched[key] = watched
        return watched

    def _build(self, key: _Key, watched: _Watched) -> None:
        parts = _frequent(watched)
        known = self._kept.get(key, {})
        if len(known | parts) <= MAX_FIELDS:
            parts = known | parts
        watched.patience = min(watched.patience * 2, _MAX_PATIENCE)
        watched.messages = 0
        watched.parts.clear()
        if key in self._shapes and parts.keys() == known.keys():
            return
        self._credit -= _PRICE
        shape = Shape(
            key.form,
            [part.spot for part in parts if not part.of_entries],
            [part.spot for part in parts if part.of_entries],
            self._aliases,
            packed=key.packed,
        )
        if not shape.has_columns:
            return
        if key not in self._shapes and len(self._shapes) >= MAX_SHAPES:
            least = min(self._shapes, key=lambda key: self._shapes[key].hits)
            del self._shapes[least], self._kept[least]
        shape.hits = self._shapes[key].hits if key in self._shapes else 0
        self._shapes[key], self._kept[key] = shape, parts


def _frequent(watched: _Watched) -> dict[_Kept, None]:
    """The scalars worth a column, the most frequent first; of equally frequent ones in a settled order."""
    least = max(2, watched.messages // _OFTEN)
    often = [(part, count) for part, count in watched.parts.most_common(MAX_FIELDS) if count >= least]
    return dict.fromkeys(part for part, _ in often)
