"""What a quality, stored as its message spelled it, says of a reading: good, uncertain or bad.

- Nothing, or an empty text, is good.
- A word counts by its beginning, whatever its case: `good`, `Good_LocalOverride`, `BadSensorFailure`. Also known
  are `ok`, `true`, `valid` (good), `questionable` (uncertain), `false`, `invalid`, `error`, `fault`, `stale` (bad).
- A whole number, also in hexadecimal (`0x80000000`) or signed, counts by the numbering: in `opc-ua` by the two
  highest of 32 bits (0 is good), in `opc-da` by the two highest of the lowest eight (192 is good, 0 bad), in
  `sparkplug` 192 is good, 0 is bad and 500, a value gone stale, is bad.
- Anything else is uncertain: it promises nothing and denies nothing.
"""

import re
from enum import StrEnum
from typing import Literal, TypeAlias

Numbering: TypeAlias = Literal["opc-ua", "opc-da", "sparkplug"]
"""Whose numbers qualities are."""


class Quality(StrEnum):
    """How far a reading can be trusted."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


_GOOD, _UNCERTAIN, _BAD = Quality.GOOD, Quality.UNCERTAIN, Quality.BAD
_BEGINNINGS = (
    *((word, _GOOD) for word in ("good", "ok", "true", "valid")),
    *((word, _UNCERTAIN) for word in ("uncertain", "questionable")),
    *((word, _BAD) for word in ("bad", "false", "invalid", "error", "fault", "stale")),
)
_DECIMAL = re.compile(r"(?P<whole>[+-]?[0-9]{1,20})(?:\.0*)?")
_HEXADECIMAL = re.compile(r"0x[0-9a-f]{1,16}")
_TOP_TWO_BITS = {
    "opc-ua": (_GOOD, _UNCERTAIN, _BAD, _BAD),
    "opc-da": (_BAD, _UNCERTAIN, _BAD, _GOOD),
}
_SPARKPLUG = {192: _GOOD, 0: _BAD, 500: _BAD}
_UA_BITS, _DA_BITS = 32, 8


def judge_quality(stored: str | None, numbering: Numbering) -> Quality:
    """How far a reading of that quality can be trusted; pure, total, and cheap enough for each distinct text."""
    said = (stored or "").strip().lower()
    if not said:
        return _GOOD
    number = _number(said)
    if number is not None:
        return _by_number(number, numbering)
    return next((quality for word, quality in _BEGINNINGS if said.startswith(word)), _UNCERTAIN)


def _by_number(number: int, numbering: Numbering) -> Quality:
    if numbering == "sparkplug":
        return _SPARKPLUG.get(number, _UNCERTAIN)
    if not -(1 << _UA_BITS - 1) <= number < 1 << _UA_BITS:
        return _UNCERTAIN
    bits = _UA_BITS if numbering == "opc-ua" else _DA_BITS
    return _TOP_TWO_BITS[numbering][number >> bits - 2 & 3]


def _number(said: str) -> int | None:
    if found := _DECIMAL.fullmatch(said):
        return int(found["whole"])
    return int(said, 16) if _HEXADECIMAL.fullmatch(said) else None
