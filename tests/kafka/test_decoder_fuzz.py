"""Damaged messages of every form among good ones; `make fuzz` takes a hundred thousand."""

import json
import random
from collections.abc import Callable
from itertools import permutations
from typing import TypeAlias

import pytest

from sensor_storage.kafka import decoder as decoder_module
from sensor_storage.kafka.columns import table
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.names import Aliases
from sensor_storage.kafka.outline import Frame, Kind, Part, Role, Spot
from support.decoding import batch_of, outcomes
from support.fuzz import FORMS, SCALARS, encoded, run, waveform, waveforms

Form: TypeAlias = Callable[[random.Random], object]
REASONS = {"not_json", "not_msgpack", "not_utf8", "no_reading", "no_asset", "bad_timestamp", "bad_waveform"}


@pytest.mark.parametrize("seed", range(4))
def test_each_damaged_message_is_as_alone_and_harms_no_good_one(seed: int) -> None:
    report = run(2000, seed)
    assert report.messages == 2000
    assert set(report.dead_letters) >= REASONS
    assert report.in_columns > 500


IN_COLUMNS = [form for form in FORMS if form not in {waveform, waveforms}]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", IN_COLUMNS)
def test_the_columns_way_is_really_taken_by_every_form(
    form: Form, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(1)
    decoder = Decoder(DecodeSettings())
    messages = [encoded(form(rng), packed=packed) for _ in range(400)]
    for _ in range(4):
        expected = outcomes(decoder, batch_of(messages))

    def forbidden(*_: object) -> None:
        pytest.fail("a message of a known shape was decoded alone")

    monkeypatch.setattr(decoder_module, "decode_exactly", forbidden)
    assert outcomes(decoder, batch_of(messages)) == expected


def variants(tree: object) -> list[object]:
    """The tree with each thing in it left out, or replaced by each scalar or a container."""
    found: list[object] = [*SCALARS, {}, [], {"value": 1}, [1]]
    if isinstance(tree, dict):
        for key, item in tree.items():
            rest = {other: inner for other, inner in tree.items() if other != key}
            found += [rest, rest | {"new": item}, *(tree | {key: inner} for inner in variants(item))]
        found += [tree | {key: 1} for key in ("new", "value", "v", "ts", "q", "unit", "readings", "values")]
    if isinstance(tree, list):
        for place, item in enumerate(tree):
            before, after = tree[:place], tree[place + 1 :]
            found += [before + after, *([*before, inner, *after] for inner in variants(item))]
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_variant_of_a_known_form_decodes_as_alone(form: Form, packed: bool) -> None:
    rng = random.Random(1)
    known = [encoded(form(rng), packed=packed) for _ in range(64)]
    decoder, lone = Decoder(DecodeSettings()), Decoder(DecodeSettings())
    for _ in range(4):
        decoder.decode(batch_of(known))
    others = [encoded(tree, packed=packed) for tree in variants(form(rng))]
    for start in range(0, len(others), 100):
        part = others[start : start + 100]
        found = outcomes(decoder, batch_of(known + part))[len(known) :]
        for other, outcome in zip(part, found, strict=True):
            assert outcome == outcomes(lone, batch_of([other]))[0], other


ENTRIES: tuple[dict[str, object], ...] = (
    {"value": 1, "v": 2},
    {"v": 3},
    {"val": 1, "ts": 5, "timestamp": 1704067200},
    {"value": 1, "ts": 1704067200},
    {"value": 1, "unit": "K", "min": 2},
    {"min": 1},
    {"v": 1, "value": {"x": 1}},
    {"value": "on", "q": 1},
    {"value": 2, "quality": "x"},
)
INNER: tuple[object, ...] = (*ENTRIES, 1, "t", [1, {"x": 2}], [1], {"0": 3}, [[1]], {"x": {"y": 1}}, {"x": 2})
FAMILIES: tuple[list[object], ...] = (
    [{"asset_id": "a", "values": {"t": item}} for item in INNER],
    [{"asset_id": "a", "t": item} for item in INNER[-8:]],
    [{"asset_id": "a", "readings": [{"tag": "s", **item}, {"tag": "p", **item}]} for item in ENTRIES],
    [{"asset_id": "a", "readings": [{"t": item}, {"t": 1}]} for item in INNER[-8:]]
    + [{"asset_id": "a", "readings": [{"t": 1}, {}]}, [{"t": 1}, {}], [{"t": 1}, {"t": 2}]],
)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_two_kinds_of_messages_teach_is_wrong_for_none(family: list[object], packed: bool) -> None:
    messages = [encoded(tree, packed=packed) for tree in family]
    lone = Decoder(DecodeSettings())
    expected = [outcomes(lone, batch_of([message]))[0] for message in messages]
    for one, other in permutations(messages, 2):
        decoder = Decoder(DecodeSettings())
        for _ in range(2):
            decoder.decode(batch_of([one] * 13 + [other] * 12))
        assert outcomes(decoder, batch_of([one, other] * 8 + messages))[16:] == expected, (one, other)


def test_an_entry_whose_time_may_be_another_field_gets_no_columns() -> None:
    frame = Frame(Part("asset_id", Kind.TEXT), None, None, None, None, None)
    value = Spot(("values", "t", "value"), Kind.NUMBER, Role.VALUE)
    time = Spot(("values", "t", "timestamp"), Kind.TEXT, Role.TIME)
    near = Spot(("values", "t", "ts"), Kind.NUMBER, Role.NEAR)
    assert len(table(frame, [value, time, near], Aliases(), {}).columns) == 2
    assert table(frame, [value, near], Aliases(), {}).columns == []
    assert table(frame, [time, near], Aliases(), {}).columns == []


def test_json_and_messagepack_of_a_good_message_are_the_same_readings() -> None:
    rng = random.Random(1)
    decoder = Decoder(DecodeSettings())
    for form in FORMS:
        tree = form(rng)
        both = [json.dumps(tree).encode(), encoded(tree, packed=True)]
        one, other = outcomes(decoder, batch_of(both))
        assert one == other
