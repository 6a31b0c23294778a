"""Late readings of an hour that is only in the cold store: its file comes back first.

So a file on this disk, where there is one, holds whatever this disk ever held of its hour.
"""

import shutil
from pathlib import Path

from sensor_storage.cold.files import ColdFiles
from sensor_storage.errors import DiskFull, Halt, SensorStorageError
from sensor_storage.model import SensorHour
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.hour_files import describe
from sensor_storage.storage.layout import Layout


class Thaw:
    """Brings hour files back to this disk, for its owner."""

    def __init__(self, layout: Layout, disk: Disk, catalog: Catalog, files: ColdFiles) -> None:
        self._layout = layout
        self._disk = disk
        self._catalog = catalog
        self._files = files

    def __call__(self, key: SensorHour) -> str:
        """Bring the file back if it is cold. Why it can't be now, or nothing."""
        path = self._layout.hour_file(key)
        if path.exists() or not self._catalog.is_cold(key):
            return ""
        try:
            self.restore(path)
        except (DiskFull, Halt):
            raise
        except (SensorStorageError, FileNotFoundError) as error:
            return f"its file is in the cold store, and does not come: {error}"
        self._catalog.record([describe(path)])
        return ""

    def restore(self, path: Path) -> None:
        """Put a copy from the cold store in the file's place, durable."""
        copy = self._files.find(path)
        with self._disk.writing(path) as aside:
            shutil.copyfile(copy, aside.path)
            self._disk.publish([aside])
