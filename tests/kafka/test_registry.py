"""Avro, Protobuf and JSON Schema by a registry: the same readings as their JSON; a registry away loses nothing."""

import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from fastavro.types import Schema
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.checks.registry import check_registry
from sensor_storage.clock import ManualClock
from sensor_storage.errors import Usage
from sensor_storage.kafka.batch import Decoded
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.refusal import Refused
from sensor_storage.kafka.registry import Registered, Registry, RegistryAccess, Schemas, SchemaWanted
from sensor_storage.kafka.schema_kinds import MAKERS
from sensor_storage.kafka.wire import MessageFormat
from support.decoding import batch_of, readings_of
from support.registry import FakeRegistry, fake_registry

NARROW = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "asset_id", "type": "string"},
        {"name": "sensor_name", "type": "string"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "value", "type": ["null", "double", "long", "string"]},
        {"name": "unit", "type": ["null", "string"]},
    ],
}
TIME = datetime(2024, 1, 1, 0, 0, 0, 123456, UTC)
TEXT, DOUBLE, INT64, MESSAGE = 9, 1, 3, 11  # Protobuf's numbers of types
OPTIONAL, REPEATED = 1, 3


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def access_to(
    registry: FakeRegistry, username: str = "", password: str = "", token: str = ""
) -> RegistryAccess:
    return RegistryAccess((registry.url,), username, password, token)


def decoder(
    registry: FakeRegistry,
    clock: ManualClock,
    form: MessageFormat = "auto",
    access: RegistryAccess | None = None,
) -> Decoder:
    schemas = Schemas(Registry(access or access_to(registry)).get, MAKERS, clock)
    return Decoder(DecodeSettings(message_format=form), schemas)


def wrapped(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4) + payload


def avro(schema: Schema, record: object, number: int = 7) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, record)
    return wrapped(number, stream.getvalue())


def shown(decoded: Decoded) -> list[tuple[object, ...]]:
    """As `readings_of` shows them."""
    assert not decoded.rejected, decoded.rejected
    found = decoded.readings.take(np.lexsort((decoded.readings.index, decoded.readings.offset)))
    texts = [None] * len(found) if found.text is None else found.text.to_pylist()
    return [
        (*series, time, None if np.isnan(value) else value, text, unit, quality)
        for series, time, value, text, unit, quality in zip(
            found.series.tolist(),
            found.timestamp.tolist(),
            found.value.tolist(),
            texts,
            found.unit.tolist(),
            found.quality.tolist(),
            strict=True,
        )
    ]


def alone(one: Decoder, message: bytes, key: bytes | None = b"k") -> list[tuple[object, ...]]:
    return shown(one.decode(batch_of([message], keys=[key])))


def reasons(one: Decoder, messages: Sequence[bytes]) -> list[str]:
    decoded = one.decode(batch_of(messages))
    assert not len(decoded.readings)
    return [item.reason for item in sorted(decoded.rejected, key=lambda item: item.row)]


def telemetry() -> FileDescriptorProto:
    """A file whose second message holds a time, a scalar, a list of messages and a map."""
    point = DescriptorProto(name="Point")
    point.field.add(name="tag", number=1, type=TEXT, label=OPTIONAL)
    point.field.add(name="value", number=2, type=DOUBLE, label=OPTIONAL)
    entry = DescriptorProto(name="LabelsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=TEXT, label=OPTIONAL)
    entry.field.add(name="value", number=2, type=INT64, label=OPTIONAL)
    frame = DescriptorProto(name="Frame", nested_type=[entry])
    frame.field.add(name="asset_id", number=1, type=TEXT, label=OPTIONAL)
    frame.field.add(
        name="timestamp", number=2, type=MESSAGE, label=OPTIONAL, type_name=".google.protobuf.Timestamp"
    )
    frame.field.add(name="readings", number=3, type=MESSAGE, label=REPEATED, type_name=".plant.Point")
    frame.field.add(
        name="labels", number=4, type=MESSAGE, label=REPEATED, type_name=".plant.Frame.LabelsEntry"
    )
    frame.field.add(name="count", number=5, type=INT64, label=OPTIONAL)
    return FileDescriptorProto(
        name="telemetry.proto",
        package="plant",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
        message_type=[point, frame],
    )


def protobuf_class(file: FileDescriptorProto, name: str) -> Any:  # noqa: ANN401 - a generated class
    pool = DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name))


# ── what messages say ──


