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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Final

from sensor_storage.cold.store import PAGE, Away, Blob, Changed, Content, Page, check_name, check_prefix
from sensor_storage.errors import SensorStorageError, Transient, Usage
from sensor_storage.storage.durable import NO_ROOM, Disk, Steps

_ATTRIBUTE = "user.sensor_storage"
OWN: Final = ".store"
"""What the store keeps for itself, which is no blob."""

_LOCKS = 256
_OF_ALL = frozenset({errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.EIO})
"""Errors that any other file in the folder would meet as well."""


class DirectoryStore:
    """Blobs as files below a folder, made if it is not there; `check` raises Away where it is not the one."""

    def __init__(
        self, root: Path, *, check: Callable[[], None] = lambda: None, steps: Steps | None = None
    ) -> None:
        self._root = root
        self._check = check
        self._disk = Disk(root, steps, aside=root / OWN / "aside")

    @property
    def url(self) -> str:
        """The folder as a file URL."""
        return self._root.absolute().as_uri()

    def check(self) -> None:
        """Is it there? Away where it is not."""
        with self._act(f"look for {self.url}"):
            pass

    def look(self, name: str) -> Blob | None:
        """What the file system says of the file."""
        with self._act(f"look at {name} in {self.url}"):
            return self._look(name)

    def download(self, name: str, into: IO[bytes]) -> Blob | None:
        """Copy the file's content."""
        with self._act(f"read {name} in {self.url}"):
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
        with self._act(f"write {name} in {self.url}"):
            path = self._path(name)
            with memoryview(content) as view:  # an error's traceback would keep it, and a map in it open
                aside = self._disk.write_aside(path, view)
            try:
                _tag(aside.path, metadata)
                with locked(self._root, name):
                    held = self._look(name)
                    if (held.etag if held else None) != replaces:
                        raise Changed(f"{name} in {self.url} was written by somebody else")
                    self._disk.publish([aside])
                    return _blob(name, path, path.stat())
            finally:
                self._disk.discard([aside])

    def pages(self, prefix: str) -> Iterator[list[Blob]]:
        """Walk the folder in order."""
        found = self._below(prefix, "")
        while page := list(islice(found, PAGE)):
            yield page

    def page(self, prefix: str, *, cursor: str, limit: int) -> Page:
        """Walk on behind the name at which the page before ended; a folder has no tiers."""
        found = list(islice(self._below(prefix, cursor), limit + 1))
        self.check()
        return Page(found[:limit], found[limit - 1].name if len(found) > limit else None)

    def _below(self, prefix: str, after: str) -> Iterator[Blob]:
        """What is below the prefix and behind a name."""
        check_prefix(prefix)
        with self._act(f"list {prefix} in {self.url}"):
            if self._root.exists() and not self._root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if after > prefix and not after.startswith(prefix):
                return
            for path in files_below(
                self._root / prefix, after.removeprefix(prefix) if after > prefix else ""
            ):
                name = path.relative_to(self._root).as_posix()
                with suppress(FileNotFoundError):
                    status = path.stat()
                    yield Blob(name, status.st_size, _etag(status), status.st_mtime)

    def delete(self, name: str) -> None:
        """Unlink."""
        with self._act(f"delete {name} in {self.url}"), locked(self._root, name):
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
    def _act(self, act: str) -> Iterator[None]:
        """A folder that is away or full is waited for, as a cloud is."""
        try:
            self._check()
            yield
            self._check()  # not unmounted meanwhile, so that what was done was done there
        except OSError as error:
            raise self._trouble(act, error) from error
        except (Changed, Usage, Away):
            raise
        except SensorStorageError as error:  # what would stop the service on its own disk
            if isinstance(error.__cause__, OSError):
                raise self._trouble(act, error.__cause__) from error
            raise Transient(f"{act}: {error.message}", hint=error.hint) from error

    def _trouble(self, act: str, error: OSError) -> Transient:
        """What the error means: for this name, or where the folder as a whole is at fault, for all."""
        words = f"{act}: {error.strerror or error}"
        if not os.path.isdir(self._root):  # noqa: PTH112 - unlike Path's it is false for whatever error
            return Away(words, hint=f"is the share mounted? {self._root} is no folder")
        if error.errno in NO_ROOM:
            return Away(words, hint="free space there")
        if error.errno in _OF_ALL or not os.access(self._root, os.W_OK):
            return Away(words, hint=f"is {self._root} mounted, and may this user write there?")
        return Transient(words, hint="is the folder there, and may it be written?")


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Nobody else on any machine that shares the folder's locks changes what has this name meanwhile."""
    locks = root / OWN / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    number = blake2b(name.encode(), digest_size=1).digest()[0] % _LOCKS
    with (locks / f"{number:02x}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def files_below(folder: Path, after: str = "") -> Iterator[Path]:
    """The files below the folder in order of their names, but for the store's own; those behind a name in it.

    Folders that end before that name are not looked into.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name + "/" * entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            if entry.name > after:
                yield Path(entry.path)
        elif entry.name != OWN:
            place = f"{entry.name}/"
            if after.startswith(place):
                yield from files_below(Path(entry.path), after.removeprefix(place))
            elif place > after:
                yield from files_below(Path(entry.path))


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
