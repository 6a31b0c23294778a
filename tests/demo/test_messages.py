"""Messages of the plant: they are what the contract says, and they say how many readings they hold."""

import json
from collections import Counter
from typing import Any, get_args

import pytest

from sensor_storage.demo.messages import (
    MALFORMED,
    SENSIBLE_FAULTS,
    Faults,
    Form,
    MessageSource,
    PlantMessage,
    plant_messages,
)
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.errors import Usage

START = 1_704_067_200 * SECOND
NAMED = {"asset_id", "sensor_name", "timestamp", "value", "unit", "quality"}


def made(form: Form, faults: Faults | None = None, seconds: int = 60) -> list[PlantMessage]:
    return list(plant_messages(Plant(20, 10), START, START + seconds * SECOND, form=form, faults=faults))


def readings_by_contract(value: bytes) -> int:
    """Count the readings of a message, as the contract's table of forms does."""
    return _count(json.loads(value))


def _count(message: Any) -> int:  # noqa: ANN401 - any JSON
    if isinstance(message, list):
        return sum(map(_count, message))
    if "readings" in message:
        return sum(map(_count, message["readings"]))
    if "values" in message:
        return len(message["values"])
    return 1 if "value" in message else len(message.keys() - NAMED)


@pytest.mark.parametrize("form", get_args(Form))
def test_a_message_says_how_many_readings_it_holds(form: Form) -> None:
    messages = made(form)
    assert sum(m.readings for m in messages) > 10_000
    for message in messages:
        assert message.value is not None
        assert message.readings == readings_by_contract(message.value) > 0
        assert message.topic.startswith("sensor-data-")


def test_a_narrow_message_is_as_the_contract_shows_it() -> None:
    for message in made("narrow", seconds=5):
        decoded = json.loads(message.value or b"")
        assert list(decoded) in (
            ["asset_id", "sensor_name", "timestamp", "value", "unit", "quality"],
            ["asset_id", "sensor_name", "timestamp", "value", "quality"],
        )
        assert decoded["asset_id"].encode() == message.key
        assert len(decoded["timestamp"]) == len("2024-01-01T00:00:00.123Z")
        assert len(message.value or b"") < 170


def test_mixed_form_has_every_form() -> None:
    assert {m.kind for m in made("mixed")} == {"narrow", "wide", "batch"}


def test_bad_stretches_hold_null_readings() -> None:
    assert any(
        b'"value":null,"unit":"Pa","quality":"bad"' in (m.value or b"") for m in made("narrow", seconds=180)
    )


def test_text_share_decides_how_many_sensors_say_words() -> None:
    words = list(plant_messages(Plant(2, 10, text_share=1.0), START, START + SECOND, form="wide"))
    assert all(
        isinstance(v, str) for m in words for k, v in json.loads(m.value or b"").items() if k not in NAMED
    )


def test_late_and_disordered_messages_are_the_same_messages_later() -> None:
    plain = made("mixed", seconds=300)
    shuffled = made("mixed", Faults(late=0.05, out_of_order=0.05), seconds=300)
    assert Counter(m.value for m in shuffled) == Counter(m.value for m in plain)
    assert [m.value for m in shuffled] != [m.value for m in plain]


def test_a_duplicate_is_the_payload_again_and_counts_again() -> None:
    plain, doubled = made("mixed"), made("mixed", Faults(duplicate=0.1))
    extra = Counter(m.value for m in doubled) - Counter(m.value for m in plain)
    assert extra == Counter(m.value for m in doubled if m.fault == "duplicate")
    originals = {m.value: m for m in plain}
    assert all(originals[m.value].readings == m.readings for m in doubled if m.fault == "duplicate")


def test_faults_come_in_the_shares_asked_for() -> None:
    messages = made("narrow", SENSIBLE_FAULTS, seconds=300)
    counts = Counter(m.fault for m in messages)
    for fault in ("late", "out-of-order", "duplicate"):
        assert counts[fault] == pytest.approx(0.01 * len(messages), rel=0.2)
    assert counts["malformed"] == pytest.approx(0.001 * len(messages), rel=0.5)


def test_every_kind_of_garbled_message_occurs_and_holds_no_reading() -> None:
    garbled = [m for m in made("narrow", Faults(malformed=0.1)) if m.fault == "malformed"]
    shapes = {m.value.replace(m.key, b"@") if m.value else m.value for m in garbled}
    assert shapes == set(MALFORMED)
    assert {m.kind for m in garbled if m.value} == {"dead-letter"}
    assert {m.kind for m in garbled if not m.value} == {"empty"}
    assert all(m.readings == 0 for m in garbled)


def test_faults_do_not_depend_on_how_time_is_cut() -> None:
    def counted(step: int) -> Counter[PlantMessage]:
        source = MessageSource(Plant(10, 5), form="mixed", faults=SENSIBLE_FAULTS)
        edges = range(START, START + 120 * SECOND, step)
        messages = [m for low in edges for m in source.window(low, min(low + step, START + 120 * SECOND))]
        return Counter(messages + source.rest())

    assert counted(SECOND // 10) == counted(7 * SECOND) == counted(120 * SECOND)


@pytest.mark.parametrize("shares", [{"late": -0.1}, {"late": 0.6, "duplicate": 0.6}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(Usage):
        Faults(**shares)
