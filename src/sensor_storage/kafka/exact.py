"""One message to its readings: the authority on every form. Faster paths must give exactly this.

- **narrow**, has a `value`: the sensor's reading; further scalars are readings of `<sensor>.<field>`. A
  value that is an object or array is flattened likewise.
- **wide**, has none: each scalar is a reading of `<sensor>.<field>`, or of `<field>` without a sensor.
  Objects and arrays are flattened with dots. The object `values` adds nothing to its fields' names; a field of it
  that is an object with a `value` is a narrow message named by its key, with its own unit, quality and time.
- **waveform**, has a list under `values`: sample i is the sensor's reading at `timestamp` + i / `sample_rate_hz`,
  which an entry of a batch may take from around it; further scalars are readings of `<sensor>.<field>`.
- **batch**, an array of messages, or `readings` with objects: each entry is a message; what it leaves out
  (asset, sensor, time, unit, quality) it takes from around it. Fields beside `readings` are readings too.

Rules where forms meet: a name or time that is null, and an empty name, says nothing, and the next alias is
asked. An alias that did not win is an ordinary field. Unit and quality hold for all readings of their
object, as text; those that are objects or arrays (a unit also: true, false) are ordinary fields. In a wide
message only the first alias of quality is one, because `q` is also a measurement. One bad entry refuses the
whole message.

Readings come in the order of their index: a narrow value first, then fields by the bytes of their flattened
name, then by their path, key by key; in a batch entry after entry, in a waveform sample after sample, and what
stands beside them last.
"""

from collections.abc import Sequence
from datetime import UTC, tzinfo
from math import inf, isnan, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.coding import BAD
from sensor_storage.kafka.fields import (
    Around,
    SpellingWanted,
    asset_of,
    at,
    read_label,
    read_name,
    sensor_of,
    with_sensor,
)
from sensor_storage.kafka.flatten import Fields, Leaf, Leaves, Own
from sensor_storage.kafka.json_tree import Digits, Tree, as_value, parse, parse_spelled
from sensor_storage.kafka.msgpack_tree import Format, is_msgpack, parse_msgpack, spelled
from sensor_storage.kafka.names import ENTRIES, FIELD_MAP, Aliases
from sensor_storage.kafka.refusal import Reason, Refused
from sensor_storage.kafka.timestamps import instant_text, read_timestamp
from sensor_storage.kafka.waveform import (
    MAX_SAMPLES,
    Samples,
    read_rate,
    read_samples,
    sample_time,
    sample_times,
)

MAX_READINGS = 100_000


class Row(NamedTuple):
    """One reading; its index is its place among its message's."""

    asset: str
    sensor: str
    timestamp: int
    value: float
    text: str | None
    unit: str | None
    quality: str | None


class Wave(NamedTuple):
    """The readings of one waveform; `behind` says how many of its message's rows come before them."""

    behind: int
    asset: str
    sensor: str
    timestamps: NDArray[np.int64]
    samples: Samples
    unit: str | None
    quality: str | None


class Rules(NamedTuple):
    """The settings decoding depends on; `earliest` in µs."""

    aliases: Aliases
    zone: tzinfo
    earliest: int
    form: Format = "auto"

    @property
    def naive_is_utc(self) -> bool:
        """Is a time without an offset in UTC?"""
        return self.zone is UTC


class Exact(NamedTuple):
    """The readings of a message, and its tree as parsed."""

    rows: list[Row]
    waves: list[Wave]
    tree: Tree


def decode_exactly(message: bytes, around: Around, latest: int, rules: Rules) -> Exact:
    """The readings of a message, none later than `latest`; Refused where it has none."""
    packed = is_msgpack(message, rules.form)
    tree = parse_msgpack(message) if packed else parse(message)
    try:
        return _Reader(rules, latest).read(tree, around)
    except SpellingWanted:
        again = spelled(tree) if packed else parse_spelled(message)
        return _Reader(rules, latest).read(again, around)._replace(tree=tree)


