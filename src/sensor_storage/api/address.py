"""The address at which the API listens: had, or told who has it."""

import errno
import socket

import psutil

from sensor_storage.errors import Usage


def listening_at(host: str, port: int) -> socket.socket:
    """A listening socket. Usage, with who has the address, where it can't be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise Usage(
            f"listen on {host}:{port}: {error.strerror or error}", hint=_hint(error, host, port)
        ) from error


def _hint(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{_holder(port)} has the port; end it, or set SERVICE_PORT to a free one"
    if error.errno == errno.EACCES:
        return "set SERVICE_PORT to 1024 or above: lower ports need a privilege"
    return f"set SERVICE_HOST to an address of this machine in place of {host}: 127.0.0.1, or 0.0.0.0 for all"


def _holder(port: int) -> str:
    """Which process has the port, as far as this user may know."""
    try:
        for link in psutil.net_connections(kind="tcp"):
            if link.status == psutil.CONN_LISTEN and link.laddr[1:] == (port,) and link.pid:
                return f"process {link.pid} ({psutil.Process(link.pid).name()})"
    except (psutil.Error, OSError):
        pass
    return f"another process (`ss -ltnp 'sport = :{port}'` tells which)"
