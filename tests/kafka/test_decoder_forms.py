"""What each form of message becomes, told by table."""

import json

import pytest

from sensor_storage.errors import Usage
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.names import Aliases, TopicPattern, fixed_prefix
from support.decoding import NOW, batch_of, readings_of, reason_of

T = 1_704_067_200_123_000
BARE = "hall"
"""The sensor a topic names for a bare value."""


def short(message: bytes, **given: object) -> list[tuple[object, ...]]:
    """Sensor, value, text of each reading."""
    return [(row[1], row[3], row[4]) for row in readings_of(message, **given)]  # type: ignore[arg-type]


def test_a_narrow_message_is_one_reading() -> None:
    message = (
        '{"asset_id":"press-7","sensor_name":"temperature","timestamp":"2024-01-01T00:00:00.123Z",'
        '"value":12.3,"unit":"°C","quality":"good"}'
    )
    assert readings_of(message.encode()) == [("press-7", "temperature", T, 12.3, None, "°C", "good")]


def test_a_wide_message_is_one_reading_a_scalar() -> None:
    message = (
        b'{"asset_id":"press-7","sensor_id":"ch1","timestamp":1704067200123,"temperature":21.5,'
        b'"vibration_x":0.02,"status":"ok","metadata":{"fw":"1.2"}}'
    )
    assert readings_of(message) == [
        ("press-7", "ch1.metadata.fw", T, None, "1.2", None, None),
        ("press-7", "ch1.status", T, None, "ok", None, None),
        ("press-7", "ch1.temperature", T, 21.5, None, None, None),
        ("press-7", "ch1.vibration_x", T, 0.02, None, None, None),
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b'{"x":1,"b":true,"a":false}', [("a", 0.0, None), ("b", 1.0, None), ("x", 1.0, None)]),
        (b'{"f":[1,"a",[2]]}', [("f.0", 1.0, None), ("f.1", None, "a"), ("f.2.0", 2.0, None)]),
        (b'{"alarms":[{"code":3}]}', [("alarms.0.code", 3.0, None)]),
        (
            b'{"sensor":"s","value":1,"rpm":2,"m":{"x":"t"}}',
            [("s", 1.0, None), ("s.m.x", None, "t"), ("s.rpm", 2.0, None)],
        ),
        (b'{"sensor":"s","":5,"value":1}', [("s", 1.0, None), ("s.", 5.0, None)]),
        (b'{"sensor":"s","value":{"y":[1],"x":2}}', [("s.x", 2.0, None), ("s.y.0", 1.0, None)]),
        (b'{"a.b":1,"a":{"b":2}}', [("a.b", 2.0, None), ("a.b", 1.0, None)]),
        (
            b'{"values":{"t":1,"p":{"x":2}},"s":"on"}',
            [("p.x", 2.0, None), ("s", None, "on"), ("t", 1.0, None)],
        ),
        (b'{"sensor":"s","values":{"t":1}}', [("s.t", 1.0, None)]),
        (
            b'{"values":{"t":{"v":1,"min":0,"value":2},"m":{"x":3},"n":{"val":[4,{"y":5}]}},"t":6}',
            [
                ("m.x", 3.0, None),
                ("n.0", 4.0, None),
                ("n.1.y", 5.0, None),
                ("t", 6.0, None),
                ("t", 2.0, None),
                ("t.min", 0.0, None),
                ("t.v", 1.0, None),
            ],
        ),
        (b'{"value":1,"sensor":"s","values":[2]}', [("s", 1.0, None), ("s.values.0", 2.0, None)]),
        (b'{"sample_rate_hz":5,"x":1}', [("sample_rate_hz", 5.0, None), ("x", 1.0, None)]),
        (
            '{"ä":1,"z":2,"€":3,"😀":4}'.encode(),
            [("z", 2.0, None), ("ä", 1.0, None), ("€", 3.0, None), ("😀", 4.0, None)],
        ),
        (b'{"q":3,"v1":1}', [("q", 3.0, None), ("v1", 1.0, None)]),
        (b'{"readings":[1,2]}', [("readings.0", 1.0, None), ("readings.1", 2.0, None)]),
        (b'{"a":1,"a":2}', [("a", 2.0, None)]),
        (b'{"a":"\\u0000\\ud83d\\ude00"}', [("a", None, "\0😀")]),
        (b'\xef\xbb\xbf{"a":1}', [("a", 1.0, None)]),
        (b' \r\n\t{"a":1}\n', [("a", 1.0, None)]),
        (b'{"unit":{"x":1}}', [("unit.x", 1.0, None)]),
        (b'{"unit":true}', [("unit", 1.0, None)]),
        (b'{"device_id":"d","asset":"a","x":1}', [("device_id", None, "d"), ("x", 1.0, None)]),
    ],
)
def test_fields_become_readings_in_the_order_of_their_index(
    message: bytes, expected: list[tuple[object, ...]]
) -> None:
    assert short(message) == expected