@pytest.mark.parametrize("value", [1.5, 7, None, "on"])
@pytest.mark.parametrize("count", [1, 40])
def test_an_avro_record_is_what_its_json_is(
    registry: FakeRegistry, clock: ManualClock, value: object, count: int
) -> None:
    registry.add(7, NARROW)
    record = {"asset_id": "p", "sensor_name": "t", "timestamp": TIME, "value": value, "unit": "K"}
    told = json.dumps({**record, "timestamp": TIME.isoformat()}).encode()
    batch = batch_of([avro(NARROW, record)] * count)
    assert shown(decoder(registry, clock).decode(batch)) == readings_of(told) * count


def test_avros_other_types_are_text_numbers_and_times(registry: FakeRegistry, clock: ManualClock) -> None:
    fields: list[tuple[str, Any, object]] = [
        ("state", {"type": "enum", "name": "State", "symbols": ["OFF", "ON"]}, "ON"),
        ("price", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("12.50")),
        ("note", "bytes", b"fine"),
        ("running", "boolean", True),
        ("series", {"type": "array", "items": "float"}, [0.5, 1.5]),
        ("more", {"type": "map", "values": "long"}, {"rpm": 1480}),
        ("day", {"type": "int", "logicalType": "date"}, TIME.date()),
    ]
    schema = {
        "type": "record",
        "name": "Wide",
        "fields": [{"name": name, "type": kind} for name, kind, _ in fields],
    }
    registry.add(7, schema)
    message = avro(schema, {name: item for name, _, item in fields})
    assert {
        reading[1]: reading[3] if reading[4] is None else reading[4]
        for reading in alone(decoder(registry, clock), message)
    } == {
        "state": "ON",
        "price": 12.5,
        "note": "fine",
        "running": 1.0,
        "series.0": 0.5,
        "series.1": 1.5,
        "more.rpm": 1480.0,
        "day": "2024-01-01",
    }


def test_a_schema_may_refer_to_others_and_a_topic_hold_several_kinds(
    registry: FakeRegistry, clock: ManualClock
) -> None:
    place = {"type": "record", "name": "plant.Place", "fields": [{"name": "asset_id", "type": "string"}]}
    oil = {
        "type": "record",
        "name": "plant.Oil",
        "fields": [
            {"name": "values", "type": {"type": "map", "values": "double"}},
            {"name": "asset", "type": "string"},
        ],
    }
    registry.add(1, place, subject="plant.Place")
    registry.add(2, oil, subject="plant.Oil")
    registry.add(3, ["plant.Place", "plant.Oil"], references=["plant.Place", "plant.Oil"])
    message = avro([place, oil], ("plant.Oil", {"asset": "pump", "values": {"level": 2.5}}), 3)
    assert alone(decoder(registry, clock), message)[0][:2] == ("pump", "level")


def test_a_protobuf_message_is_what_its_json_is(registry: FakeRegistry, clock: ManualClock) -> None:
    file = telemetry()
    registry.add(9, file, kind="PROTOBUF")
    message = protobuf_class(file, "plant.Frame")(asset_id="p", labels={"shift": 3})
    message.timestamp.FromDatetime(TIME)
    message.readings.add(tag="x", value=1.5)
    message.readings.add(tag="y")
    told = {
        "asset_id": "p",
        "timestamp": TIME.isoformat(),
        "readings": [{"tag": "x", "value": 1.5}, {"tag": "y", "value": 0}],
        "labels": {"shift": 3},
        "count": 0,
    }
    sent = wrapped(9, b"\x02\x02" + message.SerializeToString())  # one index, 1: the second message
    assert alone(decoder(registry, clock), sent) == readings_of(json.dumps(told).encode())
    first = protobuf_class(file, "plant.Point")(tag="x", value=2.5)
    assert alone(decoder(registry, clock), wrapped(9, b"\x00" + first.SerializeToString()))[0][3] == 2.5


def test_json_by_a_schema_is_the_json_even_where_it_breaks_the_schema(
    registry: FakeRegistry, clock: ManualClock
) -> None:
    registry.add(5, {"type": "object", "properties": {"value": {"type": "string"}}}, kind="JSON")
    told = b'{"asset_id":"p","sensor":"t","value":1.5}'
    assert alone(decoder(registry, clock), wrapped(5, told)) == readings_of(told)


