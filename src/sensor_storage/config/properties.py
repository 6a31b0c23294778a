"""A file of further librdkafka settings: `name=value` lines, read once; its values are never shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, SecretStr

from sensor_storage.config.kinds import Rule, expanded

OWN_VARIABLES = {
    "bootstrap.servers": "KAFKA_BOOTSTRAP_SERVERS",
    "metadata.broker.list": "KAFKA_BOOTSTRAP_SERVERS",
    "group.id": "KAFKA_CONSUMER_GROUP",
    "group.instance.id": "KAFKA_GROUP_INSTANCE_ID",
    "auto.offset.reset": "KAFKA_AUTO_OFFSET_RESET",
    "group.protocol": "KAFKA_GROUP_PROTOCOL",
}
KEPT_BY_THE_SERVICE = frozenset(
    {
        "auto.commit.enable",
        "auto.commit.interval.ms",
        "check.crcs",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "isolation.level",
        "partition.assignment.strategy",
    }
)
"""Settings on which the promise of exactly once rests."""


@dataclass(frozen=True)
class PropertiesFile:
    """The settings in such a file."""

    path: Path
    values: dict[str, SecretStr]

    def __str__(self) -> str:
        """The path."""
        return str(self.path)


def parse_properties(text: str) -> dict[str, SecretStr]:
    """The settings in the text; raises ValueError with the line's number and never a value."""
    values: dict[str, SecretStr] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        if not equals or not name:
            raise ValueError(f"line {number} is not name=value")
        if name in OWN_VARIABLES:
            raise ValueError(f"line {number}: {name} is set by {OWN_VARIABLES[name]}")
        if name in KEPT_BY_THE_SERVICE:
            raise ValueError(f"line {number}: {name} is decided by the service, so that no reading is lost")
        values[name] = SecretStr(value)
    return values


def _read(value: object) -> PropertiesFile:
    if isinstance(value, PropertiesFile):
        return value
    path = expanded(str(value).strip()).absolute()
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from None
    return PropertiesFile(path, parse_properties(text))


Properties = Annotated[
    PropertiesFile,
    PlainValidator(_read),
    PlainSerializer(str, return_type=str),
    Rule("a file of lines name=value with librdkafka's names"),
]
