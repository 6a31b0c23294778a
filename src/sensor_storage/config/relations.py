"""What settings must be to each other: checked at start, told with both names and both values."""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from sensor_storage.config.entries import entries
from sensor_storage.config.event_hubs import LEAST_COMMIT_SECONDS, is_event_hubs
from sensor_storage.config.kinds import AZURE_SCHEMES
from sensor_storage.config.settings import Settings


class Relation(NamedTuple):
    """Settings that depend on each other, and the sentence that must be true of them."""

    names: tuple[str, ...]
    words: str
    holds: Callable[[Settings], bool]


def _logs_in(settings: Settings) -> bool:
    return settings.kafka.client_properties().get("security.protocol", "").upper().startswith("SASL")


def _encrypts(settings: Settings) -> bool:
    return settings.kafka.client_properties().get("security.protocol", "").upper().endswith("SSL")


def _names_mechanism(settings: Settings) -> bool:
    given = settings.kafka.client_properties()
    return not _logs_in(settings) or "sasl.mechanism" in given or "sasl.mechanisms" in given


def _names_user(settings: Settings) -> bool:
    given = settings.kafka.client_properties()
    mechanism = given.get("sasl.mechanism", given.get("sasl.mechanisms", ""))
    by_password = _logs_in(settings) and mechanism.startswith(("PLAIN", "SCRAM"))
    return not by_password or ("sasl.username" in given and "sasl.password" in given)


def _at_event_hubs(settings: Settings) -> bool:
    return is_event_hubs(settings.kafka.client_properties())


RELATIONS = (
    Relation(
        ("DISK_LOW_WATERMARK", "DISK_HIGH_WATERMARK"),
        "DISK_LOW_WATERMARK must be below DISK_HIGH_WATERMARK",
        lambda settings: settings.storage.disk_low_watermark < settings.storage.disk_high_watermark,
    ),
    Relation(
        ("SEGMENT_INTERVAL_SECONDS", "BUFFER_FLUSH_INTERVAL_SECONDS"),
        "SEGMENT_INTERVAL_SECONDS must be at most BUFFER_FLUSH_INTERVAL_SECONDS",
        lambda settings: settings.ingest.segment_interval <= settings.compact.buffer_flush_interval,
    ),
    Relation(
        ("KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM"),
        "KAFKA_SECURITY_PROTOCOL with SASL needs KAFKA_SASL_MECHANISM",
        _names_mechanism,
    ),
    Relation(
        ("KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"),
        "KAFKA_SASL_MECHANISM PLAIN or SCRAM needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
        _names_user,
    ),
    Relation(
        ("KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SECURITY_PROTOCOL"),
        "KAFKA_SASL_… has no effect unless KAFKA_SECURITY_PROTOCOL is SASL_SSL or SASL_PLAINTEXT",
        lambda settings: (
            _logs_in(settings)
            or not any(name.startswith("sasl.") for name in settings.kafka.client_properties())
        ),
    ),
    Relation(
        (
            "KAFKA_SSL_CA_LOCATION",
            "KAFKA_SSL_CERTIFICATE_LOCATION",
            "KAFKA_SSL_KEY_LOCATION",
            "KAFKA_SECURITY_PROTOCOL",
        ),
        "KAFKA_SSL_… has no effect unless KAFKA_SECURITY_PROTOCOL is SSL or SASL_SSL",
        lambda settings: (
            _encrypts(settings)
            or not any(name.startswith("ssl.") for name in settings.kafka.client_properties())
        ),
    ),
    Relation(
        ("KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_KEY_LOCATION"),
        "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION must be set together",
        lambda settings: (
            (settings.kafka.ssl_certificate_location is None) == (settings.kafka.ssl_key_location is None)
        ),
    ),
    Relation(
        ("KAFKA_GROUP_PROTOCOL", "KAFKA_BOOTSTRAP_SERVERS"),
        "KAFKA_GROUP_PROTOCOL must be classic with Azure Event Hubs",
        lambda settings: settings.kafka.group_protocol == "classic" or not _at_event_hubs(settings),
    ),
    Relation(
        ("COMMIT_INTERVAL_SECONDS", "KAFKA_BOOTSTRAP_SERVERS"),
        f"COMMIT_INTERVAL_SECONDS must be at least {LEAST_COMMIT_SECONDS:g} with Azure Event Hubs",
        lambda settings: (
            settings.ingest.commit_interval.total_seconds() >= LEAST_COMMIT_SECONDS
            or not _at_event_hubs(settings)
        ),
    ),
    Relation(
        ("MESSAGE_FORMAT", "SCHEMA_REGISTRY_URL"),
        "MESSAGE_FORMAT registry needs SCHEMA_REGISTRY_URL",
        lambda settings: (
            settings.decode.message_format != "registry" or settings.schema_registry.url is not None
        ),
    ),
    Relation(
        ("SCHEMA_REGISTRY_USERNAME", "SCHEMA_REGISTRY_PASSWORD"),
        "SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD must be set together",
        lambda settings: (
            (settings.schema_registry.username is None) == (settings.schema_registry.password is None)
        ),
    ),
    Relation(
        ("SCHEMA_REGISTRY_TOKEN", "SCHEMA_REGISTRY_USERNAME"),
        "SCHEMA_REGISTRY_TOKEN and SCHEMA_REGISTRY_USERNAME must not be set both",
        lambda settings: settings.schema_registry.token is None or settings.schema_registry.username is None,
    ),
    Relation(
        ("SCHEMA_REGISTRY_CERTIFICATE_LOCATION", "SCHEMA_REGISTRY_KEY_LOCATION"),
        "SCHEMA_REGISTRY_CERTIFICATE_LOCATION and SCHEMA_REGISTRY_KEY_LOCATION must be set together",
        lambda settings: (
            (settings.schema_registry.certificate_location is None)
            == (settings.schema_registry.key_location is None)
        ),
    ),
    Relation(
        ("PROXY_READ_GROUPS", "PROXY_ADMIN_GROUPS", "TRUSTED_PROXIES"),
        "PROXY_READ_GROUPS and PROXY_ADMIN_GROUPS need TRUSTED_PROXIES",
        lambda settings: (
            settings.service.trusted_proxies is not None
            or settings.service.proxy_read_groups is settings.service.proxy_admin_groups is None
        ),
    ),
    Relation(
        ("TLS_CERT_FILE", "TLS_KEY_FILE"),
        "TLS_CERT_FILE and TLS_KEY_FILE must be set together",
        lambda settings: (settings.service.tls_cert_file is None) == (settings.service.tls_key_file is None),
    ),
    Relation(
        ("API_KEYS", "API_KEYS_FILE"),
        "API_KEYS and API_KEYS_FILE must not be set both",
        lambda settings: settings.service.api_keys is None or settings.service.api_keys_file is None,
    ),
)


