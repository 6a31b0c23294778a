"""Confluent's wire format: a zero byte, the schema's number in four bytes, then Avro, Protobuf or JSON.

A message in it is turned into the JSON or MessagePack that says the same, and is decoded as such.
"""

from dataclasses import replace
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.batch import MessageBatch, Rejected
from sensor_storage.kafka.refusal import Reason, Refused
from sensor_storage.kafka.registry import Schemas

MessageFormat: TypeAlias = Literal["auto", "json", "msgpack", "registry"]

_HEAD_BYTES = 5
_TIMES = (datetime, date, time)
_pack = msgspec.msgpack.Encoder(decimal_format="number").encode


class Wire:
    """Unwraps messages and their keys."""

    def __init__(self, schemas: Schemas, form: MessageFormat) -> None:
        self._schemas = schemas
        self._wants_all = form == "registry"
        self._key = lru_cache(maxsize=1 << 14)(self._read_key)

    def unwrap(
        self, batch: MessageBatch, rows: NDArray[np.int64]
    ) -> tuple[MessageBatch, NDArray[np.int64], list[Rejected]]:
        """The batch in JSON and MessagePack, the rows to decode, and what is refused. SchemaWanted: not yet."""
        values, rejected = list(batch.value), list[Rejected]()
        for row in rows.tolist():
            message = values[row] or b""
            if not self._wants_all and not is_wrapped(message):
                continue
            try:
                values[row] = self._read(message)
            except Refused as error:
                rejected.append(Rejected(row, error.reason.value, error.sentence))
        keys = [self._key(key) if key and is_wrapped(key) else key for key in batch.key]
        if rejected:
            rows = np.setdiff1d(rows, [item.row for item in rejected])
        return replace(batch, value=values, key=keys), rows, rejected

    def _read(self, message: bytes) -> bytes:
        if not is_wrapped(message):
            raise Refused(
                Reason.NO_SCHEMA,
                "the message does not begin with a schema's number",
                hint="send it in the schema registry's wire format, or set MESSAGE_FORMAT=auto",
            )
        tree = self._tree(message)
        if isinstance(tree, bytes):
            return tree
        if not isinstance(tree, dict | list):
            raise Refused(
                Reason.NO_READING,
                "the message is a lone value",
                hint="send a record with a value or with fields",
            )
        if isinstance(tree, dict):
            tree = {
                name: item.isoformat() if isinstance(item, _TIMES) else item for name, item in tree.items()
            }
        try:
            return _pack(tree)
        except (OverflowError, TypeError) as error:
            raise Refused(Reason.UNSUPPORTED_FORM, f"the message holds what is no value: {error}") from error

    def _tree(self, message: bytes) -> Any:  # noqa: ANN401 - whatever the schema says
        return self._schemas.reader(int.from_bytes(message[1:_HEAD_BYTES]))(message[_HEAD_BYTES:])

    def _read_key(self, key: bytes) -> bytes:
        """The text of a key that is a string or an integer by its schema; any other key as it came."""
        try:
            tree = self._tree(key)
            if isinstance(tree, bytes):
                tree = msgspec.json.decode(tree)
        except (Refused, msgspec.DecodeError):
            return key
        return str(tree).encode() if isinstance(tree, str | int) else key


def is_wrapped(message: bytes) -> bool:
    """Does it begin as the wire format does, and no JSON and no object or array of MessagePack?"""
    return message[:1] == b"\0" and len(message) > _HEAD_BYTES
