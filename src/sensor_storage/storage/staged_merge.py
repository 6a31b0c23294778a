"""The waiting rows of staged files as one ordered whole, read in blocks that fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensor_storage.storage.alive import Alive, nothing
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings, union
from sensor_storage.storage.staging import Keys, SensorHourKeys, StagedFile
from sensor_storage.storage.stretches import Stretch, apart, merge_stretches


@dataclass(frozen=True, eq=False)
class Block:
    """Whole sensor-hours in canonical order; `large` if it is one alone that has more rows than a block should."""

    keys: Keys
    large: bool
    entries: list[NDArray[np.int64]]
    """For each staged file the places of these sensor-hours in its index."""


def plan_blocks(rows: NDArray[np.int64], max_rows: int) -> NDArray[np.int64]:
    """For each sensor-hour, given by its rows in canonical order, the number of its block.

    A block has about `max_rows` rows; a sensor-hour with more is alone in its own.
    """
    large = rows > max_rows
    filled = (np.cumsum(np.where(large, 0, rows)) - 1) // max_rows
    place = 2 * np.cumsum(large) - large
    changes = (np.diff(filled) > 0) & ~large[1:] & ~large[:-1] | (np.diff(place) > 0)
    return np.concatenate([[0], np.cumsum(changes)])[: len(rows)]


class StagedMerge:
    """The rows of the wanted sensor-hours, or of all, that wait in the files. Each file is opened once."""

    def __init__(
        self, files: Sequence[StagedFile], keys: SensorHourKeys, wanted: "Keys | None" = None
    ) -> None:
        self._files = files
        self._keys = keys
        self._entries = [_chosen(file, wanted) for file in files]
        self._open: dict[int, CheckedFile] = {}

    def blocks(
        self,
        max_rows: int,
        held: "Callable[[Keys], NDArray[np.int64]] | None" = None,
        max_keys: int | None = None,
    ) -> Iterator[Block]:
        """The blocks in canonical order, each with at most about so many sensor-hours.

        `held` says how many rows beside the waiting ones each sensor-hour will meet.
        """
        none = np.empty(0, np.int64)
        chosen = np.concatenate([none, *(f.keys[e] for f, e in zip(self._files, self._entries, strict=True))])
        counts = np.concatenate(
            [none, *(f.counts[e] for f, e in zip(self._files, self._entries, strict=True))]
        )
        if not len(chosen):
            return
        _, first, order = np.unique(self._keys.canonical(chosen), return_index=True, return_inverse=True)
        ordered = chosen[first]
        rows = held(ordered) if held else np.zeros(len(ordered), np.int64)
        np.add.at(rows, order, counts)
        number = plan_blocks(np.maximum(rows, max_rows // max_keys) if max_keys else rows, max_rows)
        of_entry = np.split(number[order], np.cumsum([len(entries) for entries in self._entries])[:-1])
        for block in range(int(number[-1]) + 1):
            members = number == block
            yield Block(
                keys=ordered[members],
                large=int(rows[members].max()) > max_rows,
                entries=[mine[of == block] for mine, of in zip(self._entries, of_entry, strict=True)],
            )

    def read(self, block: Block) -> Readings:
        """All waiting rows of the block, at once."""
        return union(
            [
                file.read(entries, self._opened(number))
                for number, (file, entries) in enumerate(zip(self._files, block.entries, strict=True))
                if len(entries)
            ]
        )

    def drain(self, block: Block, written: Sequence[int]) -> None:
        """These sensor-hours of the block are in durable hour files: none of their rows waits any more."""
        for file, entries in zip(self._files, block.entries, strict=True):
            file.waiting[entries[np.isin(file.keys[entries], written)]] = 0

    def stretches(self, block: Block) -> list[Stretch]:
        """Where the waiting rows of a large block are."""
        return [
            Stretch(
                self._opened(number), int(file.starts[place]), int(file.starts[place] + file.counts[place])
            )
            for number, (file, entries) in enumerate(zip(self._files, block.entries, strict=True))
            for place in entries.tolist()
        ]

    def rows(self, disk: Disk, max_rows: int, alive: Alive = nothing) -> Iterator[Readings]:
        """All waiting rows in canonical order, about `max_rows` at a time."""
        for block in self.blocks(max_rows):
            if not block.large:
                yield self.read(block)
                continue
            with apart(self.stretches(block), disk, max_rows, alive) as stretches:
                yield from merge_stretches(stretches, max_rows)

    def _opened(self, number: int) -> CheckedFile:
        if number not in self._open:
            self._open[number] = self._files[number].opened()
        return self._open[number]


def _chosen(file: StagedFile, wanted: "Keys | None") -> NDArray[np.int64]:
    mask = file.waiting > 0
    if wanted is not None:
        mask &= np.isin(file.keys, wanted)
    return np.flatnonzero(mask)
