"""A walk over the data directory, a directory's names at a time, that tells our files from others."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from sensor_storage.storage.durable import ASIDE
from sensor_storage.storage.layout import Layout, StagedName

_HOUR_FILE = re.compile(r"[^/]+/\d{4}/\d\d/\d\d/\d\d/[^/]+\.parquet\Z")
_AGGREGATE_FILE = re.compile(
    r"[^/]+/\d{4}/\d\d/((\d\d/\d\d/[^/]+_minute)|(\d\d/[^/]+_hour)|([^/]+_day))\.parquet\Z"
)
_LEDGER_FILE = re.compile(r"\d{4}/\d\d/\d\d\.parquet\Z")
_DAY = re.compile(r"\d{4}/\d\d/\d\d/")
_NOT_OURS_TO_JUDGE = {"lost+found", ASIDE}


def hour_files(layout: Layout) -> Iterator[Path]:
    """Every file that stands where a sensor-hour's file stands, in order of path."""
    return (path for path, inner in _walk(layout.raw) if _HOUR_FILE.match(inner))


def aggregate_folders(layout: Layout) -> list[str]:
    """The names of the assets' folders that have aggregates, in order."""
    try:
        with os.scandir(layout.aggregated) as listing:
            return sorted(item.name for item in listing if item.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def aggregate_files(layout: Layout, folder: str) -> Iterator[Path]:
    """Every file of an asset's folder that stands where an aggregate stands, in order of path."""
    return (path for path, inner in _walk(layout.aggregated, folder) if _AGGREGATE_FILE.match(inner))


def foreign_files(layout: Layout) -> Iterator[Path]:
    """Every file below our directories that is none of ours by its name."""
    yield from (path for path, inner in _walk(layout.raw) if not _HOUR_FILE.match(inner))
    yield from (path for path, inner in _walk(layout.aggregated) if not _AGGREGATE_FILE.match(inner))
    yield from (path for path, inner in _walk(layout.staging) if StagedName.parse(inner) is None)
    yield from (path for path, inner in _walk(layout.ledger) if not _LEDGER_FILE.match(inner))
    for path, inner in _walk(layout.dead_letters):
        day = _DAY.match(inner)
        if not day or StagedName.parse(inner[day.end() :]) is None:
            yield path


def _walk(root: Path, folder: str = "") -> Iterator[tuple[Path, str]]:
    """Every file below the directory's folder, with its path inside it; links are not followed."""
    waiting = [f"{folder}/" if folder else ""]
    while waiting:
        inner = waiting.pop()
        try:
            with os.scandir(root / inner) as listing:
                found = sorted(
                    ((item.name, item.is_dir(follow_symlinks=False)) for item in listing), reverse=True
                )
        except FileNotFoundError:
            continue
        folders = [f"{inner}{name}/" for name, is_folder in found if is_folder]
        waiting += [folder for folder in folders if folder[:-1] not in _NOT_OURS_TO_JUDGE]
        yield from (
            (root / f"{inner}{name}", f"{inner}{name}") for name, is_folder in found[::-1] if not is_folder
        )
