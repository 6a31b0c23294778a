"""A message's outcome depends on nothing but itself and the settings."""

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensor_storage.kafka import decoder as decoder_module
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.json_tree import parse, parse_spelled
from sensor_storage.kafka.learning import MAX_SHAPES
from sensor_storage.kafka.refusal import Refused
from support.decoding import Outcome, batch_of, outcomes

KEYS: tuple[bytes | None, ...] = (b"key-asset", None, b"\xff", b"")
NAMES = st.sampled_from(["a", "press-7", "", "é", "nul\0", "x.y"])
TIMES = st.sampled_from(
    [
        '"2024-01-01T00:00:00.123Z"',
        '"2023-12-31T23:59:59Z"',
        '"2023-12-31T23:59:59.5+01:00"',
        '"2023-12-31 23:59:59"',
        '"2023-06-31T00:00:00.123Z"',
        '"0000-01-01T00:00:00.000Z"',
        "1704067200123",
        "1704067200",
        "1704067200.125",
        "1704067200123456789",
        "1804067200",
        '"1704067200"',
        "null",
        "1e999",
        "true",
    ]
)
NUMBERS = st.sampled_from(
    [
        "1",
        "1.5",
        "-0",
        "-0.0",
        "5e-324",
        "9007199254740992",
        "9007199254740993",
        "1e20",
        "123456789012345678901",
        "1e999",
    ]
) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
SCALARS = (
    NUMBERS
    | NUMBERS
    | st.sampled_from(
        ["null", "true", "false", "NaN", '"ok"', '"12.5"', '""', '"\\u00e9\\u0000"', '"\\ud800"']
    )
)
LABELS = st.sampled_from(['"good"', '"bad"', "192", "0", "null", "1.50", "true", '""', "{}", '{"x":1}'])
FIELD_KEYS = st.sampled_from(["t", "p", "x.y", "é", "z", "was", "device_id", "name", "q", 'a\\"b', ""])


def quoted(name: str) -> str:
    return json.dumps(name)


@st.composite
def flat_messages(draw: st.DrawFn) -> bytes:
    """Messages of few outlines, so that shapes are learned and then tried."""
    members: list[tuple[str, str]] = []
    if draw(st.integers(0, 9)):
        members.append(
            (
                draw(st.sampled_from(["asset_id", "asset"])),
                quoted(draw(NAMES)) if draw(st.integers(0, 5)) else "17",
            )
        )
    if draw(st.booleans()):
        members.append(("sensor_name", quoted(draw(NAMES))))
    if draw(st.booleans()):
        members.append(("timestamp", draw(TIMES)))
    if draw(st.booleans()):
        members.append((draw(st.sampled_from(["value", "v"])), draw(SCALARS)))
    if draw(st.booleans()):
        members.append(("unit", draw(LABELS)))
    if draw(st.booleans()):
        members.append(("quality", draw(LABELS)))
    members += [(key, draw(SCALARS)) for key in draw(st.lists(FIELD_KEYS, max_size=4))]
    if draw(st.integers(0, 4)) == 0:
        members = draw(st.permutations(members))
    return ("{" + ",".join(f'"{key}":{item}' for key, item in members) + "}").encode()


OTHERS = st.sampled_from(
    [
        b"42",
        b"null",
        b"\n",
        b'{"a":1}{"a":2}',
        b'{"asset_id":"a"',
        b'{"a":"\xff"}',
        b"[" * 40,
        b'[{"v":1},{"x":2}]',
        b'{"readings":[{"v":1}],"x":1}',
        b'{"values":{"x":1,"y":{"z":"t"}}}',
        b'\xef\xbb\xbf{"x":1}',
        b'{"x":1,"x":"t"}',
    ]
)
MESSAGES = st.one_of(flat_messages(), flat_messages(), flat_messages(), OTHERS)


def alone(message: bytes, key: bytes | None) -> Outcome:
    (outcome,) = outcomes(Decoder(DecodeSettings()), batch_of([message], keys=[key]))
    return outcome


