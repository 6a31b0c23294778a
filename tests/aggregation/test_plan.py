"""What is due and what a change reaches, as tables."""

from collections.abc import Mapping

import pytest

from sensor_storage.aggregation.carry import Carry
from sensor_storage.aggregation.plan import (
    plan_carried,
    plan_carry_in,
    plan_closed,
    plan_days,
    reached_hours,
)
from sensor_storage.storage.aggregate_catalog import Span

MINUTE = 60_000_000
HOUR = 60 * MINUTE


def _at(hour: int, minute: int, value: float = 1.0) -> Carry:
    return Carry(hour * HOUR + minute * MINUTE, value, None)


@pytest.mark.parametrize(
    ("span", "watermark", "closed"),
    [
        ("hour", 10 * 3600 + 119, 9),
        ("hour", 10 * 3600 + 120, 10),
        ("hour", 0, -1),
        ("day", 86_400 + 119, 0),
        ("day", 86_400 + 120, 1),
    ],
)
def test_an_hour_or_day_is_over_once_it_is_settled(span: Span, watermark: float, closed: int) -> None:
    assert plan_closed(span, watermark, 120) == closed


@pytest.mark.parametrize(
    ("carries", "limit", "held"),
    [
        ({}, HOUR, None),
        ({9: _at(9, 30)}, HOUR, _at(9, 30)),
        ({9: _at(9, 0)}, HOUR, None),  # its limit ends where the hour begins
        ({9: _at(9, 1)}, HOUR, _at(9, 1)),
        ({9: None, 8: _at(8, 59)}, HOUR, None),
        ({9: None, 8: _at(8, 59)}, 2 * HOUR, _at(8, 59)),
        ({9: _at(9, 1), 8: _at(8, 59)}, 2 * HOUR, _at(9, 1)),
        ({9: _at(9, 55), 10: _at(10, 5)}, 30 * MINUTE, _at(9, 55)),
        ({10: _at(10, 5), 11: _at(11, 5)}, HOUR, None),
    ],
)
def test_what_is_held_is_the_last_good_number_before_the_hour_within_the_limit(
    carries: Mapping[int, Carry | None], limit: int, held: Carry | None
) -> None:
    assert plan_carry_in(carries, 10, limit) == held


@pytest.mark.parametrize(
    ("changed", "made_from", "again"),
    [
        ([9], {10: None}, [10]),
        ([9], {10: _at(9, 30)}, []),
        ([9], {11: None}, []),  # out of reach
        ([9], {}, []),  # not made yet: it will be
        ([8], {10: None}, []),
        ([10], {10: None}, []),
    ],
)
def test_hours_are_made_again_only_when_another_number_is_held(
    changed: list[int], made_from: Mapping[int, Carry | None], again: list[int]
) -> None:
    assert plan_carried(changed, {9: _at(9, 30)}, made_from, HOUR) == again


def test_a_reading_reaches_the_hours_its_limit_touches() -> None:
    assert [reached_hours(limit) for limit in (1, HOUR, HOUR + 1, 36 * HOUR)] == [1, 1, 2, 36]
    assert plan_days([22], HOUR) == [0]
    assert plan_days([23], HOUR) == [0, 1]
    assert plan_days([1], 36 * HOUR) == [0, 1]
    assert plan_days([], HOUR) == []
