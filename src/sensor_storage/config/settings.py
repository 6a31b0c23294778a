"""Every setting, its default and its documentation: one branch for each room.

A variable's name is flat, as in the environment. In TOML and in code it is a field of its room's branch: the
name in lower case, without the room in front, and without `_seconds`, which is in the type.
Building these objects reads nothing: `sensor_storage.config.load` does.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from sensor_storage.config import event_hubs, kinds
from sensor_storage.config.memory import DEFAULT_LIMIT_BYTES
from sensor_storage.config.properties import Properties


def _setting(name: str, default: object, words: str, *, example: str = "") -> Any:  # noqa: ANN401 - a field
    return Field(
        default=default, validation_alias=name, description=words, examples=[example] if example else None
    )


class Branch(BaseModel):
    """What the branches have in common: they do not change, know all their names, and keep quiet."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )


class KafkaSettings(Branch):
    """Where messages come from."""

    bootstrap_servers: kinds.Servers = _setting(
        "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", "Brokers to ask first; they name the others."
    )
    topic_pattern: kinds.Pattern = _setting(
        "KAFKA_TOPIC_PATTERN",
        re.compile("^sensor-data-.*"),
        "Topics to read. Named groups `asset_id` and `sensor_name` fill what a message leaves out.",
        example="^plant/(?P<asset_id>[^/]+)",
    )
    consumer_group: kinds.Text = _setting(
        "KAFKA_CONSUMER_GROUP",
        "sensor-storage-service",
        "Under this name Kafka remembers how far the service has read.",
    )
    group_instance_id: kinds.Text | None = _setting(
        "KAFKA_GROUP_INSTANCE_ID",
        None,
        "Static membership: one name for each data directory, by default made from it.",
        example="plant-3-store",
    )
    group_protocol: Annotated[Literal["classic", "consumer"], kinds.Lower] = _setting(
        "KAFKA_GROUP_PROTOCOL",
        "classic",
        "How the group shares partitions: `consumer` is the protocol of Kafka 4 (KIP-848), without static members.",
    )
    auto_offset_reset: Annotated[Literal["earliest", "latest"], kinds.Lower] = _setting(
        "KAFKA_AUTO_OFFSET_RESET",
        "earliest",
        "Where to begin in a topic of which nothing was read yet.",
    )
    security_protocol: (
        Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], kinds.Upper] | None
    ) = _setting("KAFKA_SECURITY_PROTOCOL", None, "How to talk to the brokers; not set: PLAINTEXT.")
    sasl_mechanism: (
        Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"], kinds.Upper]
        | None
    ) = _setting("KAFKA_SASL_MECHANISM", None, "How to log in.")
    sasl_username: kinds.Text | None = _setting(
        "KAFKA_SASL_USERNAME", None, "Name to log in with.", example="$ConnectionString"
    )
    sasl_password: kinds.Secret | None = _setting("KAFKA_SASL_PASSWORD", None, "Password to log in with.")
    ssl_ca_location: kinds.ReadableFile | None = _setting(
        "KAFKA_SSL_CA_LOCATION",
        None,
        "Certificates of the authorities to trust, instead of the system's.",
        example="/etc/ssl/plant-ca.pem",
    )
    ssl_certificate_location: kinds.ReadableFile | None = _setting(
        "KAFKA_SSL_CERTIFICATE_LOCATION",
        None,
        "The service's own certificate.",
        example="/etc/ssl/service.pem",
    )
    ssl_key_location: kinds.ReadableFile | None = _setting(
        "KAFKA_SSL_KEY_LOCATION", None, "The key of that certificate.", example="/etc/ssl/service.key"
    )
    ssl_key_password: kinds.Secret | None = _setting(
        "KAFKA_SSL_KEY_PASSWORD", None, "The password of that key."
    )
    config_file: Properties | None = _setting(
        "KAFKA_CONFIG_FILE",
        None,
        "Further settings of the Kafka client; a variable of this table wins over a line in it.",
        example="/etc/sensor-storage/client.properties",
    )

    def client_properties(self) -> dict[str, str]:
        """What a librdkafka client needs to connect, secrets in clear: for the client, never for a log."""
        own = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password and self.sasl_password.get_secret_value(),
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password and self.ssl_key_password.get_secret_value(),
        }
        given = {name: str(value) for name, value in own.items() if value is not None}
        lines = self.config_file.values if self.config_file else {}
        further = {name: value.get_secret_value() for name, value in lines.items()}
        if "sasl.mechanism" in given:
            further.pop("sasl.mechanisms", None)
        return event_hubs.with_profile(further | given)