def taught(messages: Sequence[bytes]) -> Decoder:
    """A decoder that has seen each message often enough to know its shape."""
    decoder = Decoder(DecodeSettings())
    for message in messages:
        decoder.decode(batch_of([message] * 40))
        decoder.decode(batch_of([message] * 40))
    return decoder


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(MESSAGES, min_size=1, max_size=6), st.lists(MESSAGES, max_size=6), st.data())
def test_a_message_decodes_the_same_alone_in_any_batch_and_after_any_history(
    messages: list[bytes], history: list[bytes], data: st.DataObject
) -> None:
    decoder = taught(history + messages)
    order = data.draw(st.lists(st.sampled_from(messages), min_size=40, max_size=60))
    keys = [data.draw(st.sampled_from(KEYS)) for _ in range(4)]
    chosen = [keys[i % 4] for i in range(len(order))]
    expected = {(message, key): alone(message, key) for message in messages for key in keys}
    for _ in range(2):
        found = outcomes(decoder, batch_of(order, keys=chosen))
        for message, key, outcome in zip(order, chosen, found, strict=True):
            assert outcome == expected[message, key], message


@settings(max_examples=300, deadline=None)
@given(MESSAGES)
def test_both_parsers_give_the_same_outcome(message: bytes) -> None:
    decoder = Decoder(DecodeSettings())
    quick = outcomes(decoder, batch_of([message]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sensor_storage.kafka.exact.parse", parse_deeply)
        careful = outcomes(decoder, batch_of([message]))
    assert quick == careful


def parse_deeply(message: bytes) -> object:
    """The careful parser, after the quick one's look at the depth."""
    if message.count(b"[") > 32:
        return parse(message)
    return parse_spelled(message)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 25))
def test_both_parsers_round_numbers_alike(number: float, digits: int) -> None:
    for text in (repr(number), f"{number:.{digits}e}", f"{number:.{digits}f}"):
        try:
            assert float(parse(text.encode())) == float(parse_spelled(text.encode())) == float(text)
        except Refused:
            pytest.fail(text)


SEEDS = (
    b'{"asset_id":"press-7","sensor_name":"temperature","timestamp":"2024-01-01T00:00:00.123Z","value":12}',
    '{"asset_id":"p","tag":"t","ts":"2024-01-01T00:00:00Z","value":1,"unit":"°C","quality":"good"}'.encode(),
    b'{"asset_id":"press-7","sensor_id":"ch1","timestamp":1704067200123,"temperature":21.5,"status":"ok"}',
    b'{"asset_id":"press-7","sensor_name":"state","timestamp":"2024-01-01T00:00:00Z","value":"running"}',
    b'{"device_id":17,"tag":"t","ts":1704067200.5,"v":true,"q":192}',
)
TWICE_NAMED = (
    b'{"asset_id":"a","asset":"b","sensor_name":"s","tag":"t","timestamp":"2024-01-01T00:00:00Z","ts":1704067200,'
    b'"value":1.5,"v":2.5,"unit":"K","quality":"good","q":"fair","status_code":0}'
)
OUTLINES = (
    *SEEDS,
    TWICE_NAMED,
    b'{"asset_id":"a","x":1.5}',
    b'{"asset_id":"a","state":"on"}',
    b'{"":1.5,"x":2.5}',
    b'{"asset_id":"a","sensor":"s","quality":"good","q":1.5,"status_code":"x","unit":"K"}',
    b'{"tag":"s","ts":1704067200.25,"val":"text","rpm":1.5,"mode":"auto"}',
    b'{"q":192,"value":null,"unit":"K"}',
)
TOKENS = (
    *("1", "1.5", "-0", "-0.0", "1e20", "9007199254740991", "9007199254740992", "9007199254740993", "1e999"),
    *(
        "null",
        "true",
        "false",
        "NaN",
        "{}",
        "[]",
        '{"x":1}',
        "[1]",
        '""',
        '"ok"',
        '"bad"',
        '"1.5"',
        '"\\u0000"',
    ),
    *("1704067200", "1704067200123", "1704067200123456789", "1704067200.125", "1.7040672e18", "-1", "1" * 40),
    *(
        '"2024-01-01T00:00:00.123Z"',
        '"2024-01-01T00:00:00.123z"',
        '"2024-01-01T00:00:00"',
        '"2024-02-30T00:00:00Z"',
    ),
    *(
        '"2024-02-30T00:00:00Z"',
        '"1999-12-31T23:59:59Z"',
        '"2024-01-03T00:00:00Z"',
        '"1704067200"',
        '"\\ud800"',
    ),
)


