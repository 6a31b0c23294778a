"""What windows say, held against exact fractions; any cut of the readings gives the same bits."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.aggregation.carry import Carry, carry_out, time_weighted
from sensor_storage.aggregation.exact import exact_sums, expansion
from sensor_storage.aggregation.join import join
from sensor_storage.aggregation.samples import Samples
from sensor_storage.aggregation.statistics import COLUMNS, Statistics, of_part
from sensor_storage.aggregation.summarise import coarser, summarise
from sensor_storage.aggregation.windows import LEVELS, WIDTH, Level
from support.windows import DAY, LIMIT, SECOND, Row, rows_of_a_day, same_bits, samples_of


def number(found: Statistics, row: int) -> dict[str, Any]:
    return {name: getattr(found, name)[row] for name in COLUMNS}


def step_integral(rows: Sequence[Row], start: int, stop: int, limit: int) -> tuple[Fraction, int]:
    """The integral of the held readings over [start, stop), and for how many µs there is one."""
    total, covered = Fraction(0), 0
    for row, after in pairwise([*rows, None]):
        begin = max(row.time, start)  # type: ignore[union-attr]
        end = min(stop, row.time + limit, after.time if after else stop)  # type: ignore[union-attr]
        if end > begin:
            total += Fraction(row.value) * (end - begin)  # type: ignore[union-attr]
            covered += end - begin
    return total / SECOND, covered


def expected(rows: Sequence[Row], level: Level) -> dict[int, dict[str, Any]]:
    """The definition, window by window, in fractions."""
    windows: dict[int, list[Row]] = {}
    for row in rows:
        windows.setdefault(row.time // WIDTH[level] * WIDTH[level], []).append(row)
    found = {}
    for start, mine in windows.items():
        numbers = [row for row in mine if row.good and not math.isnan(row.value)]
        kept = [row for row in numbers if row.unit == numbers[-1].unit]
        texts = [row.text for row in mine if row.good and math.isnan(row.value) and row.text is not None]
        null = sum(math.isnan(row.value) and row.text is None for row in mine)
        values = [Fraction(row.value) for row in kept]
        mean = sum(values) / len(values) if values else None
        integral, covered = step_integral(kept, start, start + WIDTH[level], LIMIT)
        found[start] = {
            "count": len(kept),
            "null": null,
            "bad": len(mine) - len(numbers) - len(texts) - null,
            "other_unit": len(numbers) - len(kept),
            "values": values,
            "variance": sum((v - mean) ** 2 for v in values) / len(values) if mean is not None else None,
            "kept": kept,
            "integral": integral,
            "covered": covered,
            "texts": texts,
        }
    return found


def check(found: Statistics, rows: Sequence[Row], level: Level) -> None:
    want = expected(rows, level)
    assert found.start.tolist() == list(want)
    for place, (_, window) in enumerate(want.items()):
        row = number(found, place)
        for name in ("count", "null", "bad", "other_unit"):
            assert row[name] == window[name], name
        texts = window["texts"]
        assert row["text_count"] == len(texts)
        assert (row["first_text"], row["last_text"]) == ((texts[0], texts[-1]) if texts else (None, None))
        assert row["changes"] == sum(one != other for one, other in pairwise(texts))
        if not window["kept"]:
            continue
        kept, values = window["kept"], window["values"]
        assert (row["first"], row["first_timestamp"]) == (kept[0].value, kept[0].time)
        assert (row["last"], row["last_timestamp"]) == (kept[-1].value, kept[-1].time)
        assert row["unit"] == kept[-1].unit
        assert (row["least"], row["most"]) == (min(values), max(values))
        exact = sum(values)
        assert row["total"] == math.fsum(item.value for item in kept)
        parts = [row["total"], row["low"], *found.tails.get(place, ())]
        assert sum(Fraction(float(part)) for part in parts) == exact
        close(row["deviation"] ** 2, window["variance"], 2e-6)
        assert row["covered"] == window["covered"]
        scale = max(abs(v) for v in values) * window["covered"] / SECOND
        assert abs(Fraction(float(row["integral"])) - window["integral"]) <= scale * Fraction(1e-13)


def close(found: float, exact: Fraction, relative: float) -> None:
    assert abs(Fraction(float(found)) - exact) <= exact * Fraction(relative), (found, float(exact))


@settings(deadline=None, max_examples=150)
@given(rows_of_a_day(), st.sampled_from(LEVELS))
def test_every_level_is_what_exact_fractions_say(rows: list[Row], level: Level) -> None:
    check(summarise(samples_of(rows), level, limit=LIMIT), rows, level)


@settings(deadline=None, max_examples=100)
@given(rows_of_a_day())
def test_hours_from_minutes_and_days_from_hours_have_the_bits_of_a_recomputation(rows: list[Row]) -> None:
    samples = samples_of(rows)
    minutes = summarise(samples, "minute", limit=LIMIT)
    hours = coarser(samples, minutes, "hour", limit=LIMIT)
    days = coarser(samples, hours, "day", limit=LIMIT)
    assert same_bits(hours, summarise(samples, "hour", limit=LIMIT))
    assert same_bits(days, summarise(samples, "day", limit=LIMIT))


@settings(deadline=None, max_examples=60)
@given(st.lists(rows_of_a_day(), min_size=1, max_size=4))
def test_many_sensors_at_once_have_the_bits_of_each_alone(parts: list[list[Row]]) -> None:
    blocks = [samples_of(rows) for rows in parts]
    for level in LEVELS:
        together = summarise(Samples.concat(blocks), level, limit=LIMIT)
        for number_of, block in enumerate(blocks):
            assert same_bits(of_part(together, number_of), summarise(block, level, limit=LIMIT))


def test_values_around_1e15_with_noise_of_one_keep_their_deviation_at_every_level() -> None:
    random = np.random.default_rng(1)
    noise = np.round(random.normal(0, 1, 86_400) * 8) / 8
    rows = [Row(DAY + second * SECOND, 1e15 + float(noise[second])) for second in range(0, 86_400, 7)]
    for level in LEVELS:
        check(summarise(samples_of(rows), level, limit=LIMIT), rows, level)


def test_means_closer_than_a_double_can_tell_are_told_apart_in_a_join() -> None:
    low = [Row(DAY + s * SECOND, 1e15 + (0.125 if s % 60 == 0 else 0)) for s in range(60)]
    high = [Row(DAY + (60 + s) * SECOND, 1e15 + (0.125 if s % 2 else 0)) for s in range(60)]
    check(summarise(samples_of([*low, *high]), "hour", limit=LIMIT), [*low, *high], "hour")


def test_a_spike_of_one_reading_is_the_most_at_every_level() -> None:
    rows = [Row(DAY + second * SECOND, 20.0) for second in range(86_400)]
    rows[50_000] = rows[50_000]._replace(value=95.5)
    for level in LEVELS:
        found = summarise(samples_of(rows), level, limit=LIMIT)
        at = (rows[50_000].time - DAY) // WIDTH[level]
        assert found.most.tolist() == [95.5 if place == at else 20.0 for place in range(len(found))]


def test_a_bad_reading_counts_as_bad_and_is_in_nothing_else() -> None:
    rows = [
        Row(DAY, 1.0),
        Row(DAY + 1, 1e9, good=False),
        Row(DAY + 2, text="x", good=False),
        Row(DAY + 3, 2.0),
    ]
    with_bad = summarise(samples_of(rows), "minute", limit=LIMIT)
    without = summarise(samples_of([rows[0], rows[3]]), "minute", limit=LIMIT)
    assert with_bad.bad.tolist() == [2]
    assert same_bits(replace(with_bad, bad=without.bad), without)


def test_two_units_are_never_mixed_and_the_newest_one_counts() -> None:
    rows = [Row(DAY, 20.0), Row(DAY + SECOND, 70.0, unit="°F"), Row(DAY + 61 * SECOND, 21.0)]
    minutes = summarise(samples_of(rows), "minute", limit=LIMIT)
    assert minutes.unit.tolist() == ["°F", "°C"]
    assert (minutes.total.tolist(), minutes.other_unit.tolist()) == ([70.0, 21.0], [1, 0])
    hours = coarser(samples_of(rows), minutes, "hour", limit=LIMIT)
    assert (hours.unit.tolist(), hours.total.tolist()) == (["°C"], [41.0])
    assert (hours.count.tolist(), hours.other_unit.tolist()) == ([2], [1])


def test_a_reading_is_held_until_the_next_or_the_limit_over_windows_without_readings() -> None:
    rows = [Row(DAY, 10.0), Row(DAY + 1800 * SECOND, 20.0), Row(DAY + 9000 * SECOND, 30.0)]
    found = summarise(samples_of(rows), "day", limit=LIMIT)
    assert found.covered.tolist() == [(1800 + 3600 + 3600) * SECOND]
    assert found.integral.tolist() == [10.0 * 1800 + 20.0 * 3600 + 30.0 * 3600]


@settings(deadline=None, max_examples=100)
@given(rows_of_a_day(), st.integers(1, 7200), st.sampled_from(LEVELS))
def test_the_time_weighted_mean_holds_the_reading_before_the_window(
    rows: list[Row], seconds: int, level: Level
) -> None:
    rows = [row._replace(unit="°C") for row in rows]
    carry = Carry(DAY - seconds * SECOND, 5.0, "°C")
    found = summarise(samples_of(rows), level, limit=LIMIT)
    held = time_weighted(found, level, [carry], limit=LIMIT)
    numbers = [row for row in rows if row.good and not math.isnan(row.value)]
    every = [Row(*carry[:2]), *numbers]
    biggest = max(abs(Fraction(row.value)) for row in every)
    for place, start in enumerate(found.start.tolist()):
        integral, covered = step_integral(every, start, start + WIDTH[level], LIMIT)
        assert held.covered[place] == covered
        if covered:
            exact = integral / Fraction(covered, SECOND)
            assert abs(Fraction(float(held.mean[place])) - exact) <= biggest * Fraction(1e-12)
        else:
            assert math.isnan(held.mean[place])


def test_a_reading_in_another_unit_is_not_held() -> None:
    found = summarise(samples_of([Row(DAY + 30 * SECOND, 10.0)]), "minute", limit=LIMIT)
    for unit, covered in (("°C", 60), ("°F", 30), (None, 30)):
        held = time_weighted(found, "minute", [Carry(DAY - SECOND, 5.0, unit)], limit=LIMIT)
        assert held.covered.tolist() == [covered * SECOND]


def test_what_is_carried_out_is_the_last_good_number() -> None:
    rows = [Row(DAY, 1.0), Row(DAY + 90 * SECOND, 2.0, unit="bar"), Row(DAY + 200 * SECOND, 3.0, good=False)]
    found = summarise(samples_of(rows), "minute", limit=LIMIT)
    assert carry_out(found) == Carry(DAY + 90 * SECOND, 2.0, "bar")
    assert carry_out(found.slice(2, 3)) is None


@settings(max_examples=200)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40), st.integers(1, 5))
def test_sums_are_those_of_fsum_and_forget_nothing(numbers: list[float], cut: int) -> None:
    starts = np.arange(0, len(numbers), cut)
    found = exact_sums(np.array(numbers), starts)
    for run, start in enumerate(starts.tolist()):
        mine = numbers[start : start + cut]
        try:
            rounded = math.fsum(mine)
        except OverflowError:
            assert math.isnan(found.total[run])
            continue
        assert found.total[run] == rounded
        parts = [float(found.total[run]), float(found.low[run]), *found.tails.get(run, ())]
        assert sum(map(Fraction, parts)) == sum(map(Fraction, mine))
        assert parts == expansion(mine)


def test_a_sum_beyond_the_range_of_a_double_is_not_a_number_and_nothing_else_suffers() -> None:
    largest = float(np.finfo(np.float64).max)
    rows = [Row(DAY, largest), Row(DAY + 1, largest), Row(DAY + 70 * SECOND, 1.0)]
    minutes = summarise(samples_of(rows), "minute", limit=LIMIT)
    assert minutes.total.tolist()[1] == 1.0
    hours = join(minutes, "hour", limit=LIMIT)
    assert math.isnan(minutes.total[0])
    assert math.isnan(hours.total[0])
    assert (hours.most[0], hours.count[0], hours.last[0]) == (largest, 3, 1.0)


@pytest.mark.parametrize("level", LEVELS)
def test_no_readings_are_no_windows(level: Level) -> None:
    assert len(summarise(samples_of([]), level, limit=LIMIT)) == 0
