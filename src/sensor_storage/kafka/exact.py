"""One message to its readings: the authority on every form. Faster paths must give exactly this.

- **narrow**, has a `value`: the sensor's reading; further scalars are readings of `<sensor>.<field>`. A
  value that is an object or array is flattened likewise.
- **wide**, has none: each scalar is a reading of `<sensor>.<field>`, or of `<field>` without a sensor.
  Objects and arrays are flattened with dots. The object `values` adds nothing to its fields' names.
- **batch**, an array of messages, or `readings` with objects: each entry is a message; what it leaves out
  (asset, sensor, time, unit, quality) it takes from around it. Fields beside `readings` are readings too.

Rules where forms meet: a name or time that is null, and an empty name, says nothing, and the next alias is
asked. An alias that did not win is an ordinary field. Unit and quality hold for all readings of their
object, as text; those that are objects or arrays (a unit also: true, false) are ordinary fields. In a wide
message only the first alias of quality is one, because `q` is also a measurement. One bad entry refuses the
whole message.

Readings come in the order of their index: a narrow value first, then fields by the bytes of their flattened
name, then by their path, key by key; in a batch entry after entry, and what stands beside them last.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from math import inf, isnan, nan
from typing import NamedTuple

from sensor_storage.kafka.flatten import Fields, Leaf, Leaves
from sensor_storage.kafka.json_tree import Digits, Tree, as_value, parse, parse_spelled, spelling
from sensor_storage.kafka.names import ENTRIES, FIELD_MAP, Aliases
from sensor_storage.kafka.refusal import Reason, Refused
from sensor_storage.kafka.timestamps import read_timestamp

MAX_READINGS = 100_000
BAD = "bad"


class Row(NamedTuple):
    """One reading; its index is its place among its message's."""

    asset: str
    sensor: str
    timestamp: int
    value: float
    text: str | None
    unit: str | None
    quality: str | None


class Around(NamedTuple):
    """What holds for an object that does not say otherwise. `bare` is the sensor of a lone value."""

    asset: str | None
    sensor: str | None
    bare: str | None
    timestamp: int
    unit: str | None = None
    quality: str | None = None


class Rules(NamedTuple):
    """The settings decoding depends on; `earliest` in µs."""

    aliases: Aliases
    zone: tzinfo
    earliest: int

    @property
    def naive_is_utc(self) -> bool:
        """Is a time without an offset in UTC?"""
        return self.zone is UTC


class Exact(NamedTuple):
    """The readings of a message, and its tree as parsed."""

    rows: list[Row]
    tree: Tree


class _SpellingWanted(Exception):
    """A fraction stands where its JSON text is needed."""


def decode_exactly(message: bytes, around: Around, latest: int, rules: Rules) -> Exact:
    """The readings of a message, none later than `latest`; Refused where it has none."""
    tree = parse(message)
    try:
        return Exact(_Reader(rules, latest).read(tree, around), tree)
    except _SpellingWanted:
        spelled = parse_spelled(message)
        return Exact(_Reader(rules, latest).read(spelled, around), tree)


