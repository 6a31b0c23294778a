"""A row's hash: the unit of the ledger's proof that nothing was lost, doubled or changed.

Format 1, documented in `docs/formats.md`: a sum of the row's columns, each times an odd constant of its own,
mod 2^64, finished by the 64-bit finaliser of MurmurHash3 (Appleby). Strings enter as the first eight bytes,
little endian, of BLAKE2b; null strings as zero; a null value as the bits of the canonical quiet NaN.
Sums of row hashes mod 2^64 do not depend on the order of rows.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.model import Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.series_column import SeriesColumn

Hashes: TypeAlias = NDArray[np.uint64]

_TIMESTAMP, _VALUE, _TEXT, _ASSET, _SENSOR, _UNIT, _QUALITY, _SOURCE, _OFFSET, _INDEX = (
    np.uint64(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") | 1)
    for name in (
        "timestamp",
        "value",
        "text",
        "asset",
        "sensor",
        "unit",
        "quality",
        "source",
        "offset",
        "index",
    )
)
_NO_STRING = np.uint64(0)
_NULL_VALUE = np.uint64(0x7FF8_0000_0000_0000)


def row_hashes(
    *,
    series: SeriesColumn,
    timestamp: NDArray[np.int64],
    value: NDArray[np.float64],
    text: "pa.StringArray | None",
    unit: Coded[str],
    quality: Coded[str],
    source: Coded[Source],
    offset: NDArray[np.int64],
    index: NDArray[np.int32],
) -> Hashes:
    """One hash a row, equal for equal rows on every machine and in every version of format 1."""
    mixed = timestamp.view(np.uint64) * _TIMESTAMP
    mixed += _bits(value) * _VALUE
    mixed += offset.view(np.uint64) * _OFFSET
    mixed += index.astype(np.uint64) * _INDEX
    mixed += _coded(series.asset, _ASSET)
    mixed += _coded(series.sensor, _SENSOR)
    mixed += _coded(source, _SOURCE)
    mixed += _coded(unit, _UNIT)
    mixed += _coded(quality, _QUALITY)
    if text is not None:
        mixed += _text(text) * _TEXT
    return _finalise(mixed)


def _bits(value: NDArray[np.float64]) -> Hashes:
    """The numbers' bits; a null may come with any of NaN's many bit patterns and leaves with one."""
    missing = np.isnan(value)
    bits = value.view(np.uint64)
    return np.where(missing, _NULL_VALUE, bits) if missing.any() else bits


def _coded(column: Coded[Any], factor: np.uint64) -> Hashes:
    table = np.fromiter(map(_value_hash, column.values), np.uint64, len(column.values))
    return column.lookup(table * factor, _NO_STRING)


@lru_cache(maxsize=1 << 17)
def _value_hash(value: object) -> int:
    return _string_hash(_spelled(value))


def _spelled(value: object) -> str:
    """A value as one string; parts of a name are kept apart by their lengths."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "".join(f"{len(part)}:{part}" for part in map(str, value))
    raise TypeError(value)


def _text(text: pa.StringArray) -> Hashes:
    hashes: Iterable[int] = (0 if item is None else _string_hash(item) for item in text.to_pylist())
    return np.fromiter(hashes, np.uint64, len(text))


@lru_cache(maxsize=1 << 16)
def _string_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _finalise(mixed: Hashes) -> Hashes:
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed
