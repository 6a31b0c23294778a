"""Which worker of one data directory reads which partition, so that a zombie cannot publish what is another's.

A worker that was stopped for longer than the group waits does not know, when it goes on, that its partitions are
read by another. The table is changed, and a segment published, only under one lock: whoever took the partitions
last may publish. It lives in `run/`, for nothing outlives the machine that it guards against.
"""

import fcntl
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sensor_storage.errors import Transient
from sensor_storage.kafka.consumer import Partition

_WAIT_SECONDS = 10.0
_RETRY_SECONDS = 0.01


class Claims:
    """The table in `folder`, as `holder` sees it; holders' names are never used twice."""

    def __init__(self, folder: Path, holder: str) -> None:
        self._table = folder / "claims.json"
        self._holder = holder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, partitions: Iterable[Partition]) -> None:
        """From now on nobody else may publish what is read of these."""
        with self._locked() as file:
            table = _read(file)
            table.update({_spelled(key): self._holder for key in partitions})
            file.seek(0)
            file.truncate()
            json.dump(table, file)

    @contextmanager
    def held(self, partitions: Iterable[Partition]) -> Iterator[set[Partition]]:
        """Yields those that another has taken meanwhile; none changes hands before the end."""
        with self._locked() as file:
            table = _read(file)
            yield {key for key in partitions if table.get(_spelled(key), self._holder) != self._holder}

    @contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        deadline = time.monotonic() + _WAIT_SECONDS
        with self._table.open("a+", encoding="utf-8") as file:
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise Transient(
                        f"wait for {self._table}: another worker holds it for {_WAIT_SECONDS:.0f} s",
                        hint="a worker may have been stopped; kill it, the service starts it again",
                    )
                time.sleep(_RETRY_SECONDS)
            yield file


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: IO[str]) -> dict[str, str]:
    """The table; a torn one is as good as none, for its writer died and holds nothing any more."""
    file.seek(0)
    try:
        found: dict[str, str] = json.loads(file.read() or "{}")
    except ValueError:
        return {}
    return found


def _spelled(key: Partition) -> str:
    return f"{key[0]}/{key[1]}"