def test_a_key_of_the_wire_format_names_the_asset_and_any_other_stays(
    registry: FakeRegistry, clock: ManualClock
) -> None:
    registry.add(1, "string")
    one, told = decoder(registry, clock), b'{"sensor":"t","value":1}'
    assert alone(one, told, avro("string", "press-3", 1))[0][0] == "press-3"
    counter = (0x0102030405).to_bytes(8)
    assert alone(one, told, counter)[0][0] == counter.decode()


def test_plain_messages_stand_beside_those_of_the_registry_unless_it_is_the_only_format(
    registry: FakeRegistry, clock: ManualClock
) -> None:
    told = b'{"asset_id":"p","sensor":"t","value":1.5}'
    assert alone(decoder(registry, clock), told) == readings_of(told)
    assert registry.asked == []
    assert reasons(decoder(registry, clock, "registry"), [told]) == ["no_schema"]


# ── what strangers send ──


@given(st.binary(max_size=60))
def test_no_payload_is_more_than_one_dead_letter(payload: bytes) -> None:
    file = telemetry()
    answers = {
        "/schemas/ids/7": {"schema": json.dumps(NARROW)},
        "/schemas/ids/9": {"schemaType": "PROTOBUF", "schema": ""},
        "/schemas/ids/9?format=serialized": {
            "schema": __import__("base64").b64encode(file.SerializeToString()).decode()
        },
        "/schemas/ids/5": {"schemaType": "JSON", "schema": "{}"},
    }
    one = Decoder(DecodeSettings(), Schemas(answers.get, MAKERS, ManualClock()))
    good = avro(NARROW, {"asset_id": "p", "sensor_name": "t", "timestamp": TIME, "value": 1.0, "unit": None})
    sent = [good, *(wrapped(number, payload) for number in (7, 9, 5)), good]
    decoded = one.decode(batch_of(sent))
    rejected = [item.row for item in decoded.rejected]
    assert len(set(rejected)) == len(rejected)
    assert {100, 104} <= set(decoded.readings.offset.tolist())
    assert set(rejected) | {offset - 100 for offset in decoded.readings.offset.tolist()} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("kind", "schema", "reason"),
    [
        ("AVRO", "double", "no_reading"),
        ("AVRO", {"type": "no such"}, "unsupported_schema"),
        (
            "AVRO",
            {"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "A"]}]},
            "unsupported_schema",
        ),
        ("AVRO", {"type": "array", "items": "null"}, "unsupported_schema"),
        ("AVRO", {"type": "map", "values": {"type": "record", "name": "E", "fields": []}}, None),
        ("XML", {}, "unsupported_schema"),
    ],
)
def test_a_schema_that_could_fill_the_memory_or_says_nothing_is_refused(
    registry: FakeRegistry, clock: ManualClock, kind: str, schema: object, reason: str | None
) -> None:
    registry.add(7, schema, kind=kind)
    found = reasons(
        decoder(registry, clock), [wrapped(7, b"\0" * 8), wrapped(7, b"\xfe\xff\xff\xff\x0f\x02")]
    )
    assert found[0] == (reason or "unsupported_schema")


def test_a_few_bytes_that_stand_for_millions_of_fields_are_refused_before_they_are_built(
    registry: FakeRegistry, clock: ManualClock
) -> None:
    file = telemetry()
    for number in range(10, 200):
        file.message_type[0].field.add(name=f"f{number}", number=number, type=DOUBLE, label=OPTIONAL)
    registry.add(9, file, kind="PROTOBUF")
    bomb = b"\x02\x02" + b"\x1a\x00" * 100_000
    assert reasons(decoder(registry, clock), [wrapped(9, bomb)]) == ["too_large"]
    strings = {"type": "array", "items": {"type": "map", "values": "string"}}
    registry.add(7, strings)
    assert reasons(decoder(registry, clock), [wrapped(7, b"\x02\x00" * 1_000_000)]) == ["too_large"]


# ── the registry ──


def test_a_schema_is_asked_for_once(registry: FakeRegistry, clock: ManualClock) -> None:
    registry.add(7, NARROW)
    message = avro(
        NARROW, {"asset_id": "p", "sensor_name": "t", "timestamp": TIME, "value": 1.0, "unit": None}
    )
    one = decoder(registry, clock)
    for _ in range(3):
        one.decode(batch_of([message] * 20))
    assert registry.asked == ["/schemas/ids/7"]