@pytest.mark.parametrize(
    ("token", "value", "text", "quality"),
    [
        (b"1.5", 1.5, None, "good"),
        (b"-0.0", -0.0, None, "good"),
        (b"5e-324", 5e-324, None, "good"),
        (b"true", 1.0, None, "good"),
        (b"false", 0.0, None, "good"),
        (b"null", None, None, "bad"),
        (b"NaN", None, None, "bad"),
        (b"Infinity", None, None, "bad"),
        (b"-Infinity", None, None, "bad"),
        (b"1e999", None, None, "bad"),
        (b'"12.3"', None, "12.3", "good"),
        (b'""', None, "", "good"),
        (b"9007199254740992", 9007199254740992.0, None, "good"),
        (b"9007199254740993", 9007199254740992.0, "9007199254740993", "good"),
        (b"-18446744073709551617", -18446744073709551616.0, "-18446744073709551617", "good"),
        (b"1" + b"0" * 400, None, "1" + "0" * 400, "bad"),
        (b"7" * 6000, None, "7" * 6000, "bad"),
        (b"1e20", 1e20, None, "good"),
    ],
)
def test_a_value_is_kept_as_number_text_or_bad(
    token: bytes, value: float | None, text: str | None, quality: str
) -> None:
    message = b'{"name":"s","q":"good","v":' + token + b"}"
    assert readings_of(message) == [("k", "s", NOW, value, text, None, quality)]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (b'"GOOD"', "GOOD"),
        (b'""', ""),
        (b"192", "192"),
        (b"1.50", "1.50"),
        (b"true", "true"),
        (b"false", "false"),
        (b"null", None),
        (b"NaN", "NaN"),
    ],
)
def test_quality_is_stored_as_received(token: bytes, expected: str | None) -> None:
    assert readings_of(b'{"name":"s","v":1,"quality":' + token + b"}")[0][6] == expected


@pytest.mark.parametrize(
    ("token", "expected"), [(b'"K"', "K"), (b"1.50", "1.50"), (b"7", "7"), (b"null", None)]
)
def test_unit_is_stored_as_received(token: bytes, expected: str | None) -> None:
    assert readings_of(b'{"name":"s","v":1,"unit":' + token + b"}")[0][5] == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b'{"asset_id":"a","asset":"b","v":1,"tag":"t"}', ("a", "t")),
        (b'{"asset_id":null,"asset":"b","v":1,"tag":"t"}', ("b", "t")),
        (b'{"asset_id":"","device":17,"v":1,"sensor_name":"","tag":4}', ("17", "4")),
        (b'{"v":1,"tag":"t"}', ("k", "t")),
        (b'{"v":1}', ("k", BARE)),
        (b'{"asset":123456789012345678901234567890,"v":1}', ("123456789012345678901234567890", BARE)),
    ],
)
def test_the_first_alias_that_says_something_wins(message: bytes, expected: tuple[str, str]) -> None:
    assert readings_of(message)[0][:2] == expected


def test_a_batch_keeps_the_order_of_its_entries_and_hands_down_what_they_leave_out() -> None:
    message = {
        "asset_id": "a",
        "timestamp": "2024-01-01T00:00:00Z",
        "unit": "K",
        "zone": 4,
        "readings": [
            {"sensor": "s2", "value": 1},
            {"sensor": "s1", "value": 2, "unit": "Pa", "ts": 1704067200123},
            {"asset": "b", "y": 3, "x": "t"},
        ],
    }
    start = 1_704_067_200_000_000
    assert readings_of(json.dumps(message).encode()) == [
        ("a", "s2", start, 1.0, None, "K", None),
        ("a", "s1", T, 2.0, None, "Pa", None),
        ("b", "x", start, None, "t", "K", None),
        ("b", "y", start, 3.0, None, "K", None),
        ("a", "zone", start, 4.0, None, "K", None),
    ]


def test_many_batches_without_an_entry_are_dead_letters_after_others_had_numbers_and_texts() -> None:
    def message(*values: object) -> bytes:
        readings = [{"sensor_name": f"s{place}", "value": value} for place, value in enumerate(values)]
        return json.dumps({"asset_id": "a", "readings": readings}).encode()

    decoder = Decoder(DecodeSettings())
    decoder.decode(batch_of([message(1.5, "x", 2)] * 200))
    assert len(decoder.decode(batch_of([message()] * 50)).rejected) == 50


