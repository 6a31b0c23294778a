"""The kinds of schemas a registry has, and how each is read: large libraries, loaded where there is a registry."""

from collections.abc import Callable

from sensor_storage.kafka.avro_schema import avro_reader
from sensor_storage.kafka.protobuf_schema import protobuf_reader
from sensor_storage.kafka.registry import ReadPayload, Registered


def json_reader(_: Registered) -> ReadPayload:
    """JSON is stored as it came: that it breaks its schema is no reason to lose what can be read."""
    return bytes


MAKERS: dict[str, Callable[[Registered], ReadPayload]] = {
    "AVRO": avro_reader,
    "PROTOBUF": protobuf_reader,
    "JSON": json_reader,
}
