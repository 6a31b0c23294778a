"""The API's process: one uvicorn server on one address, until told to stop."""

import os
import socket
import sys
from asyncio import get_running_loop
from collections.abc import Callable
from threading import Event, Thread

import uvicorn

from sensor_storage.aggregation.files import Parameters
from sensor_storage.api.address import listening_at
from sensor_storage.api.alive import tell_while_it_turns
from sensor_storage.api.app import create_app
from sensor_storage.api.keys import KeyRing
from sensor_storage.api.proxy import TrustedProxy
from sensor_storage.api.threads import bound_the_threads
from sensor_storage.api.tls import Certificate, Renewed
from sensor_storage.clock import Clock
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.store import ColdStore
from sensor_storage.log import get
from sensor_storage.storage.alive import Alive
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import ApiStatus, write_status

_SWITCH_SECONDS = 0.0005
"""So long a thread that makes an answer keeps the interpreter while the loop that serves everybody waits."""
_KEEP_UP_SECONDS = 0.5
_GRACE_SECONDS = 5
"""Answers that are not finished so long after the end was told are cut off."""

_log = get("api")


def serve(
    layout: Layout,
    clock: Clock,
    *,
    host: str,
    port: int,
    stop: Event,
    listening: Callable[[int], None] = lambda _: None,
    parameters: Parameters | None = None,
    keys: KeyRing | None = None,
    certificate: Certificate | None = None,
    files: ColdFiles | None = None,
    store: ColdStore | None = None,
    proxy: TrustedProxy | None = None,
    requests_per_second: float = 0,
) -> None:
    """Answer requests until `stop` is set, then finish those begun.

    `listening` is told the port, which matters for port 0. With a `certificate` it speaks TLS alone, and reads a
    renewed one by itself. Usage when the address can't be had or the certificate is none.
    """
    renewed = Renewed(certificate) if certificate else None
    sys.setswitchinterval(_SWITCH_SECONDS)
    with listening_at(host, port) as listener:
        taken = int(listener.getsockname()[1])
        app = create_app(
            layout,
            clock,
            host=host,
            parameters=parameters,
            keys=keys,
            files=files,
            store=store,
            proxy=proxy,
            requests_per_second=requests_per_second,
        )
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the peer is who is connected, whatever a header says
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        if renewed:
            config.load()
            config.ssl = renewed.context
            Thread(target=renewed.keep_fresh, args=(stop,), name="api-certificate", daemon=True).start()
        server = _Server(config, _reporter(layout, clock), stop)
        Thread(target=_end, args=(server, stop), name="api-end", daemon=True).start()
        Thread(target=_repeat, args=(app.state.keep_up, stop), name="api-keep-up", daemon=True).start()
        _log.info("listening", host=host, port=taken, tls=certificate is not None)
        listening(taken)
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, tell: Alive, stop: Event) -> None:
        super().__init__(config)
        self._tell = tell
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        bound_the_threads()
        await super().startup(sockets)
        asked = (get_running_loop(), self._tell, self._stop)
        Thread(target=tell_while_it_turns, args=asked, name="api-alive", daemon=True).start()


def _reporter(layout: Layout, clock: Clock) -> Alive:
    started = clock.now()

    def tell() -> None:
        write_status(layout, ApiStatus(worker="api", pid=os.getpid(), time=clock.now(), started=started))

    return tell


def _end(server: uvicorn.Server, stop: Event) -> None:
    stop.wait()
    server.should_exit = True


def _repeat(act: Callable[[], None], stop: Event) -> None:
    while not stop.wait(_KEEP_UP_SECONDS):
        act()
