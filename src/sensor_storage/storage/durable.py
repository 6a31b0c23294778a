"""The only module that may sync, rename or unlink: what it says is on disk is on disk.

Every change to the tree is one of two acts.

`publish` makes files appear whole or not at all, in four steps:
 1. write each file aside, in `staging/.aside/`, where nobody reads;
 2. sync the files' bytes;
 3. rename each to its name: the commit point;
 4. sync the directories.
`remove` unlinks files whose content is durable elsewhere; losing an unlink is harmless.

A death before 3 leaves bytes aside, which the next start deletes; an error before 3 deletes them itself. A
death between two renames leaves some files new and some old, each of them whole. A failed sync is final: the
kernel may have dropped the pages, so nothing is tried again on the same bytes and the process stops (Halt).

A directory's own entry is as important as the file's. Another process may have made it and died before it
synced, so each process syncs the whole way up to the root the first time it publishes below a directory.
A process killed between 3 and 4 leaves names that everybody sees and a power cut takes back. So whoever removes
or passes over anything because of what it finds calls `settle` first, once.
"""

import ctypes
import errno
import itertools
import os
import shutil
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from sensor_storage.errors import DiskFull, Halt, Usage

ASIDE = ".aside"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
"""The errors of a full disk, and of a full quota."""

_SINGLE_SYNCS = 8
"""Up to so many files are synced one by one; more are synced by one call for the whole file system."""

_MAX_KNOWN_DIRECTORIES = 100_000
_ASIDE_NUMBERS = itertools.count()

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Steps(Protocol):
    """The durable steps a disk is made of; a test disk forgets what was not synced."""

    def write(self, path: Path, data: "bytes | memoryview") -> None:
        """Put the bytes into a new file; not yet durable."""
        ...

    def sync_files(self, paths: Sequence[Path]) -> None:
        """Make the files' bytes durable."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give the file its name, in place of any older one; not yet durable."""
        ...

    def make_directories(self, path: Path) -> list[Path]:
        """Create the directory and its missing parents, and say which were missing; not yet durable."""
        ...

    def sync_directories(self, paths: Sequence[Path]) -> None:
        """Make the names in these directories durable."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove the name; not durable."""
        ...

    def sync_everything(self) -> None:
        """Make durable whatever can be seen on the file system."""
        ...


class Aside:
    """A file being written where nobody reads; `Disk.publish` gives it its name."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.target = target


class Disk:
    """One data directory's durable changes."""

    def __init__(self, root: Path, steps: "Steps | None" = None, *, aside: Path | None = None) -> None:
        self._root = root
        self._aside = aside or root / "staging" / ASIDE
        self._steps = steps or PosixSteps(root)
        self._to_sync: set[Path] = set()
        self._durable: set[Path] = {root}

    def write_aside(self, target: Path, data: "bytes | memoryview") -> Aside:
        """Step 1 for one file."""
        with self.writing(target) as aside:
            self._steps.write(aside.path, data)
        return aside

    @contextmanager
    def writing(self, target: Path) -> Iterator[Aside]:
        """Step 1 for a file that is written piece by piece; on an error nothing of it is left."""
        aside = Aside(self._aside / f"{os.getpid()}-{next(_ASIDE_NUMBERS)}", target)
        try:
            with _meaning(f"write {target}"):
                self._make_directory(self._aside)
                yield aside
        except Exception:
            self.discard([aside])
            raise

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A path aside for a file that is gone afterwards."""
        with self.writing(self._aside) as aside:
            try:
                yield aside.path
            finally:
                self.discard([aside])

    def publish(self, files: Iterable[Aside]) -> None:
        """Steps 2 to 4: when this returns, every file is durable under its name."""
        files = list(files)
        if not files:
            return
        directories = {file.target.parent for file in files}
        try:
            with _meaning(f"publish {files[0].target} and {len(files) - 1} more"):
                for directory in sorted(directories):
                    self._make_directory(directory)
                with _final():
                    self._steps.sync_files([file.path for file in files])
                for file in files:
                    self._steps.rename(file.path, file.target)  # commit point
                with _final():
                    self._sync_directories(directories)
        except Exception:
            self.discard(files)
            raise

    def publish_bytes(self, target: Path, data: "bytes | memoryview") -> None:
        """Steps 1 to 4 for one file."""
        self.publish([self.write_aside(target, data)])

    def move(self, source: Path, target: Path) -> None:
        """Give a file another name, durable when this returns; whatever happens, it has one of the two."""
        with _meaning(f"move {source} to {target}"):
            self._make_directory(target.parent)
            self._steps.rename(source, target)  # commit point
            with _final():
                self._sync_directories({source.parent, target.parent})

    def remove(self, paths: Iterable[Path]) -> None:
        """Unlink files whose content is durable elsewhere; one already gone is fine."""
        for path in paths:
            self._steps.unlink(path)

    def discard(self, files: Iterable[Aside]) -> None:
        """Give up files written aside; what cannot be deleted now, the next start deletes."""
        for file in files:
            with suppress(OSError):
                self._steps.unlink(file.path)

    def clear_aside(self) -> int:
        """Delete what earlier processes left aside; how many files that was. Only the owner may call it."""
        self._make_directory(self._aside)
        left = list(self._aside.iterdir())
        self.remove(left)
        return len(left)

    def settle(self) -> None:
        """Make durable what earlier processes, killed before their last sync, have left to be seen."""
        with _meaning(f"settle {self._root}"), _final():
            self._steps.sync_everything()

    def check_one_file_system(self, folders: Iterable[Path]) -> None:
        """Usage unless all folders can be written and are on one file system, as renames between them need."""
        devices = {}
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".probe-{os.getpid()}"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise Usage(
                    f"cannot write to {folder}: {error.strerror or error}",
                    hint="set LOCAL_STORAGE_PATH to a folder this user may write, such as ./data/raw",
                ) from error
            devices[folder.stat().st_dev] = folder
        if len(devices) > 1:
            places = " and ".join(map(str, devices.values()))
            raise Usage(
                f"{places} are on different file systems",
                hint="LOCAL_STORAGE_PATH and its siblings must be on one disk: mount their parent instead",
            )

    def used_share(self) -> float:
        """How full the file system is for this user, from 0 to 1."""
        usage = shutil.disk_usage(self._aside.parent)
        return usage.used / max(usage.used + usage.free, 1)

    def _make_directory(self, path: Path) -> None:
        made = self._steps.make_directories(path)
        self._to_sync.update(folder.parent for folder in made)
        self._durable.difference_update(made)

    def _sync_directories(self, directories: Iterable[Path]) -> None:
        """Sync these and what leads to them, as far as this process does not know it to be durable."""
        wanted, way = {*self._to_sync}, set()
        for directory in directories:
            wanted.add(directory)
            if directory in self._durable:
                continue
            for folder in itertools.takewhile(
                lambda path: path not in self._durable, (directory, *directory.parents)
            ):
                wanted.add(folder.parent)
                way.add(folder)
        self._steps.sync_directories(sorted(wanted))
        self._to_sync.clear()
        if len(self._durable) > _MAX_KNOWN_DIRECTORIES:
            self._durable = {self._root}
        self._durable |= way


@contextmanager
def hint_file(folder: Path, name: Callable[[Path], Path]) -> Iterator[IO[bytes]]:
    """A file written piece by piece, which gets the name its content asks for; it may be lost, as hints may."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{os.getpid()}-{next(_ASIDE_NUMBERS)}"
    try:
        with aside.open("xb") as file:
            yield file
        path = name(aside)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def remove_hint(path: Path) -> None:
    """Delete a file nothing depends on."""
    path.unlink(missing_ok=True)