class DecodeSettings(Branch):
    """How messages become readings."""

    timestamp_min: kinds.Moment = _setting(
        "TIMESTAMP_MIN",
        datetime(2000, 1, 1, tzinfo=UTC),
        "A message with an earlier time is a dead letter.",
    )
    timestamp_max_ahead: kinds.DurationOrZero = _setting(
        "TIMESTAMP_MAX_AHEAD",
        timedelta(hours=24),
        "A message whose time is further ahead of Kafka's timestamp is a dead letter.",
    )
    time_zone: kinds.Zone = _setting("TIME_ZONE", UTC, "The zone of times that come without an offset.")
    message_format: Annotated[Literal["auto", "json", "msgpack", "registry"], kinds.Lower] = _setting(
        "MESSAGE_FORMAT",
        "auto",
        "The format of messages; auto tells MessagePack, JSON and a schema registry's formats by their beginning.",
    )
    field_aliases: kinds.FieldAliases | None = _setting(
        "FIELD_ALIASES",
        None,
        "Further names of fields by role. They come before the built-in ones; the first a message has wins.",
        example="asset=machine,line; value=reading",
    )
    quality_numbering: Annotated[Literal["opc-ua", "opc-da", "sparkplug"], kinds.Lower] = _setting(
        "QUALITY_NUMBERING",
        "opc-ua",
        "Whose numbers qualities are: 0 is good in OPC UA's, bad in OPC DA's and Sparkplug's, where 192 is good.",
    )


class SchemaRegistrySettings(Branch):
    """Who knows the schemas of Avro, Protobuf and JSON Schema messages."""

    url: kinds.RegistryUrls | None = _setting(
        "SCHEMA_REGISTRY_URL",
        None,
        "The schema registry; of several, separated by commas, the first that answers is believed.",
        example="https://registry.plant.example:8081",
    )
    username: kinds.Text | None = _setting(
        "SCHEMA_REGISTRY_USERNAME", None, "Name to log in with, or an API key."
    )
    password: kinds.Secret | None = _setting(
        "SCHEMA_REGISTRY_PASSWORD", None, "Its password, or the key's secret."
    )
    token: kinds.Secret | None = _setting(
        "SCHEMA_REGISTRY_TOKEN", None, "A bearer token, instead of name and password."
    )
    ca_location: kinds.ReadableFile | None = _setting(
        "SCHEMA_REGISTRY_CA_LOCATION",
        None,
        "Certificates of the authorities to trust, instead of the system's.",
        example="/etc/ssl/plant-ca.pem",
    )
    certificate_location: kinds.ReadableFile | None = _setting(
        "SCHEMA_REGISTRY_CERTIFICATE_LOCATION",
        None,
        "The service's own certificate.",
        example="/etc/ssl/service.pem",
    )
    key_location: kinds.ReadableFile | None = _setting(
        "SCHEMA_REGISTRY_KEY_LOCATION", None, "The key of that certificate.", example="/etc/ssl/service.key"
    )


class StorageSettings(Branch):
    """Where readings are kept, and how full the disk may get."""

    local_storage_path: kinds.RawPath = _setting(
        "LOCAL_STORAGE_PATH",
        Path("/data/raw"),
        "The raw files. `aggregated`, `staging`, `deadletter` and `ledger` are beside it, on the same disk.",
    )
    parquet_compression: Annotated[Literal["zstd", "snappy", "lz4", "gzip", "none"], kinds.Lower] = _setting(
        "PARQUET_COMPRESSION", "zstd", "How column data is compressed."
    )
    staging_max_bytes: kinds.Size = _setting(
        "STAGING_MAX_BYTES",
        ByteSize(20_000_000_000),
        "Consumption pauses while this much waits in `staging` to be put in its place.",
    )
    dead_letters_max_bytes: kinds.Size = _setting(
        "DEAD_LETTERS_MAX_BYTES",
        ByteSize(10_000_000_000),
        "Consumption pauses while dead letters take so much; they are never deleted, and an alert comes at 80 %.",
    )
    disk_high_watermark: kinds.Share = _setting(
        "DISK_HIGH_WATERMARK", 0.95, "Consumption pauses while more than this share of the disk is used."
    )
    disk_low_watermark: kinds.Share = _setting(
        "DISK_LOW_WATERMARK", 0.90, "It goes on when less than this share is used."
    )


class IngestSettings(Branch):
    """How messages become durable."""

    segment_interval: kinds.Duration = _setting(
        "SEGMENT_INTERVAL_SECONDS",
        timedelta(seconds=1),
        "Longest time until a consumed reading is durable and can be queried.",
    )
    workers: kinds.Workers = _setting(
        "INGEST_WORKERS", 1, "Processes that share the partitions: about one for each core that is to ingest."
    )
    max_rows_per_file: kinds.Count = _setting(
        "MAX_ROWS_PER_FILE", 100_000, "Rows held in memory before a segment is written all the same."
    )
    commit_interval: kinds.Duration = _setting(
        "COMMIT_INTERVAL_SECONDS",
        timedelta(seconds=5),
        "How often Kafka is told what is durable. A longer time only means more to skip after a crash.",
    )


