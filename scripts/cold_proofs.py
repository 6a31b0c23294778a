"""Four proofs about the cold store, in full (`make proof-cold`, a quarter of an hour); the tests run them small.

1. Of 10,000 files the blobs of a fifth are truncated, replaced by the same size, given another ETag or removed:
   not one deletion is wrong.
2. Of 1,000 uploads to Azurite every third is done and its answer lost: none is wrong.
3. 8 services add to the same 20 blobs 25 times: every row is there, once.
4. In all 2,520 orders of late readings, compaction, aggregation, upload, a cleanup's two parts and a death no
   reading of a sensor-hour is lost.

Prints a JSON line for each; exit 1 if anything is wrong.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.demo.azurite import Azurite
from sensor_storage.demo.kafka_jars import cache_folder
from support.azurite import container
from support.cloud import line_to
from support.cold import Plant
from support.cold_orders import ACTS, losing, orders_of
from support.cold_proofs import deletions, lost_answers, writers


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--merges", type=int, default=25)
    parser.add_argument("--hours", type=int, default=10)
    parser.add_argument("--orders", type=int, help="only so many orders")
    parser.add_argument("--only", choices=["deletions", "lost_answers", "writers", "orders"])
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for what, found in _proofs(Path(folder), chosen):
            print(json.dumps({"proof": what, **found}), flush=True)
            wrong += sum(
                found.get(name, 0) for name in ("wrong", "lost", "double", "lost_readings", "foreign")
            )
    return 1 if wrong else 0


def _proofs(root: Path, chosen: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    azurite = Azurite(root / "azurite", cache=cache_folder(os.environ))
    with azurite, line_to(azurite) as line:
        if chosen.only in {None, "deletions"}:
            store = container(azurite, "deletions")
            yield "deletions", _timed(lambda: deletions(root / "deletions", store, chosen.files, chosen.seed))
        if chosen.only in {None, "lost_answers"}:
            plant = Plant(root / "lost", container(line, "lost"))
            yield "lost_answers", _timed(lambda: lost_answers(plant, line, chosen.uploads))
        if chosen.only in {None, "writers"}:
            shared = DirectoryStore(root / "shared")
            make = lambda number: Plant(root / f"writer-{number}", shared)  # noqa: E731
            yield "writers", _timed(lambda: writers(make, 8, chosen.merges, chosen.hours))
    if chosen.only in {None, "orders"}:
        yield "orders", _timed(lambda: _orders(root / "orders", chosen.orders))


def _orders(root: Path, most: int | None) -> dict[str, Any]:
    chosen = orders_of(ACTS)[:most]
    return {"orders": len(chosen), "lost": len(list(losing(root, chosen)))}


def _timed(prove: Any) -> dict[str, Any]:  # noqa: ANN401 - a proof
    began, cpu = time.monotonic(), time.process_time()
    found: dict[str, Any] = prove()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    return {**found, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}


if __name__ == "__main__":
    sys.exit(main())
