"""Apache Kafka's own jars, fetched once, each checked against the digest in `kafka_jars.lock`."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeAlias

from sensor_storage.errors import Halt

KAFKA_VERSION = "4.2.0"
_PARALLEL_DOWNLOADS = 8


class JarsUnavailable(Halt):
    """Kafka's jars are not here and could not be had."""


class Jar(NamedTuple):
    """A jar by its Maven coordinates and the digest of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name every Maven repository gives it."""
        return f"{self.artifact}-{self.version}.jar"


Download: TypeAlias = Callable[[Jar, Path], Path]
"""Brings one jar, with the given folder to work in, and says where it lies."""


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where fetched jars stay: `$SENSOR_STORAGE_CACHE`, else the user's cache folder."""
    if chosen := environment.get("SENSOR_STORAGE_CACHE"):
        return Path(chosen)
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sensor-storage"


def locked_jars() -> list[Jar]:
    """What the broker's class path consists of, in the lock's order."""
    text = files("sensor_storage.demo").joinpath("kafka_jars.lock").read_text("utf-8")
    return [_jar(line) for line in text.splitlines() if not line.startswith("#")]


def kafka_jars(cache: Path, download: Download | None = None) -> Path:
    """The folder with Kafka's jars, complete and checked; fetched when it is not there yet.

    Raises JarsUnavailable when a jar cannot be had or has other bytes than the lock says.
    """
    jars = locked_jars()
    lock_digest = hashlib.sha256(repr(jars).encode()).hexdigest()[:8]
    folder = cache / f"kafka-{KAFKA_VERSION}-{lock_digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache) as aside:
        complete = Path(aside) / "jars"
        complete.mkdir()
        _fetch_all(jars, Path(aside) / "downloads", complete, download or maven_download())
        _publish(complete, folder)
    return folder


def maven_download() -> Download:
    """Downloads from Maven's public repository, by the extra `embedded`."""
    if not find_spec("jgo"):
        raise JarsUnavailable(
            "fetch Apache Kafka for the embedded broker: the package jgo is not installed",
            hint="pip install 'sensor-storage[embedded]'",
        )
    maven = import_module("jgo.maven")

    def download(jar: Jar, folder: Path) -> Path:
        context = maven.MavenContext(repo_cache=folder)
        return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())

    return download


def _jar(line: str) -> Jar:
    coordinates, sha256 = line.split(" sha256=")
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256)


def _fetch_all(jars: list[Jar], downloads: Path, complete: Path, download: Download) -> None:
    def fetch(jar: Jar) -> None:
        arrived = _arrived(jar, downloads, download)
        if hashlib.sha256(arrived.read_bytes()).hexdigest() != jar.sha256:
            raise JarsUnavailable(
                f"fetch Apache Kafka {KAFKA_VERSION}: {jar.file_name} has not the bytes of the lock",
                hint="look at what stands between this machine and the Maven repository, then try again",
            )
        shutil.move(arrived, complete / jar.file_name)

    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        list(pool.map(fetch, jars))


def _arrived(jar: Jar, downloads: Path, download: Download) -> Path:
    try:
        return download(jar, downloads)
    except Exception as error:  # a resolver and its HTTP client raise what they like
        raise JarsUnavailable(
            f"fetch Apache Kafka {KAFKA_VERSION}: {jar.file_name} did not arrive ({error})",
            hint="connect to the network once and run: sensor-storage broker --fetch-only",
        ) from error


def _publish(complete: Path, folder: Path) -> None:
    """Commit point: the folder has its name only when every jar in it has been checked."""
    try:
        complete.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, with the same checked bytes
            raise
