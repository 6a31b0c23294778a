"""What a tree of a million hour files costs: the service's start, `status`, `ls`, and an incremental `verify`.

`python benchmarks/large_tree.py --files 1000000`. A thousand sensors of a hundred assets, an hour file each for a
thousand hours: names and catalog are real, the files are links to one of each sensor's, which nothing of this opens
but `verify`, and that by its last bytes alone. Prints one JSON line; a verb's CPU and wall time are of its whole
process.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from readiness import ready_seconds
from steady import _START, Plant

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.model import SensorHour
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment
from service import PROGRAM

_SENSORS = 1000


def main() -> int:
    """Make the tree, and print what the verbs take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = _tree(root, chosen.files // _SENSORS)
        found: dict[str, object] = {"hour_files": files}
        for name, words in (("status", ["status"]), ("ls", ["ls"]), ("ls_asset", ["ls", "press-7"])):
            found[name] = _taken([*words, "--data", str(root), "--json"])
        with EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)) as broker:
            os.environ["AGGREGATION_LEVELS"] = "none"  # the links are not the hours their names say
            found["ready_seconds"] = [
                round(ready_seconds(root, broker.bootstrap_servers, "^sensor-.*"), 1) for _ in range(3)
            ]
        print(json.dumps(found), flush=True)
    return 0


def _tree(root: Path, hours: int) -> int:
    """One hour as the service makes it, then as many more as are wanted, of the same files."""
    layout, disk = Layout(root / "raw"), Disk(root)
    disk.clear_aside()
    catalog, plant = Catalog(layout), Plant(_SENSORS)
    readings = Readings.concat([plant.second(number) for number in range(3)])
    ledger = [LedgerEntry(one.source, one.first_offset, one.last_offset + 1) for one in readings.totals()]
    name = StagedName(_START * 1000, "i", 0, 0)
    disk.publish_bytes(layout.staged(name), encode_segment(readings, ledger, "zstd"))
    Compactor(layout, disk, catalog, WritePolicy(), "m0").run_once(_START + 1e5, _START + 1e5, flush=True)
    first = [entry for entry, _ in catalog.files()]

    def later() -> Iterator[HourFile]:
        for number in range(1, hours):
            for entry in first:
                key = SensorHour(entry.key.series, entry.key.hour + number)
                path = layout.hour_file(key)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.hardlink_to(entry.path)
                yield replace(entry, key=key, path=path)

    catalog.record(later())
    files = catalog.sums()[0]
    catalog.close()
    return files


def _taken(words: list[str]) -> dict[str, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*PROGRAM, *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_seconds": round(cpu, 2), "wall_seconds": round(time.monotonic() - began, 2)}


if __name__ == "__main__":
    sys.exit(main())
