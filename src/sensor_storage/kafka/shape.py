"""Many messages of one outline to readings: exactly what `decode_exactly` gives, or left to it.

A message that differs in any way from the outline (unknown keys, other kinds) misses the struct; one whose
meaning its kinds do not settle (`records`) is not settled. Both are left to the exact way, whole.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.coding import Codebook
from sensor_storage.kafka.columns import table
from sensor_storage.kafka.exact import MAX_READINGS
from sensor_storage.kafka.json_tree import is_large as is_large_json
from sensor_storage.kafka.msgpack_tree import SMALL
from sensor_storage.kafka.msgpack_tree import is_large as is_large_msgpack
from sensor_storage.kafka.names import ENTRIES, Aliases, key_asset
from sensor_storage.kafka.outline import Form, Spot
from sensor_storage.kafka.records import Block, Context, Mask, Records, Rows, Structs, Surroundings
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.readings import Readings

_HOPELESS = 16
"""A batch whose first so many messages all differ from the outline is not tried further."""
_WIDE = 64
"""Structs of so many members are worth a look at how many a message may hold."""
_CELLS_PER_BYTE = 2
_MAX_CELLS = 4_000_000
_NO_MAPS = bytes(set(range(256)) - {*range(0x80, 0x90), 0xDE, 0xDF})


class Parsed(NamedTuple):
    """The messages that have the outline, where they stand, and where the others do."""

    structs: list[Any]
    rows: Rows
    others: Rows


class Shape:
    """Reads messages of one form. All of a frame's names must be there; any field may be missing."""

    def __init__(
        self, form: Form, outer: Sequence[Spot], entries: Sequence[Spot], aliases: Aliases, *, packed: bool
    ) -> None:
        self.form, self.hits = form, 0
        self._packed = packed
        self._outer: Records | None = None
        self._entries: Records | None = None
        further: dict[str, Any] = {}
        if form.entries:
            self._entries = Records(table(form.entries, entries, aliases, {}), packed=packed)
            further = {ENTRIES: list[self._entries.table.struct]}  # type: ignore[name-defined]
        if form.outer:
            self._outer = Records(table(form.outer, outer, aliases, further), packed=packed)
        records = [part for part in (self._outer, self._entries) if part]
        struct: Any = self._outer.table.struct if self._outer else further[ENTRIES]
        decoder: Any = msgspec.msgpack.Decoder(struct) if packed else msgspec.json.Decoder(struct)
        self._decode: Callable[[bytes], Any] = decoder.decode
        self._width = sum(part.table.width for part in records)
        self.has_columns = bool(records[-1].table.columns)
        self._needs_key = "asset" not in records[0].table.frame

    def parse(self, values: Sequence[bytes | None], rows: Rows) -> Parsed:
        """Tell the messages that have the outline from the others."""
        if self._entries or self._width > _WIDE:
            fit = np.fromiter((self._fits(values[row] or b"") for row in rows.tolist()), np.bool_, len(rows))
            parsed = self._parse(values, rows[fit])
            return parsed._replace(others=np.sort(np.concatenate([parsed.others, rows[~fit]])))
        return self._parse(values, rows)

    def _fits(self, message: bytes) -> bool:
        """Is it certain that a message's structs take no more memory than its bytes are worth?"""
        objects = len(message.translate(None, _NO_MAPS)) if self._packed else message.count(b"{")
        if objects * self._width > min(_CELLS_PER_BYTE * len(message), _MAX_CELLS):
            return False
        return len(message) <= SMALL or not (is_large_msgpack if self._packed else is_large_json)(message)

    def _parse(self, values: Sequence[bytes | None], rows: Rows) -> Parsed:
        todo: Iterable[Any] = values if len(rows) == len(values) else map(values.__getitem__, rows.tolist())
        rest = iter(todo)
        structs: list[Any] = []
        misses: list[int] = []
        while True:
            try:
                # What was decoded before an error stays in the list, and the iterator goes on behind it.
                structs.extend(map(self._decode, rest))
                break
            except (ValueError, RecursionError):
                misses.append(len(structs) + len(misses))
                if not structs and len(misses) >= _HOPELESS:
                    return Parsed([], rows[:0], rows)
        missed = np.zeros(len(rows), np.bool_)
        missed[misses] = True
        return Parsed(structs, rows[~missed], rows[missed])

    def read(self, structs: Structs, rows: Rows, around: Surroundings) -> tuple[Readings, Mask]:
        """The readings of those messages that are settled here, and which these are."""
        rules, bare = around.rules, around.names.remainder
        context = self._message_context(rows, around)
        latest = around.latest[rows]
        settled = np.ones(len(structs), np.bool_)
        total = np.zeros(len(structs), np.int64)
        blocks: list[tuple[Records, Block, NDArray[np.int64]]] = []
        if self._outer:
            context, settled = self._outer.context(structs, context, bare, rules)
        if self._entries:
            lists = (
                list(map(attrgetter(self._outer.table.frame[ENTRIES].attribute), structs))
                if self._outer
                else structs
            )
            message = np.repeat(np.arange(len(structs)), np.fromiter(map(len, lists), np.int64, len(structs)))
            entries = list(chain.from_iterable(lists))
            inner, good = self._entries.context(entries, context.take(message), bare, rules)
            cells = self._entries.cells(entries)
            own, sure = self._entries.settle(entries, inner, cells, latest[message], rules)
            counts = cells.present.sum(axis=0)
            settled[message[~(good & sure & (counts > 0))]] = False
            before = np.cumsum(counts) - counts
            total = np.bincount(message, counts, minlength=len(structs)).astype(np.int64)
            starts = np.cumsum(total) - total
            blocks.append(
                (self._entries, Block(inner, own, cells, rows[message], before - starts[message]), message)
            )
        if self._outer:
            cells = self._outer.cells(structs)
            own, sure = self._outer.settle(structs, context, cells, latest, rules)
            settled &= sure
            everyone = np.arange(len(structs))
            blocks.append((self._outer, Block(context, own, cells, rows, total), everyone))
            total = total + cells.present.sum(axis=0)
        settled &= (total > 0) & (total <= MAX_READINGS)
        found = [records.readings(block, settled[message], around) for records, block, message in blocks]
        return Readings.concat(found), settled

    def _message_context(self, rows: Rows, around: Surroundings) -> Context:
        count = len(rows)
        asset: Coded[str] = Coded.constant(around.names.asset, count)
        if self._needs_key and not around.names.asset:
            book = Codebook[str]()
            keys = map(around.batch.key.__getitem__, rows.tolist())
            asset = Coded(book.codes(map(key_asset, keys), count), book.coded())
        nothing: Coded[str] = Coded.constant(None, count)
        sensor = Coded.constant(around.names.sensor, count)
        return Context(asset, sensor, around.kafka_time[rows], nothing, nothing)
