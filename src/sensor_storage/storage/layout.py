"""Every path of the tree: the one module that formats and parses names.

Names come from strangers. A name becomes a path segment by percent-encoding its UTF-8 bytes as received:
`A-Z a-z 0-9 _ -` and inner single dots stay, every other byte is `%XX`; a segment over 200 bytes is its
first bytes, `~` and a digest of the name. No two names share a segment, and no segment leaves its root.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from sensor_storage.model import SensorHour, Series

MAX_SEGMENT_BYTES = 200
_DIGEST_CHARACTERS = 32
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_AGGREGATE_FOLDERS = {"minute": "%Y/%m/%d/%H", "hour": "%Y/%m/%d", "day": "%Y/%m"}
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")
_OF_DAY = re.compile(r"[^/]+/(?P<folder>[^/]+)/(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d)/")
_SECONDS_PER_DAY = 86_400
_STAGED = re.compile(r"(?P<created>\d{13})-(?P<worker>[a-z0-9]+)-(?P<number>\d+)\.(?P<level>\d+)\.parquet\Z")


@lru_cache(10_000)
def encode_name(name: str) -> str:
    """The path segment of an asset's or sensor's name: injective, safe on every file system and blob store."""
    if _PLAIN.match(name) and len(name) <= MAX_SEGMENT_BYTES:
        return name
    raw = name.encode()
    encoded = "".join(_encoded_byte(raw, place) for place in range(len(raw))) or "%"
    if len(encoded) <= MAX_SEGMENT_BYTES:
        return encoded
    digest = blake2b(raw, digest_size=_DIGEST_CHARACTERS // 2).hexdigest()
    prefix = encoded[: MAX_SEGMENT_BYTES - _DIGEST_CHARACTERS - 1]
    return re.sub(r"%.?\Z", "", prefix) + "~" + digest


def _encoded_byte(raw: bytes, place: int) -> str:
    byte = raw[place]
    inner_dot = (
        byte == ord(".")
        and 0 < place < len(raw) - 1
        and raw[place - 1] != ord(".")
        and raw[place + 1] != ord(".")
    )
    return chr(byte) if byte in _SAFE or inner_dot else f"%{byte:02X}"


def day_of(name: str) -> tuple[str, int] | None:
    """The asset's folder, and the day since 1970, of a file's name from the data directory on.

    None for the files of a whole month, and for what is no such name.
    """
    match = _OF_DAY.match(name)
    if not match:
        return None
    with suppress(ValueError):
        date = datetime(int(match["year"]), int(match["month"]), int(match["day"]), tzinfo=UTC)
        return match["folder"], int(date.timestamp()) // _SECONDS_PER_DAY
    return None


@dataclass(frozen=True, slots=True, order=True)
class StagedName:
    """A segment's (level 0) or run's file name: when it was created (ms), by whom, which, and its level."""

    created: int
    worker: str
    number: int
    level: int

    def __str__(self) -> str:
        """The file name."""
        return f"{self.created:013d}-{self.worker}-{self.number}.{self.level}.parquet"

    @classmethod
    def parse(cls, name: str) -> "StagedName | None":
        """The parts of a staged file's name, or None for any other file."""
        match = _STAGED.match(name)
        if not match:
            return None
        return cls(int(match["created"]), match["worker"], int(match["number"]), int(match["level"]))


