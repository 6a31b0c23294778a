"""The part of readings that statistics are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.storage.coded import Coded
from sensor_storage.storage.quality import Numbering, Quality, judge_quality
from sensor_storage.storage.readings import Readings

Judge: TypeAlias = Callable[[str | None], bool]
"""Does a reading of this quality, as it was received, count as good?"""


@dataclass(frozen=True, eq=False)
class Samples:
    """Readings of one or more parts, one part after the other, each in canonical order.

    A part is a stretch of one sensor's readings, such as an hour file; `part` is its number, from 0 up.
    `value` is NaN where there is no number; codes of -1 are null; `text` is None when no row has text.
    """

    part: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    value: NDArray[np.float64]
    good: NDArray[np.bool_]
    unit: Coded[str]
    text: Coded[str] | None = None

    def __len__(self) -> int:
        """How many readings."""
        return len(self.timestamp)

    @classmethod
    def of(cls, readings: Readings, judge: Judge) -> Self:
        """One part: readings of one sensor in canonical order."""
        return cls(
            part=np.zeros(len(readings), np.int64),
            timestamp=readings.timestamp,
            value=finite(readings.value),
            good=judged(readings.quality, judge),
            unit=readings.unit,
            text=coded_text(readings.text),
        )

    @classmethod
    def concat(cls, blocks: Sequence["Samples"]) -> "Samples":
        """Each block becomes a part of its own."""
        if len(blocks) == 1:
            return replace(blocks[0], part=np.zeros(len(blocks[0]), np.int64))
        text: Coded[str] | None = None
        if any(block.text for block in blocks):
            text = Coded.concat([block.text or Coded[str].constant(None, len(block)) for block in blocks])
        return cls(
            part=np.repeat(np.arange(len(blocks)), [len(block) for block in blocks]),
            timestamp=np.concatenate([block.timestamp for block in blocks]),
            value=np.concatenate([block.value for block in blocks]),
            good=np.concatenate([block.good for block in blocks]),
            unit=Coded.concat([block.unit for block in blocks]),
            text=text,
        )


def judge_by(numbering: Numbering, *, uncertain_is_good: bool) -> Judge:
    """Good is what is judged good, and what is uncertain unless that is not to count."""
    wanted = {Quality.GOOD, Quality.UNCERTAIN} if uncertain_is_good else {Quality.GOOD}
    return lambda stored: judge_quality(stored, numbering) in wanted


def coded_text(text: "pa.StringArray | None") -> Coded[str] | None:
    """The texts as codes; None where there is none."""
    if text is None or text.null_count == len(text):
        return None
    coded = text.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Coded(codes, tuple(map(str, coded.dictionary.to_pylist())))


def finite(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers, with NaN for what is none."""
    usable = np.isfinite(value)
    return value if usable.all() else np.where(usable, value, np.nan)


def judged(quality: Coded[str], judge: Judge) -> NDArray[np.bool_]:
    """For each reading: does its quality count as good?"""
    table = np.array([judge(value) for value in quality.values], np.bool_)
    return quality.lookup(table, np.bool_(judge(None)))