def variants(message: bytes) -> list[bytes]:
    """The message with each of its fields gone, twice there, or holding each token; and with one more."""
    members = [(json.dumps(key), json.dumps(item)) for key, item in json.loads(message).items()]
    found = [members]
    for place, (key, _) in enumerate(members):
        before, after = members[:place], members[place + 1 :]
        found.append(before + after)
        found += [[*before, (key, token), *after] for token in TOKENS]
        found += [[*members, (key, token)] for token in ("null", "1", '"x"')]
    for key in ("new", "asset_id", "name", "v", "quality", "q", "status_code", "values", "readings", ""):
        found += [[*members, (json.dumps(key), token)] for token in ("null", "1", '"x"')]
    return ["{{{}}}".format(",".join(f"{key}:{item}" for key, item in each)).encode() for each in found]


@pytest.mark.parametrize("message", OUTLINES)
def test_every_variant_of_a_known_message_decodes_as_alone(message: bytes) -> None:
    lone = Decoder(DecodeSettings())
    others = variants(message)
    expected = [outcomes(lone, batch_of([other]))[0] for other in others]
    decoder = taught([message])
    for _ in range(6):
        # One block after the other, so that the decoder learns and tries shapes in between.
        for start in range(0, len(others), 40):
            part = [message] * 20 + others[start : start + 40]
            assert outcomes(decoder, batch_of(part))[20:] == expected[start : start + 40]
    for other, outcome in zip(others, expected, strict=True):
        assert outcomes(taught([other]), batch_of([*[other] * 20, message]))[:20] == [outcome] * 20, other


SPLICES = (
    b"null",
    b"1e999",
    b"NaN",
    b"\xff",
    b"\\ud800",
    b'"',
    b",",
    b"}",
    b"{",
    b"0",
    b"9" * 20,
    b"-",
    b"true",
    b"",
)


def mutated(rng: random.Random) -> bytes:
    message = rng.choice(SEEDS)
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(message) + 1)
        stop = min(len(message), start + rng.choice([0, 1, 1, 2, 8]))
        splice = rng.choice([*SPLICES, message[start:stop] * 2, bytes([rng.randrange(256)])])
        message = message[:start] + splice + message[stop:]
    return message or b"{}"


@pytest.mark.parametrize("seed", range(4))
def test_five_thousand_damaged_messages_decode_as_alone_and_harm_no_neighbour(seed: int) -> None:
    rng = random.Random(seed)
    decoder = taught(SEEDS)
    lone = Decoder(DecodeSettings())
    good = {message: outcomes(lone, batch_of([message]))[0] for message in SEEDS}
    for _ in range(10):
        messages = [mutated(rng) if rng.random() < 0.9 else rng.choice(SEEDS) for _ in range(556)]
        found = outcomes(decoder, batch_of(messages))
        for message, outcome in zip(messages, found, strict=True):
            expected = good.get(message) or outcomes(lone, batch_of([message]))[0]
            assert outcome == expected, message


def test_the_columns_way_is_really_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = taught(SEEDS)

    def forbidden(*_: object) -> None:
        pytest.fail("a message of a known shape was decoded alone")

    monkeypatch.setattr(decoder_module, "decode_exactly", forbidden)
    for message in SEEDS:
        decoded = decoder.decode(batch_of([message] * 50))
        assert len(np.unique(decoded.readings.offset)) == 50


def test_ever_new_shapes_fill_no_memory() -> None:
    decoder = Decoder(DecodeSettings())
    rng = random.Random(1)
    aliases = ["asset_id", "asset", "device_id", "device", "daqid"]
    for _ in range(40):
        frame = {rng.choice(aliases): "a", rng.choice(["tag", "name", "metric"]): "s"}
        message = frame | {rng.choice(["ts", "time"]): 1704067200, f"k{rng.random()}": 1}
        decoder.decode(batch_of([json.dumps(message).encode()] * 64))
    assert all(len(topic.shapes.by_use()) <= MAX_SHAPES for topic in decoder._topics.values())
    for number in range(400):
        decoder.decode(batch_of([b'{"x":1}'], topic=f"sensor-data-{number}"))
    assert len(decoder._topics) <= 256
