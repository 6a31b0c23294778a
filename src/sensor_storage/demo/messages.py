"""Readings as Kafka messages, in the forms and with the mishaps that plants have, counted as they are made.

A message says how many readings it must yield, so that whoever gets an acknowledgement for it knows what the
other side owes. The same plant, form, faults and stretch of time give the same messages, byte for byte.
"""

import heapq
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import repeat
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sensor_storage.demo.plant import BAD, SECOND, Ints, Plant, Samples
from sensor_storage.errors import Usage

Form: TypeAlias = Literal["narrow", "wide", "batch", "mixed"]
Kind: TypeAlias = Literal["narrow", "wide", "batch", "dead-letter", "empty"]
Fault: TypeAlias = Literal["", "late", "out-of-order", "duplicate", "malformed"]
Style: TypeAlias = Literal["narrow", "wide", "values", "readings", "array"]
Names: TypeAlias = NDArray[np.object_]

STYLES: dict[Form, tuple[Style, ...]] = {
    "narrow": ("narrow",),
    "wide": ("wide",),
    "batch": ("readings", "array", "values"),
    "mixed": (
        "narrow",
        "narrow",
        "narrow",
        "wide",
        "readings",
        "narrow",
        "narrow",
        "array",
        "values",
        "wide",
    ),
}
QUALITIES = (b"good", b"uncertain", b"bad")
MILLIS = tuple(b'.%03dZ","value":' % ms for ms in range(1000))
HELD_LIMIT = 200_000
CHUNK_READINGS = 20_000
LATE_SECONDS = (10.0, 1000.0)
DISORDER_INTERVALS = 4
MALFORMED: tuple[bytes | None, ...] = (
    b'{"asset_id":"@","sensor_name":"temperature","timestamp":"2024-01-01T00:00:00.1',
    b"temperature=21.5;unit=C",
    b"{}",
    b'{"asset_id":"@\xff\xfe","sensor_name":"temperature","timestamp":"2024-01-01T00:00:00Z","value":1}',
    b'{"asset_id":"@","sensor_name":"temperature","timestamp":"2024-01-01T00:00:00Z","unit":"\xc2\xb0C"}',
    b'{"asset_id":"@","sensor_name":"temperature","timestamp":"10000-01-01T00:00:00Z","value":1}',
    b'{"asset_id":"@","sensor_name":"temperature","timestamp":253402300800000,"value":1}',
    b'{"asset_id":"@","sensor_name":"temperature","timestamp":"0000-01-01T00:00:00Z","value":1}',
    b"42",
    b"null",
    b"[]",
    b"[[[[{}]],[]],{}]",
    b"[" * 2000,
    b'{"asset_id":"@","readings":[]}',
    b"\n",
    b"",
    None,
)
"""What a garbled message looks like, `@` being the asset; the last two are empty, the others dead letters."""


class PlantMessage(NamedTuple):
    """One Kafka message and what it must become; `value` None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    readings: int
    kind: Kind
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of messages that come late, out of order, twice, or are followed by a garbled one."""

    late: float = 0.0
    out_of_order: float = 0.0
    duplicate: float = 0.0
    malformed: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        shares = astuple(self)
        if min(shares) < 0 or sum(shares) > 1:
            raise Usage(
                "the shares of late, out-of-order, duplicate and malformed messages don't fit",
                hint="Each is 0 or more, and together they are at most 1.",
            )


SENSIBLE_FAULTS = Faults(late=0.01, out_of_order=0.01, duplicate=0.01, malformed=0.001)


