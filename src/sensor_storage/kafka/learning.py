"""Which shapes the messages of a topic have, learned from those that had to be decoded one by one.

What is learned changes how fast a message is decoded, never what it becomes. All memory is bounded, and so is
the time: building a shape is paid for by messages seen before, so that a stream of ever new outlines costs
little more than decoding it exactly.
"""

from collections import Counter

from sensor_storage.kafka.json_tree import Tree
from sensor_storage.kafka.names import Aliases
from sensor_storage.kafka.outline import Frame, Kind, Part, outline
from sensor_storage.kafka.shape import Shape

MAX_SHAPES = 32
MAX_FIELDS = 128
_FIRST_PATIENCE = 8
_MAX_PATIENCE = 4096
_MAX_KEYS_WATCHED = 1024
_PRICE = 64
_CREDIT = 8 * _PRICE
_OFTEN = 8
"""A field worth a column is in at least one of so many messages, and in two."""


class _Watched:
    """Messages of one frame that no shape had: how many since the last building, and their fields."""

    def __init__(self) -> None:
        self.patience = _FIRST_PATIENCE
        self.messages = 0
        self.parts: Counter[Part] = Counter()


class Shapes:
    """The shapes of one topic, one for each frame."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases
        self._shapes: dict[Frame, Shape] = {}
        self._watched: dict[Frame, _Watched] = {}
        self._credit = _CREDIT

    def by_use(self) -> list[Shape]:
        """Those most used lately come first; call it once a batch."""
        ordered = sorted(self._shapes.values(), key=lambda shape: -shape.hits)
        for shape in ordered:
            shape.hits //= 2
        return ordered

    def learn(self, tree: Tree) -> None:
        """Take note of a message that had no shape; builds one after seeing several alike."""
        self._credit = min(self._credit + 1, _CREDIT)
        seen = outline(tree, self._aliases)
        if seen is None:
            return
        watched = self._watch(seen.frame)
        watched.messages += 1
        if len(watched.parts) < _MAX_KEYS_WATCHED:
            watched.parts.update(Part(key, kind) for key, kind in seen.fields.items())
        if watched.messages >= watched.patience and self._credit >= _PRICE:
            self._build(seen.frame, watched)

    def _watch(self, frame: Frame) -> _Watched:
        watched = self._watched.pop(frame, None) or _Watched()
        if len(self._watched) >= MAX_SHAPES:
            del self._watched[next(iter(self._watched))]
        self._watched[frame] = watched
        return watched

    def _build(self, frame: Frame, watched: _Watched) -> None:
        fields = _frequent(watched)
        known = self._shapes.get(frame)
        if known and len(known.fields | fields) <= MAX_FIELDS:
            fields = known.fields | fields
        watched.patience = min(watched.patience * 2, _MAX_PATIENCE)
        watched.messages = 0
        watched.parts.clear()
        if (known and fields == known.fields) or not (fields or frame.value):
            return
        self._credit -= _PRICE
        if known is None and len(self._shapes) >= MAX_SHAPES:
            del self._shapes[min(self._shapes, key=lambda frame: self._shapes[frame].hits)]
        shape = Shape(frame, fields)
        shape.hits = known.hits if known else 0
        self._shapes[frame] = shape


def _frequent(watched: _Watched) -> dict[str, Kind]:
    """The fields worth a column, each with its most frequent kind."""
    least = max(2, watched.messages // _OFTEN)
    often = [(part, count) for part, count in watched.parts.most_common(MAX_FIELDS) if count >= least]
    return {part.key: part.kind for part, _ in reversed(often)}
