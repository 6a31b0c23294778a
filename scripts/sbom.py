"""What the service is made of: a bill of materials (CycloneDX 1.6), and a list of licences, from lock and packages.

    .venv/bin/python scripts/sbom.py dist/sbom.json     the bill
    .venv/bin/python scripts/sbom.py --licences         a line a package: name, version, licence

Every package of requirements.txt that this platform installs is in it, with the lock's digests. A package without a
known licence, or with one outside the list below, ends it with 1.
"""

import json
import re
import sys
import uuid
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(
    r"^(?P<name>[a-z0-9][\w.-]*)(?:\[[\w,]+\])?==(?P<version>\S+)(?: ; (?P<marker>.*?))?(?: \\)?$"
)
ACCEPTED = (
    "0BSD",
    "3-Clause BSD",
    "Apache",
    "BSD",
    "CC0",
    "ISC",
    "MIT",
    "MPL",
    "PSF",
    "Python",
    "Unlicense",
    "Zlib",
)
"""Beginnings of licences whose software may be passed on with ours."""

TOLD_ELSEWHERE = {"promql-parser": "MIT"}
"""Licences of packages whose metadata name none; each read by a person in the package's own LICENSE."""


class Package(NamedTuple):
    """One line of the lock."""

    name: str
    version: str
    digests: list[str]
    licence: str


def packages() -> list[Package]:
    """Those of the lock that are installed here."""
    found: list[Package] = []
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.txt").read_text())
    for block in blocks:
        head = PIN.match(block.splitlines()[0]) if block.strip() else None
        if head is None:
            continue
        try:
            told = metadata(head["name"])
        except PackageNotFoundError:
            continue  # of another platform
        if told["Version"] != head["version"]:
            continue  # of another Python
        digests = re.findall(r"--hash=sha256:([0-9a-f]{64})", block)
        found.append(Package(head["name"], head["version"], digests, licence(head["name"], told)))
    return found


def licence(name: str, told: PackageMetadata) -> str:
    """The licence a package's metadata name: by expression, by classifier, or in words."""
    if name in TOLD_ELSEWHERE:
        return TOLD_ELSEWHERE[name]
    expression = told.get("License-Expression")
    if expression:
        return str(expression)
    classes = [
        one.rsplit(" :: ", 1)[-1] for one in told.get_all("Classifier", []) if one.startswith("License ::")
    ]
    words = str(told.get("License") or "").strip().split("\n")[0]
    return " OR ".join(classes) or words


def accepted(named: str) -> bool:
    """May it be passed on? Of several joined by OR, one is enough."""
    return any(
        all(part.strip(" ()").startswith(ACCEPTED) for part in re.split(r" AND ", choice))
        for choice in re.split(r" OR |/", named)
    )


def bill(parts: list[Package], version: str) -> dict[str, Any]:
    """The bill; the same parts give the same bytes."""
    digest = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([version, *parts]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{digest}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "sensor-storage", "version": version,
                                   "licenses": [{"license": {"id": "MIT"}}]}},
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{part.name}@{part.version}",
                "name": part.name,
                "version": part.version,
                "purl": f"pkg:pypi/{part.name}@{part.version}",
                "licenses": [{"license": {"name": part.licence}}],
                "properties": [{"name": "lock:sha256", "value": one} for one in part.digests],
            }
            for part in parts
        ],
    }  # fmt: skip


def main() -> int:
    """Write the bill, or list the licences; 1 where one is missing or not accepted."""
    parts = packages()
    if "--licences" in sys.argv[1:]:
        for part in parts:
            print(f"{part.name}\t{part.version}\t{part.licence}")
    else:
        text = json.dumps(bill(parts, metadata("sensor-storage")["Version"]), indent=2) + "\n"
        Path(sys.argv[1]).write_text(text)
    wrong = [part for part in parts if not accepted(part.licence)]
    for part in wrong:
        print(f"{part.name} {part.version}: licence {part.licence or 'unknown'}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
