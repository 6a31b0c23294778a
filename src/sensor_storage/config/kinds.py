"""What a setting's value may be: each kind turns text or a TOML value into its type, and can say its rule.

A kind is `Annotated[type, how to read it, Rule("words that end the sentence: NAME must be …")]`. Units are
in the type: durations are `timedelta`, sizes `ByteSize`. Every kind also takes a value of its own type.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ByteSize,
    PlainValidator,
    SecretStr,
    StringConstraints,
)

from sensor_storage.config import azure

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|min|h|d)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SERVER = re.compile(r"([A-Za-z][A-Za-z0-9_]*://)?(\[[0-9A-Fa-f:.]+\]|[^\s,:/\[\]]+)(:(?P<port>\d{1,5}))?")
_SIBLINGS = frozenset({"aggregated", "staging", "deadletter", "ledger", "damaged", "run"})
_HIGHEST_PORT = 65_535
_FORM_NAMES = frozenset({"readings", "values"})
AZURE_SCHEMES = frozenset({"az", "azure", "abfs", "abfss", "adl"})
STORE_SCHEMES = AZURE_SCHEMES | {"file", "s3", "s3a", "gs"}
FIELD_ROLES = ("asset", "sensor", "time", "value", "unit", "quality", "rate")
_LEVELS = ("minute", "hour", "day")
_WEEK = timedelta(days=7)
_FLAGS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be, in words that end the sentence "NAME must be …"."""

    words: str


def _no_truth(value: _Value) -> _Value:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")  # noqa: TRY004 - pydantic collects ValueError
    return value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _title(value: object) -> object:
    return value.strip().title() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value).strip().lower())
    if isinstance(value, bool) or not match:
        raise ValueError("no number with a unit: ms, s, m, h or d")
    try:
        return timedelta(seconds=float(match["number"]) * _UNIT_SECONDS[match["unit"] or "s"])
    except OverflowError:
        raise ValueError("longer than time itself") from None


