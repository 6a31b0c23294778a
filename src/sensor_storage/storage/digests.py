"""The digest of a whole file, which is checked before the file is opened.

It stands in the footer's metadata as `sensor_storage.digest`: the SHA-256 of the file computed with the digest's
own 64 characters set to `0`. Parquet's page checksums miss flips in the footer, some of which abort the process
that reads them; so the digest comes first.
"""

import mmap
import os
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from sensor_storage.errors import Damaged

DIGEST_KEY: Final = "sensor_storage.digest"
UNSET_DIGEST: Final = "0" * 64
_MAGIC = b"PAR1"
_SMALLEST = 12
_CHUNK_BYTES = 1 << 20


def sealed(sink: pa.BufferOutputStream) -> memoryview:
    """The bytes written to the sink, the digest computed and set."""
    data = memoryview(bytearray(sink.getvalue()))
    place = _digest_place(data)
    data[place : place + 64] = sha256(data).hexdigest().encode()
    return data.toreadonly()


def seal_file(path: Path) -> str:
    """Compute and set the digest of a file that was written piece by piece."""
    with path.open("r+b") as file:
        place, _, digest = _read_digests(file, path)
        file.seek(place)
        file.write(digest.encode())
    return digest


def digest_of(data: "bytes | memoryview | mmap.mmap") -> str:
    """The digest the file should carry, computed from its bytes."""
    place = _digest_place(data)
    digest = sha256(memoryview(data)[:place])
    digest.update(UNSET_DIGEST.encode())
    digest.update(memoryview(data)[place + 64 :])
    return digest.hexdigest()


def stored_digest(data: "bytes | memoryview | mmap.mmap") -> str:
    """The digest the file carries, not checked."""
    place = _digest_place(data)
    return bytes(data[place : place + 64]).decode("ascii", "replace")


def checked_digest(data: "bytes | memoryview | mmap.mmap", path: Path) -> str:
    """The file's digest; Damaged unless the bytes are those that were written."""
    place = _digest_place(data, path)
    computed = digest_of(data)
    if bytes(data[place : place + 64]) != computed.encode():
        raise _digest_mismatch(path)
    return computed


def file_digest(path: Path) -> str:
    """The digest of a file of any size; Damaged unless its bytes are those that were written."""
    with path.open("rb") as file:
        return checked_file_digest(file, path)


def checked_file_digest(file: IO[bytes], path: Path) -> str:
    """The digest of an open file, a bounded piece in memory at a time; Damaged as above."""
    _, carried, computed = _read_digests(file, path)
    if carried != computed:
        raise _digest_mismatch(path)
    return computed


def _digest_mismatch(path: Path) -> Damaged:
    return Damaged(
        f"{path}: the bytes differ from what was written (digest mismatch)",
        hint="run `sensor-storage verify`; keep the file for inspection, do not edit it",
    )


def _read_digests(file: IO[bytes], path: Path) -> tuple[int, str, str]:
    """Of a file too large to hold: the digest's place, the digest it carries, and the one it should."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    start = max(0, size - 8 - length)
    file.seek(start)
    tail = file.read()
    place = start + _digest_place(tail, path)
    digest = sha256()
    file.seek(0)
    left = place
    while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    digest.update(UNSET_DIGEST.encode())
    digest.update(tail[place - start + 64 :])
    return place, tail[place - start : place - start + 64].decode("ascii", "replace"), digest.hexdigest()


def _digest_place(data: "bytes | memoryview | mmap.mmap", path: Path = Path("?")) -> int:
    """Where the digest's characters are: behind its key, in the last bytes of the file."""
    size = len(data)
    if size < _SMALLEST or bytes(data[size - 4 :]) != _MAGIC:
        raise Damaged(f"{path}: not a whole Parquet file ({size} bytes)")
    length = int.from_bytes(data[size - 8 : size - 4], "little")
    start = max(0, size - 8 - length)
    footer = bytes(data[start : size - 8])
    key = footer.rfind(DIGEST_KEY.encode())
    place = key + len(DIGEST_KEY) + 2  # thrift: field header, then the length of the string
    if key < 0 or place + 64 > len(footer) or footer[place - 2 : place] != b"\x18\x40":
        raise Damaged(f"{path}: carries no digest; not a file of this service, or damaged")
    return start + place