def _in_azure(settings: Settings) -> bool:
    cold = settings.cold
    return urlsplit(cold.store_url).scheme in AZURE_SCHEMES if cold.store_url else True


DOUBTS = (
    Relation(
        ("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),
        "AZURE_STORAGE_KEY and AZURE_STORAGE_SAS_TOKEN have no effect without AZURE_STORAGE_ACCOUNT",
        lambda settings: bool(
            settings.cold.azure_storage_account
            or settings.cold.azure_storage_connection_string
            or settings.cold.azure_storage_key is settings.cold.azure_storage_sas_token is None
        ),
    ),
    Relation(
        ("COLD_STORE_URL", "AZURE_STORAGE_ACCOUNT"),
        "COLD_STORE_URL wins: nothing goes to AZURE_STORAGE_ACCOUNT",
        lambda settings: _in_azure(settings) or settings.cold.azure_storage_account is None,
    ),
    Relation(
        ("COLD_STORE_URL", "AZURE_CONTAINER_NAME"),
        "COLD_STORE_URL wins: nothing goes to AZURE_CONTAINER_NAME",
        lambda settings: settings.cold.store_url is None or "AZURE_CONTAINER_NAME" not in settings.origins,
    ),
)
"""What is odd and does no harm: told, and no error."""


def broken_relations(settings: Settings, *, doubtful: frozenset[str] = frozenset()) -> Iterator[str]:
    """The sentences that are not true, each with the values; none about a setting that is wrong by itself."""
    for relation in RELATIONS:
        if doubtful.isdisjoint(relation.names) and not relation.holds(settings):
            yield f"{relation.words}; {', '.join(_is(settings, name) for name in relation.names)}"


def doubts(settings: Settings) -> Iterator[str]:
    """What is odd about settings that are good, each with the values."""
    for doubt in DOUBTS:
        if not doubt.holds(settings):
            yield f"{doubt.words}; {', '.join(_is(settings, name) for name in doubt.names)}"


def _is(settings: Settings, name: str) -> str:
    entry = entries()[name]
    return f"{name} is {entry.text(entry.value(settings))} ({settings.origin(name)})"
