"""The HTTP application over one data directory; it reads, and asks the maintain worker to do the rest."""

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel
from starlette_compress import CompressMiddleware, add_compress_type

from sensor_storage import __version__
from sensor_storage.aggregation.files import Parameters
from sensor_storage.api import (
    cold,
    dead_letters,
    docs,
    errors,
    health,
    metrics,
    page,
    prometheus,
    query,
    sensors,
    storage,
    stored,
)
from sensor_storage.api.access import ChangesAllowed, Guard, ReadsAllowed
from sensor_storage.api.gate import Gate, Traffic
from sensor_storage.api.keys import KeyRing
from sensor_storage.api.parameters import only_known
from sensor_storage.api.proxy import TrustedProxy
from sensor_storage.api.rate import RateLimit
from sensor_storage.api.snapshot import Meter
from sensor_storage.clock import Clock
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.store import ColdStore
from sensor_storage.query.formats import MEDIA_TYPES
from sensor_storage.query.queries import Queries
from sensor_storage.storage.layout import Layout

_DESCRIPTION = """Keeps sensor readings from Kafka: every reading exactly once, in plain Parquet files.

Every error is a problem detail (RFC 9457) with a hint. With API keys set, reads need one and changes one of
scope admin, sent as `Authorization: Bearer KEY`. Without keys, requests that change something are taken only
from the machine itself, and only while the service listens on loopback alone."""


class Index(BaseModel):
    """What there is to look at."""

    name: str = "Sensor Data Storage Service"
    version: str = __version__
    links: dict[str, str] = {
        "page": "explore",
        "documentation": "docs",
        "openapi": "openapi.json",
        "health": "health",
        "metrics": "metrics",
        "statistics": "storage/stats",
        "assets": "assets",
        "latest": "latest",
    }


def create_app(
    layout: Layout,
    clock: Clock,
    *,
    host: str = "127.0.0.1",
    parameters: Parameters | None = None,
    keys: KeyRing | None = None,
    files: ColdFiles | None = None,
    store: ColdStore | None = None,
    proxy: TrustedProxy | None = None,
    requests_per_second: float = 0,
) -> FastAPI:
    """The application. `host` is the address it will listen on, which decides who may change something.

    `parameters` are those of the aggregates, which windows not made yet are made with. With `keys`
    that guard, or a `proxy`, every route below `read` needs a caller who is
    known; health, metrics and the documentation are open. Routes below `asked` refuse parameters they do not know;
    Prometheus' API, probes and pages have to take what others add. `requests_per_second` is what one client may
    ask, 0 without a limit.
    """
    app = FastAPI(
        title="Sensor Data Storage Service",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        responses=errors.problem_responses(),
    )
    errors.install(app)
    guard = Guard(keys or KeyRing(clock), proxy)
    read = [Depends(ReadsAllowed(guard))]
    asked = [*read, Depends(only_known)]
    change = ChangesAllowed(host, guard)
    meter, traffic = Meter(layout, clock), Traffic()
    app.include_router(health.routes(layout, clock))
    app.include_router(metrics.routes(layout, clock, meter, traffic))
    app.include_router(storage.routes(layout, clock, meter, change), dependencies=asked)
    queries = Queries(layout, clock, parameters=parameters, files=files)
    app.include_router(cold.routes(queries.files, layout, store, change), dependencies=asked)
    app.include_router(query.routes(queries), dependencies=asked)
    app.include_router(sensors.routes(queries), dependencies=asked)
    app.include_router(prometheus.routes(queries), dependencies=read)
    app.include_router(stored.routes(queries), dependencies=asked)
    app.include_router(dead_letters.routes(layout, change), dependencies=asked)
    app.include_router(page.routes())
    app.include_router(docs.routes())
    for media in MEDIA_TYPES.values():
        add_compress_type(media.split(";")[0])
    app.state.keep_up = queries.keep_up
    app.add_middleware(CompressMiddleware, brotli=False)
    app.add_middleware(Gate, traffic=traffic, clock=clock, rate=RateLimit(requests_per_second, proxy))

    @app.get("/", tags=["index"], response_model=Index)
    async def index(request: Request) -> Index | Response:
        """The service's name and version, and links to the rest; browsers get the page."""
        return page.page(request) if page.wanted(request) else Index()

    return app
