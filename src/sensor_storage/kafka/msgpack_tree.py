"""MessagePack to the tree its JSON would be.

A bin is text where it is UTF-8, a key may be an integer, and a timestamp is its ISO 8601 text (nanoseconds are
rounded to the nearest µs). Which of the two formats a message has is told by its first byte: MessagePack's
objects and arrays begin with bytes no JSON begins with.
"""

import math
import re
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from sensor_storage.kafka.json_tree import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_ITEMS,
    Spelled,
    Tree,
    too_deep,
    too_large,
)
from sensor_storage.kafka.refusal import Reason, Refused

Format: TypeAlias = Literal["auto", "json", "msgpack"]

SMALL = 250_000
"""Messages of so many bytes hold no more than the limits."""
_BEGINNINGS = frozenset([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
_PLAIN = frozenset({str, int, float, bool, type(None)})
_FIXED = {
    1: rb"[\xcc\xd0]",
    2: rb"[\xcd\xd1\xd4]",
    3: rb"\xd5",
    4: rb"[\xca\xce\xd2]",
    5: rb"\xd6",
    8: rb"[\xcb\xcf\xd3]",
    9: rb"\xd7",
    17: rb"\xd8",
}
"""By how many bytes follow it, the first byte of a scalar."""
_STRINGS = b"|".join(re.escape(bytes([0xA0 + size])) + b".{%d}" % size for size in range(1, 32))
_SCALARS = re.compile(
    rb"(?:[\x00-\x7f\xa0\xc0-\xc3\xe0-\xff]|"
    + b"|".join(first + b".{%d}" % size for size, first in _FIXED.items())
    + b"|"
    + _STRINGS
    + rb"){1,4096}+",
    re.DOTALL,
)
_LENGTHS = {
    0xC4: 1,
    0xC5: 2,
    0xC6: 4,
    0xC7: 1,
    0xC8: 2,
    0xC9: 4,
    0xD9: 1,
    0xDA: 2,
    0xDB: 4,
    0xDC: 2,
    0xDD: 4,
    0xDE: 2,
    0xDF: 4,
}
"""In how many bytes what begins with such a byte says its length."""
_EXTENSIONS = frozenset({0xC7, 0xC8, 0xC9})
_LONG_CONTAINERS = frozenset({0xDC, 0xDD, 0xDE, 0xDF})
_CONTAINERS = re.compile(rb"[\x80-\x9f]+")
_LOW_BITS = bytes(byte & 0x0F for byte in range(256))
_decode = msgspec.msgpack.Decoder().decode


def is_msgpack(message: bytes, form: Format) -> bool:
    """Is a message read as MessagePack? In `auto` its first byte decides."""
    return form == "msgpack" or (form == "auto" and message[:1] != b"" and message[0] in _BEGINNINGS)


def parse_msgpack(message: bytes) -> Tree:
    """The tree of a message; Refused where it is not one MessagePack value, or nests too deeply."""
    if len(message) > SMALL and is_large(message):
        raise too_large()
    try:
        return _as_json(_decode(message), 1)
    except RecursionError as error:
        raise too_deep() from error
    except UnicodeDecodeError as error:
        raise _no_text() from error
    except msgspec.ValidationError as error:
        raise Refused(
            Reason.TIMESTAMP_OUT_OF_RANGE,
            "a MessagePack timestamp is beyond the year 9999 or before the year 1",
            hint="set the sender's clock",
        ) from error
    except (ValueError, TypeError) as error:
        raise Refused(
            Reason.NOT_MSGPACK, f"the message is not MessagePack: {error}", hint="send one MessagePack value"
        ) from error


def spelled(tree: Tree) -> Tree:
    """The tree with each fraction as the text JSON would have for it."""
    if isinstance(tree, float):
        text = repr(tree) if math.isfinite(tree) else "NaN" if math.isnan(tree) else "Infinity"
        return Spelled(f"-{text}" if tree == -math.inf else text)
    if isinstance(tree, dict):
        return {key: spelled(item) for key, item in tree.items()}
    return list(map(spelled, tree)) if isinstance(tree, list) else tree


def is_large(message: bytes) -> bool:
    """Does it claim more containers or entries than the limits? Told without building anything."""
    containers, entries, place = 0, 0, 0
    while place < len(message) and containers <= MAX_CONTAINERS and entries <= MAX_ITEMS:
        if found := _SCALARS.match(message, place):
            place = found.end()
        elif found := _CONTAINERS.match(message, place):
            containers += found.end() - place
            entries += sum(found[0].translate(_LOW_BITS))
            place = found.end()
        else:
            first, place = message[place], place + 1
            size = int.from_bytes(message[place : place + _LENGTHS.get(first, 0)])
            place += _LENGTHS.get(first, 0)
            if first in _LONG_CONTAINERS:
                containers += 1
                entries += size
            else:
                place += size + (first in _EXTENSIONS)
    return containers > MAX_CONTAINERS or entries > MAX_ITEMS


def _as_json(item: Any, depth: int) -> Tree:  # noqa: ANN401 - any MessagePack
    kind = type(item)
    if kind in _PLAIN:
        return item
    if kind is dict or kind is list:
        if depth > MAX_DEPTH:
            raise too_deep()
        if kind is list:
            return item if set(map(type, item)) <= _PLAIN else [_as_json(each, depth + 1) for each in item]
        return {
            key if type(key) is str else _key(key): each
            if type(each) in _PLAIN
            else _as_json(each, depth + 1)
            for key, each in item.items()
        }
    if kind is bytes:
        return _text(item)
    if isinstance(item, datetime):
        return item.isoformat().replace("+00:00", "Z")
    raise Refused(
        Reason.UNSUPPORTED_FORM,
        "the message holds a MessagePack extension that is no timestamp",
        hint="send numbers and strings",
    )


def _key(key: object) -> str:
    if type(key) is bytes:
        return _text(key)
    if type(key) is int:
        return str(key)
    raise Refused(
        Reason.BAD_NAME,
        "a key is neither a string nor an integer",
        hint="send the names of fields as strings",
    )


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _no_text() from error


def _no_text() -> Refused:
    return Refused(
        Reason.NOT_UTF8, "a string or bin of the message is no UTF-8", hint="send binary content elsewhere"
    )
