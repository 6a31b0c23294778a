"""`/docs`: Swagger UI out of the installed packages; the browser is told to load nothing from elsewhere."""

from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from sensor_storage.api.errors import Problem

_ASSETS: Final = files("fastapi_swagger") / "resources"
_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sensor Data Storage Service: API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def routes() -> APIRouter:
    """The page and its files; all addresses in it are relative, so that it works below any path."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        """The page."""
        return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY})

    @router.get("/docs/start.js")
    async def start() -> Response:
        """What starts the page: in a file of its own, since the policy allows no script in the page."""
        return Response(_START, media_type="text/javascript")

    @router.get("/docs/{name}")
    def asset(name: str) -> Response:
        """One of Swagger UI's files."""
        if name not in _TYPES:
            raise Problem(404, "no-such-file", "There is no such file", f"/docs has no file {name!a}")
        content = (_ASSETS / name).read_bytes()
        return Response(content, media_type=_TYPES[name], headers={"cache-control": "max-age=3600"})

    return router
