"""The port to the cold store: named blobs with conditional writes, the same on every cloud and on a directory.

A blob's **ETag** changes whenever its content is written. A write names the ETag it replaces, or that there is
none yet, so that of two writers one is told `Changed`. An error leaves the outcome unknown unless it is `Changed`
or `Refused`: the caller looks, and never assumes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, NamedTuple, Protocol, TypeAlias

from sensor_storage.errors import SensorStorageError, Transient, Usage
from sensor_storage.storage.receipts import Receipt

MAX_NAME_CHARACTERS = 1024
MAX_NAME_SEGMENTS = 254
PAGE = 5000
"""So many blobs come with one request for a list, as Azure has it."""

Content: TypeAlias = bytes | memoryview | mmap


class Changed(SensorStorageError):
    """Somebody else wrote the blob: it is there already, or its ETag is not the one named."""


class Away(Transient):
    """The store as a whole can't be used, as any other file would meet: it is not there, full, or read-only."""


class Refused(SensorStorageError):
    """The store will not do this, however often it is asked; a person has to change something."""

    exit_code = 4


class ShutOut(Refused):
    """The store refuses whatever is asked of it: key, rights, clock or container are wrong."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What the store says of a blob; `modified` in seconds since 1970.

    Metadata are hints: a store may keep none, and lists come without. The tier is told by a `page` alone, and by
    few stores.
    """

    name: str
    size_bytes: int
    etag: str
    modified: float
    metadata: Mapping[str, str] = field(default_factory=dict)
    tier: str | None = None


class Page(NamedTuple):
    """Some blobs in order of their names; `next` is the cursor of those behind them, None where there are none."""

    blobs: list[Blob]
    next: str | None


class ColdStore(Protocol):
    """Blobs by name. Every call may raise Transient (try later) or Refused (a person has to act)."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    def look(self, name: str) -> Blob | None:
        """The blob, if there is one."""
        ...

    def download(self, name: str, into: IO[bytes]) -> Blob | None:
        """Write the blob's content into the file, piece by piece."""
        ...

    def write(
        self, name: str, content: Content, *, replaces: str | None, metadata: Mapping[str, str]
    ) -> Blob:
        """Store the blob whole, in place of the one with that ETag, or of none. Changed when it is not so."""
        ...

    def pages(self, prefix: str) -> Iterator[list[Blob]]:
        """The blobs below `prefix`, which ends with a slash or is empty, in order; a request each."""
        ...

    def page(self, prefix: str, *, cursor: str, limit: int) -> Page:
        """At most `limit` of them, with tiers, from where the page before ended: its `next`, at first nothing."""
        ...

    def delete(self, name: str) -> None:
        """Remove a blob; one already gone is fine. For probes only: nothing that was uploaded is deleted."""
        ...


@contextmanager
def mapped(path: Path) -> Iterator[mmap]:
    """A file's bytes as content, of one moment: mapped, so not held in memory."""
    with path.open("rb") as file:
        content = mmap(file.fileno(), 0, access=ACCESS_READ)
    try:
        yield content
    finally:
        # An error on its way may hold a view: it tells what happened, and the map ends with it.
        with suppress(BufferError):
            content.close()


def same_blob(receipt: Receipt, blob: Blob) -> bool:
    """Is the blob as the receipt has it, by ETag and size?"""
    return (receipt.etag.strip('"'), receipt.size_bytes) == (blob.etag.strip('"'), blob.size_bytes)


def check_prefix(prefix: str) -> str:
    """The prefix, if it is nothing or ends where a part of a name does; Usage otherwise. It stays in the store."""
    return check_name(prefix.removesuffix("/")) + "/" if prefix else prefix


def check_name(name: str) -> str:
    """The name, if every store keeps it as it is; Usage otherwise.

    Azure takes at most 1,024 characters and 254 segments and no dot or slash at an end; NUL breaks its lists.
    """
    segments = name.split("/")
    bad = (
        not name
        or len(name) > MAX_NAME_CHARACTERS
        or len(segments) > MAX_NAME_SEGMENTS
        or any(part in {"", ".", ".."} or part.endswith(".") for part in segments)
        or not name.isascii()
        or any(character in '\\\x7f"<>|?*:' or character < " " for character in name)
    )
    if bad:
        raise Usage(
            f"{name!r} can't be the name of a blob", hint="names come from `Layout`, which encodes them"
        )
    return name
