"""Files of hours and days are made again with some rows replaced and the others kept as they are."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sensor_storage.aggregation.carry import Carry, Held, time_weighted
from sensor_storage.aggregation.files import Aggregate, Parameters, Part, encode_aggregate
from sensor_storage.aggregation.statistics import Statistics
from sensor_storage.aggregation.windows import WIDTH, Level
from sensor_storage.model import Series


class Row(NamedTuple):
    """A new row: the statistics of one window, the digest of the file it is from, and what was held before."""

    statistics: Statistics
    source: str
    carry_in: Carry | None


def with_rows(
    kept: Aggregate | None,
    rows: Mapping[int, Row],
    *,
    series: Series,
    level: Level,
    limit: int,
    parameters: Parameters,
) -> memoryview:
    """The bytes of the file `kept` with these rows, by number of hour or day, in place of its own."""
    new = [_held(row, level, limit) for row in rows.values()]
    blocks = [row.statistics for row in rows.values()]
    if kept:
        new.insert(0, kept.held)
        blocks.insert(0, kept.statistics)
    statistics = Statistics.concat(blocks)
    order = _last_of_each(statistics.start // WIDTH[level])
    held = Held(
        np.concatenate([item.mean for item in new])[order],
        np.concatenate([item.covered for item in new])[order],
    )
    parts, used = _parts(kept, rows, parameters)
    return encode_aggregate(series, level, statistics.take(order), held, parts=parts, parameters=used)


def _held(row: Row, level: Level, limit: int) -> Held:
    return time_weighted(row.statistics, level, [row.carry_in], limit=limit)


def _last_of_each(
    numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """For each number, in order, the last row that has it."""
    _, backwards = np.unique(numbers[::-1], return_index=True)
    rows: np.ndarray[tuple[int], np.dtype[np.int64]] = len(numbers) - 1 - backwards
    return rows


def _parts(
    kept: Aggregate | None, rows: Mapping[int, Row], parameters: Parameters
) -> tuple[Sequence[Part], Sequence[Parameters]]:
    """The sources of all rows, and the parameters they were made with: kept rows may be made with older ones."""
    made: dict[int, tuple[Part, Parameters]] = {}
    if kept:
        made = {part.number: (part, kept.footer.parameters[part.made_with]) for part in kept.footer.parts}
    for number, row in rows.items():
        made[number] = (Part(number, row.source, row.carry_in), parameters)
    used = list(dict.fromkeys(made[number][1] for number in sorted(made)))
    parts = [
        Part(part.number, part.digest, part.carry_in, used.index(with_))
        for _, (part, with_) in sorted(made.items())
    ]
    return parts, used
