"""Kafka as the service would meet it: names, ports, login, every broker's own address, topics."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sensor_storage.checks.address import check_address
from sensor_storage.checks.finding import Finding, bad, good

_LISTING_SECONDS = 15.0
_DEFAULT_PORT = 9092
_SHOWN = 3
_ADDRESS = re.compile(r"(?:\w+://)?(?:\[(?P<six>[^]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?")
_LOGIN = "check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
_PROTOCOL = (
    "check KAFKA_SECURITY_PROTOCOL and the port: one that speaks TLS needs SSL or SASL_SSL, others do not"
)
_FIXES = (
    (
        "certificate verify failed",
        "set KAFKA_SSL_CA_LOCATION to the authority that signed the broker's certificate",
    ),
    ("certificate required", "set KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION"),
    ("authentication", _LOGIN),
    ("sasl mechanism", _LOGIN),
    ("handshake", _PROTOCOL),
    ("disconnected", _PROTOCOL),
    ("transport failure", _PROTOCOL),
)


def check_kafka(client: Mapping[str, str], pattern: re.Pattern[str]) -> Iterator[Finding]:
    """The addresses that are set, then the cluster behind them, unless it does not answer."""
    addresses = [_parsed(one) for one in client["bootstrap.servers"].split(",")]
    reached = [check_address("Kafka address", host, port) for host, port in addresses]
    yield from reached
    if all(finding.state == "bad" for finding in reached):
        return
    errors: list[KafkaError] = []
    config: dict[str, Any] = {**client, "log_level": 0, "error_cb": errors.append}
    admin = AdminClient(config)
    try:
        listed: Any = admin.list_topics(timeout=_LISTING_SECONDS)
    except KafkaException as error:
        admin.poll(0)
        yield judge_refusal([*(one.str() for one in errors), error.args[0].str()])
        return
    yield good("Kafka", f"cluster {listed.cluster_id} of {len(listed.brokers)} brokers answers")
    yield from _brokers(listed.brokers, addresses)
    yield judge_topics([name for name, topic in listed.topics.items() if topic.error is None], pattern)


def _parsed(server: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(server)
    if match is None:  # pragma: no cover - the setting's own rule has refused it
        return server, _DEFAULT_PORT
    return match["six"] or match["host"], int(match["port"] or _DEFAULT_PORT)


def _brokers(brokers: Mapping[int, Any], known: list[tuple[str, int]]) -> Iterator[Finding]:
    """A cluster sends its clients to the addresses it advertises; those it was not asked by are tried too."""
    for number, broker in sorted(brokers.items()):
        if (broker.host, broker.port) not in known:
            found = check_address(f"Kafka broker {number}", broker.host, broker.port)
            if found.state == "bad":
                fix = f"the cluster advertises this address: mend its advertised.listeners, or {found.fix}"
                found = bad(found.name, found.what, fix)
            yield found


def judge_refusal(words: list[str]) -> Finding:
    """Why a cluster whose port is open does not answer, by what the client heard of it."""
    told = next((one for one in words if any(key in one.lower() for key, _ in _FIXES)), words[-1])
    fix = next((fix for key, fix in _FIXES if key in told.lower()), "see the broker's log")
    return bad("Kafka", told, fix)


def judge_topics(names: list[str], pattern: re.Pattern[str]) -> Finding:
    """Does the pattern match anything?"""
    own = sorted(name for name in names if not name.startswith("__"))
    matching = [name for name in own if pattern.match(name)]
    if not matching:
        there = f"there are {_some(own)}" if own else "the cluster shows none"
        fix = "check KAFKA_TOPIC_PATTERN, and that this user may describe the topics"
        return bad("topics", f"none matches {pattern.pattern}; {there}", fix)
    return good("topics", f"{len(matching)} match {pattern.pattern}: {_some(matching)}")


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
