"""Readings of windows, drawn and compared bit by bit."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from sensor_storage.aggregation.samples import Samples
from sensor_storage.aggregation.statistics import COLUMNS, Statistics
from sensor_storage.aggregation.windows import WIDTH
from sensor_storage.storage.coded import Coded

DAY = 19_723 * WIDTH["day"]
LIMIT = 3_600_000_000
SECOND = 1_000_000


class Row(NamedTuple):
    """One reading of a window."""

    time: int
    value: float = math.nan
    good: bool = True
    unit: str | None = "°C"
    text: str | None = None


def samples_of(rows: Sequence[Row]) -> Samples:
    """The rows as one part."""
    return Samples(
        part=np.zeros(len(rows), np.int64),
        timestamp=np.array([row.time for row in rows], np.int64),
        value=np.array([row.value for row in rows], np.float64),
        good=np.array([row.good for row in rows], np.bool_),
        unit=Coded.encode([row.unit for row in rows]),
        text=Coded.encode([row.text for row in rows]) if any(row.text for row in rows) else None,
    )


def same_bits(one: Statistics, other: Statistics) -> bool:
    """Are they equal to the last bit?"""
    if one.tails != other.tails:
        return False
    for name in COLUMNS:
        left, right = getattr(one, name), getattr(other, name)
        equal = left.tolist() == right.tolist() if left.dtype == object else left.tobytes() == right.tobytes()
        if not equal:
            return False
    return True


VALUES = st.one_of(
    st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    st.integers(-8, 8).map(lambda noise: 1e15 + noise / 8),
    st.floats(-1e150, 1e150).filter(lambda value: value == 0 or abs(value) > 1e-140),
    st.just(math.nan),
)


@st.composite
def rows_of_a_day(draw: st.DrawFn) -> list[Row]:
    """A day's readings: plain, huge with little noise, or of several units."""
    kind = draw(st.sampled_from(["plain", "huge", "mixed"]))
    values = st.integers(-8, 8).map(lambda noise: 1e15 + noise / 8) if kind == "huge" else VALUES
    one_unit = st.just("°C") if kind != "mixed" else st.sampled_from(["°C", "°F", None])
    times = draw(
        st.lists(
            st.integers(0, WIDTH["day"] - 1).map(lambda t: t // SECOND * SECOND), min_size=1, max_size=60
        )
    )
    near = draw(st.integers(0, 60))
    times = [t % (7200 * SECOND) if place < near else t for place, t in enumerate(times)]
    return [
        Row(
            DAY + time,
            draw(values),
            draw(st.sampled_from([True, True, True, False])),
            draw(one_unit),
            draw(st.sampled_from([None, None, "on", "off"])),
        )
        for time in sorted(times)
    ]
