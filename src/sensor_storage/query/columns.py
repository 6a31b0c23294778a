"""Columns of aggregate files that were read lately: dashboards ask for the same closed hours again and again."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import pyarrow as pa

from sensor_storage.aggregation.files import read_columns
from sensor_storage.storage.file_state import FileState, file_state

CACHE_BYTES: Final = 48_000_000
_COLUMN_BYTES: Final = 250
"""So much a column takes beside its values."""


class _Held(NamedTuple):
    """A file's columns, and which file it was: one that is made again is another, as it comes by a rename."""

    state: FileState
    table: pa.Table
    size: int


class ColumnCache:
    """Reads columns of aggregate files, up to so many bytes of them twice without looking inside again."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._held: OrderedDict[Path, _Held] = OrderedDict()
        self._size = 0

    def read(self, path: Path, names: list[str]) -> pa.Table:
        """These columns, as `read_columns` gives them."""
        state = file_state(path)
        with self._lock:
            held = self._held.get(path)
            if held and held.state == state and not set(names).difference(held.table.column_names):
                self._held.move_to_end(path)
                return held.table if held.table.column_names == names else held.table.select(names)
        table = read_columns(path, names)
        self._keep(
            path, _Held(state, table, table.get_total_buffer_size() + _COLUMN_BYTES * table.num_columns)
        )
        return table

    def _keep(self, path: Path, one: _Held) -> None:
        with self._lock:
            if before := self._held.pop(path, None):
                self._size -= before.size
            self._held[path] = one
            self._size += one.size
            while self._size > self._max_bytes:
                self._size -= self._held.popitem(last=False)[1].size