def test_a_number_the_registry_does_not_know_is_a_dead_letter_and_asked_for_again_only_after_a_minute(
    registry: FakeRegistry, clock: ManualClock
) -> None:
    one = decoder(registry, clock)
    assert reasons(one, [wrapped(8, b"x"), wrapped(8, b"y")]) == ["unknown_schema"] * 2
    assert registry.asked == ["/schemas/ids/8"]
    registry.add(8, "double")
    clock.advance(61)
    assert reasons(one, [wrapped(8, b"\0" * 8)]) == ["no_reading"]


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (500, "tried again"),
        (401, "SCHEMA_REGISTRY_PASSWORD"),
        (403, "SCHEMA_REGISTRY_TOKEN"),
        (404, "SCHEMA_REGISTRY_URL"),
        (429, ""),
    ],
)
def test_a_registry_that_does_not_give_the_schema_is_waited_for(
    registry: FakeRegistry, clock: ManualClock, fault: int, hint: str
) -> None:
    registry.add(7, NARROW)
    registry.fault = fault
    message = avro(
        NARROW, {"asset_id": "p", "sensor_name": "t", "timestamp": TIME, "value": 1.0, "unit": None}
    )
    one = decoder(registry, clock)
    assert one.awaited() == ""
    for _ in range(5):
        with pytest.raises(SchemaWanted, match=str(fault)):
            one.decode(batch_of([message]))
    assert len(registry.asked) == 1  # the next try waits
    assert hint in one.awaited()
    registry.fault = 0
    clock.advance(1.1)
    assert one.awaited() == ""
    assert len(alone(one, message)) == 1


def test_the_pauses_between_tries_grow_to_half_a_minute(clock: ManualClock) -> None:
    tries: list[float] = []

    def away(_: str) -> object:
        tries.append(clock.monotonic())
        raise SchemaWanted("away")

    schemas = Schemas(away, MAKERS, clock)
    with pytest.raises(SchemaWanted):
        schemas.reader(1)
    for _ in range(300):
        clock.advance(0.5)
        assert schemas.awaited() == "away"
    pauses = np.diff(tries).tolist()
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>",
        b"[]",
        b'{"schema": 7}',
        b'{"schemaType": "PROTOBUF", "schema": "x"}',
        b'{"schema": "{}", "references": [{"name": "x"}]}',
        b'{"schema": "{}", "references": 7}',
    ],
)
def test_an_answer_that_is_no_schema_is_waited_for(
    registry: FakeRegistry, clock: ManualClock, garbage: bytes
) -> None:
    registry.garbage = garbage
    with pytest.raises(SchemaWanted):
        decoder(registry, clock).decode(batch_of([wrapped(7, b"x")]))


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ({"username": "plant", "password": "geheim"}, "Basic cGxhbnQ6Z2VoZWlt"),
        ({"token": "geheim"}, "Bearer geheim"),
    ],
)
def test_the_login_is_sent_and_never_told(
    registry: FakeRegistry, clock: ManualClock, login: dict[str, str], header: str
) -> None:
    registry.add(7, "double")
    registry.authorization = header
    assert reasons(
        decoder(registry, clock, access=access_to(registry, **login)), [wrapped(7, b"\0" * 8)]
    ) == ["no_reading"]
    registry.authorization = "another"
    one = Registry(access_to(registry, **login))
    finding = check_registry(one.get)
    assert finding.state == "bad"
    assert "geheim" not in finding.line + repr(access_to(registry, **login))
    assert "SCHEMA_REGISTRY_TOKEN" in finding.fix


def test_the_next_of_several_registries_is_asked_when_one_is_away(registry: FakeRegistry) -> None:
    finding = check_registry(Registry(RegistryAccess(("http://127.0.0.1:1", registry.url))).get)
    assert finding.line == "✓ schema registry: answers, and keeps JSON, PROTOBUF, AVRO"


def test_certificates_that_are_none_are_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(Usage, match="certificates"):
        Registry(RegistryAccess(("https://127.0.0.1:1",), ca=tmp_path / "ca.pem"))


def test_what_is_no_avro_schema_is_refused() -> None:
    with pytest.raises(Refused):
        MAKERS["AVRO"](Registered("AVRO", "{", {}))


FIELD = FieldDescriptorProto  # the numbers above are its
assert (FIELD.TYPE_STRING, FIELD.TYPE_DOUBLE, FIELD.TYPE_INT64, FIELD.TYPE_MESSAGE) == (
    TEXT,
    DOUBLE,
    INT64,
    MESSAGE,
)
