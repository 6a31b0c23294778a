"""Does a locked package have a known weakness? Asks no network: advisories are a file or folder on this machine.

`make audit ADVISORIES=all.zip`, or `python scripts/audit.py all.zip`. Advisories are records of the OSV format
(https://ossf.github.io/osv-schema/) as JSON files, in a folder or a zip file, such as the export that osv.dev
publishes of PyPI. Tells each package, the advisory, and the versions that mend it; exit 1 where there is one.
"""

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
LOCKS = (ROOT / "requirements.txt", ROOT / "config" / "requirements-dev.txt")
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,]+\])?==([^\s;]+)", re.MULTILINE)


def main() -> int:
    """Compare every locked package with every advisory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("advisories", type=Path, help="a folder or a zip file of OSV records")
    parser.add_argument("--lock", type=Path, action="append", help="in place of the project's own locks")
    chosen = parser.parse_args()
    locked = {pin for lock in chosen.lock or LOCKS for pin in pins(lock.read_text())}
    names = {name for name, _ in locked}
    read, found = 0, set[str]()
    for record in records(chosen.advisories):
        read += 1
        for affected in record.get("affected", ()):
            package = affected.get("package", {})
            name = canonicalize_name(package.get("name", ""))
            if package.get("ecosystem") != "PyPI" or name not in names or record.get("withdrawn"):
                continue
            found.update(
                f"{name} {version}: {record['id']} {record.get('summary', '')} ({_mended(affected)})"
                for pinned, version in locked
                if pinned == name and is_affected(version, affected)
            )
    if not read:
        print(f"{chosen.advisories} holds no advisory", file=sys.stderr)
        return 2
    print("\n".join([*sorted(found), f"{len(locked)} packages, {read:,} advisories, {len(found)} found"]))
    return 1 if found else 0


def pins(lock: str) -> set[tuple[str, str]]:
    """Name and version of each package of a lock."""
    return {(canonicalize_name(name), version) for name, version in _PINNED.findall(lock)}


def records(place: Path) -> Iterator[dict[str, Any]]:
    """Every record in a folder or a zip file."""
    if place.is_dir():
        yield from (json.loads(path.read_bytes()) for path in sorted(place.rglob("*.json")))
        return
    with zipfile.ZipFile(place) as archive:
        yield from (json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json"))


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Is this version named, or between where the weakness came in and where it was mended?"""
    if version in affected.get("versions", ()):
        return True
    mine = Version(version)
    return any(
        _in_range(mine, one.get("events", ()))
        for one in affected.get("ranges", ())
        if one.get("type") == "ECOSYSTEM"
    )


def _in_range(mine: Version, events: list[dict[str, str]]) -> bool:
    inside = False
    for event in events:
        ((kind, text),) = event.items()
        try:
            at = Version("0" if text == "0" else text)
        except InvalidVersion:
            continue
        if kind == "introduced":
            inside = inside or mine >= at
        elif kind == "fixed":
            inside = inside and mine < at
        elif kind == "last_affected":
            inside = inside and mine <= at
    return inside


def _mended(affected: dict[str, Any]) -> str:
    fixed = [
        event["fixed"]
        for one in affected.get("ranges", ())
        if one.get("type") == "ECOSYSTEM"
        for event in one.get("events", ())
        if "fixed" in event
    ]
    return f"mended in {', '.join(fixed)}" if fixed else "not mended yet"


if __name__ == "__main__":
    sys.exit(main())
