"""Who may read and who may change something: by key, or by a trusted proxy's word; else by loopback alone."""

from ipaddress import ip_address
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sensor_storage.api.errors import Problem
from sensor_storage.api.keys import KeyRing, Scope, presented
from sensor_storage.api.proxy import Person, TrustedProxy
from sensor_storage.query.allowed import only_assets

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_BY_ASSET: Final = frozenset(
    {
        "/assets",
        "/assets/{asset:path}/sensors",
        "/coverage",
        "/latest",
        "/query",
        "/prometheus/api/v1/query",
        "/prometheus/api/v1/query_range",
        "/prometheus/api/v1/labels",
        "/prometheus/api/v1/label/{name}/values",
        "/prometheus/api/v1/series",
        "/prometheus/api/v1/metadata",
        "/prometheus/api/v1/status/buildinfo",
    }
)
"""Routes that find sensors by the directory, which knows limits; every other one tells of all assets."""
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


class Caller(NamedTuple):
    """Who asks, what they may do, and with `assets` of which assets alone they may be told."""

    name: str
    scope: Scope
    assets: tuple[str, ...] = ()


class Guard:
    """Knows callers by their keys, or by what a trusted proxy says of them."""

    def __init__(self, keys: KeyRing, proxy: TrustedProxy | None = None) -> None:
        self._keys = keys
        self._proxy = proxy
        self.guards = keys.guards or proxy is not None

    def caller(self, request: Request) -> Caller:
        """Who asks; 401 for nobody known, 403 for somebody whose groups allow nothing."""
        given = presented(request.headers.raw)
        if given and (key := self._keys.find(given)):
            return Caller(key.name, key.scope, key.assets)
        person = self._person(request)
        if person and person.scope:
            return Caller(person.name, person.scope)
        if person:
            raise Problem(
                403,
                "groups",
                "None of your groups may ask",
                "the proxy names no group that is in PROXY_READ_GROUPS or PROXY_ADMIN_GROUPS",
                hint="have somebody add you to such a group, then sign in again",
            )
        raise Problem(
            401,
            "key",
            "A key is needed",
            "the key is not one of this service's" if given else "the request came without a key",
            hint="send it as Authorization: Bearer KEY; sensor-storage config key makes one",
            headers={"www-authenticate": "Bearer"},
        )

    def _person(self, request: Request) -> Person | None:
        if self._proxy is None or request.client is None:
            return None
        return self._proxy.person(request.client.host, request.headers.raw)

    def is_by_proxy(self, request: Request) -> bool:
        """Does the proxy alone vouch for the caller, as where a browser's cookie did to the proxy?"""
        given = presented(request.headers.raw)
        return not (given and self._keys.find(given))


class ReadsAllowed:
    """A dependency of every route that tells something stored: where callers must be known, one of them.

    Who is limited to some assets is told of these alone, and refused where an address can't tell them apart.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def __call__(self, request: Request, _: Stated) -> None:
        """Let the request pass, or answer 401 or 403."""
        caller = self._guard.caller(request) if self._guard.guards else None
        limits = caller.assets if caller else ()
        only_assets(limits)
        if caller and limits and request.scope["route"].path not in _BY_ASSET:
            raise Problem(
                403,
                "assets",
                "This key may only ask about some assets",
                f"the key {caller.name} is limited to assets, and this address tells of all",
                hint=f"use a key that is not limited, or ask {', '.join(sorted(_BY_ASSET)[:3])}",
            )


class ChangesAllowed:
    """A dependency of every route that changes something: with keys set, one of scope `admin`.

    Without keys only this machine may, and only where the service listens on loopback. That is not enough: a proxy
    may stand before the service, and a page from elsewhere may post to it from a browser on this machine, even
    under a name it made point here. The same holds of a browser that a proxy knows by its cookie. `host` is the
    address the service listens on.
    """

    def __init__(self, host: str, guard: Guard) -> None:
        self._host = host
        self._guard = guard

    async def __call__(self, request: Request, _: Stated) -> None:
        """Let the request pass, or answer 401 or 403 with the reason."""
        if self._guard.guards:
            caller = self._guard.caller(request)
            by_proxy = self._guard.is_by_proxy(request)
            if caller.scope != "admin":
                raise Problem(
                    403,
                    "scope",
                    "You may only read" if by_proxy else "This key may only read",
                    "none of your groups is in PROXY_ADMIN_GROUPS"
                    if by_proxy
                    else f"the key {caller.name} has the scope read",
                    hint="join such a group" if by_proxy else "use a key of scope admin",
                )
            if by_proxy and not _of_own_page(request):
                raise _refused("the request comes from another site's page")
            return
        if not is_loopback(self._host):
            raise _refused(f"the service listens on {self._host}, which others can reach")
        if any(name in request.headers for name in _FORWARDED):
            raise _refused("the request came through a proxy")
        if not is_loopback(request.url.hostname or ""):
            raise _refused("the request does not name this machine as its host")
        if not _of_own_page(request):
            raise _refused("the request comes from another site's page")


def _of_own_page(request: Request) -> bool:
    """False for a page of another site; what is no browser sends no origin. A proxy has its own name."""
    origin = request.headers.get("origin")
    own = {request.url.netloc, request.headers.get("x-forwarded-host", request.url.netloc)}
    return origin is None or urlsplit(origin).netloc in own


def _refused(why: str) -> Problem:
    return Problem(
        403,
        "changes-not-allowed",
        "Nobody without a key may change anything",
        f"{why}; without API keys changes are taken only by a service that listens on this machine alone, and only"
        " from here",
        hint="set API_KEYS_FILE, or SERVICE_HOST=127.0.0.1 and post to that address, or use the command line there",
    )
