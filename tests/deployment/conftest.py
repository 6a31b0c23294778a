"""What tests of the deployment may ask for."""

import socket

import pytest


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
