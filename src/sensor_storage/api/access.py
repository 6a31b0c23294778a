"""Who may read and who may change something: by key; without keys only this machine, and no other site's page."""

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sensor_storage.api.errors import Problem
from sensor_storage.api.keys import Key, KeyRing, presented

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_SCHEME = HTTPBearer(auto_error=False, description="An API key; needed where the service has any.")
Stated = Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)]
"""Only tells the documentation that a key may be given; the key itself is read by `presented`."""


def is_loopback(host: str) -> bool:
    """Does the address or name mean this machine alone?"""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ReadsAllowed:
    """A dependency of every route that tells something stored: with keys set, one of them."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def __call__(self, request: Request, _: Stated) -> None:
        """Let the request pass, or answer 401."""
        if self._keys.guards:
            identified(request, self._keys)


class ChangesAllowed:
    """A dependency of every route that changes something: with keys set, one of scope `admin`.

    Without keys only this machine may, and to listen on loopback is not enough: a proxy may stand before the
    service, and a page from elsewhere may post to it from a browser on this machine, even under a name it made
    point here. `host` is the address the service listens on.
    """

    def __init__(self, host: str, keys: KeyRing) -> None:
        self._host = host
        self._keys = keys

    async def __call__(self, request: Request, _: Stated) -> None:
        """Let the request pass, or answer 401 or 403 with the reason."""
        if self._keys.guards:
            key = identified(request, self._keys)
            if key.scope != "admin":
                raise Problem(
                    403,
                    "scope",
                    "This key may only read",
                    f"the key {key.name} has the scope read",
                    hint="use a key of scope admin",
                )
            return
        if not is_loopback(self._host):
            raise _refused(f"the service listens on {self._host}, which others can reach")
        if any(name in request.headers for name in _FORWARDED):
            raise _refused("the request came through a proxy")
        if not is_loopback(request.url.hostname or ""):
            raise _refused("the request does not name this machine as its host")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.url.netloc:
            raise _refused("the request comes from another site's page")


def identified(request: Request, keys: KeyRing) -> Key:
    """Whose key came with the request; 401 without a good one."""
    given = presented(request.headers.raw)
    key = keys.find(given) if given else None
    if key is None:
        raise Problem(
            401,
            "key",
            "A key is needed",
            "the key is not one of this service's" if given else "the request came without a key",
            hint="send it as Authorization: Bearer KEY; sensor-storage config key makes one",
            headers={"www-authenticate": "Bearer"},
        )
    return key


def _refused(why: str) -> Problem:
    return Problem(
        403,
        "changes-not-allowed",
        "Nobody without a key may change anything",
        f"{why}; without API keys only requests from this machine itself may change something",
        hint="set API_KEYS_FILE, or SERVICE_HOST=127.0.0.1 and post to that address, or use the command line there",
    )
