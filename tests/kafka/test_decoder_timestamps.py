"""The time of a reading, from whatever a message says."""

import re
from datetime import UTC, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.refusal import Refused
from sensor_storage.kafka.time_columns import float_times, integer_times, iso_times
from sensor_storage.kafka.timestamps import read_timestamp
from support.decoding import NOW, NOW_MS, batch_of, readings_of, reason_of

SECOND = 1_704_067_200_000_000
"""2024-01-01T00:00:00Z"""


def time_of(token: str, settings: DecodeSettings | None = None) -> object:
    message = f'{{"name":"s","v":1,"timestamp":{token}}}'
    return readings_of(message.encode(), settings)[0][2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01T00:00:00Z", SECOND),
        ("2024-01-01T00:00:00z", SECOND),
        ("2024-01-01t00:00:00.123Z", SECOND + 123_000),
        ("2024-01-01T00:00:00,5Z", SECOND + 500_000),
        ("2024-01-01 00:00:00.000001Z", SECOND + 1),
        ("2024-01-01T00:00:00.123456789Z", SECOND + 123_456),
        ("2024-01-01T00:00:00.9999999999999Z", SECOND + 999_999),
        ("2024-01-01T01:00:00+01:00", SECOND),
        ("2024-01-01T01:00:00+0100", SECOND),
        ("2024-01-01T01:00:00+01", SECOND),
        ("2023-12-31T18:30:00.250-05:30", SECOND + 250_000),
        ("2024-01-01 00:00:00 +0000", SECOND),
        ("2024-01-01T00:00:00", SECOND),
        ("2024-01-01T00:00Z", SECOND),
        ("2024-01-01", SECOND),
        ("20240101T000000Z", SECOND),
        ("20240101T000000.5+0000", SECOND + 500_000),
        ("2023-02-28T00:00:00Z", SECOND - 307 * 86_400_000_000),
        ("1704067200", SECOND),
        ("1704067200.25", SECOND + 250_000),
        ("1704067200123", SECOND + 123_000),
        ("1704067200123456", SECOND + 123_456),
        ("1704067200123456789", SECOND + 123_456),
    ],
)
def test_a_time_in_text_is_read(text: str, expected: int) -> None:
    assert time_of(f'"{text}"') == expected


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("1704067200", SECOND),
        ("1704067200.123457", SECOND + 123_457),
        ("1.7040672e9", SECOND),
        ("1704067200123", SECOND + 123_000),
        ("1704067200123.456", SECOND + 123_456),
        ("1704067200123456", SECOND + 123_456),
        ("1704067200123456789", SECOND + 123_456),
        ("null", NOW),
    ],
)
def test_an_epoch_number_is_told_by_its_magnitude(token: str, expected: int) -> None:
    assert time_of(token) == expected


def test_a_time_without_offset_is_in_the_set_zone() -> None:
    berlin = DecodeSettings(time_zone=ZoneInfo("Europe/Berlin"))
    assert time_of('"2023-07-01T02:00:00"', berlin) == 1_688_169_600_000_000
    assert time_of('"2023-10-29T02:30:00"', berlin) == 1_698_539_400_000_000
    assert time_of('"2024-01-01T00:00:00Z"', berlin) == SECOND
    half = DecodeSettings(time_zone=timezone(timedelta(minutes=-30)))
    assert time_of('"2023-12-31T23:30:00"', half) == SECOND


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ('"yesterday"', "bad_timestamp"),
        ('""', "bad_timestamp"),
        ('"2024-02-30T00:00:00Z"', "bad_timestamp"),
        ('"2023-02-29T00:00:00Z"', "bad_timestamp"),
        ('"2024-13-01T00:00:00Z"', "bad_timestamp"),
        ('"2024-01-01T24:00:00Z"', "bad_timestamp"),
        ('"2024-01-01T00:00:60Z"', "bad_timestamp"),
        ('"2024-01-01T00:00:00+24:00"', "bad_timestamp"),
        ('"0000-01-01T00:00:00Z"', "bad_timestamp"),
        ('"10000-01-01T00:00:00Z"', "bad_timestamp"),
        ('"٢٠٢٤-01-01T00:00:00Z"', "bad_timestamp"),
        ("true", "bad_timestamp"),
        ("[1]", "bad_timestamp"),
        ("{}", "bad_timestamp"),
        ("NaN", "bad_timestamp"),
        ("Infinity", "timestamp_out_of_range"),
        ("1e999", "timestamp_out_of_range"),
        ("1e25", "timestamp_out_of_range"),
        ("9" * 400, "timestamp_out_of_range"),
        ("9" * 5000, "timestamp_out_of_range"),
        ("0", "timestamp_out_of_range"),
        ("-1704067200", "timestamp_out_of_range"),
        ("253402300800000", "timestamp_out_of_range"),
        ('"9999-12-31T23:59:59Z"', "timestamp_out_of_range"),
        ('"0001-01-01T00:00:00+23:59"', "timestamp_out_of_range"),
        ('"1999-12-31T23:59:59.999999Z"', "timestamp_out_of_range"),
        ('"99999999999999999999999999999999999999"', "timestamp_out_of_range"),
    ],
)
def test_an_unreadable_or_impossible_time_is_a_dead_letter(token: str, reason: str) -> None:
    assert reason_of(f'{{"name":"s","v":1,"timestamp":{token}}}'.encode()) == reason


