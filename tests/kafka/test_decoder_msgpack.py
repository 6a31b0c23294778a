"""MessagePack: the same forms, told from JSON by the first byte."""

import json
import math

import msgspec
import pytest

from sensor_storage.kafka.decoder import DecodeSettings
from sensor_storage.kafka.json_tree import MAX_CONTAINERS
from sensor_storage.kafka.msgpack_tree import Format, is_large, is_msgpack, parse_msgpack
from support.decoding import NOW, readings_of, reason_of

pack = msgspec.msgpack.Encoder().encode
START = 1_704_067_200_000_000


def ext(code: int, data: bytes) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, data)


@pytest.mark.parametrize(
    "tree",
    [
        {"asset_id": "p", "sensor_name": "t", "timestamp": "2024-01-01T00:00:00Z", "value": 1.5, "unit": "K"},
        {
            "asset_id": "p",
            "tag": "ch",
            "ts": 1704067200123,
            "x": 1,
            "y": None,
            "s": "on",
            "m": {"a": [1, True]},
        },
        {
            "asset_id": "p",
            "ts": 1704067200,
            "readings": [{"tag": "a", "value": 1}, {"tag": "b", "q": 192, "value": 2}],
        },
        [{"tag": "a", "value": 1}, {"x": -5, "y": 2**53 + 1}],
        {"values": {"t": {"value": 1, "unit": "K"}, "p": 2}},
        {"tag": "w", "sample_rate_hz": 3, "values": [1, 2.5, None, "x"], "quality": 1.5, "unit": 0.25},
    ],
)
def test_a_message_is_what_its_json_is(tree: object) -> None:
    assert readings_of(pack(tree)) == readings_of(json.dumps(tree).encode())


@pytest.mark.parametrize(
    ("item", "value", "text", "quality"),
    [
        (2**64 - 1, 18446744073709551616.0, "18446744073709551615", "good"),
        (-(2**63), -9223372036854775808.0, "-9223372036854775808", "good"),
        (math.nan, None, None, "bad"),
        (math.inf, None, None, "bad"),
        (-math.inf, None, None, "bad"),
        (None, None, None, "bad"),
        (False, 0.0, None, "good"),
        (b"run\xc3\xa9", None, "runé", "good"),
        (ext(-1, b"\x65\x92\x00\x80"), None, "2024-01-01T00:00:00Z", "good"),
    ],
)
def test_a_value_is_kept_as_number_text_or_bad(
    item: object, value: float | None, text: str | None, quality: str
) -> None:
    message = pack({"tag": "s", "value": item, "quality": "good"})
    assert readings_of(message) == [("k", "s", NOW, value, text, None, quality)]


@pytest.mark.parametrize(
    ("data", "micros"),
    [
        (b"\x65\x92\x00\x80", START),
        ((123_456_789 << 34 | 0x65920080).to_bytes(8), START + 123_457),
        ((5_000).to_bytes(4) + (0x65920080).to_bytes(8), START + 5),
    ],
)
def test_a_timestamp_extension_is_a_time(data: bytes, micros: int) -> None:
    assert readings_of(pack({"tag": "s", "ts": ext(-1, data), "value": 1}))[0][2] == micros


def test_names_may_be_bins_and_keys_integers() -> None:
    assert readings_of(pack({b"asset": b"p", 7: 1.5}))[0][:4] == ("p", "7", NOW, 1.5)


def test_a_number_as_a_label_is_spelled_as_in_json() -> None:
    message = pack({"tag": "s", "value": 1, "unit": 1.5, "quality": math.nan})
    assert readings_of(message)[0][5:] == ("1.5", "NaN")
    assert readings_of(pack({"tag": "s", "value": 1, "quality": -math.inf}))[0][6] == "-Infinity"


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\x01"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x81\xa1a", "not_msgpack"),
        (b"\x81\xa1a\x01\x02", "not_msgpack"),
        (b"\x81\xa1a\xc1", "not_msgpack"),
        (b"\xdd\xff\xff\xff\xff", "not_msgpack"),
        (b"\x81\x80\x01", "not_msgpack"),
        (b"\x81\xa1a\xa1\xff", "not_utf8"),
        (b"\x81\xa1a\xc4\x01\xff", "not_utf8"),
        (b"\x81\xc0\x01", "bad_name"),
        (b"\x81\xa1a\xd4\x05\x01", "unsupported_form"),
        (pack({"ts": ext(-1, b"\0\0\0\0\x7f" + b"\xff" * 7), "v": 1}), "timestamp_out_of_range"),
        (b"\x80", "no_reading"),
        (b"\x90", "no_reading"),
        (b"\x93\x01\x02\x03", "unsupported_form"),
        (nested(33), "too_deep"),
        (nested(10_000), "too_deep"),
        (b"\xdd\x00\x04\x00\x00" + b"\x80" * 0x40000, "too_large"),
        (b"\x81\xa1a\xdd\x00\x98\x96\x80" + b"\x00" * 10_000_000, "too_large"),
    ],
)
def test_what_is_no_reading_is_one_dead_letter(message: bytes, reason: str) -> None:
    assert reason_of(message) == reason


def test_the_deepest_message_allowed_is_read() -> None:
    assert readings_of(b"\x81\xa1a" + nested(31))[0][1] == "a" + ".0" * 31


@pytest.mark.parametrize(
    ("message", "form", "packed"),
    [
        (b"{", "auto", False),
        (b"\xef\xbb\xbf{}", "auto", False),
        (b"", "auto", False),
        (b"\x80", "auto", True),
        (b"\x9f", "auto", True),
        (b"\xde\x00\x01", "auto", True),
        (b"\x80", "json", False),
        (b"{", "msgpack", True),
    ],
)
def test_the_first_byte_tells_the_format_unless_it_is_set(message: bytes, form: Format, packed: bool) -> None:
    assert is_msgpack(message, form) is packed


def test_a_set_format_is_the_only_one() -> None:
    assert reason_of(b'{"a":1}', DecodeSettings(message_format="msgpack")) == "not_msgpack"
    assert reason_of(b"\x81\xa1a\x01", DecodeSettings(message_format="json")) == "not_utf8"


def test_size_is_told_without_decoding() -> None:
    items = [1, -1, 300, 70_000, 2**40, -200, -40_000, -(2**40), 1.5, "", "a", "b" * 31, "c" * 40, "d" * 300]
    more = [
        "e" * 70_000,
        b"f",
        b"g" * 300,
        b"h" * 70_000,
        ext(5, b"12"),
        ext(5, b"123"),
        ext(-1, bytes(12)),
        None,
        True,
    ]
    more += [ext(5, bytes(size)) for size in (1, 4, 8, 16, 300, 70_000)]
    row = [*items, *more, {"k": 1}, [2], {}, []]
    assert not is_large(pack([row] * 100))
    assert not is_large(pack([[1]] * (MAX_CONTAINERS - 1)))
    assert is_large(pack([[1]] * MAX_CONTAINERS))
    nested = [*items, {"k": 1}, [2], {}, [], [3]]
    assert is_large(pack([nested] * (MAX_CONTAINERS // 3)))
    assert len(parse_msgpack(pack(["x" * 20] * 200_000))) == 200_000
