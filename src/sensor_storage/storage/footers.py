"""What a file says of itself: the JSON `Footer` in the Parquet footer's metadata, under `sensor_storage`."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from sensor_storage.errors import Damaged, Halt
from sensor_storage.model import SensorHour, Source
from sensor_storage.storage.digests import DIGEST_KEY, UNSET_DIGEST
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings

FORMAT_VERSION: Final = 1
WRITER_VERSION: Final = 2
"""A file whose `min_writer_version` is above this must not be merged by this program."""
OLDEST_WRITER: Final = 1
"""What a file says that any program so far may merge."""
FOOTER_KEY: Final = "sensor_storage"
_FOOTER_FIELD = bytes([len(FOOTER_KEY)]) + FOOTER_KEY.encode() + b"\x18"
"""How thrift writes the key: its length before it, and behind it the header of the value's field."""
_MORE, _VARINT_BITS = 0x80, 7
Kind: TypeAlias = Literal["segment", "run", "hour"]


class Totals(msgspec.Struct, frozen=True, order=True):
    """What the file holds from one source; offsets with both ends included."""

    source: Source
    first_offset: int
    last_offset: int
    readings: int
    hash_sum: int


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself. `sensor_hour` is set for hour files, `ledger` for segments and runs."""

    kind: Kind
    rows: int
    totals: tuple[Totals, ...]
    ledger: tuple[LedgerEntry, ...] = ()
    sensor_hour: SensorHour | None = None
    conflicts: int = 0
    format_version: int = FORMAT_VERSION
    min_writer_version: int = OLDEST_WRITER


class Version(msgspec.Struct, frozen=True):
    """The part of every file's footer that every program understands."""

    min_writer_version: int = OLDEST_WRITER


_FOOTER_DECODER = msgspec.json.Decoder(Footer)
_VERSION_DECODER = msgspec.json.Decoder(Version)


def totals_of(readings: Readings) -> tuple[Totals, ...]:
    """The footer's account of a block, by source."""
    if not len(readings):
        return ()
    return tuple(
        Totals(item.source, item.first_offset, item.last_offset, item.readings, item.hash_sum)
        for item in readings.totals()
    )


def content_digest(totals: tuple[Totals, ...] | bytes) -> str:
    """The digest of a set of readings by its totals, perhaps as JSON: equal for equal sets, however written."""
    text = totals if isinstance(totals, bytes) else msgspec.json.encode(totals)
    return blake2b(text, digest_size=16).hexdigest()


def writer_for(ledger: Iterable[LedgerEntry]) -> int:
    """The least writer version that understands these entries: the first one knows of no replays."""
    return WRITER_VERSION if any(entry.fate == "replayed" for entry in ledger) else OLDEST_WRITER


def refuse_newer(footer: Footer | Version, path: Path) -> None:
    """Halt rather than drop columns that a newer program wrote."""
    if footer.min_writer_version > WRITER_VERSION:
        raise Halt(
            f"{path}: needs a program of writer version {footer.min_writer_version}, this one is {WRITER_VERSION}",
            hint="upgrade this service before it merges that file",
        )


def footer_metadata(footer: msgspec.Struct) -> dict[str, str]:
    """The metadata of a Parquet footer with this one in it, the digest still unset."""
    return {FOOTER_KEY: msgspec.json.encode(footer).decode(), DIGEST_KEY: UNSET_DIGEST}


def decode_footer(text: bytes, path: Path) -> Footer:
    """The footer of a segment, run or hour file. Halt when only a newer program understands it."""
    try:
        return _FOOTER_DECODER.decode(text)
    except msgspec.DecodeError as error:
        refuse_newer(decode_version(text, path), path)
        raise Damaged(f"{path}: footer not understood: {error}") from error


def decode_version(text: bytes, path: Path) -> Version:
    """Which programs may write a file, whatever kind it is."""
    try:
        return _VERSION_DECODER.decode(text)
    except msgspec.DecodeError as error:
        raise Damaged(f"{path}: footer not understood: {error}") from error


def footer_json(data: bytes, path: Path) -> bytes:
    """The JSON footer, found by its key: its length stands before it, and no JSON of ours holds such bytes."""
    size = len(data)
    start = max(0, size - 8 - int.from_bytes(data[size - 8 : size - 4], "little"))
    key = data.rfind(_FOOTER_FIELD, start, size - 8)
    if key < 0:
        raise Damaged(f"{path}: not a file of this service")
    place, length, shift = key + len(_FOOTER_FIELD), 0, 0
    while data[place] & _MORE:
        length |= (data[place] & ~_MORE) << shift
        place, shift = place + 1, shift + _VARINT_BITS
    length |= data[place] << shift
    return data[place + 1 : place + 1 + length]