def _above_zero(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("not above 0")
    return value


def _size(value: object) -> object:
    """Let Kubernetes' spellings, `512Mi` and `20G`, through as the sizes they mean."""
    text = value.strip() if isinstance(value, str) else _no_truth(value)
    return f"{text}B" if isinstance(text, str) and re.search(r"(?i)\d\s*[kmgtp]i?$", text) else text


def _size_or_zero(value: object) -> object:
    return 0 if str(value).strip() == "0" else _size(value)


def _share(value: object) -> object:
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return _no_truth(value)


def _factor(value: float) -> float:
    if 0 < value < 1:
        raise ValueError("between 0 and 1 every new reading would rewrite the file")
    return value


def _zone(value: object) -> tzinfo:
    if isinstance(value, tzinfo):
        return value
    if str(value).strip().upper() in {"UTC", "Z"}:
        return UTC
    try:
        return ZoneInfo(str(value).strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("this machine knows no such zone") from None


def _moment(value: object) -> object:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _pattern(value: object) -> re.Pattern[str]:
    if isinstance(value, re.Pattern):
        return value
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004 - pydantic collects ValueError
    try:
        return re.compile(value)
    except re.error as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Names of fields by the role they have in a message."""

    by_role: dict[str, tuple[str, ...]]

    def __str__(self) -> str:
        return "; ".join(f"{role}={','.join(names)}" for role, names in self.by_role.items())


def _field_names(value: object) -> FieldNames:
    """Read `role=name,name; role=name`, or a TOML table of lists."""
    if isinstance(value, FieldNames):
        return value
    if isinstance(value, dict):
        pairs = [(str(role), names if isinstance(names, list) else [names]) for role, names in value.items()]
    else:
        parts = [part.partition("=") for part in str(value).split(";") if part.strip()]
        pairs = [(role.strip(), [name.strip() for name in names.split(",")]) for role, _, names in parts]
    seen: dict[str, str] = {}
    for role, names in pairs:
        if role not in FIELD_ROLES:
            raise ValueError(f"{role!r} is no role of a field")
        for name in names:
            if not isinstance(name, str) or not name:
                raise ValueError(f"{role} is given a name that is empty or no text")
            if name in _FORM_NAMES:
                raise ValueError(f"{name!r} stands for the form of a message")
            if seen.setdefault(name, role) != role:
                raise ValueError(f"{name!r} stands for both {seen[name]} and {role}")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a role stands twice")
    return FieldNames({role: tuple(dict.fromkeys(names)) for role, names in pairs})


def _servers(value: object) -> str:
    """Give `host:port,host:port`, from such text or from a TOML list."""
    listed = value if isinstance(value, list | tuple) else str(value).split(",")
    servers = [str(server).strip() for server in listed]
    for server in servers:
        match = _SERVER.fullmatch(server)
        if not match or not 0 < int(match["port"] or 0) <= _HIGHEST_PORT:
            raise ValueError(f"{server!r} is not host:port, such as kafka-1:9092")
    return ",".join(servers)


def expanded(text: str) -> Path:
    """The path, `~` as the home directory. ValueError where there is no such home."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def _registry_urls(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else str(value).split(",")
    urls = [str(url).strip().rstrip("/") for url in listed]
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("it is not http://host:port or https://host:port")
        if "@" in parts.netloc:
            raise ValueError("a login belongs into SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD")
    return tuple(urls)


def _store_url(value: object) -> str:
    url = str(value).strip()
    parts = urlsplit(url)
    if parts.scheme not in STORE_SCHEMES:
        raise ValueError(f"{parts.scheme}:// is no kind of store" if parts.scheme else "it has no scheme")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("logins and tokens have settings of their own, such as AZURE_STORAGE_SAS_TOKEN")
    if parts.scheme == "file":
        check_file_url(url)
    if parts.scheme != "file" and not parts.netloc:
        raise ValueError("it names no container or bucket")
    if parts.scheme in AZURE_SCHEMES:
        azure.container(parts.netloc)
    return url


def check_file_url(url: str) -> None:
    """ValueError unless the URL names a folder by its whole path, which takes three slashes."""
    parts = urlsplit(url)
    whole = f"/{parts.netloc}/{parts.path.lstrip('/')}".rstrip("/")
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise ValueError(f"a folder's whole path begins with three slashes: file://{whole}")


def _listed(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    names = tuple(str(one).strip() for one in parts)
    if not all(names):
        raise ValueError("one of them is empty")
    return names


def _networks(value: object) -> tuple[str, ...]:
    return tuple(str(ip_network(one)) for one in _listed(value))


def _raw_path(value: object) -> Path:
    path = expanded(str(value).strip()).absolute()
    if path.parent == Path(path.anchor):
        raise ValueError("the directories beside it would lie in the root of the file system")
    if path.name in _SIBLINGS:
        raise ValueError(f"{path.name!r} is the name of a directory beside it")
    return path


def _file(value: object) -> Path:
    path = expanded(str(value).strip()).absolute()
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from None


def _levels(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else str(value).split(",")
    names = tuple(str(name).strip().lower() for name in listed)
    if names in {("",), ("none",)}:
        return ()
    if names != _LEVELS[: len(names)]:
        raise ValueError("each level is made from the one before it")
    return names


def _at_most_a_week(value: timedelta) -> timedelta:
    if value > _WEEK:
        raise ValueError("longer than seven days")
    return value


def _flag(value: object) -> object:
    return _FLAGS.get(str(value).strip().lower(), value)


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), Rule("text")]
Host = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[^\s/]+$"),
    Rule("an address or a host name to listen on"),
]
Count = Annotated[int, BeforeValidator(_no_truth), Ge(1), Rule("a whole number, at least 1")]
Port = Annotated[
    int,
    BeforeValidator(_no_truth),
    Ge(0),
    Le(_HIGHEST_PORT),
    Rule("a port, 1 to 65535, or 0 for any that is free"),
]
Duration = Annotated[
    timedelta,
    PlainValidator(_duration),
    AfterValidator(_above_zero),
    Rule("a time above 0: seconds, or with a unit as in 500ms, 5m, 1h"),
]
DurationOrZero = Annotated[
    timedelta,
    PlainValidator(_duration),
    Rule("a time, or 0: seconds, or with a unit as in 500ms, 5m, 24h, 1d"),
]
CarryLimit = Annotated[
    timedelta,
    PlainValidator(_duration),
    AfterValidator(_above_zero),
    AfterValidator(_at_most_a_week),
    Rule("a time above 0 and at most 7d: seconds, or with a unit as in 5m, 1h"),
]
Levels = Annotated[
    tuple[str, ...],
    PlainValidator(_levels),
    Rule("minute, or minute,hour, or minute,hour,day, or none: each level is made from the one before it"),
]
Flag = Annotated[bool, BeforeValidator(_flag), Rule("true or false")]
Size = Annotated[
    ByteSize,
    BeforeValidator(_size),
    Ge(1_000_000),
    Rule("a size, at least 1MB: bytes, or as in 512MB, 20GiB"),
]
Workers = Annotated[int, BeforeValidator(_no_truth), Ge(1), Le(64), Rule("a whole number, 1 to 64")]
Memory = Annotated[
    ByteSize,
    BeforeValidator(_size),
    Ge(256_000_000),
    Rule("a size, at least 256MB: bytes, or as in 512MB, 2GiB"),
]
Share = Annotated[
    float, BeforeValidator(_share), Gt(0), Le(1), Rule("a share above 0 and up to 1, as in 0.95 or 95%")
]
Factor = Annotated[
    float, BeforeValidator(_no_truth), AfterValidator(_factor), Ge(0), Le(1000), Rule("0, or 1 to 1000")
]
Zone = Annotated[tzinfo, PlainValidator(_zone), Rule("a time zone, as in UTC or Europe/Berlin")]
Moment = Annotated[
    AwareDatetime, BeforeValidator(_moment), Rule("a time in ISO 8601, as in 2000-01-01T00:00:00Z")
]
Servers = Annotated[str, PlainValidator(_servers), Rule("host:port, several separated by commas")]
Pattern = Annotated[
    re.Pattern[str], PlainValidator(_pattern), Rule("a regular expression as Python reads it")
]
FieldAliases = Annotated[
    FieldNames,
    PlainValidator(_field_names),
    Rule(
        "role=name,name; role=name with each name once and the roles "
        "asset, sensor, time, value, unit, quality, rate; in TOML a table of lists"
    ),
]
RegistryUrls = Annotated[
    tuple[str, ...],
    PlainValidator(_registry_urls),
    Rule("http:// or https:// addresses without a login in them, several separated by commas"),
]
StoreUrl = Annotated[
    str,
    PlainValidator(_store_url),
    Rule("file:///folder, az://container, s3://bucket or gs://bucket, without a login or a token in it"),
]
AzureAccount = Annotated[str, PlainValidator(azure.account), Rule(azure.ACCOUNT_RULE)]
AzureContainer = Annotated[str, PlainValidator(azure.container), Rule(azure.CONTAINER_RULE)]
AzureKey = Annotated[
    SecretStr,
    AfterValidator(lambda value: SecretStr(azure.key(value.get_secret_value()))),
    Rule("the base64 text that the account's page Access keys shows; never shown here"),
]
SasToken = Annotated[
    SecretStr,
    AfterValidator(lambda value: SecretStr(azure.sas_token(value.get_secret_value()))),
    Rule("a SAS token, as in sv=…&sp=…&sig=…; never shown"),
]
Names = Annotated[tuple[str, ...], PlainValidator(_listed), Rule("names, several separated by commas")]
Networks = Annotated[
    tuple[str, ...],
    PlainValidator(_networks),
    Rule("addresses or networks, as in 10.0.0.7 or 10.244.0.0/16, several separated by commas"),
]
RawPath = Annotated[
    Path, PlainValidator(_raw_path), Rule("a directory below another one that is the service's own")
]
ReadableFile = Annotated[Path, PlainValidator(_file), Rule("a file that can be read")]
Secret = Annotated[SecretStr, Rule("text; never shown")]
CountOrZero = Annotated[int, BeforeValidator(_no_truth), Ge(0), Rule("a whole number, at least 0")]
SizeOrZero = Annotated[
    ByteSize, BeforeValidator(_size_or_zero), Ge(0), Rule("a size, as in 20MB; 0 is no bound")
]
Days = Annotated[float, BeforeValidator(_no_truth), Ge(0), Le(36_500), Rule("a number, at least 0")]
Title = BeforeValidator(_title)
Upper = BeforeValidator(_upper)
Lower = BeforeValidator(_lower)
