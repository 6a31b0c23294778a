"""Waveforms: one reading a sample, at the exact time."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.waveform import MAX_SAMPLES, read_rate, sample_time, sample_times
from support.decoding import NOW, batch_of, readings_of

START = 1_704_067_200_000_000
HEAD = b'{"asset_id":"p","sensor_name":"vib","timestamp":"2024-01-01T00:00:00Z","sample_rate_hz":'


def test_each_sample_is_a_reading_at_its_place() -> None:
    message = (
        HEAD + b'1000,"unit":"g","quality":"good","values":[1,2.5,null,true,NaN,"off",9007199254740993]}'
    )
    assert readings_of(message) == [
        ("p", "vib", START, 1.0, None, "g", "good"),
        ("p", "vib", START + 1000, 2.5, None, "g", "good"),
        ("p", "vib", START + 2000, None, None, "g", "bad"),
        ("p", "vib", START + 3000, 1.0, None, "g", "good"),
        ("p", "vib", START + 4000, None, None, "g", "bad"),
        ("p", "vib", START + 5000, None, "off", "g", "good"),
        ("p", "vib", START + 6000, 9007199254740992.0, "9007199254740993", "g", "good"),
    ]


def test_further_fields_come_behind_the_samples_under_the_sensor() -> None:
    message = HEAD + b'2,"values":[1,2],"rpm":1480,"meta":{"fw":"x"}}'
    assert [
        (sensor, int(str(time)) - START, value) for _, sensor, time, value, *_ in readings_of(message)
    ] == [
        ("vib", 0, 1.0),
        ("vib", 500_000, 2.0),
        ("vib.meta.fw", 0, None),
        ("vib.rpm", 0, 1480.0),
    ]


def test_entries_of_a_batch_take_the_rate_from_around_them() -> None:
    message = (
        b'{"asset_id":"p","ts":1704067200,"sample_rate_hz":4,"readings":[{"tag":"x","values":[1,2]},'
        b'{"tag":"y","value":3},{"tag":"z","values":[4],"sample_rate_hz":1}]}'
    )
    assert [
        (sensor, int(str(time)) - START, value) for _, sensor, time, value, *_ in readings_of(message)
    ] == [
        ("x", 0, 1.0),
        ("x", 250_000, 2.0),
        ("y", 0, 3.0),
        ("z", 0, 4.0),
        ("sample_rate_hz", 0, 4.0),
    ]


def test_a_waveform_without_a_sensor_is_the_topics() -> None:
    assert readings_of(b'{"sample_rate_hz":1,"values":[7]}') == [("k", "hall", NOW, 7.0, None, None, None)]


def test_many_waveforms_in_a_batch_keep_their_addresses() -> None:
    values = [HEAD + b'1,"values":[%d,%d],"x":1}' % (i, i) for i in range(5)]
    found = Decoder(DecodeSettings()).decode(batch_of(values)).readings
    order = np.lexsort((found.index, found.offset))
    assert found.offset[order].tolist() == [100 + i for i in range(5) for _ in range(3)]
    assert found.index[order].tolist() == [0, 1, 2] * 5
    assert found.value[order].tolist() == [x for i in range(5) for x in (i, i, 1)]


def test_a_message_holds_a_million_samples() -> None:
    message = HEAD + b'20000,"values":[0' + b",0" * (MAX_SAMPLES - 1) + b"]}"
    found = Decoder(DecodeSettings()).decode(batch_of([message])).readings
    assert len(found) == MAX_SAMPLES
    assert found.timestamp[-1] == START + (MAX_SAMPLES - 1) * 50


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        (44_100, Fraction(44_100)),
        (0.1, Fraction(1, 10)),
        (1e-3, Fraction(1, 1000)),
        (10**30, Fraction(10**30)),
    ],
)
def test_the_rate_is_the_decimal_the_sender_wrote(given: float, rate: Fraction) -> None:
    assert read_rate(given) == rate


def test_halves_of_a_microsecond_are_rounded_up() -> None:
    assert sample_times(0, Fraction(2_000_000), 5).tolist() == [0, 1, 1, 2, 2]


RATES = (
    st.integers(1, 10**9).map(Fraction)
    | st.floats(1e-2, 1e9).map(lambda rate: Fraction(repr(rate)))
    | st.sampled_from([Fraction(3), Fraction(44_100), Fraction(10**30), Fraction(1, 3)])
)


@given(RATES, st.integers(1, 300), st.integers(0, 2**52))
def test_times_are_the_exact_fraction_rounded_once(rate: Fraction, count: int, start: int) -> None:
    times = sample_times(start, rate, count)
    for place in (0, count // 2, count - 1):
        exact = Fraction(place * 1_000_000) / rate
        assert times[place] == sample_time(start, rate, place)
        assert abs(int(times[place]) - start - exact) <= Fraction(1, 2)
