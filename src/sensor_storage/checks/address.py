"""A name and a port, as any of the service's clients would meet them."""

import socket
from collections.abc import Callable

from sensor_storage.checks.finding import Finding, bad, good

_SECONDS = 5.0

Connect = Callable[[str, int], None]


def _connect(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=_SECONDS).close()


def check_address(
    name: str, host: str, port: int, connect: Connect = _connect, *, runs: str = "the broker runs"
) -> Finding:
    """Is the name known, and does anybody listen?"""
    where = f"{host}:{port}"
    try:
        connect(host, port)
    except socket.gaierror:
        fix = "check the name; behind a private endpoint, link its private DNS zone to this network"
        return bad(name, f"{where}: the name is not known here", fix)
    except TimeoutError:
        fix = "let a firewall, security group or network policy pass TCP to that port"
        return bad(name, f"{where}: no answer in {_SECONDS:.0f} s", fix)
    except OSError as error:
        fix = f"check the port, and that {runs}"
        return bad(name, f"{where}: {error.strerror or error}", fix)
    return good(name, f"{where} answers")