class CompactSettings(Branch):
    """How segments become one file for each sensor and hour."""

    buffer_flush_interval: kinds.Duration = _setting(
        "BUFFER_FLUSH_INTERVAL_SECONDS",
        timedelta(seconds=60),
        "Longest time until a sensor-hour's first file appears, and until a closed hour's file is complete. In a "
        "catch-up a past hour has its first file when it closes by Kafka's time, or half an hour later.",
    )
    open_hour_rewrite_factor: kinds.Factor = _setting(
        "OPEN_HOUR_REWRITE_FACTOR",
        4.0,
        "An open hour's file is written again when so many times its rows wait; 0: only when it closes.",
    )


class AggregateSettings(Branch):
    """What minutes, hours and days of a sensor say."""

    aggregation_levels: kinds.Levels = _setting(
        "AGGREGATION_LEVELS", ("minute", "hour", "day"), "Which aggregates are kept; none: no aggregates."
    )
    carry_limit: kinds.CarryLimit = _setting(
        "CARRY_LIMIT_SECONDS",
        timedelta(hours=1),
        "How long a reading counts in the time-weighted mean when no other follows.",
    )
    uncertain_is_good: kinds.Flag = _setting(
        "UNCERTAIN_IS_GOOD", True, "Do readings of uncertain quality enter the aggregates?"
    )


class ColdSettings(Branch):
    """Where sealed files go, and when they leave this disk."""

    store_url: kinds.StoreUrl | None = _setting(
        "COLD_STORE_URL",
        None,
        "Where files go: `file:///folder`, `az://container`, `s3://bucket`, `gs://bucket`; not set: see AZURE_….",
        example="file:///mnt/cold",
    )
    azure_storage_account: kinds.AzureAccount | None = _setting(
        "AZURE_STORAGE_ACCOUNT",
        None,
        "The storage account; set, the cold store is its container.",
        example="plantdata",
    )
    azure_container_name: kinds.AzureContainer = _setting(
        "AZURE_CONTAINER_NAME", "sensor-data-cold-storage", "The container in that account."
    )
    azure_storage_key: kinds.AzureKey | None = _setting(
        "AZURE_STORAGE_KEY",
        None,
        "The account's key; without key, token or string the machine's identity is used.",
    )
    azure_storage_sas_token: kinds.SasToken | None = _setting(
        "AZURE_STORAGE_SAS_TOKEN", None, "A token with rights to read, create, write and list."
    )
    azure_storage_connection_string: kinds.Secret | None = _setting(
        "AZURE_STORAGE_CONNECTION_STRING", None, "Account, key and endpoint in one."
    )
    azure_create_container: kinds.Flag = _setting(
        "AZURE_CREATE_CONTAINER",
        False,
        "May the service make the container? It needs a key or a token for it.",
    )
    azure_access_tier: Annotated[Literal["", "Hot", "Cool", "Cold", "Archive"], kinds.Title] = _setting(
        "AZURE_ACCESS_TIER",
        "",
        "The tier blobs are written to; below Hot each is charged as at least 128 KiB. Not set: the account's.",
    )
    azure_max_workers: kinds.Workers = _setting("AZURE_MAX_WORKERS", 4, "So many files are uploaded at once.")
    azure_max_retries: kinds.CountOrZero = _setting(
        "AZURE_MAX_RETRIES",
        2,
        "How often the client repeats a request before the file goes back to the queue.",
    )
    azure_retry_delay: kinds.Duration = _setting(
        "AZURE_RETRY_DELAY",
        timedelta(seconds=5),
        "The first wait of a file whose upload failed; it doubles up to ten minutes, for ever.",
    )
    upload_bytes_per_second: kinds.SizeOrZero = _setting(
        "UPLOAD_BYTES_PER_SECOND", ByteSize(0), "Upload no faster; 0: as fast as it goes."
    )
    upload_interval: kinds.Duration = _setting(
        "UPLOAD_INTERVAL_SECONDS", timedelta(seconds=1800), "How often sealed files are uploaded."
    )
    seal_grace: kinds.DurationOrZero = _setting(
        "SEAL_GRACE_SECONDS", timedelta(seconds=900), "An hour is sealed when it is over for so long."
    )
    cache_bytes: kinds.Size = _setting(
        "COLD_CACHE_BYTES",
        ByteSize(1_000_000_000),
        "Copies of blobs that queries brought back are kept up to this size.",
    )


