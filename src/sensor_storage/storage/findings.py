"""What verification found wrong, in words an operator can act on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, TypeAlias, TypeVar

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


class _Partition(Protocol):
    @property
    def topic(self) -> str: ...
    @property
    def topic_id(self) -> str: ...
    @property
    def partition(self) -> int: ...


_P = TypeVar("_P", bound=_Partition)


def place(source: Source) -> str:
    """The partition as users write it."""
    return f"{source.topic}/{source.partition}"


def with_names(partitions: Sequence[_P]) -> Iterator[tuple[str, _P]]:
    """Each with its name as users write it: of a topic that was made anew with its id."""
    times = Counter((one.topic, one.partition) for one in partitions)
    for one in partitions:
        anew = f" (topic id {one.topic_id})" if times[one.topic, one.partition] > 1 else ""
        yield f"{one.topic}/{one.partition}{anew}", one


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
