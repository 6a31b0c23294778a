"""Damaged files out of the way, never deleted: below `damaged/`, by the path they had."""

import itertools
from collections.abc import Iterable
from pathlib import Path

from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout


def set_aside(disk: Disk, layout: Layout, paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Move the files, those that are there; where each was, and where it is now."""
    moved = []
    for path in paths:
        if path.is_file():
            target = _free(layout.damaged / path.relative_to(layout.root))
            disk.move(path, target)
            moved.append((path, target))
    return moved


def _free(path: Path) -> Path:
    """The path, or the first of its numbered siblings that nothing has."""
    names = itertools.chain(
        [path], (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    )
    return next(name for name in names if not name.exists())
