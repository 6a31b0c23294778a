"""The manifests of folded days, as tables: those used last are kept."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

import pyarrow as pa

from sensor_storage.cold.manifests import open_manifest
from sensor_storage.errors import Damaged, DamagedBlob
from sensor_storage.storage.durable import remove_hint
from sensor_storage.storage.folded import FoldedDay

_KEPT_BYTES: Final = 32_000_000
_LOOKS: Final = 3
_REMEDY: Final = (
    "`sensor-storage rebuild` finds what it told of by the blobs themselves; stop the service first"
)


class DayManifests:
    """Safe for several threads. `bring` has a copy of the blob of that name, or of its digest, on this disk."""

    def __init__(self, bring: Callable[[str, str], Path]) -> None:
        self._bring = bring
        self._lock = Lock()
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()

    def of(self, day: FoldedDay) -> pa.Table:
        """The manifest. DamagedBlob where it is missing or not what was written; further errors as of `bring`."""
        with self._lock:
            if (found := self._kept.get(day.digest)) is not None:
                self._kept.move_to_end(day.digest)
                return found
        try:
            table = self._opened(day)
        except Damaged as error:
            lost = f"{error.message}; it tells of the files of {day.asset} of that day"
            raise DamagedBlob(lost, hint=_REMEDY) from error
        with self._lock:
            self._kept[day.digest] = table
            while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return table

    def _opened(self, day: FoldedDay) -> pa.Table:
        """A copy may be dropped from the cache before it is opened, and one that is damaged is brought again."""
        for left in reversed(range(_LOOKS)):
            copy = self._bring(day.manifest, day.digest)
            try:
                if copy.stem == day.digest:
                    return open_manifest(copy)
            except (FileNotFoundError, Damaged):
                remove_hint(copy)
                if not left:
                    raise
            else:
                break
        raise Damaged(f"{day.manifest} is not the one that was written")
