"""Who asks, as a proxy that has signed them in says: believed only from the proxy's own address.

The address is that of the connection. No header can change it, and a header that comes twice is believed by
nobody: a proxy that adds its own to a caller's would let the caller choose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from sensor_storage.api.keys import Scope


class Person(NamedTuple):
    """Who is signed in, and what their groups allow; no scope: nothing."""

    name: str
    scope: Scope | None


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """Which proxies are believed, and how they tell. Without `readers` everybody signed in may read."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    user_header: str = "x-forwarded-user"
    groups_header: str = "x-forwarded-groups"
    readers: frozenset[str] = frozenset()
    admins: frozenset[str] = frozenset()

    def person(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> Person | None:
        """Who the request at the other end of the connection is from; None where no trusted proxy says it."""
        if not self._trusts(peer):
            return None
        users = _values(headers, self.user_header)
        if len(users) != 1 or not users[0].strip():
            return None
        given = _values(headers, self.groups_header)
        groups = {one.strip() for one in given[0].split(",")} if len(given) == 1 else set[str]()
        return Person(users[0].strip(), self._scope(groups))

    def _scope(self, groups: set[str]) -> Scope | None:
        if groups & self.admins:
            return "admin"
        return "read" if not self.readers or groups & self.readers else None

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer.split("%", maxsplit=1)[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.networks)


def _values(headers: Sequence[tuple[bytes, bytes]], name: str) -> list[str]:
    """As often as the header came: proxies write it by either of `-` and `_`, and so do callers who cheat."""
    wanted = name.lower().replace("_", "-")
    return [
        value.decode("latin-1")
        for key, value in headers
        if key.decode("latin-1").lower().replace("_", "-") == wanted
    ]