class _Reader:
    """Collects one message's readings."""

    def __init__(self, rules: Rules, latest: int) -> None:
        self._rules, self._latest = rules, latest
        self._rows: list[Row] = []
        self._waves: list[Wave] = []
        self._samples = 0

    def read(self, tree: Tree, around: Around) -> Exact:
        if isinstance(tree, dict):
            self._message(tree, around, "")
        elif isinstance(tree, list):
            self._entries(tree, around, "")
        if not self._count():
            raise _nothing("the message")
        return Exact(self._rows, self._waves, tree)

    def _count(self) -> int:
        return len(self._rows) + self._samples

    def _entries(self, entries: Sequence[Tree], around: Around, where: str) -> None:
        for place, entry in enumerate(entries):
            here = f"{where}[{place}]"
            if not isinstance(entry, dict):
                raise Refused(
                    Reason.UNSUPPORTED_FORM, f"{here} is not an object", hint="send each reading as an object"
                )
            before = self._count()
            self._message(entry, around, here)
            if self._count() == before:
                raise _nothing(here)

    def _message(self, fields: Fields, outer: Around, where: str) -> None:
        key = next((key for key in self._rules.aliases.value if key in fields), None)
        taken: set[str] = set()
        leaves = Leaves()
        around = self._around(fields, outer, taken, where, narrow=key is not None)
        if key is None:
            around = self._forms(fields, around, taken, leaves, where)
        else:
            taken.add(key)
            leaves.add_value(key, fields[key])
            around = with_sensor(around, "the value", where)
        leaves.add_fields(fields, taken)
        self._emit(leaves.ranked(), around, where)

    def _around(self, fields: Fields, outer: Around, taken: set[str], where: str, *, narrow: bool) -> Around:
        """What holds in an object: its own words, else those from around it."""
        aliases = self._rules.aliases
        unit = read_label(fields, aliases.unit, taken, booleans=False)
        quality = read_label(fields, aliases.quality if narrow else aliases.quality[:1], taken, booleans=True)
        return Around(
            read_name(fields, aliases.asset, taken, where) or outer.asset,
            read_name(fields, aliases.sensor, taken, where) or outer.sensor,
            outer.bare,
            self._time(fields, taken, outer.timestamp, where),
            outer.unit if unit is None else unit,
            outer.quality if quality is None else quality,
            next((fields[key] for key in aliases.rate if fields.get(key) is not None), outer.rate),
        )

    def _time(self, fields: Fields, taken: set[str], missing: int, where: str) -> int:
        for key in self._rules.aliases.time:
            if key in fields:
                taken.add(key)
                given = inf if isinstance(fields[key], Digits) else fields[key]
                if given is not None:
                    try:
                        return read_timestamp(given, self._rules.zone)
                    except Refused as error:
                        raise Refused(error.reason, at(where) + error.message, hint=error.hint) from error
        return missing

    def _forms(self, fields: Fields, around: Around, taken: set[str], leaves: Leaves, where: str) -> Around:
        """The entries of a batch, the fields of a map, the samples of a waveform; what holds for the rest."""
        field_map, entries = fields.get(FIELD_MAP), fields.get(ENTRIES)
        if isinstance(field_map, dict):
            taken.add(FIELD_MAP)
            for key, item in field_map.items():
                self._named(key, item, around, leaves, where)
        if isinstance(entries, list) and (not entries or any(isinstance(entry, dict) for entry in entries)):
            taken.add(ENTRIES)
            self._entries(entries, around, f"{where}.{ENTRIES}" if where else ENTRIES)
        if isinstance(field_map, list):
            taken.update((FIELD_MAP, *self._rules.aliases.rate))
            around = with_sensor(around, "the waveform", where)
            self._wave(field_map, around, where)
        return around

    def _named(self, name: str, item: Tree, around: Around, leaves: Leaves, where: str) -> None:
        """One field of a map: a scalar or container, or a narrow message that is named by its key."""
        aliases = self._rules.aliases
        path = (FIELD_MAP, name)
        key = next((key for key in aliases.value if key in item), None) if isinstance(item, dict) else None
        if key is None:
            leaves.add(name, path, item, None)
            return
        here = f"{where}.{FIELD_MAP}.{name}" if where else f"{FIELD_MAP}.{name}"
        taken = {key}
        unit = read_label(item, aliases.unit, taken, booleans=False)
        quality = read_label(item, aliases.quality, taken, booleans=True)
        own = Own(
            self._time(item, taken, around.timestamp, here),
            around.unit if unit is None else unit,
            around.quality if quality is None else quality,
        )
        leaves.add(name, (*path, key), item[key], own)
        for field, scalar in item.items():
            if field not in taken:
                leaves.add(f"{name}.{field}", (*path, field), scalar, own)

    def _wave(self, items: Sequence[Tree], around: Around, where: str) -> None:
        try:
            rate, samples = read_rate(around.rate), read_samples(items)
        except Refused as error:
            raise Refused(error.reason, at(where) + error.message, hint=error.hint) from error
        if not items:
            return
        self._samples += len(items)
        if self._samples > MAX_SAMPLES:
            raise Refused(
                Reason.TOO_MANY_READINGS,
                f"the message has more than {MAX_SAMPLES} samples",
                hint="send shorter waveforms",
            )
        asset, start = asset_of(around, where), around.timestamp
        self._check_time(start, where)
        self._check_time(sample_time(start, rate, len(items) - 1), where)
        times = sample_times(start, rate, len(items))
        named = around.sensor or ""
        self._waves.append(Wave(len(self._rows), asset, named, times, samples, around.unit, around.quality))

    def _emit(self, leaves: Sequence[Leaf], around: Around, where: str) -> None:
        if not leaves:
            return
        asset, sensor = asset_of(around, where), around.sensor
        general = Own(around.timestamp, around.unit, around.quality)
        self._check_time(around.timestamp, where)
        if len(self._rows) + len(leaves) > MAX_READINGS:
            raise Refused(
                Reason.TOO_MANY_READINGS,
                f"the message has more than {MAX_READINGS} readings",
                hint="send smaller batches",
            )
        for name, path, item, own in leaves:
            timestamp, unit, quality = own or general
            if own:
                self._check_time(timestamp, where)
            value, text = (nan, item) if isinstance(item, str) else as_value(item)
            judged = BAD if isnan(value) and not isinstance(item, str) else quality
            named = sensor_of(sensor, name, path, where)
            self._rows.append(Row(asset, named, timestamp, value, text, unit, judged))

    def _check_time(self, timestamp: int, where: str) -> None:
        if timestamp < self._rules.earliest:
            raise Refused(
                Reason.TIMESTAMP_OUT_OF_RANGE,
                f"{at(where)}the time {instant_text(timestamp)} is before the earliest, "
                f"{instant_text(self._rules.earliest)}",
                hint="set the sender's clock, or lower TIMESTAMP_MIN",
            )
        if timestamp > self._latest:
            raise Refused(
                Reason.TIMESTAMP_OUT_OF_RANGE,
                f"{at(where)}the time {instant_text(timestamp)} is after the latest, {instant_text(self._latest)}",
                hint="set the sender's clock, or raise TIMESTAMP_MAX_AHEAD",
            )


def _nothing(what: str) -> Refused:
    return Refused(
        Reason.NO_READING, f"{what} holds no reading", hint="send an object with a value or with fields"
    )
