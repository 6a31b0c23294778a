"""A folder as cold store is apart from the data directory: no file may stand there as its own proof."""

import os
from collections.abc import Iterator
from pathlib import Path

from sensor_storage.cold.directory import OWN
from sensor_storage.errors import Usage
from sensor_storage.storage.layout import Layout


def check_apart(store: Path, layout: Layout) -> None:
    """Usage where a blob of the store would be a file of the data directory, by whatever path or mount.

    A folder of its own inside the data directory, beside `raw/`, is apart.
    """
    for ours in _trees(layout):
        for theirs in (store, *store.resolve().parents):
            if _same(theirs, ours):
                raise _refusal(store, f"is in {ours}")
        for name in (layout.raw.name, layout.aggregated.name, "services", "probes", OWN):
            for above in (ours, *ours.resolve().parents):
                if _same(store / name, above):
                    raise _refusal(store, f"has {ours} in it as its own {name}/")
    if _same(store, layout.root):
        raise _refusal(store, "is the data directory")


def _trees(layout: Layout) -> Iterator[Path]:
    yield from (layout.raw, layout.aggregated, layout.staging, layout.dead_letters)
    yield from (layout.ledger, layout.damaged, layout.run, layout.cache)


def _same(one: Path, other: Path) -> bool:
    """Whether both are one folder: by path without links, or by device and inode, as a bind mount has them."""
    if one.resolve() == other.resolve():
        return True
    try:
        return os.path.samestat(one.stat(), other.stat())
    except OSError:  # one of them is not there (yet)
        return False


def _refusal(store: Path, why: str) -> Usage:
    return Usage(
        f"COLD_STORE_URL: {store} {why}, so each file here would be its own copy there",
        hint="take a folder of its own, on another disk, such as file:///mnt/cold",
    )
