"""The application over a data directory of its own, as a client on this machine sees it."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from sensor_storage.storage.layout import Layout
from support.sending import Send, sender
from support.statuses import NOW


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty data directory."""
    return Layout(tmp_path / "raw")


@pytest.fixture
def clock() -> ManualClock:
    """It stands at the time of the statuses."""
    return ManualClock(NOW)


@pytest.fixture
def app(layout: Layout, clock: ManualClock) -> FastAPI:
    """The application as it listens on loopback."""
    return create_app(layout, clock)


@pytest.fixture
def send(app: FastAPI) -> Send:
    """Sends one request to the application."""
    return sender(app)
