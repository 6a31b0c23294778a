"""The Explorer: the page at `/` and `/explore`, and its files, out of the installed package.

It is built from `web/` by `make page`. Its addresses are relative, so that it works below any path, and its policy
lets the browser load and ask nothing but this service.
"""

from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from sensor_storage.api.errors import Problem

_FILES: Final = files("sensor_storage") / "page"
_PAGE: Final = "index.html"
_TYPES: Final = {
    _PAGE: "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def routes() -> APIRouter:
    """The page and its files; `/` itself is the index, which browsers get as this page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/explore")
    def explore(request: Request) -> Response:
        """The page."""
        return page(request)

    @router.get("/page/{name}")
    def file(name: str, request: Request) -> Response:
        """One of the page's files."""
        if name not in _TYPES or name == _PAGE:
            raise Problem(404, "no-such-file", "There is no such file", f"the page has no file {name!a}")
        return _answer(name, request)

    return router


def page(request: Request) -> Response:
    """The page itself."""
    return _answer(_PAGE, request)


def wanted(request: Request) -> bool:
    """Does a browser ask, which wants a page, and not a program, which wants JSON?"""
    return "text/html" in request.headers.get("accept", "")


def _answer(name: str, request: Request) -> Response:
    content = (_FILES / name).read_bytes()
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": POLICY,
        "etag": f'W/"{sha256(content).hexdigest()[:32]}"',
        "referrer-policy": "no-referrer",
        "vary": "Accept, Accept-Encoding",
        "x-content-type-options": "nosniff",
    }
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_TYPES[name], headers=headers)