def prune_folders(folder: Path, root: Path) -> None:
    """Remove the folder and those above it, up to the root, as far as they are empty."""
    with suppress(OSError):
        while folder != root and root in folder.parents:
            folder.rmdir()
            folder = folder.parent


def replace_hint(path: Path, data: bytes) -> None:
    """Replace a file whole, for readers' sake; it may be lost, and nothing depends on it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data)
        aside.replace(path)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        aside.unlink(missing_ok=True)
        with suppress(OSError):
            os.utime(path)  # whoever has no room to say something still lives


class PosixSteps:
    """The durable steps on a real file system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file_system: int | None = None

    def write(self, path: Path, data: "bytes | memoryview") -> None:
        """Put the bytes into a new file."""
        with _created(path) as file:
            file.write(data)

    def sync_files(self, paths: Sequence[Path]) -> None:
        """Sync each file, or the file system once for many."""
        if len(paths) > _SINGLE_SYNCS and self._sync_file_system():
            return
        for path in paths:
            _sync(path)

    def rename(self, source: Path, target: Path) -> None:
        """Rename over the target."""
        source.replace(target)

    def make_directories(self, path: Path) -> list[Path]:
        """Create what is missing."""
        missing: list[Path] = []
        if not path.is_dir():
            missing += itertools.takewhile(lambda folder: not folder.exists(), (path, *path.parents))
            path.mkdir(parents=True, exist_ok=True)
        if self._file_system is None and _LIBC is not None:
            self._file_system = os.open(self._root, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file_system)
        return missing

    def sync_directories(self, paths: Sequence[Path]) -> None:
        """Sync each directory, or the file system once for many."""
        if len(paths) > _SINGLE_SYNCS and self._sync_file_system():
            return
        for path in paths:
            _sync(path)

    def unlink(self, path: Path) -> None:
        """Unlink."""
        path.unlink(missing_ok=True)

    def sync_everything(self) -> None:
        """Sync the file system, or all of them where the platform cannot single one out."""
        self.make_directories(self._root)
        if not self._sync_file_system():
            os.sync()

    def _sync_file_system(self) -> bool:
        """`syncfs`: one call instead of thousands. False where the platform has none.

        The descriptor is older than any write: the kernel tells it of every error since, even of those that
        another process has been told already.
        """
        if _LIBC is None or self._file_system is None:
            return False
        if _LIBC.syncfs(self._file_system) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(self._root))
        return True


class Lock:
    """The data directory's lock: one service a directory. Child processes share it by inheritance."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def fileno(self) -> int:
        """The descriptor to hand down to child processes."""
        return self._file.fileno()

    def release(self) -> None:
        """Let the next owner in, once every process that shares the lock has ended."""
        self._file.close()

    def __enter__(self) -> Self:
        """Hold."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    with path.open("xb") as file:
        yield file


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _meaning(act: str) -> Iterator[None]:
    """Turn an operating system's error into one that says how to react."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise no_room(act) from error
        raise Halt(f"{act}: {error}", hint="check the disk and the directory's permissions") from error


def no_room(act: str) -> DiskFull:
    """That the disk was too full for the act."""
    return DiskFull(f"{act}: no room on the disk", hint="free space or enlarge the disk")


@contextmanager
def _final() -> Iterator[None]:
    """A failed sync is never tried again, a full disk included."""
    try:
        yield
    except OSError as error:
        raise Halt(
            f"sync: {error}; nothing was committed, Kafka will deliver again",
            hint="check the disk, then start the service again",
        ) from error
