"""Which file system a folder is on, and whether what is written there can be relied upon."""

import re
from pathlib import Path
from typing import Final

from sensor_storage.errors import Usage

_MOUNTS: Final = Path("/proc/self/mountinfo")
NETWORK: Final = frozenset({
    "afs", "beegfs", "ceph", "cifs", "fuse.blobfuse", "fuse.blobfuse2", "fuse.ceph", "fuse.gcsfuse",
    "fuse.glusterfs", "fuse.goofys", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "nfs",
    "nfs4", "ocfs2", "smb3", "smbfs",
})  # fmt: skip
"""Several machines may write there at once, and neither locks nor SQLite's shared memory hold between them."""

SHARED: Final = frozenset({"9p", "drvfs", "fuse.grpcfuse", "vboxsf", "virtiofs"})
"""Folders of the machine that this one is simulated on: slow, and syncs may stop half-way."""


def kind_of(path: Path, mountinfo: str) -> str:
    """The type of the file system the path is on, by `/proc/self/mountinfo`; empty where that does not say."""
    found, longest = "", -1
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 5 or not kinds[0]:  # noqa: PLR2004 - the mount point is the fifth field
            continue
        mount = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if len(mount.parts) >= longest and (path == mount or mount in path.parents):
            found, longest = kinds[0], len(mount.parts)
    return found


def file_system_of(path: Path) -> str:
    """The type of the file system the path is on, or would be made on; empty where that can't be seen."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return kind_of(there.resolve(), _MOUNTS.read_text()) if _MOUNTS.exists() else ""


def refuse_network(path: Path) -> None:
    """Usage when the path is on a network file system."""
    kind = file_system_of(path)
    if kind in NETWORK:
        raise Usage(
            f"{path} is on a network file system ({kind}), where neither locks nor the catalog can be relied upon",
            hint="set LOCAL_STORAGE_PATH to a folder on a local disk or block device; a network share may be the"
            " cold store: COLD_STORE_URL=file:///…",
        )
