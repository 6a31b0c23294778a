"""What verification found wrong, in words an operator can act on."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import Source

FindingKind: TypeAlias = Literal[
    "damaged",  # the bytes are not those that were written, or they contradict their own footer
    "missing",  # the ledger answers for it, the tree does not hold it
    "double",  # the tree holds it twice
    "unanswered",  # the tree holds it, the ledger does not answer for it
    "changed",  # a whole, well-formed file, but not the one that was written
    "misplaced",  # a row or a file stands where another belongs
    "unsorted",  # the rows are not in canonical order
    "stale",  # an aggregate that is not of the readings now stored, and that nobody is about to make again
    "foreign",  # not a file of this service
]

_NAMED_SPANS = 8


class Finding(msgspec.Struct, frozen=True, order=True):
    """One problem. `where` is a file below the data directory, or Kafka addresses, or both."""

    kind: FindingKind
    where: str
    detail: str
    hint: str = ""


def place(source: Source) -> str:
    """The partition as users write it."""
    return f"{source.topic}/{source.partition}"


def distinct(partitions: Iterable[tuple[str, str, int]]) -> list[str]:
    """The partitions, each a topic, its id and a number, as users write them; of a topic made anew with its id."""
    partitions = list(partitions)
    times = Counter((topic, number) for topic, _, number in partitions)
    return [
        f"{topic}/{number}" + (f" (topic id {topic_id})" if times[topic, number] > 1 else "")
        for topic, topic_id, number in partitions
    ]


def span_name(source: Source, start: int, stop: int) -> str:
    """A half-open range of addresses as users write it."""
    return f"{place(source)}@{start}" if stop - start == 1 else f"{place(source)}@{start}…{stop - 1}"


def addresses(source: Source, offsets: NDArray[np.int64]) -> str:
    """The addresses, which must be sorted: the first few spans, and how many more offsets there are."""
    found = spans(offsets)
    named = ", ".join(span_name(source, start, stop) for start, stop in found[:_NAMED_SPANS])
    more = sum(stop - start for start, stop in found[_NAMED_SPANS:])
    return f"{named} and {more:,} more" if more else named


def spans(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Sorted offsets, doubles allowed, as half-open ranges."""
    if not len(offsets):
        return []
    cuts = np.flatnonzero(np.diff(offsets) > 1) + 1
    starts = offsets[np.concatenate([[0], cuts])]
    stops = offsets[np.concatenate([cuts - 1, [len(offsets) - 1]])] + 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
