"""A planned leave: what this directory's members read, the group's others read at once.

A static member that closes keeps its partitions until the session timeout, so that a restart finds them as they
were. Where other members could read on, it is removed by name instead.
"""

from collections.abc import Iterable, Mapping

from kafka.admin import KafkaAdminClient, MemberToRemove
from kafka.errors import KafkaError

from sensor_storage.log import get

_TIMEOUT_MS = 2_000
_NAMES = {
    "bootstrap.servers": "bootstrap_servers",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
}
_log = get("kafka")


def leave_group(client: Mapping[str, str], group: str, instances: Iterable[str]) -> None:
    """Remove the named static members from the group if it has others; they must have closed.

    If that cannot be done in a few seconds, the others take over after the session timeout.
    """
    leaving = set(instances)
    try:
        admin = KafkaAdminClient(
            **{_NAMES[name]: value for name, value in client.items() if name in _NAMES},
            request_timeout_ms=_TIMEOUT_MS,
            bootstrap_timeout_ms=_TIMEOUT_MS,
        )
        try:
            members = admin.describe_groups([group])[group]["members"]
            known = {member["group_instance_id"] for member in members}
            if known - leaving and known & leaving:
                admin.remove_group_members(
                    group, [MemberToRemove(group_instance_id=name) for name in sorted(known & leaving)]
                )
                _log.info("left_group", members=len(known & leaving))
        finally:
            admin.close()
    except (KafkaError, OSError, KeyError, ValueError) as error:
        _log.warning("leave_postponed", error=str(error), hint="others take over after the session timeout")
