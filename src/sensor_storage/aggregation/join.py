"""Windows of a coarser level from those of the level below, to the last bit as from the readings."""

import numpy as np
from numpy.typing import NDArray

from sensor_storage.aggregation.exact import ExactSums, exact_sums, two_product
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
from sensor_storage.aggregation.windows import LEVELS, WIDTH, Level, window_ends, window_starts


def join(
    finer: Statistics,
    level: Level,
    *,
    limit: int,
    edges: Ints | None = None,
    below: Level | None = None,
) -> Statistics:
    """The windows of a coarser level, whose finer windows must be of one unit each (`mixed` tells).

    `edges` are the windows' bounds where they are not those of UTC; `below` is the level of the finer ones, by
    default the next.
    """
    start = window_starts(finer.start, level, edges)
    groups = groups_of(finer.part, start)
    rows = np.flatnonzero(finer.count > 0)
    numbers, runs = inside(rows, groups)
    whole = blank(finer.part[groups], start[groups])
    for name in ("bad", "null", "other_unit", "text_count"):
        getattr(whole, name)[:] = np.add.reduceat(getattr(finer, name), groups) if len(groups) else 0
    _join_texts(whole, finer, groups)
    if not len(rows):
        return whole
    firsts, lasts = rows[runs], rows[np.append(runs[1:], len(rows)) - 1]
    sums = _joined_sums(finer, rows, runs)
    whole.count[numbers] = np.add.reduceat(finer.count[rows], runs)
    whole.unit[numbers] = finer.unit[firsts]
    whole.least[numbers] = np.minimum.reduceat(finer.least[rows], runs)
    whole.most[numbers] = np.maximum.reduceat(finer.most[rows], runs)
    put_sums(whole, numbers, sums)
    whole.deviation[numbers] = _joined_deviation(finer, rows, runs, whole, numbers)
    whole.first[numbers], whole.first_timestamp[numbers] = finer.first[firsts], finer.first_timestamp[firsts]
    whole.last[numbers], whole.last_timestamp[numbers] = finer.last[lasts], finer.last_timestamp[lasts]
    width = WIDTH[below or LEVELS[LEVELS.index(level) - 1]]
    ends = window_ends(whole.start[numbers], level, edges)
    _join_integrals(whole, numbers, finer, rows, runs, ends=ends, width=width, limit=limit)
    return whole


def mixed(finer: Statistics, level: Level, edges: Ints | None = None) -> NDArray[np.bool_]:
    """For each window of the coarser level: do units differ in it, so that `join` can't tell its numbers?"""
    starts = groups_of(finer.part, window_starts(finer.start, level, edges))
    if not len(starts):
        return np.zeros(0, np.bool_)
    odd = finer.other_unit > 0
    heads, units = np.flatnonzero(finer.count > 0), finer.unit
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(finer)))
    differs = np.zeros(len(starts), np.bool_)
    pairs = (units[heads[1:]] != units[heads[:-1]]) & (group[heads[1:]] == group[heads[:-1]])
    differs[group[heads[1:]][pairs.astype(np.bool_)]] = True
    return differs | np.logical_or.reduceat(odd, starts)


def _join_texts(whole: Statistics, finer: Statistics, groups: Ints) -> None:
    rows = np.flatnonzero(finer.text_count > 0)
    if not len(rows):
        return
    numbers, runs = inside(rows, groups)
    lasts = rows[np.append(runs[1:], len(rows)) - 1]
    between = np.append(False, finer.first_text[rows[1:]] != finer.last_text[rows[:-1]]).astype(np.int64)
    between[runs] = 0
    whole.first_text[numbers], whole.last_text[numbers] = finer.first_text[rows[runs]], finer.last_text[lasts]
    whole.changes[numbers] = np.add.reduceat(finer.changes[rows] + between, runs)


def _joined_sums(finer: Statistics, rows: Ints, runs: Ints) -> ExactSums:
    """The exact sums of the finer windows' exact sums."""
    parts = np.stack([finer.total[rows], finer.low[rows]], axis=1).ravel()
    starts = 2 * runs
    if finer.tails:
        tails = [finer.tails.get(row, ()) for row in rows.tolist()]
        lengths = np.array([len(tail) for tail in tails])
        places = np.repeat(2 * np.arange(1, len(rows) + 1), lengths)
        parts = np.insert(parts, places, [part for tail in tails for part in tail])
        starts = starts + np.append(0, np.cumsum(lengths))[runs]
    return exact_sums(parts, starts)


def _joined_deviation(finer: Statistics, rows: Ints, runs: Ints, whole: Statistics, numbers: Ints) -> Floats:
    """The same from the finer windows' deviations and the distances of their exact means."""
    scale = scale_of(whole, numbers)
    lengths = np.diff(runs, append=len(rows))
    each = np.repeat(scale, lengths)
    count = finer.count[rows].astype(np.float64)
    counts = whole.count[numbers]
    mean = np.repeat(np.ldexp(whole.total[numbers], scale) / counts, lengths)
    product, error = two_product(count, mean)
    apart = ((np.ldexp(finer.total[rows], each) - product) - error) + np.ldexp(finer.low[rows], each)
    inner = np.ldexp(finer.deviation[rows], each)
    squares = exact_sums(inner * inner * count + apart * apart / count, runs).total
    return deviation_of(squares, exact_sums(apart, runs).total, counts, scale)


def _join_integrals(
    whole: Statistics,
    numbers: Ints,
    finer: Statistics,
    rows: Ints,
    runs: Ints,
    *,
    ends: Ints,
    width: int,
    limit: int,
) -> None:
    """Add what each finer window's last reading holds behind the window, until the next first one."""
    until = np.append(finer.first_timestamp[rows[1:]], 0)
    until[np.append(runs[1:], len(rows)) - 1] = ends
    held = np.minimum(until, finer.last_timestamp[rows] + limit) - (finer.start[rows] + width)
    held = np.maximum(held, 0)
    with np.errstate(over="ignore"):
        between = finer.last[rows] * held / MICROSECONDS
    parts = np.stack([finer.integral[rows], between], axis=1).ravel()
    whole.integral[numbers] = exact_sums(parts, 2 * runs).total
    whole.covered[numbers] = np.add.reduceat(finer.covered[rows] + held, runs)
