"""Windows of any level from readings: a pure function of the set of readings, the level and the carry limit.

Sums are exact before they are rounded once, and whatever is rounded on the way is rounded by minute, then hour,
then day. So it makes no difference, to the last bit, whether a level is made from readings or joined.
"""

import numpy as np
from numpy.typing import NDArray

from sensor_storage.aggregation.exact import exact_sums
from sensor_storage.aggregation.join import join, mixed
from sensor_storage.aggregation.samples import Samples
from sensor_storage.aggregation.statistics import (
    MICROSECONDS,
    Floats,
    Ints,
    Statistics,
    blank,
    deviation_of,
    groups_of,
    inside,
    put_sums,
    scale_of,
)
from sensor_storage.aggregation.windows import LEVELS, WIDTH, Level, window_starts


def summarise(
    samples: Samples, level: Level, *, limit: int, unit: "tuple[str | None] | None" = None
) -> Statistics:
    """The windows of a level from readings; `limit` is how many µs a reading holds without a next one.

    With `unit` the numbers are of that unit, else of the newest one of each window.
    """
    kept = _of_unit(samples, unit[0]) if unit else _of_newest_unit(samples, level)
    found = _minutes(samples, kept, limit)
    for coarser in LEVELS[1 : LEVELS.index(level) + 1]:
        found = join(found, coarser, limit=limit)
    return found


def coarser(samples: Samples, finer: Statistics, level: Level, *, limit: int) -> Statistics:
    """The windows of a level from those of the level below, or from their readings where units are mixed."""
    if mixed(finer, level).any():
        return summarise(samples, level, limit=limit)
    return join(finer, level, limit=limit)


def _minutes(samples: Samples, kept: NDArray[np.bool_], limit: int) -> Statistics:
    start = window_starts(samples.timestamp, "minute")
    groups = groups_of(samples.part, start)
    found = blank(samples.part[groups], start[groups])
    if not len(groups):
        return found
    _count(found, samples, kept, groups)
    rows = np.flatnonzero(kept)
    numbers, runs = inside(rows, groups)
    if not len(rows):
        return found
    value, time = samples.value[rows], samples.timestamp[rows]
    counts = np.diff(runs, append=len(rows))
    ends = runs + counts - 1
    units = np.array([*samples.unit.values, None], object)
    found.count[numbers] = counts
    found.unit[numbers] = units[samples.unit.codes[rows[runs]]]
    found.least[numbers] = np.minimum.reduceat(value, runs) + 0.0  # of the two zeros always the same one
    found.most[numbers] = np.maximum.reduceat(value, runs) + 0.0
    put_sums(found, numbers, exact_sums(value, runs))
    found.deviation[numbers] = _deviation(value, runs, counts, found, numbers)
    found.first[numbers], found.first_timestamp[numbers] = value[runs], time[runs]
    found.last[numbers], found.last_timestamp[numbers] = value[ends], time[ends]
    until = np.append(time[1:], 0)
    until[ends] = found.start[numbers] + WIDTH["minute"]
    held = np.minimum(until - time, limit)
    found.covered[numbers] = np.add.reduceat(held, runs)
    with np.errstate(over="ignore"):
        found.integral[numbers] = exact_sums(value * held, runs).total / MICROSECONDS
    return found


def _count(found: Statistics, samples: Samples, kept: NDArray[np.bool_], groups: Ints) -> None:
    """Fill in what is counted, and the texts."""
    no_number = np.isnan(samples.value)
    no_text = samples.text.codes < 0 if samples.text else np.ones(len(samples), np.bool_)
    null = no_number & no_text
    texts = samples.good & no_number & ~no_text
    found.null[:] = _number_of(null, groups)
    found.bad[:] = _number_of(~samples.good & ~null, groups)
    found.other_unit[:] = _number_of(samples.good & ~no_number & ~kept, groups)
    rows = np.flatnonzero(texts)
    if samples.text is None or not len(rows):
        return
    numbers, runs = inside(rows, groups)
    codes = samples.text.codes[rows]
    names = np.array([*samples.text.values, None], object)
    ends = np.append(runs[1:], len(rows)) - 1
    changed = np.append(0, codes[1:] != codes[:-1]).astype(np.int64)
    changed[runs] = 0
    found.text_count[numbers] = ends - runs + 1
    found.first_text[numbers], found.last_text[numbers] = names[codes[runs]], names[codes[ends]]
    found.changes[numbers] = np.add.reduceat(changed, runs)


def _deviation(value: Floats, runs: Ints, counts: Ints, found: Statistics, numbers: Ints) -> Floats:
    """Population standard deviations, by the distances from a double next to the mean."""
    scale = scale_of(found, numbers)
    mean = np.ldexp(found.total[numbers], scale) / counts
    apart = np.ldexp(value, np.repeat(scale, counts)) - np.repeat(mean, counts)
    squares = exact_sums(apart * apart, runs).total
    return deviation_of(squares, exact_sums(apart, runs).total, counts, scale)


def _of_unit(samples: Samples, unit: str | None) -> NDArray[np.bool_]:
    codes = {value: code for code, value in enumerate(samples.unit.values)} | {None: -1}
    kept: NDArray[np.bool_] = _numeric(samples) & (samples.unit.codes == codes.get(unit, -2))
    return kept


def _of_newest_unit(samples: Samples, level: Level) -> NDArray[np.bool_]:
    """The good numbers of each window that have the unit of its last one."""
    numeric = _numeric(samples)
    codes = samples.unit.codes
    if not len(codes) or (codes == codes[0]).all():
        return numeric
    rows = np.flatnonzero(numeric)
    runs = groups_of(samples.part[rows], window_starts(samples.timestamp[rows], level))
    if len(runs):
        counts = np.diff(runs, append=len(rows))
        numeric[rows] = codes[rows] == np.repeat(codes[rows[runs + counts - 1]], counts)
    return numeric


def _numeric(samples: Samples) -> NDArray[np.bool_]:
    return samples.good & ~np.isnan(samples.value)


def _number_of(mask: NDArray[np.bool_], groups: Ints) -> Ints:
    counts: Ints = np.add.reduceat(mask, groups, dtype=np.int64)
    return counts