def test_an_array_holds_messages() -> None:
    assert short(b'[{"sensor":"s","value":1},{"b":1,"a":2},{"readings":[{"x":1}]}]') == [
        ("s", 1.0, None),
        ("a", 2.0, None),
        ("b", 1.0, None),
        ("x", 1.0, None),
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"null", "no_reading"),
        (b"42", "no_reading"),
        (b'"text"', "no_reading"),
        (b"[]", "no_reading"),
        (b"{}", "no_reading"),
        (b'{"a":{},"b":[]}', "no_reading"),
        (b'{"asset_id":"a","unit":"K"}', "no_reading"),
        (b'{"readings":[]}', "no_reading"),
        (b'[{"a":1},{}]', "no_reading"),
        (b'[{"a":1},7]', "unsupported_form"),
        (b"[[{}]]", "unsupported_form"),
        (b'{"readings":[{"a":1},7]}', "unsupported_form"),
        (b'{"sample_rate_hz":1000,"values":[]}', "no_reading"),
        (b'{"values":[1,2]}', "bad_waveform"),
        (b'{"sample_rate_hz":0,"values":[1,2]}', "bad_waveform"),
        (b'{"sample_rate_hz":-1.5,"values":[1,2]}', "bad_waveform"),
        (b'{"sample_rate_hz":NaN,"values":[1,2]}', "bad_waveform"),
        (b'{"sample_rate_hz":1e999,"values":[1,2]}', "bad_waveform"),
        (b'{"sample_rate_hz":"fast","values":[1,2]}', "bad_waveform"),
        (b'{"sample_rate_hz":true,"values":[1,2]}', "bad_waveform"),
        (b'{"sample_rate_hz":1,"values":[1,[2]]}', "bad_waveform"),
        (b'{"sample_rate_hz":1,"values":[{"value":1}]}', "bad_waveform"),
        (b'{"sample_rate_hz":1e-300,"values":[1,2]}', "timestamp_out_of_range"),
        (b'{"sample_rate_hz":0.0001,"values":[1' + b",2" * 100 + b"]}", "timestamp_out_of_range"),
        (b'{"sample_rate_hz":1e6,"values":[0' + b",0" * 1_000_000 + b"]}", "too_many_readings"),
        (b'{"values":{"t":{"value":1,"ts":"noon"}}}', "bad_timestamp"),
        (b'{"values":{"t":{"value":1,"ts":"1999-01-01"}}}', "timestamp_out_of_range"),
        (b'{"values":{"t":{"value":{}}}}', "no_reading"),
        (b"[" + b"{}," * 300_000 + b"{}]", "too_large"),
        (b'{"x":[' + b"0," * 1_300_000 + b"0]}", "too_large"),
        (b"{" + b",".join(b'"f%d":1' % i for i in range(100_000)) + b"}", "too_many_fields"),
        (b"\n", "not_json"),
        (b"  ", "not_json"),
        (b"\0", "not_json"),
        (b'{"a":1} {"a":2}', "not_json"),
        (b'{"a":1}x', "not_json"),
        (b'{"a":1', "not_json"),
        (b"temperature=21.5", "not_json"),
        (b'{"a":01}', "not_json"),
        (b'{"a":"\x01"}', "not_json"),
        (b'{"a":"\xff"}', "not_utf8"),
        (b'{"\xed\xa0\x80":1}', "not_utf8"),
        (b'{"a":"\\ud800"}', "not_utf8"),
        (b'{"\\udc00":1}', "not_utf8"),
        (b'{"a":"\\ud800\\u0041"}', "not_utf8"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b"[" * 200_000, "too_deep"),
        (b'{"a":"\\"","b":' * 40, "too_deep"),
        (b'{"a":' + b"[" * 32 + b"1" + b"]" * 32 + b"}", "too_deep"),
        (b"{" + b",".join(b'"f%d":1' % i for i in range(10_001)) + b"}", "too_many_fields"),
        (b"[" + b",".join([b'{"f":1}'] * 100_001) + b"]", "too_many_readings"),
        (b'{"asset":1.5,"v":1}', "bad_name"),
        (b'{"asset":true,"v":1}', "bad_name"),
        (b'{"sensor":{"a":1},"v":1}', "bad_name"),
        (b'{"":1}', "no_sensor"),
    ],
)
def test_what_is_no_reading_is_one_dead_letter(message: bytes, reason: str) -> None:
    assert reason_of(message) == reason


