"""Which query parameters an address takes: those its function has, and no others; and how high numbers go.

A parameter that is not known is most often a known one misspelt, and passed over it would be as if none were given:
`/cleanup/trigger?dryrun=true` would remove files.
"""

from typing import Final

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from sensor_storage.api.query import invalid

MAX_INT32: Final = 2**31 - 1
"""Kafka has no higher partition, and no message a higher place in it."""
MAX_INT64: Final = 2**63 - 1
"""Kafka has no higher offset."""
_NO_BODY: Final = (b"", b"{}")


async def only_known(request: Request) -> None:
    """A dependency of routes: 422, with the parameters there are, for one that the address does not take.

    What was sent as a body by whoever takes that for the way of parameters is refused as well.
    """
    if request.query_params:
        known = set(_known(request))
        for name in request.query_params:
            if name not in known:
                raise invalid(name, "there is no such parameter at this address", _takes(request))
    if request.method == "POST" and (await request.body()).strip() not in _NO_BODY:
        hint = f"{_takes(request)}; give them behind a question mark"
        raise invalid("body", "this address takes no body", hint)


def _known(request: Request) -> list[str]:
    route: APIRoute = request.scope["route"]
    return [one.alias for one in get_flat_params(Dependant(query_params=route.dependant.query_params))]


def _takes(request: Request) -> str:
    return f"{request.scope['route'].path_format} takes {', '.join(_known(request)) or 'no parameters'}"
