"""Verbs over a data directory of their own, with no settings but the given ones."""

import os
import socket
from pathlib import Path

import pytest

from sensor_storage import cli
from sensor_storage.storage.layout import Layout
from support.command import Done, Run


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty data directory."""
    return Layout(tmp_path / "data" / "raw")


@pytest.fixture
def run(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a verb with `--data` on that directory."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("KAFKA_", "SENSOR_STORAGE_"))]:
        monkeypatch.delenv(name)

    def call(*arguments: str) -> Done:
        end = arguments.index("--") if "--" in arguments else len(arguments)
        code = cli.run([*arguments[:end], "--data", str(layout.root), *arguments[end:]])
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return call


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