def test_the_deepest_message_allowed_is_read() -> None:
    (reading,) = readings_of(b'{"a":' + b"[" * 31 + b"1" + b"]" * 31 + b"}")
    assert reading[1] == "a" + ".0" * 31
    assert short(b'{"a":"' + b"[" * 100 + b'\\""}') == [("a", None, "[" * 100 + '"')]


@pytest.mark.parametrize("value", [None, b""])
def test_a_tombstone_is_empty_and_no_dead_letter(value: bytes | None) -> None:
    decoded = Decoder(DecodeSettings()).decode(batch_of([value, b'{"a":1}', value]))
    assert decoded.empty.tolist() == [0, 2]
    assert not decoded.rejected
    assert decoded.readings.offset.tolist() == [101]


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_a_message_without_asset_is_a_dead_letter(key: bytes | None) -> None:
    assert reason_of(b'{"v":1}', key=key) == "no_asset"


def test_named_groups_of_the_topic_fill_what_the_message_leaves_out() -> None:
    settings = DecodeSettings(topic_pattern=r"^plant\.(?P<asset_id>[^.]+)\.(?P<sensor_name>[^.]+)$")
    topic = "plant.mixer.rpm"
    assert readings_of(b'{"v":1}', settings, topic=topic)[0][:2] == ("mixer", "rpm")
    assert readings_of(b'{"asset":"a","x":1}', settings, topic=topic)[0][:2] == ("a", "rpm.x")
    assert readings_of(b'{"sensor":"s","v":1}', settings, topic=topic)[0][:2] == ("mixer", "s")


def test_a_bare_value_without_any_sensor_is_a_dead_letter() -> None:
    settings = DecodeSettings(topic_pattern="^sensor-(?P<asset_id>.+)")
    assert reason_of(b'{"v":1}', settings, topic="sensor-a") == "no_sensor"
    assert reason_of(b'{"v":1}', topic="sensor-data-") == "no_sensor"


def test_a_group_that_fills_nothing_is_refused() -> None:
    with pytest.raises(Usage, match='group "asset"'):
        TopicPattern("^plant-(?P<asset>.+)")


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("^sensor-data-.*", "sensor-data-"),
        ("^sensor-data-.*$", "sensor-data-"),
        (r"^a\.b\.[a-z]+", "a.b."),
        ("^abc?", "ab"),
        ("^abc+", "abc"),
        ("^a|b", ""),
        (r"^t\d+", "t"),
        ("^", ""),
        ("plain", "plain"),
    ],
)
def test_the_fixed_prefix_of_a_pattern(pattern: str, prefix: str) -> None:
    assert fixed_prefix(pattern) == prefix


def test_other_spellings_are_a_setting_away() -> None:
    settings = DecodeSettings(aliases=Aliases(asset=("machine",), value=("reading",)))
    assert readings_of(b'{"machine":"m","name":"s","reading":1}', settings)[0][:2] == ("m", "s")


def test_further_spellings_come_first_and_leave_other_roles() -> None:
    settings = DecodeSettings(aliases=Aliases.with_further({"asset": ["machine"], "sensor": ["device", "v"]}))
    message = b'{"machine":"m","asset_id":"a","device":"d","tag":"t","v":"x","value":1}'
    assert [row[:2] for row in readings_of(message, settings)] == [
        ("m", "d"),
        ("m", "d.asset_id"),
        ("m", "d.tag"),
        ("m", "d.v"),
    ]


def test_an_entry_of_a_map_has_its_own_unit_quality_and_time() -> None:
    message = (
        b'{"asset_id":"a","ts":1704067200,"unit":"K","quality":"good","values":{"p":{"value":1,"unit":"bar","q":"x"},'
        b'"s":3,"t":{"value":2,"timestamp":1704067200.5,"unit":null,"status_code":null,"max":4}}}'
    )
    start = 1_704_067_200_000_000
    assert readings_of(message) == [
        ("a", "p", start, 1.0, None, "bar", "x"),
        ("a", "s", start, 3.0, None, "K", "good"),
        ("a", "t", start + 500_000, 2.0, None, "K", "good"),
        ("a", "t.max", start + 500_000, 4.0, None, "K", "good"),
    ]


def test_a_spelling_with_two_meanings_is_refused() -> None:
    with pytest.raises(Usage, match="asset and sensor"):
        Aliases(sensor=("asset",))
    with pytest.raises(Usage, match="form of the message"):
        Aliases(value=("values",))


def test_a_topic_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(Usage, match="no regular expression"):
        TopicPattern("^(")
