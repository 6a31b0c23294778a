"""The data directory: may it be written, is it a local disk, does it tell names apart, is there room."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sensor_storage.checks.finding import Finding, bad, good, unknown
from sensor_storage.errors import Usage
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.file_system import NETWORK, SHARED, file_system_of
from sensor_storage.storage.layout import Layout

_LOW_BYTES = 1_000_000_000


def check_disk(layout: Layout, *, high_watermark: float) -> Iterator[Finding]:
    """The directory as it is; one that is not there yet is judged by what it would be made in."""
    place = next(folder for folder in (layout.root, *layout.root.parents) if folder.exists())
    yield _writable(layout, place)
    yield judge_kind(file_system_of(place))
    if place == layout.root and os.access(place, os.W_OK):
        yield _names(place)
    usage = shutil.disk_usage(place)
    yield judge_space(usage.used / max(usage.used + usage.free, 1), usage.free, high_watermark)


def _writable(layout: Layout, place: Path) -> Finding:
    name = "data directory"
    if place != layout.root:
        if os.access(place, os.W_OK | os.X_OK):
            return good(name, f"{layout.root} is not there yet and can be made")
        return bad(name, f"{layout.root} can't be made in {place}", _fix_of_rights())
    parts = [layout.raw, layout.aggregated, layout.staging, layout.dead_letters, layout.ledger, layout.run]
    try:
        Disk(layout.root).check_one_file_system(parts)
    except Usage as error:
        return bad(name, error.message, error.hint)
    return good(name, f"{layout.root} can be written, and all its parts are on one file system")


def _fix_of_rights() -> str:
    return f"let user {os.getuid()} write there (in Kubernetes: fsGroup), or set LOCAL_STORAGE_PATH"


def judge_kind(kind: str) -> Finding:
    """May readings be kept on such a file system?"""
    name = "file system"
    if not kind:
        return unknown(name, "its type can't be seen from here", "see that it is a local disk")
    if kind in NETWORK:
        fix = "use a local disk or a block device: SQLite and syncs can't be trusted over a network"
        return bad(name, f"{kind} is a network file system, and the service refuses it", fix)
    if kind in SHARED:
        fix = "use a disk of this machine's own: what is synced there may not be on the other's disk"
        return bad(name, f"{kind} is a folder of another machine", fix)
    if kind in {"tmpfs", "ramfs"}:
        return bad(name, f"{kind} is memory: all is gone with a restart", "use a disk")
    if kind == "overlay":
        fix = "mount a volume at the data directory"
        return bad(name, "overlay is the container's own layer: all is gone with the container", fix)
    return good(name, f"{kind}")


def _names(root: Path) -> Finding:
    probe = root / f".probe-a{os.getpid()}"
    try:
        probe.touch()
        alike = probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink(missing_ok=True)
    if alike:
        fix = "use a case-sensitive file system: the sensors `a` and `A` must not share a file"
        return bad("names", "the file system takes A and a for the same name", fix)
    return good("names", "upper and lower case are told apart")


def judge_space(used_share: float, free_bytes: int, high_watermark: float) -> Finding:
    """Is there room to work?"""
    told = f"{free_bytes / 1e9:,.1f} GB free, {used_share:.0%} used"
    if used_share >= high_watermark or free_bytes < _LOW_BYTES:
        fix = f"free space or enlarge the disk: consumption pauses above DISK_HIGH_WATERMARK ({high_watermark:.0%})"
        return bad("disk space", told, fix)
    return good("disk space", told)