def test_limits_are_judged_by_kafkas_timestamp_both_ends_included() -> None:
    day = 86_400_000_000
    assert time_of(f"{NOW + day}") == NOW + day
    assert reason_of(b'{"v":1,"ts":%d}' % (NOW + day + 1)) == "timestamp_out_of_range"
    assert time_of('"2000-01-01T00:00:00Z"') == 946_684_800_000_000


@pytest.mark.parametrize("kafka_ms", [-1, 2**63 - 1, -(2**63)])
def test_a_senseless_kafka_timestamp_harms_no_reading_with_a_time(kafka_ms: int) -> None:
    batch = batch_of([b'{"v":1,"ts":1704067200}', b'{"v":1}'], timestamps=[kafka_ms] * 2)
    decoded = Decoder(DecodeSettings()).decode(batch)
    assert decoded.readings.timestamp.tolist()[0] == SECOND


def test_a_message_without_any_time_is_a_dead_letter() -> None:
    decoded = Decoder(DecodeSettings()).decode(batch_of([b'{"v":1}'], timestamps=[-1]))
    assert [item.reason for item in decoded.rejected] == ["timestamp_out_of_range"]


def exactly(given_time: object) -> int | None:
    try:
        return read_timestamp(given_time, UTC)
    except Refused:
        return None


PARTS = st.tuples(
    st.sampled_from(["0000", "0001", "1900", "2000", "2023", "2024", "9999", "20x4"]),
    st.sampled_from(["-", "/"]) | st.just("-"),
    st.integers(0, 13).map("{:02}".format),
    st.just("-"),
    st.integers(0, 32).map("{:02}".format),
    st.sampled_from("T tT"),
    st.integers(0, 25).map("{:02}".format),
    st.just(":"),
    st.integers(0, 61).map("{:02}".format),
    st.just(":"),
    st.integers(0, 61).map("{:02}".format),
    st.sampled_from(["", ".5", ",25", ".123", ".123456", ".999999999", ".1234567891", "."]),
    st.sampled_from(["Z", "Z", "", "+01:00", "-23:59", "+24:00", "+01", "z"]),
)
TEXTS = PARTS.map("".join) | st.text("0123456789-:.,TZ+ ", min_size=17, max_size=36)


@given(st.lists(TEXTS, min_size=1, max_size=30))
def test_columns_of_iso_times_are_read_as_each_alone(texts: list[str]) -> None:
    micros, read = iso_times(texts, naive_is_utc=True)
    for text, micro, was_read in zip(texts, micros.tolist(), read.tolist(), strict=True):
        if was_read:
            assert micro == exactly(text), text


def test_columns_know_the_common_layouts_of_iso_times() -> None:
    for suffix in ("Z", "+00:00", ""):
        for fraction in ("", ".1", ".123", ",123456", ".123456789"):
            assert iso_times([f"2024-01-01T00:00:00{fraction}{suffix}"] * 3, naive_is_utc=True).read.all()
    assert not iso_times(["2024-01-01T00:00:00"], naive_is_utc=False).read.any()


@given(
    st.lists(st.integers(-(2**62), 2**62) | st.sampled_from([10**11, 10**14, 10**17, 10**17 - 1]), min_size=1)
)
def test_columns_of_epoch_integers_are_read_as_each_alone(numbers: list[int]) -> None:
    micros, read = integer_times(numbers)
    assert read.all()
    assert micros.tolist() == [exactly(number) for number in numbers]


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False)
        | st.floats(1e8, 2e15)
        | st.sampled_from([1e11, 1e14, 1e17, 1.7e18]),
        min_size=1,
    )
)
def test_columns_of_epoch_fractions_are_read_as_each_alone(numbers: list[float]) -> None:
    micros, read = float_times(numbers)
    for number, micro, was_read in zip(numbers, micros.tolist(), np.asarray(read).tolist(), strict=True):
        if was_read:
            assert micro == exactly(number), number
    assert NOW_MS * 1000 == NOW


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (
            "946684799.999999",
            "the time 1999-12-31T23:59:59.999999Z is before the earliest, 2000-01-01T00:00:00Z",
        ),
        ('"9999-12-31T23:59:59Z"', "the time 9999-12-31T23:59:59Z is after the latest, "),
    ],
)
def test_a_time_out_of_range_is_told_as_people_read_it(token: str, said: str) -> None:
    message = f'{{"name":"s","v":1,"timestamp":{token}}}'.encode()
    (rejected,) = Decoder(DecodeSettings()).decode(batch_of([message])).rejected
    assert said in rejected.error
    assert re.search(r"(earliest|latest), \d{4}-\d\d-\d\dT", rejected.error)