class _Reader:
    """Collects one message's readings."""

    def __init__(self, rules: Rules, latest: int) -> None:
        self._rules, self._latest = rules, latest
        self._rows: list[Row] = []

    def read(self, tree: Tree, around: Around) -> list[Row]:
        if isinstance(tree, dict):
            self._message(tree, around, "")
        elif isinstance(tree, list):
            self._entries(tree, around, "")
        if not self._rows:
            raise _nothing("the message")
        return self._rows

    def _entries(self, entries: Sequence[Tree], around: Around, where: str) -> None:
        for place, entry in enumerate(entries):
            here = f"{where}[{place}]"
            if not isinstance(entry, dict):
                raise Refused(
                    Reason.UNSUPPORTED_FORM, f"{here} is not an object", hint="send each reading as an object"
                )
            before = len(self._rows)
            self._message(entry, around, here)
            if len(self._rows) == before:
                raise _nothing(here)

    def _message(self, fields: Fields, outer: Around, where: str) -> None:
        key = next((key for key in self._rules.aliases.value if key in fields), None)
        taken: set[str] = set()
        leaves = Leaves()
        around = self._around(fields, outer, taken, where, narrow=key is not None)
        if key is None:
            self._forms(fields, around, taken, leaves, where)
        else:
            taken.add(key)
            leaves.add_value(key, fields[key])
            around = around._replace(sensor=around.sensor or around.bare)
            if not around.sensor:
                raise Refused(
                    Reason.NO_SENSOR, f"{_at(where)}the value has no sensor", hint="add sensor_name"
                )
        leaves.add_fields(fields, taken)
        self._emit(leaves.ranked(), around, where)

    def _around(self, fields: Fields, outer: Around, taken: set[str], where: str, *, narrow: bool) -> Around:
        """What holds in an object: its own words, else those from around it."""
        aliases = self._rules.aliases
        unit = _label(fields, aliases.unit, taken, booleans=False)
        quality = _label(fields, aliases.quality if narrow else aliases.quality[:1], taken, booleans=True)
        return Around(
            _name(fields, aliases.asset, taken, where) or outer.asset,
            _name(fields, aliases.sensor, taken, where) or outer.sensor,
            outer.bare,
            self._time(fields, taken, outer.timestamp, where),
            outer.unit if unit is None else unit,
            outer.quality if quality is None else quality,
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
                        raise Refused(error.reason, _at(where) + error.message, hint=error.hint) from error
        return missing

    def _forms(self, fields: Fields, around: Around, taken: set[str], leaves: Leaves, where: str) -> None:
        """The entries of a batch, and the fields of a map; here a waveform will be read."""
        field_map, entries = fields.get(FIELD_MAP), fields.get(ENTRIES)
        if isinstance(field_map, list):
            raise Refused(
                Reason.UNSUPPORTED_FORM,
                f"{_at(where)}a waveform, a list under {FIELD_MAP}, cannot be read yet",
                hint="send its samples as readings",
            )
        if isinstance(field_map, dict):
            taken.add(FIELD_MAP)
            leaves.add_map(FIELD_MAP, field_map)
        if isinstance(entries, list) and (not entries or any(isinstance(entry, dict) for entry in entries)):
            taken.add(ENTRIES)
            self._entries(entries, around, f"{where}.{ENTRIES}" if where else ENTRIES)

    def _emit(self, leaves: Sequence[Leaf], around: Around, where: str) -> None:
        if not leaves:
            return
        asset, sensor, _, timestamp, unit, quality = around
        if not asset:
            raise Refused(
                Reason.NO_ASSET,
                f"{_at(where)}neither the message nor its topic or key names the asset",
                hint="add asset_id, or key the messages by asset",
            )
        self._check_time(timestamp, where)
        if len(self._rows) + len(leaves) > MAX_READINGS:
            raise Refused(
                Reason.TOO_MANY_READINGS,
                f"the message has more than {MAX_READINGS} readings",
                hint="send smaller batches",
            )
        for name, path, item in leaves:
            value, text = (nan, item) if isinstance(item, str) else as_value(item)
            judged = BAD if isnan(value) and not isinstance(item, str) else quality
            named = _sensor(sensor, name, path, where)
            self._rows.append(Row(asset, named, timestamp, value, text, unit, judged))

    def _check_time(self, timestamp: int, where: str) -> None:
        if timestamp < self._rules.earliest:
            raise Refused(
                Reason.TIMESTAMP_OUT_OF_RANGE,
                f"{_at(where)}the time {timestamp} µs is before the earliest, {self._rules.earliest} µs",
                hint="set the sender's clock, or lower TIMESTAMP_MIN",
            )
        if timestamp > self._latest:
            raise Refused(
                Reason.TIMESTAMP_OUT_OF_RANGE,
                f"{_at(where)}the time {timestamp} µs is after the latest, {self._latest} µs",
                hint="set the sender's clock, or raise TIMESTAMP_MAX_AHEAD",
            )


def _name(fields: Fields, aliases: Iterable[str], taken: set[str], where: str) -> str | None:
    for key in aliases:
        if key not in fields:
            continue
        taken.add(key)
        given = fields[key]
        if given is None or given == "":
            continue
        if isinstance(given, str):
            return given
        if isinstance(given, int | Digits) and not isinstance(given, bool):
            return spelling(given)
        raise Refused(
            Reason.BAD_NAME,
            f"{_at(where)}{key} is neither text nor an integer",
            hint="send names as strings, or map another field in FIELD_ALIASES",
        )
    return None


def _label(fields: Fields, aliases: Iterable[str], taken: set[str], *, booleans: bool) -> str | None:
    """A unit or a quality as text."""
    for key in aliases:
        given = fields.get(key)
        if isinstance(given, dict | list) or (isinstance(given, bool) and not booleans):
            continue
        taken.add(key)
        if given is None:
            continue
        if isinstance(given, bool):
            return "true" if given else "false"
        text = given if isinstance(given, str) else spelling(given)
        if text is None:
            raise _SpellingWanted
        return text
    return None


def _sensor(sensor: str | None, name: str, path: Sequence[str], where: str) -> str:
    if sensor:
        return f"{sensor}.{name}" if path else sensor
    if name:
        return name
    raise Refused(
        Reason.NO_SENSOR, f"{_at(where)}a field without a name has no sensor", hint="add sensor_name"
    )


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _nothing(what: str) -> Refused:
    return Refused(
        Reason.NO_READING, f"{what} holds no reading", hint="send an object with a value or with fields"
    )
