"""A connection between a client and a server that can fall silent without closing, as behind a dead firewall."""

import contextlib
import socket
import threading
from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16


class Proxy:
    """Forwards every connection to `target`; those open when `silence` is called forward nothing from then on."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._silenced: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self.port: int = self._server.getsockname()[1]
        self.target = 0

    def silence(self) -> None:
        """From now on the connections that are open carry nothing, and nobody is told."""
        self._silenced |= self._open

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """The same, and those that are opened meanwhile carry nothing till the end."""
        self._flowing.clear()
        self.silence()
        try:
            yield
        finally:
            self._flowing.set()

    def serve(self) -> None:
        """Take connections until closed."""
        with contextlib.suppress(OSError):
            while True:
                client = self._server.accept()[0]
                self._open.add(client)
                server = socket.create_connection(("127.0.0.1", self.target))
                self._open.add(server)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def refuse(self) -> None:
        """Take no more; `serve` ends."""
        self._server.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End what is open."""
        self._server.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._flowing.wait()
                if source not in self._silenced:
                    sink.sendall(data)
            if source not in self._silenced:
                sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy() -> Iterator[Proxy]:
    """A running proxy; set its target before anybody connects."""
    one = Proxy()
    thread = threading.Thread(target=one.serve, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.refuse()
        thread.join()
        one.close()