class MessageSource:
    """The messages of a plant, stretch after stretch of event time; holds back what is to come late."""

    def __init__(
        self,
        plant: Plant,
        *,
        form: Form = "narrow",
        faults: Faults | None = None,
        interval_us: int = SECOND,
        topic_prefix: str = "sensor-data-",
    ) -> None:
        self.plant, self.interval_us = plant, interval_us
        shares = faults or Faults()
        self._limits = np.cumsum([shares.late, shares.out_of_order, shares.duplicate, shares.malformed])
        self._held: list[tuple[int, int, PlantMessage]] = []
        self._held_count = 0
        self._topics = _objects([topic_prefix + a.area for a in plant.assets])
        self._keys = _objects([a.asset_id.encode() for a in plant.assets])
        self._build_templates()
        styles = STYLES[form]
        self._groups = [
            (
                style,
                np.array([i for i in range(len(plant.assets)) if styles[i % len(styles)] == style], np.int64),
            )
            for style in dict.fromkeys(styles)
        ]

    @property
    def topics(self) -> list[str]:
        """Every topic this plant publishes to."""
        return sorted(set(self._topics.tolist()))

    def chunk_us(self) -> int:
        """Give a stretch of event time that holds about 20,000 readings."""
        sensors = len(self.plant.assets) * self.plant.sensors
        return max(1000, CHUNK_READINGS * self.interval_us // sensors)

    def window(self, start_us: int, end_us: int) -> list[PlantMessage]:
        """Give what is published from one event time to the next, excluded; call it with adjoining times."""
        parts = [
            self._render(style, assets, start_us, end_us) for style, assets in self._groups if len(assets)
        ]
        times, ids = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        found = [message for part in parts for message in part[2]]
        order = np.argsort(times, kind="stable")
        messages = [found[i] for i in order.tolist()]
        if self._limits[-1] == 0:
            return messages
        return self._with_faults(messages, times[order], ids[order], end_us)

    def rest(self) -> list[PlantMessage]:
        """Give what was still held back."""
        return [heapq.heappop(self._held)[2] for _ in range(len(self._held))]

    def _with_faults(
        self, messages: list[PlantMessage], times: Ints, ids: NDArray[np.uint64], end_us: int
    ) -> list[PlantMessage]:
        mixed = ids * np.uint64(0x9FB21C651E98DF25)
        chance = (
            (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(11)
        ) * 2.0**-53
        which = np.searchsorted(self._limits, chance, side="right")
        out: list[PlantMessage] = []
        done = 0
        for i in np.flatnonzero(which < len(self._limits)).tolist():
            out += messages[done:i]
            done = i + 1
            message, below = messages[i], float(self._limits[which[i] - 1]) if which[i] else 0.0
            luck = (float(chance[i]) - below) / (float(self._limits[which[i]]) - below)
            self._mishap(int(which[i]), message, int(times[i]), luck, out)
        out += messages[done:]
        while self._held and (self._held[0][0] < end_us or len(self._held) > HELD_LIMIT):
            out.append(heapq.heappop(self._held)[2])
        return out

    def _mishap(
        self, which: int, message: PlantMessage, time_us: int, luck: float, out: list[PlantMessage]
    ) -> None:
        low, high = LATE_SECONDS
        if which == 0:
            self._hold(message._replace(fault="late"), time_us + int(low * (high / low) ** luck * SECOND))
        elif which == 1:
            self._hold(
                message._replace(fault="out-of-order"),
                time_us + int((1 + DISORDER_INTERVALS * luck) * self.interval_us),
            )
        elif which == 2:  # noqa: PLR2004 - the order of the fields of Faults
            out.append(message)
            self._hold(message._replace(fault="duplicate"), time_us + int(30 * luck * SECOND))
        else:
            out += (message, _garbled(message, luck))

    def _hold(self, message: PlantMessage, due_us: int) -> None:
        self._held_count += 1
        heapq.heappush(self._held, (due_us, self._held_count, message))

    def _build_templates(self) -> None:
        """Prepare, for each sensor, the bytes before the time and after the value."""
        cells = [(a.asset_id, s) for a in self.plant.assets for s in a.sensors]
        self._numbers = _objects([f"%.{s.decimals}f".encode() for _, s in cells])
        self._words = [[f'"{word}"'.encode() for word in s.states] for _, s in cells]
        self._is_word = np.array([bool(s.states) for _, s in cells])
        self._fields = _objects([f'"{s.name}":'.encode() for _, s in cells])
        short = [f'{{"sensor_name":"{s.name}","timestamp":"'.encode() for _, s in cells]
        long = [
            f'{{"asset_id":"{asset}",'.encode() + head[1:]
            for (asset, _), head in zip(cells, short, strict=True)
        ]
        self._short, self._long = _objects(short), _objects(long)
        units = [f',"unit":"{s.unit}"'.encode() if s.unit else b"" for _, s in cells]
        self._tails = _objects(
            [b'%b,"quality":"%b"}' % (unit, quality) for unit in units for quality in QUALITIES]
        )

    def _render(
        self, style: Style, assets: Ints, start_us: int, end_us: int
    ) -> tuple[Ints, NDArray[np.uint64], list[PlantMessage]]:
        """Give event times, identities and messages of these machines, whose records look alike."""
        together = style in ("wide", "values")
        samples = self.plant.sample(start_us, end_us, self.interval_us, assets, together=together)
        present = np.flatnonzero(samples.present.ravel())
        poll = present // self.plant.sensors
        cell = samples.asset[poll] * self.plant.sensors + present % self.plant.sensors
        pieces = self._pieces(style, samples, present, cell)
        if style != "narrow":
            return self._gathered(style, samples, poll, pieces)
        asset, times = samples.asset[poll], samples.time_us.ravel()[present]
        topics, keys = self._topics[asset].tolist(), self._keys[asset].tolist()
        rows = zip(topics, keys, pieces, repeat(1), repeat("narrow"), repeat(""))
        messages = list(map(PlantMessage._make, rows))
        return times, self.plant.key.ravel()[cell] ^ times.astype(np.uint64), messages

    def _gathered(
        self, style: Style, samples: Samples, poll: Ints, pieces: list[bytes]
    ) -> tuple[Ints, NDArray[np.uint64], list[PlantMessage]]:
        """Join the readings of each poll into one message; a poll that found nothing sends nothing."""
        kind: Kind = "wide" if style == "wide" else "batch"
        edges = np.searchsorted(poll, np.arange(len(samples.asset) + 1))
        spoken = np.flatnonzero(np.diff(edges))
        asset, polled = samples.asset[spoken], samples.polled_us[spoken]
        low, high = edges[spoken].tolist(), edges[spoken + 1].tolist()
        topics, keys = self._topics[asset].tolist(), self._keys[asset].tolist()
        messages = [
            PlantMessage(topic, key, _envelope(style, key, time // 1000, b",".join(pieces[i:j])), j - i, kind)
            for topic, key, time, i, j in zip(topics, keys, polled.tolist(), low, high, strict=True)
        ]
        return polled, self.plant.key[asset, 0] ^ polled.astype(np.uint64), messages

    def _pieces(self, style: Style, samples: Samples, present: Ints, cell: Ints) -> list[bytes]:
        """Give each present reading as JSON: a narrow message, a batch's item, or a wide record's field."""
        values = self._values(samples, present, cell)
        if style in ("wide", "values"):
            return [name + value for name, value in zip(self._fields[cell].tolist(), values, strict=True)]
        heads = (self._short if style == "readings" else self._long)[cell].tolist()
        time = samples.time_us.ravel()[present]
        seconds, millis = time // SECOND, (time % SECOND // 1000).tolist()
        stamps, index = np.unique(seconds, return_inverse=True)
        stamped = _objects(
            [f"{datetime.fromtimestamp(s, UTC):%Y-%m-%dT%H:%M:%S}".encode() for s in stamps.tolist()]
        )
        tails = self._tails[cell * len(QUALITIES) + samples.quality.ravel()[present]].tolist()
        columns = (heads, stamped[index].tolist(), [MILLIS[ms] for ms in millis], values, tails)
        return list(map(b"".join, zip(*columns, strict=True)))

    def _values(self, samples: Samples, present: Ints, cell: Ints) -> list[bytes]:
        value = samples.value.ravel()[present]
        texts = [
            form % number for form, number in zip(self._numbers[cell].tolist(), value.tolist(), strict=True)
        ]
        for i in np.flatnonzero(np.isnan(value)).tolist():
            texts[i] = b"null"
        states = samples.state.ravel()[present]
        spoken = self._is_word[cell] & (samples.quality.ravel()[present] != BAD)
        for i in np.flatnonzero(spoken).tolist():
            texts[i] = self._words[int(cell[i])][int(states[i])]
        for i in np.flatnonzero(self._is_word[cell] & ~spoken).tolist():
            texts[i] = b"null"
        return texts


def plant_messages(
    plant: Plant,
    start_us: int,
    end_us: int,
    *,
    form: Form = "narrow",
    faults: Faults | None = None,
    interval_us: int = SECOND,
    topic_prefix: str = "sensor-data-",
) -> Iterator[PlantMessage]:
    """Give exactly the messages of a stretch of event time, held-back ones last."""
    source = MessageSource(
        plant, form=form, faults=faults, interval_us=interval_us, topic_prefix=topic_prefix
    )
    chunk = source.chunk_us()
    for low in range(start_us, end_us, chunk):
        yield from source.window(low, min(low + chunk, end_us))
    yield from source.rest()


def _garbled(message: PlantMessage, luck: float) -> PlantMessage:
    shape = MALFORMED[min(int(luck * len(MALFORMED)), len(MALFORMED) - 1)]
    value = shape.replace(b"@", message.key) if shape else shape
    return PlantMessage(
        message.topic, message.key, value, 0, "dead-letter" if value else "empty", "malformed"
    )


def _envelope(style: Style, key: bytes, time_ms: int, inner: bytes) -> bytes:
    if style == "wide":
        return b'{"asset_id":"%b","timestamp":%d,%b}' % (key, time_ms, inner)
    if style == "values":
        return b'{"asset_id":"%b","timestamp":%d,"values":{%b}}' % (key, time_ms, inner)
    if style == "readings":
        return b'{"asset_id":"%b","readings":[%b]}' % (key, inner)
    return b"[%b]" % inner


def _objects(items: list[bytes] | list[str]) -> Names:
    array = np.empty(len(items), np.object_)
    array[:] = items
    return array