class Layout:
    """Where everything of one data directory is. `raw` is the setting `LOCAL_STORAGE_PATH`."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw
        self.root = raw.parent
        self.aggregated = self.root / "aggregated"
        self.staging = self.root / "staging"
        self.dead_letters = self.root / "deadletter"
        self.ledger = self.root / "ledger"
        self.damaged = self.root / "damaged"
        self.run = self.root / "run"
        self.cache = self.root / "cache"
        self.catalog = self.root / "catalog.db"
        self.cold_store_id = self.root / "cold-store-id"
        self.instance_id = self.root / "instance-id"

    def may_be_ours(self) -> bool:
        """Is this a data directory, or one still empty but for what a file system puts into a new disk?"""
        kept = (self.raw, self.aggregated, self.staging, self.dead_letters, self.ledger, self.damaged)
        ours = (*kept, self.run, self.catalog, self.instance_id)
        return any(path.exists() for path in ours) or all(
            path.name == "lost+found" or path.name.startswith(".") for path in self.root.iterdir()
        )

    def hour_file(self, key: SensorHour) -> Path:
        """The one file of a sensor-hour."""
        return Path(f"{self.root}/{self.hour_name(key)}")

    def hour_name(self, key: SensorHour) -> str:
        """The same below the data directory: the name of its blob."""
        asset, sensor = encode_name(key.series.asset), encode_name(key.series.sensor)
        return f"{self.raw.name}/{asset}/{key.start:%Y/%m/%d/%H}/{sensor}.parquet"

    def aggregate_file(self, series: Series, level: str, start: datetime) -> Path:
        """The file of a level's windows in the hour (minutes), day (hours) or month (days) from `start`."""
        return Path(f"{self.root}/{self.aggregate_name(series, level, start)}")

    def aggregate_name(self, series: Series, level: str, start: datetime) -> str:
        """The same below the data directory: the name of its blob."""
        asset, sensor = encode_name(series.asset), encode_name(series.sensor)
        folder = f"{self.aggregated.name}/{asset}/{start:{_AGGREGATE_FOLDERS[level]}}"
        return f"{folder}/{sensor}_{level}.parquet"

    def asset_folder(self, asset: str) -> Path:
        """Where all hour files of an asset are."""
        return self.raw / encode_name(asset)

    def day_folder(self, tree: Path, asset: str, start: datetime) -> Path:
        """Where an asset's files of a day are, in `raw` or `aggregated`."""
        return tree / encode_name(asset) / f"{start:%Y/%m/%d}"

    def day_folders(self, asset: str, day: int) -> tuple[str, str]:
        """With what the names of an asset's files of a day since 1970 begin, in either tree."""
        start = datetime.fromtimestamp(day * _SECONDS_PER_DAY, UTC)
        aggregated, raw = (self.day_folder(tree, asset, start) for tree in (self.aggregated, self.raw))
        return f"{self.relative(aggregated)}/", f"{self.relative(raw)}/"

    def staged(self, name: StagedName) -> Path:
        """A segment's or run's file."""
        return self.staging / str(name)

    def dead_letter_file(self, name: StagedName) -> Path:
        """The dead letters of the segment of that name."""
        day = datetime.fromtimestamp(name.created / 1000, UTC)
        return self.dead_letters / f"{day:%Y/%m/%d}" / str(name)

    def ledger_file(self, created_seconds: float) -> Path:
        """The ledger of the UTC day on which segments were retired."""
        day = datetime.fromtimestamp(created_seconds, UTC)
        return self.ledger / f"{day:%Y/%m}" / f"{day:%d}.parquet"

    def staged_files(self) -> list[tuple[StagedName, Path]]:
        """Segments and runs, oldest first."""
        if not self.staging.is_dir():
            return []
        named = ((StagedName.parse(path.name), path) for path in self.staging.iterdir())
        return sorted((name, path) for name, path in named if name is not None)

    def staged_bytes(self) -> int:
        """The bytes of all segments and runs; one that is removed meanwhile counts nothing."""
        total = 0
        for _, path in self.staged_files():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def ledger_files(self) -> list[Path]:
        """Ledger files, oldest first."""
        return sorted(self.ledger.glob("*/*/*.parquet"))

    def dead_letter_files(self) -> list[Path]:
        """Dead letter files, oldest first."""
        return sorted(self.dead_letters.glob("*/*/*/*.parquet"))

    def hour_files(self) -> list[Path]:
        """Every sensor-hour's file, by a walk over the tree: for rebuild and full verification only."""
        return sorted(self.raw.glob("*/*/*/*/*/*.parquet"))

    def relative(self, path: Path) -> str:
        """The path as users write it, below the data directory."""
        return path.relative_to(self.root).as_posix()
