"""A directory as cold store: for the demo, a network share or a second disk.

Conditional writes by a lock a name, held while the ETag is compared and the file renamed; so they hold against
every program that writes through this class on any machine that shares the locks. A blob is synced before its
name is. The ETag is the file's own identity (inode, time and size), which every rename over it changes.
Metadata are extended attributes, where the file system has them.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final

from sensor_storage.cold.store import PAGE, Blob, Changed, Content, check_name
from sensor_storage.errors import SensorStorageError, Transient, Usage
from sensor_storage.storage.durable import Disk

_ATTRIBUTE = "user.sensor_storage"
OWN: Final = ".store"
"""What the store keeps for itself, which is no blob."""

_LOCKS = 256


class DirectoryStore:
    """Blobs as files below a folder, which is made if it is not there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks = root / OWN / "locks"
        self._disk = Disk(root, aside=root / OWN / "aside")

    @property
    def url(self) -> str:
        """The folder as a file URL."""
        return self._root.absolute().as_uri()

    def look(self, name: str) -> Blob | None:
        """What the file system says of the file."""
        with _meaning(f"look at {name} in {self.url}"):
            return self._look(name)

    def download(self, name: str, into: IO[bytes]) -> Blob | None:
        """Copy the file's content."""
        with _meaning(f"read {name} in {self.url}"):
            path = self._path(name)
            try:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, into)
                    return _blob(name, path, os.fstat(file.fileno()))
            except FileNotFoundError:
                return None

    def write(
        self, name: str, content: Content, *, replaces: str | None, metadata: Mapping[str, str]
    ) -> Blob:
        """Write aside, sync, compare under the lock, rename, sync the folder."""
        with _meaning(f"write {name} in {self.url}"):
            path = self._path(name)
            aside = self._disk.write_aside(path, memoryview(content))
            try:
                _tag(aside.path, metadata)
                with self._locked(name):
                    held = self._look(name)
                    if (held.etag if held else None) != replaces:
                        raise Changed(f"{name} in {self.url} was written by somebody else")
                    self._disk.publish([aside])
                    return _blob(name, path, path.stat())
            finally:
                self._disk.discard([aside])

    def pages(self, prefix: str) -> Iterator[list[Blob]]:
        """Walk the folder in order."""
        page: list[Blob] = []
        for path in _files(self._root / prefix):
            name = path.relative_to(self._root).as_posix()
            with suppress(FileNotFoundError), _meaning(f"list {prefix} in {self.url}"):
                status = path.stat()
                page.append(Blob(name, status.st_size, _etag(status), status.st_mtime))
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    def delete(self, name: str) -> None:
        """Unlink."""
        with _meaning(f"delete {name} in {self.url}"), self._locked(name):
            self._disk.remove([self._path(name)])

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    def _look(self, name: str) -> Blob | None:
        path = self._path(name)
        try:
            return _blob(name, path, path.stat())
        except FileNotFoundError:
            return None

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self._locks.mkdir(parents=True, exist_ok=True)
        number = blake2b(name.encode(), digest_size=1).digest()[0] % _LOCKS
        with (self._locks / f"{number:02x}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _files(folder: Path) -> Iterator[Path]:
    """The files below the folder in order of their names, but for the store's own."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name + "/" * entry.is_dir())
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name != OWN:
                yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def _blob(name: str, path: Path, status: os.stat_result) -> Blob:
    return Blob(name, status.st_size, _etag(status), status.st_mtime, _tags(path))


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def _tag(path: Path, metadata: Mapping[str, str]) -> None:
    if hasattr(os, "setxattr"):
        with suppress(OSError):  # the file system has no attributes, or no room for them
            os.setxattr(path, _ATTRIBUTE, json.dumps(dict(metadata)).encode())


def _tags(path: Path) -> dict[str, str]:
    if not hasattr(os, "getxattr"):
        return {}
    try:
        return {str(key): str(value) for key, value in json.loads(os.getxattr(path, _ATTRIBUTE)).items()}
    except (OSError, ValueError):
        return {}


@contextmanager
def _meaning(act: str) -> Iterator[None]:
    """A folder that is away or full is waited for, as a cloud is."""
    try:
        yield
    except OSError as error:
        hint = (
            "free space there"
            if error.errno == errno.ENOSPC
            else "is the folder there, and may it be written?"
        )
        raise Transient(f"{act}: {error.strerror or error}", hint=hint) from error
    except (Changed, Usage):
        raise
    except SensorStorageError as error:  # what would stop the service on its own disk
        raise Transient(f"{act}: {error.message}", hint=error.hint) from error
