"""A disk that forgets what was not synced, and a power cut at any durable step.

It works on a real directory and keeps beside it what is durable: the bytes of a file after `sync_files`, the
names in a directory after `sync_directories`. `forget` turns the directory into what a machine finds after
the power came back.
"""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from sensor_storage.storage.durable import PosixSteps

World: TypeAlias = Literal["killed", "lost", "some"]
"""Only the process died; all that was not synced is lost; a seeded half of it is lost."""

_CACHES = ("catalog.db", "catalog.db-wal", "catalog.db-shm", "run")


class PowerCut(BaseException):
    """The machine stops here. No handler of the program may catch it."""


class ForgetfulSteps:
    """Durable steps that can stop before or after the n-th one."""

    def __init__(self, root: Path, *, crash_at: int | None = None, after: bool = False) -> None:
        self._root = root
        self._real = PosixSteps(root)
        self._crash_at = crash_at
        self._after = after
        self._bytes: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        self.taken = 0
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            self._keep_names(folder)
        for path in root.rglob("*"):
            if path.is_file():
                self._bytes[path.stat().st_ino] = path.read_bytes()

    def write(self, path: Path, data: "bytes | memoryview") -> None:
        """Write, durable only after a sync."""
        self._step(lambda: self._real.write(path, data))

    def sync_files(self, paths: Sequence[Path]) -> None:
        """Keep the bytes as they are now."""

        def sync() -> None:
            for path in paths:
                self._bytes[path.stat().st_ino] = path.read_bytes()

        self._step(sync)

    def rename(self, source: Path, target: Path) -> None:
        """Rename, durable only after a sync of the target's directory."""
        self._step(lambda: self._real.rename(source, target))

    def make_directories(self, path: Path) -> list[Path]:
        """Create, durable only after a sync of the parent."""
        made: list[Path] = []
        self._step(lambda: made.extend(self._real.make_directories(path)))
        return made

    def sync_directories(self, paths: Sequence[Path]) -> None:
        """Keep the names as they are now."""

        def sync() -> None:
            for path in paths:
                self._keep_names(path)

        self._step(sync)

    def unlink(self, path: Path) -> None:
        """Unlink, durable only after a sync of the directory."""
        self._step(lambda: self._real.unlink(path))

    def sync_everything(self) -> None:
        """Keep all bytes and names as they are now."""

        def sync() -> None:
            for path in (self._root, *self._root.rglob("*")):
                if path.is_dir():
                    self._keep_names(path)
                else:
                    self._bytes[path.stat().st_ino] = path.read_bytes()

        self._step(sync)

    def forget(self, world: World, seed: int = 0) -> None:
        """Leave in the directory what the world keeps."""
        if world == "killed":
            return
        survives = random.Random(seed)
        now = {folder: self._listing(folder) for folder in (self._root, *_folders(self._root))}
        content = {
            path.stat().st_ino: path.read_bytes()
            for path in self._root.rglob("*")
            if path.is_file() and not set(path.relative_to(self._root).parts) & set(_CACHES)
        }
        for path in self._root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._restore(self._root, now, content, survives if world == "some" else None)

    def _restore(
        self,
        folder: Path,
        now: dict[Path, dict[str, int]],
        content: dict[int, bytes],
        survives: random.Random | None,
    ) -> None:
        names = dict(self._names.get(folder, {}))
        if survives is not None:
            names = _half(names, now.get(folder, {}), survives)
        folder.mkdir(exist_ok=True)
        for name, inode in names.items():
            path = folder / name
            if name in _CACHES:
                continue
            if path in now or path in self._names:
                self._restore(path, now, content, survives)
            elif survives is not None and inode not in self._bytes and survives.random() < 1 / 2:
                path.write_bytes(content.get(inode, b""))
            else:
                path.write_bytes(self._bytes.get(inode, b""))

    def _step(self, act: object) -> None:
        number = self.taken
        self.taken += 1
        if number == self._crash_at and not self._after:
            raise PowerCut
        if callable(act):
            act()
        if number == self._crash_at:
            raise PowerCut

    def _keep_names(self, folder: Path) -> None:
        self._names[folder] = self._listing(folder)

    def _listing(self, folder: Path) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in folder.iterdir()} if folder.is_dir() else {}


def _folders(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_dir()]


def _half(durable: dict[str, int], now: dict[str, int], survives: random.Random) -> dict[str, int]:
    """Of each name that changed since the sync, the old or the new state."""
    names = {}
    for name in sorted({*durable, *now}):
        chosen = now if survives.random() < 1 / 2 else durable
        if name in chosen:
            names[name] = chosen[name]
    return names
