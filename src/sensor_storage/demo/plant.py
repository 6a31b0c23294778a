"""A plant of machines whose readings depend on nothing but the seed, the sensor and the time.

Ask twice for the same stretch of time, in one piece or in many, and the same readings come back. Times are
integers: microseconds since 1970-01-01 UTC, always whole milliseconds. Arrays are `(polls, sensors)`: each
machine is polled once an interval, and a poll asks all its sensors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sensor_storage.errors import Usage

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Hashes: TypeAlias = NDArray[np.uint64]

GOOD, UNCERTAIN, BAD = 0, 1, 2
SECOND = 1_000_000
DAY = 86_400.0
COUNTER_ROLLOVER_SECONDS = 10_000_000.0
STATE_SECONDS = 20
HEARTBEAT_SECONDS = 60
SPIKE_SHARE = 1e-4
UNCERTAIN_SHARE = 0.2
NULL_SHARE = 0.3
CALM_SHARE = 0.9
JITTER_US = 5_000
SPREAD_US = 20_000


@dataclass(frozen=True, slots=True)
class Sensor:
    """How one sensor behaves: a level with a daily cycle, noise and steps; a counter; or a state in words."""

    name: str
    unit: str = ""
    decimals: int = 0
    level: float = 0.0
    daily: float = 0.0
    noise: float = 0.0
    step: float = 0.0
    per_second: float = 0.0
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """A machine with its sensors; numbers come first, words last."""

    asset_id: str
    area: str
    sensors: tuple[Sensor, ...]


def _drive(level_kw: float) -> tuple[Sensor, ...]:
    return (
        Sensor("vibration", "mm/s", 3, 2.1, 0.1, 0.25),
        Sensor("power", "kW", 2, level_kw, 0.1 * level_kw, 0.03 * level_kw, 0.2 * level_kw),
        Sensor("energy", "kWh", 1, per_second=level_kw / 3600.0),
        Sensor("operating_time", "s", 0, per_second=1.0),
    )


KINDS: dict[str, tuple[str, tuple[Sensor, ...]]] = {
    "press": (
        "forming",
        (
            Sensor("temperature", "°C", 1, 62.0, 6.0, 0.35),
            Sensor("force", "kN", 1, 840.0, 5.0, 9.0, 60.0),
            *_drive(55.0),
            Sensor("oil_pressure", "bar", 2, 148.0, 2.0, 0.8, 12.0),
            Sensor("stroke_rate", "1/min", 0, 42.0, 1.0, 0.6, 6.0),
            Sensor("strokes", "", 0, per_second=0.7),
        ),
    ),
    "pump": (
        "utilities",
        (
            Sensor("pressure", "bar", 2, 6.2, 0.4, 0.05, 0.8),
            Sensor("flow", "m³/h", 1, 118.0, 14.0, 1.2, 20.0),
            *_drive(18.5),
            Sensor("temperature", "°C", 1, 41.0, 5.0, 0.2),
            Sensor("speed", "1/min", 0, 1460.0, 0.0, 2.5, 150.0),
            Sensor("valve_position", "%", 1, 57.0, 8.0, 0.1, 15.0),
        ),
    ),
    "kiln": (
        "thermal",
        (
            Sensor("zone_temperature", "°C", 1, 1180.0, 8.0, 1.8, 25.0),
            Sensor("draught", "Pa", 1, -42.0, 3.0, 0.9, 4.0),
            *_drive(132.0),
            Sensor("gas_flow", "m³/h", 1, 310.0, 12.0, 3.0, 30.0),
            Sensor("oxygen", "%", 2, 3.4, 0.3, 0.08, 0.4),
            Sensor("shell_temperature", "°C", 1, 214.0, 16.0, 0.7),
        ),
    ),
    "mixer": (
        "mixing",
        (
            Sensor("torque", "N·m", 1, 420.0, 10.0, 8.0, 70.0),
            Sensor("level", "%", 1, 63.0, 9.0, 0.3, 18.0),
            *_drive(30.0),
            Sensor("temperature", "°C", 2, 23.5, 2.2, 0.06),
            Sensor("viscosity", "mPa·s", 0, 1850.0, 60.0, 14.0, 200.0),
            Sensor("ph", "", 2, 7.1, 0.1, 0.015, 0.2),
        ),
    ),
    "compressor": (
        "utilities",
        (
            Sensor("discharge_pressure", "bar", 2, 9.4, 0.2, 0.06, 0.5),
            Sensor("air_flow", "m³/min", 2, 12.6, 2.4, 0.2, 2.0),
            *_drive(75.0),
            Sensor("oil_temperature", "°C", 1, 81.0, 4.0, 0.3),
            Sensor("dew_point", "°C", 1, 3.0, 1.1, 0.1),
            Sensor("load_cycles", "", 0, per_second=0.02),
        ),
    ),
    "conveyor": (
        "mixing",
        (
            Sensor("belt_speed", "m/s", 3, 1.25, 0.0, 0.004, 0.25),
            Sensor("load", "kg/m", 1, 38.0, 11.0, 1.6, 9.0),
            *_drive(7.5),
            Sensor("bearing_temperature", "°C", 1, 48.0, 5.0, 0.25),
            Sensor("belt_tension", "kN", 2, 11.8, 0.2, 0.05),
            Sensor("pieces", "", 0, per_second=0.45),
        ),
    ),
}
WORDS = (
    Sensor("alarm", states=("OK", "HIGH_TEMP", "LOW_PRESSURE", "OVERLOAD")),
    Sensor("mode", states=("AUTO", "MANUAL", "SETUP", "IDLE")),
    Sensor("recipe", states=("R-1041", "R-1042", "R-2210")),
    Sensor("operator_shift", states=("early", "late", "night")),
)


@dataclass(frozen=True, slots=True)
class Samples:
    """What the polls of a stretch of time found; `present` is false where a sensor kept silent."""

    asset: Ints
    polled_us: Ints
    time_us: Ints
    value: Floats
    quality: NDArray[np.int8]
    state: Ints
    present: Flags


class Plant:
    """A plant of `assets` machines with `sensors` sensors each, the same for the same arguments."""

    def __init__(
        self, assets: int = 100, sensors: int = 10, *, seed: int = 0, text_share: float = 0.1
    ) -> None:
        if assets < 1 or sensors < 1 or not 0.0 <= text_share <= 1.0:
            raise Usage(
                f"a plant of {assets} assets with {sensors} sensors, {text_share:g} text, can't be built",
                hint="At least one asset and one sensor; the text share is between 0 and 1.",
            )
        self.sensors = sensors
        self.words = round(sensors * text_share)
        self.assets = tuple(islice(_machines(sensors - self.words, self.words), assets))
        self._build_arrays(seed)

    def _build_arrays(self, seed: int) -> None:
        def column(field: str) -> Floats:
            return np.array([[getattr(s, field) for s in a.sensors] for a in self.assets], np.float64)

        shape = (len(self.assets), self.sensors)
        numbered = np.arange(1, shape[0] * shape[1] + 1, dtype=np.uint64)
        self.key = _mix(numbered + _mix(np.array([seed % 2**64], np.uint64))).reshape(shape)
        self._level, self._daily, self._noise = column("level"), column("daily"), column("noise")
        self._step, self._per_second, self._scale = (
            column("step"),
            column("per_second"),
            10.0 ** column("decimals"),
        )
        self._level *= 0.9 + 0.2 * _unit(self.key)
        self._phase = 2 * np.pi * _unit(_mix(self.key + np.uint64(1)))
        self._step_us = (300 + 3300 * _unit(_mix(self.key + np.uint64(2)))).astype(np.int64) * SECOND
        self._states = np.array([[len(s.states) for s in a.sensors] for a in self.assets], np.uint64)
        self._is_alarm = np.array([[s.name.startswith("alarm") for s in a.sensors] for a in self.assets])
        rare = self.key % np.uint64(97)
        self._silent_us = _stretches(rare == 0, 300, 3600)
        self._bad_us = _stretches(rare == 1, 120, 2400)
        self._spike_us = np.zeros(shape, np.int64)
        self._shift_us = (_unit(_mix(self.key + np.uint64(3))) * 3600).astype(np.int64) * SECOND
        self._script(self.sensors - self.words)

    def _script(self, numbers: int) -> None:
        """Let a watcher see a spike, a silence and a bad stretch within three minutes."""
        scripted = slice(0, 3)
        self._silent_us[:, scripted] = self._bad_us[:, scripted] = self._shift_us[scripted] = 0
        if numbers:
            second = min(1, numbers - 1)
            self._spike_us[0, 0] = 60 * SECOND
            self._silent_us[:, min(1, len(self.assets) - 1), second] = 45 * SECOND, 180 * SECOND
            self._bad_us[:, min(2, len(self.assets) - 1), second] = 30 * SECOND, 150 * SECOND

    def sample(
        self,
        start_us: int,
        end_us: int,
        interval_us: int,
        assets: Ints | None = None,
        *,
        together: bool = False,
    ) -> Samples:
        """Poll each machine once an interval from `start_us` up to, not including, `end_us`.

        `together`: all sensors of a poll carry the poll's time, as when a controller publishes records.
        """
        chosen = np.arange(len(self.assets)) if assets is None else assets
        phase = (_unit(_mix(self.key[chosen, 0])) * interval_us).astype(np.int64)
        first, last = (-((phase - edge) // interval_us) for edge in (start_us, end_us))
        counts = np.maximum(last - first, 0)
        asset = np.repeat(chosen, counts)
        turn = np.arange(len(asset)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        phases = np.repeat(phase, counts)
        polled, time = self._times(asset, turn, phases, interval_us, together=together)
        value, quality, state = self.readings(asset, time)
        present = ~self._within(self._silent_us, asset, time)
        if self._is_alarm.any():
            _, before = self._times(asset, turn - 1, phases, interval_us, together=together)
            beat = time // (HEARTBEAT_SECONDS * SECOND) != before // (HEARTBEAT_SECONDS * SECOND)
            present &= ~self._is_alarm[asset] | beat | (state != self._state(asset, before))
        return Samples(asset, polled, time, value, quality, state, present)

    def _times(
        self, asset: Ints, turn: Ints, phase: Ints, interval_us: int, *, together: bool
    ) -> tuple[Ints, Ints]:
        key = self.key[asset]
        chance = _mix(key ^ (turn.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))[:, None])
        jitter = (_unit(chance[:, 0]) * min(JITTER_US, interval_us // 4)).astype(np.int64) // 1000 * 1000
        polled = (turn * interval_us + phase + jitter) // 1000 * 1000
        offset = 0.0 if together else _unit(_mix(chance)) * min(SPREAD_US, interval_us // 2)
        return polled, (polled[:, None] + np.broadcast_to(offset, key.shape).astype(np.int64)) // 1000 * 1000

    def readings(self, asset: Ints, time_us: Ints) -> tuple[Floats, NDArray[np.int8], Ints]:
        """Value, quality and state of machines' sensors; `asset` is `(rows,)`, the rest `(rows, sensors)`."""
        key, seconds, phase = self.key[asset], time_us / SECOND, self._phase[asset]
        chance = _mix(key ^ (time_us.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)))
        other = _unit(_mix(chance))
        daily, noise, scale = self._daily[asset], self._noise[asset], self._scale[asset]
        value = self._level[asset] + daily * np.sin(2 * np.pi / DAY * seconds + phase)
        value += 3 * noise * np.sin(2 * np.pi / 5_400 * seconds + 2 * phase)
        setting = _mix(key + (time_us // self._step_us[asset]).astype(np.uint64)) % np.uint64(3)
        value += self._step[asset] * setting.astype(np.int8)
        value += noise * (_bell(chance) + np.where(other < SPIKE_SHARE, 25.0, 0.0))
        every = self._spike_us[asset]
        fading = np.exp(-(time_us % np.maximum(every, 1)) / (2.0 * SECOND))
        value += np.where(every > 0, 40.0 * noise * fading, 0.0)
        per_second = self._per_second[asset]
        counted = np.floor(per_second * (seconds % COUNTER_ROLLOVER_SECONDS) * scale) / scale
        value = np.where(per_second > 0, counted, value)
        value = np.round(value * scale) / scale + 0.0
        bad = self._within(self._bad_us, asset, time_us)
        quality = np.where(bad, np.where(other < UNCERTAIN_SHARE, UNCERTAIN, BAD), GOOD).astype(np.int8)
        value[(quality == BAD) & (other > 1 - NULL_SHARE)] = np.nan
        return value, quality, self._state(asset, time_us)

    def _state(self, asset: Ints, time_us: Ints) -> Ints:
        """Which of its words a text sensor says; alarms say the first one, all is well, most of the time."""
        chance = _mix(self.key[asset] + (time_us // (STATE_SECONDS * SECOND)).astype(np.uint64))
        word = (chance >> np.uint64(32)) % np.maximum(self._states[asset], np.uint64(1))
        calm = self._is_alarm[asset] & (_unit(chance) < CALM_SHARE)
        return np.where(calm, 0, word.astype(np.int64))

    def _within(self, stretch: Ints, asset: Ints, time_us: Ints) -> Flags:
        length, period = stretch[0, asset], stretch[1, asset]
        inside: Flags = (time_us + self._shift_us[asset]) % np.maximum(period, 1) < length
        return inside


def _machines(numbers: int, words: int) -> Iterator[Asset]:
    turn = 0
    while True:
        turn += 1
        for kind, (area, sensors) in KINDS.items():
            chosen = _numbered(sensors, numbers) + _numbered(WORDS, words)
            yield Asset(f"{kind}-{turn}", area, chosen)


def _numbered(sensors: tuple[Sensor, ...], count: int) -> tuple[Sensor, ...]:
    """Give `count` sensors, going round with names like `pressure_2` when there are not enough."""
    rounds = (1 + i // len(sensors) for i in range(count))
    names = zip(islice(cycle(sensors), count), rounds, strict=True)
    return tuple(_renamed(s, s.name if turn == 1 else f"{s.name}_{turn}") for s, turn in names)


def _renamed(s: Sensor, name: str) -> Sensor:
    return Sensor(name, s.unit, s.decimals, s.level, s.daily, s.noise, s.step, s.per_second, s.states)


def _stretches(chosen: Flags, length_seconds: int, period_seconds: int) -> Ints:
    return np.stack([chosen * (length_seconds * SECOND), chosen * (period_seconds * SECOND)]).astype(np.int64)


def _mix(x: Hashes) -> Hashes:
    """Scatter 64 bits so that neighbours have nothing in common (the finalizer of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _unit(x: Hashes) -> Floats:
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _bell(x: Hashes) -> Floats:
    """Turn 64 random bits into a number of mean 0 and deviation 1 that is near enough to normal."""
    parts = x.view(np.uint16).reshape(*x.shape, 4).sum(axis=-1, dtype=np.int64)
    bell: Floats = (parts / 65_536.0 - 2.0) * 3.0**0.5
    return bell
