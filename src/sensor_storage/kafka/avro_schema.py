"""Avro to what it says, by the schema it was written with.

A payload comes from a stranger: a schema by which few bytes could become endless objects is refused as a whole,
that is one that contains itself, or has items that take no bytes.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from sensor_storage.kafka.json_tree import MAX_ITEMS, too_large
from sensor_storage.kafka.refusal import Reason, Refused
from sensor_storage.kafka.registry import ReadPayload, Registered

_BYTES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
"""The fewest a value takes."""


def avro_reader(registered: Registered) -> ReadPayload:
    """How to read payloads of the schema; Refused where it can't be."""
    named: dict[str, Any] = {}
    try:
        _learn(registered, named, set())
        # A record takes no bytes of its own, and the library keeps named types with records alone.
        field = {"name": "message", "type": json.loads(registered.text)}
        schema: Any = fastavro.parse_schema(
            {"type": "record", "name": "sensor_storage.Message", "fields": [field]}, named_schemas=named
        )
    except (SchemaParseException, UnknownType, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unsupported(f"it is not Avro's: {type(error).__name__}") from None
    item_bytes = _Walk(named).least_item_bytes(schema)

    def read(payload: bytes) -> Any:  # noqa: ANN401 - whatever the schema says
        if len(payload) > item_bytes * MAX_ITEMS:
            raise too_large()
        stream = io.BytesIO(payload)
        try:
            found: Any = fastavro.schemaless_reader(stream, schema, None)
        except (OverflowError, ValueError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise Refused(Reason.NOT_UTF8, "a string of the message is no UTF-8") from None
            raise _not_avro() from None
        except (EOFError, IndexError, KeyError, TypeError, MemoryError, AssertionError) as error:
            raise _not_avro() from error
        if stream.tell() != len(payload):
            raise _not_avro()
        return found["message"]

    return read


def _learn(registered: Registered, named: dict[str, Any], seen: set[int]) -> None:
    """Parse what the schema refers to, first what that refers to."""
    for other in registered.references.values():
        if id(other) not in seen:
            seen.add(id(other))
            _learn(other, named, seen)
            fastavro.parse_schema(json.loads(other.text), named_schemas=named)


class _Walk:
    """Looks at every part of a schema once."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[tuple[str, bool], int] = {}
        self._open: set[str] = set()
        self._least = 8

    def least_item_bytes(self, schema: Any) -> int:  # noqa: ANN401 - any parsed schema
        """The fewest bytes of anything a payload may hold many of."""
        self._bytes(schema, many=False)
        return self._least

    def _bytes(self, schema: Any, *, many: bool) -> int:  # noqa: ANN401 - any parsed schema
        """The fewest bytes of a value of the schema; `many` of those that stand in lists."""
        if isinstance(schema, list):
            for branch in schema:
                if branch not in ("null", {"type": "null"}):
                    self._bytes(branch, many=many)
            return self._noted(1, many=many)
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, dict | list):
            return self._bytes(kind, many=many)
        if kind in _BYTES:
            return self._noted(_BYTES[kind], many=many)
        if kind in {"array", "map"}:
            self._bytes(schema["items" if kind == "array" else "values"], many=True)
            return self._noted(1, many=many)
        name = schema["name"] if isinstance(schema, dict) else schema
        return self._named_bytes(name, self._named.get(name, schema), many=many)

    def _named_bytes(self, name: str, schema: Any, *, many: bool) -> int:  # noqa: ANN401 - any parsed schema
        if name in self._open:
            raise _unsupported(f"{name} contains itself")
        if (name, many) not in self._known:
            self._open.add(name)
            if schema["type"] == "enum":
                size = self._noted(1, many=many)
            elif schema["type"] == "fixed":
                size = self._noted(schema["size"], many=many)
            else:
                size = sum(self._bytes(field["type"], many=many) for field in schema["fields"])
                if many and not size:
                    raise _unsupported("the items of a list take no bytes")
            self._known[name, many] = size
            self._open.discard(name)
        return self._known[name, many]

    def _noted(self, size: int, *, many: bool) -> int:
        if many:
            if not size:
                raise _unsupported("the items of a list take no bytes")
            self._least = min(self._least, size)
        return size


def _unsupported(why: str) -> Refused:
    return Refused(Reason.UNSUPPORTED_SCHEMA, f"the schema can't be used: {why}")


def _not_avro() -> Refused:
    return Refused(
        Reason.NOT_AVRO,
        "the message does not hold what its schema says",
        hint="check which schema the sender writes with",
    )
