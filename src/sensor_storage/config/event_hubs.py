"""Azure Event Hubs' Kafka endpoint: how it is known, and what it needs otherwise than Apache Kafka.

The numbers are Microsoft's (Recommended configurations for Apache Kafka clients). All of them may be set otherwise.
"""

from collections.abc import Mapping
from typing import Final

_USER: Final = "$ConnectionString"
_DOMAIN: Final = ".servicebus."

LEAST_COMMIT_SECONDS: Final = 1.0
"""More commits of a partition than a few a second are refused."""

MEMBER: Final = {"session.timeout.ms": 30_000, "heartbeat.interval.ms": 3_000}
"""With a shorter session the group is shared anew over and over."""

PRODUCER: Final = {"compression.type": "gzip"}
"""It knows no other."""

_CONNECTION: Final = {"connections.max.idle.ms": "180000", "socket.keepalive.enable": "true"}
"""A connection that is idle for four minutes is dropped without a word."""


def is_event_hubs(client: Mapping[str, object]) -> bool:
    """Does the client with these librdkafka properties talk to Event Hubs, by its name or its login?"""
    return _DOMAIN in str(client["bootstrap.servers"]) or client.get("sasl.username") == _USER


def with_profile(client: dict[str, str]) -> dict[str, str]:
    """The properties, with what is not among them as Event Hubs needs it; any other Kafka's stay as they are."""
    if not is_event_hubs(client):
        return client
    profile = {"security.protocol": "SASL_SSL", **_CONNECTION, **client}
    if profile["security.protocol"].upper().startswith("SASL"):
        if "sasl.mechanisms" not in profile:
            profile.setdefault("sasl.mechanism", "PLAIN")
        if profile.get("sasl.mechanism", profile.get("sasl.mechanisms")) == "PLAIN":
            profile.setdefault("sasl.username", _USER)
    return profile
