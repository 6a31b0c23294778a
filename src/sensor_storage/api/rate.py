"""How fast one client may ask: a bucket of tokens each, filled at an even pace.

A client is the person a trusted proxy names, else the address at the other end of the connection; an IPv6
client counts by its network of 64 bits, since it has all addresses in it.
"""

import math
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.types import Scope

from sensor_storage.api.proxy import TrustedProxy

BURST_SECONDS: Final = 10
"""So many seconds' worth of requests may come at once."""
_MOST_CLIENTS: Final = 10_000
_NETWORK_BITS: Final = 64


class RateLimit:
    """Tokens of each client; `per_second` 0 is no limit. Memory is bounded: the longest idle are forgotten."""

    def __init__(self, per_second: float, proxy: TrustedProxy | None = None) -> None:
        self.per_second = per_second
        self._burst = per_second * BURST_SECONDS
        self._proxy = proxy
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, scope: Scope, now: float) -> int:
        """Take a token: 0. Where there is none, whole seconds until there is one."""
        if not self.per_second:
            return 0
        client = self._client(scope)
        tokens, then = self._clients.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self.per_second)
        missing = 1.0 - tokens
        self._clients[client] = (tokens if missing > 0 else tokens - 1.0, now)
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        return math.ceil(missing / self.per_second) if missing > 0 else 0

    def _client(self, scope: Scope) -> str:
        peer = str((scope.get("client") or ("",))[0])
        person = self._proxy.person(peer, scope["headers"]) if self._proxy else None
        return f"person {person.name}" if person else _network(peer)


def _network(peer: str) -> str:
    try:
        address = ip_address(peer.split("%", maxsplit=1)[0])
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    return str(address.ipv4_mapped or int(address) >> _NETWORK_BITS)
