"""Which file a path leads to, and whether it was written since: for what is remembered of a file's content."""

from pathlib import Path
from typing import TypeAlias

FileState: TypeAlias = tuple[int, int, int]
"""Its inode, its modification time in ns, and its size."""


def file_state(path: Path) -> FileState:
    """Another one as soon as the file is replaced by a rename or written in place. OSError when it is not there."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
