"""Why a message has no readings: a closed set of classes, each with a sentence."""

from enum import StrEnum

from sensor_storage.errors import Reject


class Reason(StrEnum):
    """The class of a dead letter's error; names never change their meaning."""

    NOT_UTF8 = "not_utf8"
    """Bytes, or an escaped half of a surrogate pair, that are no Unicode text."""
    NOT_JSON = "not_json"
    """No JSON, or more than one JSON value."""
    NOT_MSGPACK = "not_msgpack"
    """No MessagePack, or more than one MessagePack value."""
    NOT_AVRO = "not_avro"
    """Bytes that its Avro schema cannot have written."""
    NOT_PROTOBUF = "not_protobuf"
    """Bytes that its Protobuf schema cannot have written."""
    NO_SCHEMA = "no_schema"
    """With `MESSAGE_FORMAT=registry`, a message that does not begin with a schema's number."""
    UNKNOWN_SCHEMA = "unknown_schema"
    """The registry says that it has no schema of that number."""
    UNSUPPORTED_SCHEMA = "unsupported_schema"
    """A schema that cannot be used: of another kind, one that contains itself, a list of items without bytes."""
    TOO_DEEP = "too_deep"
    """Objects and arrays nested beyond the limit."""
    TOO_MANY_FIELDS = "too_many_fields"
    """An object with more scalar fields than the limit."""
    TOO_MANY_READINGS = "too_many_readings"
    """More readings than one message may have."""
    TOO_LARGE = "too_large"
    """More objects, arrays or scalars than one message may have."""
    NO_READING = "no_reading"
    """A message in which nothing is a reading: `null`, `42`, `[]`, `{}`."""
    NO_ASSET = "no_asset"
    """Neither the message nor the topic nor the Kafka key names the asset."""
    NO_SENSOR = "no_sensor"
    """Neither the message nor the topic names the sensor of a value."""
    BAD_NAME = "bad_name"
    """The asset or sensor is neither a string nor an integer."""
    BAD_TIMESTAMP = "bad_timestamp"
    """The time is neither ISO 8601 nor an epoch number."""
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"
    """The time is before the earliest allowed, or too far ahead of Kafka's."""
    BAD_WAVEFORM = "bad_waveform"
    """A list under `values` without a usable sample rate, or with an entry that is no sample."""
    UNSUPPORTED_FORM = "unsupported_form"
    """A form of message this version does not read."""


class Refused(Reject):
    """One message cannot become readings; it becomes a dead letter, its neighbours go on."""

    def __init__(self, reason: Reason, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason

    @property
    def sentence(self) -> str:
        """What is wrong and what to do about it, in one line."""
        return f"{self.message}: {self.hint}" if self.hint else self.message
