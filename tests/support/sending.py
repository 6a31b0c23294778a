"""Requests to an application, without a server between."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import httpx
from fastapi import FastAPI

HERE = "http://127.0.0.1:8080"
Send: TypeAlias = Callable[..., httpx.Response]


def sender(app: FastAPI) -> Send:
    """Sends one request to this application; an error inside it is an answer, as a server would give."""

    def send(method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        async def request() -> httpx.Response:
            async with client(app) as one:
                return await one.request(method, path, **options)

        return asyncio.run(request())

    return send


def client(app: FastAPI) -> httpx.AsyncClient:
    """A client of this application."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, raise_app_exceptions=False), base_url=HERE
    )
