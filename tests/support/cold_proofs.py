"""Proofs about the cold store, as good with many files as with few: tests run them small, a script in full."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from sensor_storage.cold.store import ColdStore
from sensor_storage.model import Series
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.verify import stored_rows
from support.aggregates import LATER
from support.cloud import Line, every, good
from support.cold import Plant, blobs
from support.trees import HOUR

MUCH_LATER: Final = LATER + 30 * 86_400
_SENSORS: Final = 100
_SHARE: Final = 20
"""One file of so many meets each kind of harm."""


def deletions(root: Path, store: ColdStore, files: int, seed: int = 1) -> dict[str, Any]:
    """Clean up after blobs and files have come to harm: what went, what stayed, and whether any of it was wrong."""
    chance = random.Random(seed)
    plant = Plant(root, store)
    hours = -(-files // _SENSORS)
    for hour in range(hours):
        plant.arrive(_offsets(hour), series=_SERIES, hour=HOUR - hour)
    plant.compact()
    plant.upload()
    names = plant.local()
    chance.shuffle(names)
    harmed = {
        name: kind for kind, name in zip(_kinds(), names[: len(_HARM) * len(names) // _SHARE], strict=False)
    }
    for name, kind in harmed.items():
        _HARM[kind](store, name)
    late = range(10_000_000, 10_000_000 + len(names) // _SHARE)
    for offset, name in zip(late, reversed(names), strict=False):  # readings that come after the upload
        if offset == late[len(late) // 2]:
            plant.compact()  # half of them are in the files by now, half of them wait
        plant.arrive([offset], series=[_series_of(name)], hour=_hour_of(name))
    contents = {name: _digest((plant.layout.root / name).read_bytes()) for name in names}
    report = plant.clean(MUCH_LATER)
    gone = set(names) - set(plant.local())
    wrong = [name for name in gone if _digest(_read(store, name)) != contents[name] or name in harmed]
    healed = plant.upload_now()
    plant.compact()
    plant.upload_now()
    again = plant.clean(MUCH_LATER)
    held: list[int] = []
    stored_rows(plant.layout, lambda rows: held.extend(rows.offset.tolist()), plant.files.find)
    expected = {offset for hour in range(hours) for offset in _offsets(hour)} | set(late)
    return {
        "files": len(names),
        "harmed": len(harmed),
        "removed": report.removed,
        "wrong": len(wrong),
        "kept": report.kept,
        "requests_per_thousand": round(1000 * report.requests / max(report.removed, 1), 1),
        "uploaded_again": healed.uploaded + healed.unchanged + healed.merged,
        "then_removed": again.removed,
        "left": len(plant.local()),
        "lost_readings": len(expected - set(held)),
    }


def writers(make: Callable[[int], Plant], count: int, merges: int, hours: int) -> dict[str, Any]:
    """So many services add readings to the same hours' blobs, each so often: what the blobs hold in the end."""
    plants = [make(number) for number in range(count)]

    def offsets(number: int, turn: int, hour: int) -> range:
        start = ((turn * count + number) * hours + hour) * 10
        return range(start, start + 10)

    def work(number: int) -> int:
        plant, united = plants[number], 0
        for turn in range(merges):
            for hour in range(hours):
                plant.arrive(offsets(number, turn, hour), hour=HOUR - hour)
            plant.compact()
            united += plant.upload(LATER + turn).merged
        for turn in range(50):
            if not plant.catalog.receipts.waiting().files:
                break
            plant.compact()
            united += plant.upload(LATER + 10_000 * (turn + 1)).merged
        return united

    with ThreadPoolExecutor(count) as pool:
        united = sum(pool.map(work, range(count)))
    names = sorted(blobs(plants[0].store, "raw/"))
    for name in names:  # a reader who has nothing of his own
        plants[0].disk.remove([plants[0].layout.root / name])
    held = sorted(offset for name in names for offset in _rows(plants[0], name))
    expected = count * merges * hours * 10
    return {
        "writers": count,
        "merges_each": merges,
        "blobs": len(names),
        "united": united,
        "rows": len(held),
        "lost": len(set(range(expected)) - set(held)),
        "double": len(held) - len(set(held)),
    }


def lost_answers(plant: Plant, line: Line, uploads: int) -> dict[str, Any]:
    """Uploads of which every third is done and its answer lost: what the store and the receipts say in the end."""
    for hour in range(-(-uploads // _SENSORS)):
        plant.arrive(_offsets(hour), series=_SERIES, hour=HOUR - hour)
    plant.compact()
    line.fault = every(3, "before the answer")
    now, rounds = LATER, 0
    while plant.upload(now).waiting:
        now, rounds = now + 1200, rounds + 1
    line.fault = good
    names, there = plant.local(), blobs(plant.store)
    wrong = [
        name
        for name in names
        if name not in there
        or _digest(_read(plant.store, name)) != _digest((plant.layout.root / name).read_bytes())
        or (receipt := plant.catalog.receipts.find(name)) is None
        or receipt.etag.strip('"') != there[name].etag.strip('"')
    ]
    return {
        "uploads": len(names),
        "writes_asked": len(line.writes()),
        "rounds": rounds + 1,
        "wrong": len(wrong),
        "foreign": len(set(there) - set(names)),
    }


_SERIES: Final = tuple(Series(f"press-{number // 10}", f"sensor-{number % 10}") for number in range(_SENSORS))


def _offsets(hour: int) -> range:
    return range(hour * _SENSORS * 4, (hour + 1) * _SENSORS * 4)


def _series_of(name: str) -> Series:
    _, asset, *_, file = name.split("/")
    return Series(asset, file.removesuffix(".parquet"))


def _hour_of(name: str) -> int:
    year, month, day, hour = map(int, name.split("/")[2:6])
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) // 3600


def _kinds() -> Iterator[str]:
    while True:
        yield from _HARM


def _read(store: ColdStore, name: str) -> bytes:
    held = BytesIO()
    store.download(name, held)
    return held.getvalue()


def _digest(data: bytes) -> str:
    return blake2b(data).hexdigest()


def _rows(plant: Plant, name: str) -> list[int]:
    with plant.disk.scratch() as path:
        path.write_bytes(_read(plant.store, name))
        found: list[int] = CheckedFile(path).readings().offset.tolist()
        return found


def _written(change: Callable[[bytes], bytes]) -> Callable[[ColdStore, str], None]:
    def harm(store: ColdStore, name: str) -> None:
        blob = store.look(name)
        store.write(name, change(_read(store, name)), replaces=blob.etag if blob else None, metadata={})

    return harm


_HARM: Final[dict[str, Callable[[ColdStore, str], None]]] = {
    "truncated": _written(lambda data: data[:-10]),
    "replaced by the same size": _written(lambda data: b"x" * len(data)),
    "given another ETag": _written(lambda data: data),
    "removed": lambda store, name: store.delete(name),
}
