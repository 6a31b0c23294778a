"""Which files are opened and which folders listed, by Python's own audit events."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident

_LISTS = {"os.listdir", "os.scandir"}


@dataclass
class Opened:
    """What one thread opened and listed below a folder, by paths relative to it, and how often."""

    root: Path
    files: Counter[str] = field(default_factory=Counter)
    listed: set[str] = field(default_factory=set)
    thread: int = field(default_factory=get_ident)

    def note(self, event: str, path: Path) -> None:
        """It was opened or listed."""
        if path.is_relative_to(self.root):
            name = path.relative_to(self.root).as_posix()
            if event == "open":
                self.files[name] += 1
            else:
                self.listed.add(name)


_watching: list[Opened] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching or (event != "open" and event not in _LISTS):
        return
    if isinstance(arguments[0], str | Path):
        for one in _watching:
            if one.thread == get_ident():
                one.note(event, Path(arguments[0]))


sys.addaudithook(_hook)  # for good: a hook can't be taken back


@contextmanager
def opening(root: Path) -> Iterator[Opened]:
    """What this thread opens below the folder meanwhile."""
    found = Opened(root)
    _watching.append(found)
    try:
        yield found
    finally:
        _watching.remove(found)
