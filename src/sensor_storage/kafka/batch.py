"""What goes into decoding and what comes out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sensor_storage.model import Address, Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.readings import Readings

Headers = list[tuple[str, bytes | None]]


def _no_headers(_row: int) -> Headers:
    return []


@dataclass(frozen=True, slots=True, eq=False)
class MessageBatch:
    """Messages of one topic, equally long columns, one row a message.

    `timestamp` is Kafka's, in ms since 1970-01-01 UTC; for messages without one, negative, `now` tells what is too
    far ahead, if it is known. `headers` is asked only for dead letters.
    """

    topic: str
    source: Coded[Source]
    offset: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    key: list[bytes | None]
    value: list[bytes | None]
    headers: Callable[[int], Headers] = field(default=_no_headers)
    now: int | None = None

    def __len__(self) -> int:
        """How many messages."""
        return len(self.value)

    def address(self, row: int) -> Address:
        """Where the message of that row stands in Kafka."""
        return Address(self.source.values[self.source.codes[row]], int(self.offset[row]))


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why the message of a row has no readings: the class of the error, and a sentence."""

    row: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What became of a batch: each row has readings, or is rejected, or is empty (a null or zero-length value).

    `readings` are in no particular order; `empty` holds rows of the batch.
    """

    readings: Readings
    rejected: list[Rejected]
    empty: NDArray[np.int64]
