"""What the aggregates of an asset were made from, by their footers, and which of them are stale.

The catalog is made again from this, and verification reads it.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from sensor_storage.aggregation.batch import carry_json
from sensor_storage.aggregation.carry import Carry
from sensor_storage.aggregation.files import AggregateFooter, Part, footer_of
from sensor_storage.aggregation.plan import plan_carry_in, reached_hours
from sensor_storage.aggregation.stage import AggregatePolicy
from sensor_storage.aggregation.windows import HOURS_PER_DAY, LEVELS, Level, period_of, period_start
from sensor_storage.errors import Damaged
from sensor_storage.model import Series
from sensor_storage.storage.aggregate_catalog import AggregateFile, AggregateRecord, Spanned
from sensor_storage.storage.layout import Layout, encode_name
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.tree_walk import aggregate_files, aggregate_folders


@dataclass(frozen=True, slots=True)
class Found:
    """One aggregate file: its footer, digest and size."""

    footer: AggregateFooter
    digest: str
    size_bytes: int


@dataclass(slots=True)
class SeriesFiles:
    """The aggregate files of one sensor by level and period."""

    files: dict[Level, dict[int, Found]] = field(default_factory=lambda: {level: {} for level in LEVELS})

    def parts(self, level: Level) -> dict[int, tuple[Part, Found]]:
        """By hour or day the source of a row, and the file the row is in."""
        every = self.files[level].values()
        return {part.number: (part, file) for file in every for part in file.footer.parts}


@dataclass(slots=True)
class Look:
    """What a sensor's aggregates were made from, and why some are stale."""

    records: list[AggregateRecord] = field(default_factory=list)
    stale: dict[Spanned, str] = field(default_factory=dict)


@dataclass(slots=True)
class AssetFiles:
    """The aggregates of one asset, and the files that can't be read or are not where they belong."""

    series: dict[Series, SeriesFiles] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)
    misplaced: dict[Path, Path] = field(default_factory=dict)

    def add(self, layout: Layout, path: Path) -> None:
        """Read the footer of one more file."""
        try:
            file = CheckedFile(path, coded=False)
            footer = footer_of(file)
        except FileNotFoundError:
            return
        except (Damaged, pa.ArrowException) as error:
            self.damaged[path] = error.message if isinstance(error, Damaged) else str(error)
            return
        place = layout.aggregate_file(footer.series, footer.level, period_start(footer.level, footer.period))
        if place != path:
            self.misplaced[path] = place
            return
        self.put(Found(footer, file.digest, file.size_bytes))

    def put(self, found: Found) -> None:
        """One more file, which is sound and in its place."""
        mine = self.series.setdefault(found.footer.series, SeriesFiles())
        mine.files[found.footer.level][found.footer.period] = found

    def sizes(self) -> Iterator[AggregateFile]:
        """Every file with its size."""
        for series, files in self.series.items():
            for level, periods in files.files.items():
                for period, file in periods.items():
                    yield AggregateFile(series, level, period, file.size_bytes, file.digest)


def assets(layout: Layout, *, without: Container[str] = ()) -> Iterator[AssetFiles]:
    """The aggregates of each asset, one asset at a time, but for the folders named."""
    for folder in aggregate_folders(layout):
        if folder not in without:
            yield asset_files(layout, aggregate_files(layout, folder))


def asset_of(layout: Layout, asset: str, known: Mapping[Path, Found]) -> AssetFiles:
    """The aggregates of one asset, of which some have been read already."""
    return asset_files(layout, aggregate_files(layout, encode_name(asset)), known)


def asset_files(
    layout: Layout, paths: Iterable[Path], known: Mapping[Path, Found] | None = None
) -> AssetFiles:
    """The aggregates that these files are."""
    found = AssetFiles()
    for path in paths:
        if known and path in known:
            found.put(known[path])
        else:
            found.add(layout, path)
    return found


def plan_stale(
    series: Series, files: SeriesFiles, contents: Mapping[int, str], policy: AggregatePolicy
) -> Look:
    """Hold a sensor's aggregates against the content digests of its hour files: pure.

    Hours without an hour file here are taken as they are.
    """
    look = Look()
    limit = policy.parameters.carry_limit_us
    minutes = files.parts("minute")
    carries = {number: found.footer.carry_out for number, (_, found) in minutes.items()}
    rows = files.parts("hour")
    for number in sorted({*minutes, *contents}) if policy.levels else ():
        key = Spanned(series, "hour", number)
        if number not in minutes:
            look.stale[key] = "not made yet"
            continue
        part, found = minutes[number]
        carry_in, carry_out = carry_json(part.carry_in), carry_json(found.footer.carry_out)
        look.records.append(AggregateRecord(key, part.digest, carry_in, carry_out, found.digest))
        if number not in contents:
            continue
        if part.digest != contents[number]:
            look.stale[key] = "made of other readings than the hour file holds"
        elif found.footer.parameters[part.made_with] != policy.parameters:
            look.stale[key] = "made with other parameters than those that are set"
        elif part.carry_in != plan_carry_in(carries, number, limit):
            look.stale[key] = "another reading is held when it begins"
        elif "hour" in policy.levels and (number not in rows or rows[number][0].digest != found.digest):
            look.stale[key] = "its day's file of hours is not made of it"
    if "day" in policy.levels:
        _days(series, files, policy, carries, look)
    return look


def without_cold(
    stale: Mapping[Spanned, str], cold: Mapping[str, AbstractSet[int]], limit: int
) -> dict[Spanned, str]:
    """What is stale, but for what files in the cold store alone may explain: pure.

    `cold` has by level the periods whose files are not here.
    """
    hours = cold.get("minute", frozenset())

    def explained(key: Spanned) -> bool:
        first = key.number * (1 if key.span == "hour" else HOURS_PER_DAY)
        day = period_start("hour", first // HOURS_PER_DAY)
        month = period_of("day", int(day.timestamp()) * 1_000_000)
        return (
            any(hour in hours for hour in range(first - reached_hours(limit), first + 1))
            or first // HOURS_PER_DAY in cold.get("hour", frozenset())
            or (key.span == "day" and month in cold.get("day", frozenset()))
        )

    return {key: why for key, why in stale.items() if not explained(key)}


def _days(
    series: Series,
    files: SeriesFiles,
    policy: AggregatePolicy,
    carries: Mapping[int, Carry | None],
    look: Look,
) -> None:
    days = files.parts("day")
    for day, hours in sorted(files.files["hour"].items()):
        key = Spanned(series, "day", day)
        if day not in days:
            look.stale[key] = "not made yet"
            continue
        part, found = days[day]
        record = AggregateRecord(key, part.digest, carry_json(part.carry_in), None, found.digest)
        look.records.append(record)
        expected = plan_carry_in(carries, day * HOURS_PER_DAY, policy.parameters.carry_limit_us)
        if part.digest != hours.digest:
            look.stale[key] = "made of other hours than its file of hours holds"
        elif found.footer.parameters[part.made_with] != policy.parameters:
            look.stale[key] = "made with other parameters than those that are set"
        elif part.carry_in != expected:
            look.stale[key] = "another reading is held when it begins"
