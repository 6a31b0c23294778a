"""The schema registry as the service would meet it: name, port, certificate, login."""

from collections.abc import Callable
from typing import Any

from sensor_storage.checks.finding import Finding, bad, good
from sensor_storage.kafka.registry import SchemaWanted


def check_registry(get: Callable[[str], Any]) -> Finding:
    """Does it answer, and to this login?"""
    try:
        kinds = get("/schemas/types")
    except SchemaWanted as error:
        return bad("schema registry", error.message, error.hint)
    listed = ", ".join(map(str, kinds)) if isinstance(kinds, list) else "schemas"
    return good("schema registry", f"answers, and keeps {listed}")
