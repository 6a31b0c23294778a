"""Protobuf to what its fields say, by the descriptor the registry serialises.

A field that keeps no presence has a value even where the sender left it out: 0, false, an empty text.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from sensor_storage.kafka.json_tree import too_deep, too_large
from sensor_storage.kafka.refusal import Reason, Refused
from sensor_storage.kafka.registry import ReadPayload, Registered, SchemaWanted

_MAX_CELLS = 4_000_000
"""Fields of all the messages within one, set or not: each takes memory."""
_MAX_NESTING = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BUILT_IN = {
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2,
        descriptor_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )
}
"""Files every registry knows, so that no schema refers to them."""
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_FIXED = {_EIGHT: 8, _FOUR: 4}
_MAX_VARINT_BITS = 70


def protobuf_reader(registered: Registered) -> ReadPayload:
    """How to read payloads of the schema; Refused where it can't be."""
    pool = DescriptorPool()
    try:
        top = _add(pool, registered, "")
        messages = list(pool.FindFileByName(top).message_types_by_name.values())
    except (TypeError, KeyError, DecodeError) as error:
        raise Refused(
            Reason.UNSUPPORTED_SCHEMA,
            f"the schema can't be used: it is not Protobuf's: {type(error).__name__}",
        ) from None

    def read(payload: bytes) -> Any:  # noqa: ANN401 - whatever the schema says
        path, place = _indexes(payload)
        descriptor = _chosen(messages, path)
        body = payload[place:]
        if len(body) // 2 * _widest(descriptor) > _MAX_CELLS:
            _count(body, descriptor, 0, 0)
        try:
            message = GetMessageClass(descriptor).FromString(body)
        except (DecodeError, UnicodeDecodeError) as error:
            raise _not_protobuf() from error
        return _tree(message)

    return read


def _add(pool: DescriptorPool, registered: Registered, name: str) -> str:
    """Add the file and all it imports, under the name others import it by; gives the name."""
    file = descriptor_pb2.FileDescriptorProto()
    try:
        file.ParseFromString(base64.b64decode(registered.text, validate=True))
    except (binascii.Error, DecodeError):
        raise SchemaWanted(
            "read a Protobuf schema: the registry does not give serialized descriptors",
            hint="use a registry that knows ?format=serialized",
        ) from None
    file.name = name or file.name or "message.proto"
    for imported in file.dependency:
        if _is_there(pool, imported):
            continue
        if imported in registered.references:
            _add(pool, registered.references[imported], imported)
        elif imported in _BUILT_IN:
            pool.AddSerializedFile(_BUILT_IN[imported])
    pool.Add(file)
    return file.name


def _is_there(pool: DescriptorPool, name: str) -> bool:
    try:
        pool.FindFileByName(name)
    except KeyError:
        return False
    return True


def _indexes(payload: bytes) -> tuple[list[int], int]:
    """Which message of the file it is, level by level, and where its bytes begin; a lone 0 is the first one."""
    count, place = _varint(payload, 0)
    path = []
    for _ in range(min(_zigzag(count), _MAX_NESTING)):
        number, place = _varint(payload, place)
        path.append(_zigzag(number))
    return path or [0], place


def _chosen(messages: list[Descriptor], path: Iterable[int]) -> Descriptor:
    found, level = None, messages
    for number in path:
        if not 0 <= number < len(level):
            raise _not_protobuf()
        found = level[number]
        level = list(found.nested_types)
    if found is None:  # pragma: no cover - a path has at least one number
        raise _not_protobuf()
    return found


def _varint(payload: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(payload) and shift < _MAX_VARINT_BITS:
        byte = payload[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return number, place
        shift += 7
    raise _not_protobuf()


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _widest(top: Descriptor) -> int:
    """The most fields of any message that may stand in it."""
    seen, todo = {top.full_name: top}, [top]
    while todo:
        for field in todo.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen[inner.full_name] = inner
                todo.append(inner)
    return max(len(one.fields) for one in seen.values())


def _count(body: bytes, descriptor: Descriptor, cells: int, depth: int) -> int:
    """How many fields the messages in it have, told before any is built; Refused beyond the bound."""
    cells += len(descriptor.fields) + 1
    if cells > _MAX_CELLS:
        raise too_large()
    if depth > _MAX_NESTING:
        raise too_deep()
    place = 0
    while place < len(body):
        key, place = _varint(body, place)
        kind = key & 7
        if kind == _VARINT:
            _, place = _varint(body, place)
        elif kind in _FIXED:
            place += _FIXED[kind]
        elif kind == _LENGTH:
            size, place = _varint(body, place)
            field = descriptor.fields_by_number.get(key >> 3)
            if field is not None and field.message_type is not None:
                cells = _count(body[place : place + size], field.message_type, cells, depth + 1)
            place += size
        else:
            raise Refused(
                Reason.UNSUPPORTED_FORM, "the message holds a group", hint="send messages in its stead"
            )
    return cells


def _tree(message: Any) -> Any:  # noqa: ANN401 - generated classes and scalars
    special = _WELL_KNOWN.get(message.DESCRIPTOR.full_name)
    if special:
        return special(message)
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        item = getattr(message, field.name)
        if not field.is_repeated:
            fields[field.name] = _item(field, item)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            fields[field.name] = {_key(key): _item(inner, item[key]) for key in item}
        else:
            fields[field.name] = [_item(field, one) for one in item]
    return fields


def _item(field: FieldDescriptor, item: Any) -> Any:  # noqa: ANN401 - generated classes and scalars
    if field.message_type is not None:
        return _tree(item)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(item)
        return known.name if known else item
    return item


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _time(message: Any) -> str:  # noqa: ANN401 - a Timestamp
    try:
        micros = message.seconds * 1_000_000 + (message.nanos + 500) // 1000
        return (_EPOCH + timedelta(microseconds=micros)).isoformat()
    except OverflowError:
        raise Refused(
            Reason.TIMESTAMP_OUT_OF_RANGE,
            "a Protobuf timestamp is beyond the year 9999 or before the year 1",
            hint="set the sender's clock",
        ) from None


def _value(message: Any) -> Any:  # noqa: ANN401 - a Value
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    item = getattr(message, kind)
    return _tree(item) if kind in {"struct_value", "list_value"} else item


_WELL_KNOWN: Mapping[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": _time,
    "google.protobuf.Duration": lambda message: message.seconds + message.nanos / 1_000_000_000,
    "google.protobuf.Struct": lambda message: {key: _value(message.fields[key]) for key in message.fields},
    "google.protobuf.ListValue": lambda message: [_value(item) for item in message.values],
    "google.protobuf.Value": _value,
    **{
        f"google.protobuf.{name}Value": lambda message: message.value
        for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
    },
}


def _not_protobuf() -> Refused:
    return Refused(
        Reason.NOT_PROTOBUF,
        "the message does not hold what its schema says",
        hint="check which schema the sender writes with",
    )
