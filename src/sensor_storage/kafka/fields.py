"""What an object says of the readings in it: names, unit, quality; and what holds where it does not."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sensor_storage.kafka.flatten import Fields
from sensor_storage.kafka.json_tree import Digits, Tree, spelling
from sensor_storage.kafka.refusal import Reason, Refused


class Around(NamedTuple):
    """What holds for an object that does not say otherwise. `bare` is the sensor of a lone value."""

    asset: str | None
    sensor: str | None
    bare: str | None
    timestamp: int
    unit: str | None = None
    quality: str | None = None
    rate: Tree = None


class SpellingWanted(Exception):
    """A fraction stands where its JSON text is needed."""


def read_name(fields: Fields, aliases: Iterable[str], taken: set[str], where: str) -> str | None:
    """The name the first alias says that says something."""
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
            f"{at(where)}{key} is neither text nor an integer",
            hint="send names as strings, or map another field in FIELD_ALIASES",
        )
    return None


def read_label(fields: Fields, aliases: Iterable[str], taken: set[str], *, booleans: bool) -> str | None:
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
            raise SpellingWanted
        return text
    return None


def asset_of(around: Around, where: str) -> str:
    """The asset of a reading; Refused where nothing names it."""
    if around.asset:
        return around.asset
    raise Refused(
        Reason.NO_ASSET,
        f"{at(where)}neither the message nor its topic or key names the asset",
        hint="add asset_id, or key the messages by asset",
    )


def with_sensor(around: Around, what: str, where: str) -> Around:
    """What holds for a value that needs a sensor: its own, or that of a bare value."""
    sensor = around.sensor or around.bare
    if sensor:
        return around._replace(sensor=sensor)
    raise Refused(Reason.NO_SENSOR, f"{at(where)}{what} has no sensor", hint="add sensor_name")


def sensor_of(sensor: str | None, name: str, path: Sequence[str], where: str) -> str:
    """The sensor of a scalar by its flattened name; the value of a narrow message has no path."""
    if sensor:
        return f"{sensor}.{name}" if path else sensor
    if name:
        return name
    raise Refused(
        Reason.NO_SENSOR, f"{at(where)}a field without a name has no sensor", hint="add sensor_name"
    )


def at(where: str) -> str:
    """How a sentence begins that speaks of a part of a message."""
    return f"{where}: " if where else ""
