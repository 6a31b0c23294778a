"""Messages of every form, damaged in every way, among good ones: what decoding must survive.

`make fuzz` decodes a hundred thousand. Each batch mixes good messages with damaged ones and goes through a
decoder that knows the shapes of the good ones; each message must come out as it does alone, in a decoder that
knows nothing: as readings, or as exactly one dead letter.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from unittest.mock import patch

import msgspec

from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.exact import decode_exactly
from support.decoding import Outcome, batch_of, outcomes

Tree: TypeAlias = Any
START = 1_704_067_200
BATCH = 500
DAMAGED, PACKED = 0.6, 0.4
KEYS: tuple[bytes | None, ...] = (b"key-asset", None, b"\xff", b"")

SCALARS: tuple[Tree, ...] = (
    *(None, True, False, 0, -0.0, 1, 1.5, 1e20, 5e-324, 2**53, 2**53 + 1, -(2**63), 2**64 - 1, 10**30),
    *(math.nan, -math.nan, math.inf, -math.inf, "", "ok", "bad", "1.5", "é", "a\0b", 'q"\\', "x" * 300),
    *("2024-01-01T00:00:00Z", "2024-02-30T00:00:00Z", "1999-12-31T23:59:59Z", "2024-01-03T00:00:00Z", "noon"),
    *(START, START * 1000 + 123, START + 0.25, str(START), -1, 192),
)
CONTAINERS: tuple[Tree, ...] = (
    *({}, [], [1], {"x": 1}, [[]], [{}], {"value": 1}, {"value": {"a": [1]}}, {"value": 1, "unit": "K"}),
    *([{"value": 1}, {"y": 2}], {"value": None, "q": 192, "ts": START, "time": START}, [None, "a", True]),
)
NAMES = (
    *(
        "asset_id",
        "asset",
        "sensor_name",
        "tag",
        "name",
        "timestamp",
        "ts",
        "time",
        "value",
        "v",
        "unit",
        "quality",
    ),
    *("q", "status_code", "readings", "values", "sample_rate_hz", "x", "x.y", "é", "", 'a"b', "0"),
)
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
    b"[",
    b"9" * 20,
    b"-",
    b"\0",
    b"",
)


def narrow(rng: random.Random) -> Tree:
    return {
        "asset_id": f"press-{rng.randrange(3)}",
        "sensor_name": rng.choice(["t", "p"]),
        "timestamp": f"2024-01-01T00:00:{rng.randrange(60):02}.{rng.randrange(1000):03}Z",
        "value": round(rng.gauss(20, 3), 3),
        "unit": "K",
        "quality": rng.choice(["good", "fair"]),
    }


def narrow_text(rng: random.Random) -> Tree:
    return {
        "device": rng.randrange(9),
        "tag": "state",
        "ts": START + rng.randrange(9),
        "val": rng.choice(["on", "off"]),
    }


def wide(rng: random.Random) -> Tree:
    fields = {name: rng.gauss(0, 1) for name in ("a", "b", "c") if rng.random() < 0.8}
    return {"asset_id": "p", "sensor_id": "ch1", "ts": START + rng.random(), "s": "on", **fields}


def nested(rng: random.Random) -> Tree:
    axis = {"x": rng.random(), "y": None, "mode": "auto"}
    return {"asset": "p", "ts": START, "axis": axis, "list": [rng.random(), {"k": 1}, "t"], "axis.x": 1}


def value_map(rng: random.Random) -> Tree:
    return {"asset_id": "p", "ts": START, "values": {"t": rng.random(), "p": {"deep": 1}, "s": "on"}, "t": 2}


def named_map(rng: random.Random) -> Tree:
    temperature = {"value": rng.random(), "unit": "K", "min": 1}
    power = {"value": rng.random(), "quality": rng.choice([0, 192]), "ts": START + rng.random()}
    if rng.random() < 0.3:
        del temperature["unit"]
    return {"asset_id": "p", "ts": START, "unit": "bar", "values": {"t": temperature, "p": power, "s": "on"}}


def batch(rng: random.Random) -> Tree:
    entries: list[Tree] = []
    for _ in range(rng.randrange(1, 5)):
        entry = {"tag": rng.choice("ab"), "value": rng.choice([rng.random(), "on", None]), "ts": START + 1}
        entries.append(entry | ({"unit": "K"} if rng.random() < 0.5 else {}))
    return {"asset_id": "p", "quality": "good", "readings": entries, "zone": 4}


def wide_batch(rng: random.Random) -> Tree:
    entries = [{"ts": START + i, "a": rng.random(), "m": {"x": 1}} for i in range(3)]
    return {"device_id": "p", "sensor": "s", "readings": entries}


def array(rng: random.Random) -> Tree:
    return [narrow(rng) for _ in range(rng.randrange(1, 4))]


def waveform(rng: random.Random) -> Tree:
    samples = [rng.choice([rng.random(), 1, None]) for _ in range(rng.randrange(1, 9))]
    return {
        "asset_id": "p",
        "sensor_name": "w",
        "ts": START,
        "sample_rate_hz": 3,
        "values": samples,
        "rpm": 1,
    }


def waveforms(rng: random.Random) -> Tree:
    entries = [{"tag": tag, "values": [rng.random(), 2]} for tag in "xy"]
    return {"asset_id": "p", "ts": START, "sample_rate_hz": 0.75, "readings": entries}


FORMS: tuple[Callable[[random.Random], Tree], ...] = (
    *(narrow, narrow_text, wide, nested, value_map, named_map),
    *(batch, wide_batch, array, waveform, waveforms),
)


def encoded(tree: Tree, *, packed: bool) -> bytes:
    """A tree as a message; what MessagePack cannot hold makes it JSON."""
    if packed:
        try:
            return msgspec.msgpack.encode(tree)
        except OverflowError:
            pass
    return json.dumps(tree, separators=(",", ":")).encode()


def damaged(rng: random.Random, tree: Tree, *, packed: bool) -> bytes:
    """The message with something changed in its tree, or in its bytes, or in both."""
    chance = rng.random()
    if chance < 0.7:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            tree = _changed(rng, tree)
    message = encoded(tree, packed=packed)
    if chance > 0.6:
        for _ in range(rng.choice([1, 1, 2])):
            start = rng.randrange(len(message) + 1)
            stop = min(len(message), start + rng.choice([0, 1, 1, 2, 8]))
            splice = rng.choice([*SPLICES, message[start:stop] * 2, bytes([rng.randrange(256)])])
            message = message[:start] + splice + message[stop:]
    return message or b"{}"


def _changed(rng: random.Random, tree: Tree) -> Tree:
    """The tree with one thing in it replaced, left out, renamed or added."""
    if isinstance(tree, dict) and tree:
        return _with_other_field(rng, tree)
    if isinstance(tree, list) and tree:
        place = rng.randrange(len(tree))
        if isinstance(tree[place], dict | list) and rng.random() < 0.6:
            return [*tree[:place], _changed(rng, tree[place]), *tree[place + 1 :]]
        return [*tree[:place], *rng.choices(SCALARS + CONTAINERS, k=rng.randrange(3)), *tree[place + 1 :]]
    return rng.choice(SCALARS + CONTAINERS)


def _with_other_field(rng: random.Random, tree: dict[str, Tree]) -> Tree:
    key, chance = rng.choice(list(tree)), rng.random()
    if isinstance(tree[key], dict | list) and chance < 0.6:
        return tree | {key: _changed(rng, tree[key])}
    if chance < 0.3:
        return {other: item for other, item in tree.items() if other != key}
    if chance < 0.5:
        return {rng.choice(NAMES) if other == key else other: item for other, item in tree.items()}
    if chance < 0.65:
        return tree | {rng.choice(NAMES): rng.choice(SCALARS + CONTAINERS)}
    return tree | {key: rng.choice(SCALARS + SCALARS + CONTAINERS)}


@dataclass(slots=True)
class Report:
    """What became of the messages."""

    messages: int = 0
    good: int = 0
    readings: int = 0
    in_columns: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)


def run(messages: int, seed: int) -> Report:
    """Decode so many messages in batches; AssertionError where one differs from what it is alone."""
    rng = random.Random(seed)
    report = Report()
    knowing, lone = Decoder(DecodeSettings()), Decoder(DecodeSettings())
    for form in FORMS:
        for packed in (False, True):
            for _ in range(6):
                knowing.decode(batch_of([encoded(form(rng), packed=packed) for _ in range(64)]))
    for _ in range(0, messages, BATCH):
        _run_batch(rng, knowing, lone, report)
    return report


def _run_batch(rng: random.Random, knowing: Decoder, lone: Decoder, report: Report) -> None:
    values: list[bytes] = []
    intact: list[bool] = []
    kinds = [(rng.choice(FORMS), rng.random() < PACKED) for _ in range(3)]
    for _ in range(BATCH):
        form, packed = rng.choice(kinds)
        tree = form(rng)
        intact.append(rng.random() >= DAMAGED)
        values.append(encoded(tree, packed=packed) if intact[-1] else damaged(rng, tree, packed=packed))
    keys = [rng.choice(KEYS) for _ in values]
    found, exactly = _counted(knowing, values, keys)
    for value, key, outcome, whole in zip(values, keys, found, intact, strict=True):
        expected: Outcome = outcomes(lone, batch_of([value], keys=[key]))[0]
        assert outcome == expected, (value, outcome, expected)
        if outcome[0] == "rejected":
            assert not whole, (value, outcome)
            report.dead_letters[str(outcome[1])] += 1
        else:
            report.good += 1
            report.readings += len(outcome)
    report.messages += len(values)
    report.in_columns += len(values) - exactly


def _counted(decoder: Decoder, values: list[bytes], keys: list[bytes | None]) -> tuple[list[Outcome], int]:
    """What became of a batch, and how many of its messages were decoded one by one."""
    with patch("sensor_storage.kafka.decoder.decode_exactly", wraps=decode_exactly) as exact:
        found = outcomes(decoder, batch_of(values, keys=keys))
        return found, exact.call_count
