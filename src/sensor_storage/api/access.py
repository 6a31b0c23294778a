"""Who may change something: without keys only this machine, and no other site's page in its browser."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request

from sensor_storage.api.errors import Problem

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def is_loopback(host: str) -> bool:
    """Does the address or name mean this machine alone?"""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ChangesAllowed:
    """A dependency of every route that changes something. `host` is the address the service listens on.

    To listen on loopback is not enough: a proxy may stand before the service, and a page from elsewhere may
    post to it from a browser on this machine, even under a name it made point here.
    """

    def __init__(self, host: str) -> None:
        self._host = host

    async def __call__(self, request: Request) -> None:
        """Let the request pass, or answer 403 with the reason."""
        if not is_loopback(self._host):
            raise _refused(f"the service listens on {self._host}, which others can reach")
        if any(name in request.headers for name in _FORWARDED):
            raise _refused("the request came through a proxy")
        if not is_loopback(request.url.hostname or ""):
            raise _refused("the request does not name this machine as its host")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.url.netloc:
            raise _refused("the request comes from another site's page")


def _refused(why: str) -> Problem:
    return Problem(
        403,
        "changes-not-allowed",
        "Nobody without a key may change anything",
        f"{why}; without API keys only requests from this machine itself may change something",
        hint="set SERVICE_HOST=127.0.0.1 and post to that address, or use the command line on that machine",
    )
