"""Late readings of an hour that is only in the cold store: its file comes back first.

So a file on this disk, where there is one, holds whatever this disk ever held of its hour. A folded day is unfolded
before, whichever of its hours and sensors the readings are of.
"""

import shutil

from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.folding import Unfold
from sensor_storage.errors import DiskFull, Halt, SensorStorageError
from sensor_storage.model import SensorHour
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.hour_files import describe
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import NOT_BACK


class Thaw:
    """Brings hour files back to this disk, for its owner."""

    def __init__(self, layout: Layout, disk: Disk, catalog: Catalog, files: ColdFiles) -> None:
        self._layout = layout
        self._disk = disk
        self._catalog = catalog
        self._files = files
        self.unfold = Unfold(catalog, files)

    def __call__(self, key: SensorHour) -> str:
        """Bring the file back if it is cold. Why it can't be now, or nothing."""
        try:
            self.unfold(key.series.asset, key.hour, key.hour)
            if not self._layout.hour_file(key).exists() and self._catalog.is_cold(key):
                self.restore(key)
        except (DiskFull, Halt):
            raise
        except (SensorStorageError, FileNotFoundError) as error:
            return f"{NOT_BACK}: {error}"
        return ""

    def restore(self, key: SensorHour) -> None:
        """Put a copy from the cold store in the file's place, durable, and say so in the catalog."""
        path = self._layout.hour_file(key)
        self.unfold(key.series.asset, key.hour, key.hour)
        copy = self._files.find(path)
        with self._disk.writing(path) as aside:
            shutil.copyfile(copy, aside.path)
            self._disk.publish([aside])
        self._catalog.record([describe(path)])
