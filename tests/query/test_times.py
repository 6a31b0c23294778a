"""Instants as people write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sensor_storage.errors import Usage
from sensor_storage.query.times import as_text, read_instant, read_zone

NOW = 1_774_746_000.5  # 2026-03-29 01:00:00.5 UTC: the clocks of Berlin have just been put forward
SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 0),
        ("NOW", 0),
        ("-6h", -6 * 3_600),
        ("now-6h", -6 * 3_600),
        ("now - 90min", -90 * 60),
        ("now-90m", -90 * 60),
        ("-1.5d", -1.5 * 86_400),
        ("-2w", -14 * 86_400),
        ("-250ms", -0.25),
        ("+30s", 30),
        ("now+1d", 86_400),
    ],
)
def test_relative_times_are_so_far_from_now(text: str, seconds: float) -> None:
    assert read_instant(text, NOW, UTC) == round((NOW + seconds) * SECOND)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-03-29T01:30:00Z", "Europe/Berlin", "2026-03-29T01:30:00Z"),
        ("2026-03-29T01:30:00+05:45", "UTC", "2026-03-28T19:45:00Z"),
        ("2026-03-29T01:30:00 05:45", "UTC", "2026-03-28T19:45:00Z"),
        ("2026-03-29", "UTC", "2026-03-29T00:00:00Z"),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z"),
        ("2026-03-30", "Europe/Berlin", "2026-03-29T22:00:00Z"),
        ("2026-01-10T12:00:00", "Pacific/Chatham", "2026-01-09T22:15:00Z"),
        ("2026-07-10T12:00:00", "Pacific/Chatham", "2026-07-09T23:15:00Z"),
        ("1774746000", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("1774746000123", "UTC", "2026-03-29T01:00:00.123000Z"),
        ("1774746000123456", "UTC", "2026-03-29T01:00:00.123456Z"),
        ("1774746000123456789", "UTC", "2026-03-29T01:00:00.123456Z"),
        ("1774746000.25", "UTC", "2026-03-29T01:00:00.250000Z"),
    ],
)
def test_times_without_an_offset_are_of_the_zone_and_numbers_since_1970(
    text: str, zone: str, instant: str
) -> None:
    assert as_text(read_instant(text, NOW, read_zone(zone))) == instant


@pytest.mark.parametrize("text", ["", "soon", "yesterday", "-6y", "6h ago", "2026-02-30", "nan", "1e999"])
def test_what_is_no_time_says_which_forms_there_are(text: str) -> None:
    with pytest.raises(Usage) as caught:
        read_instant(text, NOW, UTC)
    assert "-6h" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["-999999d", "+999999w", "-999999999w", "0001-01-01", "9999-12-31T23:00:00Z"]
)
def test_a_time_outside_of_the_calendar_is_refused_in_whatever_form_it_is_given(text: str) -> None:
    with pytest.raises(Usage, match="is not between 0001-01-08T00:00:00Z and 9999-12-24T00:00:00Z") as caught:
        read_instant(text, NOW, UTC)
    assert text in caught.value.message


def test_zones_are_known_by_name() -> None:
    assert (read_zone("utc"), read_zone("Asia/Kathmandu")) == (UTC, ZoneInfo("Asia/Kathmandu"))
    with pytest.raises(Usage, match="Mars") as caught:
        read_zone("Mars/Olympus")
    assert "Europe/Berlin" in caught.value.hint
    assert as_text(0) == datetime.fromtimestamp(0, UTC).isoformat().replace("+00:00", "Z")
