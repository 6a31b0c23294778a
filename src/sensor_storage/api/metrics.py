"""`/metrics`: what Prometheus scrapes."""

from functools import partial
from itertools import chain

from fastapi import APIRouter, Request
from fastapi.responses import Response

from sensor_storage.api.exposition import MetricsPage
from sensor_storage.api.gate import Traffic
from sensor_storage.api.samples import own_samples, samples
from sensor_storage.api.snapshot import Meter, take_snapshot
from sensor_storage.api.threads import ProbeThreads
from sensor_storage.clock import Clock
from sensor_storage.storage.layout import Layout


def routes(layout: Layout, clock: Clock, meter: Meter, traffic: Traffic) -> APIRouter:
    """The route over one data directory."""
    router = APIRouter(tags=["metrics"])
    threads = ProbeThreads()
    page = MetricsPage(
        lambda: chain(samples(take_snapshot(layout, clock.now()), meter.measure(), traffic), own_samples())
    )

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
    )
    async def metrics(request: Request) -> Response:
        """Every metric in Prometheus' text format, or in OpenMetrics where the request prefers it."""
        accept = request.headers.get("accept", "")
        content, media_type = await threads.run(partial(page.render, accept))
        return Response(content, headers={"content-type": media_type})

    return router
