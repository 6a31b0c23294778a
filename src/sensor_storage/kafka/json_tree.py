"""Bytes to a JSON tree, where strict JSON is not all that must be read.

Well-formed JSON goes through msgspec. What it refuses is looked at again: `NaN`, infinities, numbers beyond
float64 and a byte order mark are read, the rest is refused with its class. Both readers round floats
correctly, and of equal keys the last wins.
"""

import json
import math
import re
from typing import Any, Self, TypeAlias

import msgspec

from sensor_storage.kafka.refusal import Reason, Refused

Tree: TypeAlias = Any
"""What msgspec gives for untyped JSON, or with `Spelled` and `Digits` among its numbers."""

MAX_DEPTH = 32
MAX_CONTAINERS = 250_000
"""Objects and arrays of a message."""
MAX_ITEMS = 1_250_000
"""Scalars of a message, whether fields or entries of arrays."""
_SMALL = 250_000
"""Messages of so many bytes hold no more than that."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_UNMARKED = bytes(set(range(256)) - set(b'"\\[]{}'))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
EXACT_INTEGERS = 2**53
"""Up to here, either way, float64 holds every integer."""
_INT_DIGITS = 400
"""Integers with more digits are beyond float64 by far; Python itself refuses to read some of them."""
_strict = msgspec.json.Decoder().decode


class Spelled(float):
    """A float that remembers its JSON text."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The number a JSON text stands for."""
        number = super().__new__(cls, text)
        number.text = text
        return number


class Digits:
    """An integer too long to be a number here; only its text is kept."""

    def __init__(self, text: str) -> None:
        self.text = text


def parse(message: bytes) -> Tree:
    """The tree of a message; Refused where it is not one JSON value in UTF-8, or nests too deeply."""
    if len(message) > _SMALL and is_large(message) and is_large(_STRING.sub(b"", message)):
        raise too_large()
    if message.count(b"[") + message.count(b"{") > MAX_DEPTH and _nesting(message) > MAX_DEPTH:
        raise too_deep()
    try:
        return _strict(message)
    except ValueError:
        return parse_spelled(message)


def parse_spelled(message: bytes) -> Tree:
    """As `parse` of what does not nest too deeply, with each fraction's spelling kept, and slower."""
    try:
        text = message.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            Reason.NOT_UTF8, f"the message is no UTF-8 at byte {error.start}", hint="send JSON in UTF-8"
        ) from error
    try:
        tree = json.loads(text, parse_int=_integer, parse_float=Spelled, parse_constant=Spelled)
    except ValueError as error:
        wrapped = "set SCHEMA_REGISTRY_URL, if it is Avro, Protobuf or JSON Schema of a schema registry"
        raise Refused(
            Reason.NOT_JSON,
            f"the message is not JSON: {error}",
            hint=wrapped if message[:1] == b"\0" else "send one JSON value",
        ) from error
    if _SURROGATE.search(message) and not _is_unicode(tree):
        raise Refused(
            Reason.NOT_UTF8,
            "a string holds half of a surrogate pair, which is no character",
            hint="escape characters beyond \\uffff as whole pairs",
        )
    return tree


def too_deep() -> Refused:
    """Why a message that nests beyond the limit is none."""
    return Refused(
        Reason.TOO_DEEP, f"the message nests deeper than {MAX_DEPTH} levels", hint="send flatter messages"
    )


def too_large() -> Refused:
    """Why a message with more parts than the limit is none."""
    return Refused(
        Reason.TOO_LARGE,
        f"the message has more than {MAX_CONTAINERS} objects and arrays or {MAX_ITEMS} scalars",
        hint="send it in several messages",
    )


def spelling(number: float | Digits) -> str | None:
    """The JSON text of a number; None for a fraction that was read without it."""
    if isinstance(number, Digits | Spelled):
        return number.text
    return str(number) if isinstance(number, int) else None


def as_value(number: float | Digits | None) -> tuple[float, str | None]:
    """A number as float64, NaN where it has none, and its digits where float64 loses some."""
    if number is None:
        return math.nan, None
    if isinstance(number, Digits):
        return math.nan, number.text
    if not isinstance(number, int):
        return (float(number), None) if math.isfinite(number) else (math.nan, None)
    if abs(number) <= EXACT_INTEGERS:
        return float(number), None
    try:
        return float(number), str(number)
    except OverflowError:
        return math.nan, str(number)


def _integer(text: str) -> int | Digits:
    return int(text) if len(text) <= _INT_DIGITS else Digits(text)


def is_large(message: bytes) -> bool:
    """May it hold more than the limits, or its strings many brackets and commas?"""
    return (
        message.count(b"[") + message.count(b"{") > MAX_CONTAINERS
        or message.count(b",") > MAX_ITEMS
        or message.count(b":") > MAX_ITEMS
    )


def _nesting(message: bytes) -> int:
    """How deeply brackets nest outside strings, in well-formed JSON or not."""
    marks = message.translate(None, _UNMARKED)
    if b"\\" in marks:
        marks = _STRING.sub(b"", message).translate(None, _UNMARKED)
    else:
        marks = b"".join(marks.split(b'"')[::2])
    deepest = depth = 0
    for mark in marks:
        depth += _STEP.get(mark, 0)
        deepest = max(deepest, depth)
    return deepest


def _is_unicode(tree: Tree) -> bool:
    if isinstance(tree, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in tree)
    if isinstance(tree, dict):
        return all(_is_unicode(key) and _is_unicode(item) for key, item in tree.items())
    return all(map(_is_unicode, tree)) if isinstance(tree, list) else True