class CleanupSettings(Branch):
    """When files that are proven to be in the cold store leave this disk."""

    enabled: kinds.Flag = _setting(
        "CLEANUP_ENABLED", True, "Remove old files here once they are proven there?"
    )
    age_days: kinds.Days = _setting(
        "CLEANUP_AGE_DAYS",
        7.0,
        "A file stays until its last reading is so old; less while the disk is too full.",
    )
    interval_hours: kinds.Days = _setting("CLEANUP_INTERVAL_HOURS", 6.0, "How often to look for such files.")
    dry_run: kinds.Flag = _setting("CLEANUP_DRY_RUN", False, "Only tell what would be removed.")
    verify: Annotated[Literal["list", "full"], kinds.Lower] = _setting(
        "CLEANUP_VERIFY",
        "list",
        "How a blob is looked at before its file goes: its ETag and size, or all of it.",
    )
    without_upload: kinds.Flag = _setting(
        "CLEANUP_WITHOUT_UPLOAD",
        False,
        "Without a cold store: remove old files all the same. They are gone then.",
    )


class ServiceSettings(Branch):
    """Where the service answers."""

    host: kinds.Host = _setting(
        "SERVICE_HOST",
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 is every one.",
        example="0.0.0.0",  # noqa: S104
    )
    port: kinds.Port = _setting("SERVICE_PORT", 8080, "Port to listen on.")
    api_keys: kinds.Secret | None = _setting(
        "API_KEYS", None, "Lines of API_KEYS_FILE, separated by semicolons; not set, none is needed."
    )
    api_keys_file: kinds.ReadableFile | None = _setting(
        "API_KEYS_FILE",
        None,
        "Who may read and change: lines as `config key` makes them, read again when the file changes.",
        example="/etc/sensor-storage/keys/api-keys",
    )
    trusted_proxies: kinds.Networks | None = _setting(
        "TRUSTED_PROXIES",
        None,
        "Proxies that sign callers in and are believed; not set, no header about a caller is.",
        example="10.0.0.7,10.244.0.0/16",
    )
    proxy_user_header: kinds.Text = _setting(
        "PROXY_USER_HEADER", "X-Forwarded-User", "The header by which such a proxy names the caller."
    )
    proxy_groups_header: kinds.Text = _setting(
        "PROXY_GROUPS_HEADER",
        "X-Forwarded-Groups",
        "The header by which it names the caller's groups, separated by commas.",
    )
    proxy_read_groups: kinds.Names | None = _setting(
        "PROXY_READ_GROUPS",
        None,
        "Groups that may read; not set: everybody who is signed in.",
        example="operators",
    )
    proxy_admin_groups: kinds.Names | None = _setting(
        "PROXY_ADMIN_GROUPS", None, "Groups that may read and change; not set: nobody.", example="admins"
    )
    max_requests_per_second: kinds.CountOrZero = _setting(
        "MAX_REQUESTS_PER_SECOND",
        200,
        "So often one client may ask the API, with ten seconds' worth at once; 0 is no limit. Health and metrics"
        " are not counted.",
    )
    tls_cert_file: kinds.ReadableFile | None = _setting(
        "TLS_CERT_FILE",
        None,
        "The API's certificate with its chain; read again when it is renewed.",
        example="/etc/sensor-storage/keys/tls.crt",
    )
    tls_key_file: kinds.ReadableFile | None = _setting(
        "TLS_KEY_FILE", None, "The key of that certificate.", example="/etc/sensor-storage/keys/tls.key"
    )
    memory_limit: kinds.Memory = _setting(
        "MEMORY_LIMIT",
        ByteSize(DEFAULT_LIMIT_BYTES),
        "Memory each process of the service may use: the rows and queues it holds are derived from it.",
    )


class LogSettings(Branch):
    """What is told on stderr."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], kinds.Upper] = _setting(
        "LOG_LEVEL", "INFO", "The least level that is told."
    )
    format: Annotated[Literal["auto", "json", "console"], kinds.Lower] = _setting(
        "LOG_FORMAT", "auto", "Lines for machines or for people; auto: console on a terminal, else json."
    )


class Settings(Branch):
    """All settings. `origins` says for each variable that was given where its value came from."""

    kafka: KafkaSettings = KafkaSettings()
    decode: DecodeSettings = DecodeSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    storage: StorageSettings = StorageSettings()
    ingest: IngestSettings = IngestSettings()
    compact: CompactSettings = CompactSettings()
    aggregate: AggregateSettings = AggregateSettings()
    cold: ColdSettings = ColdSettings()
    cleanup: CleanupSettings = CleanupSettings()
    service: ServiceSettings = ServiceSettings()
    log: LogSettings = LogSettings()
    origins: dict[str, str] = Field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = Field(default=(), repr=False)

    def origin(self, name: str) -> str:
        """Where a variable's value came from: `default`, `environment`, or a file and its line or table."""
        return self.origins.get(name, "default")
