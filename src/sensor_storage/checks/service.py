"""The API's address: does a running service answer there, or can one listen."""

import ssl
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from sensor_storage.api.address import listening_at
from sensor_storage.checks.finding import Finding, bad, good
from sensor_storage.errors import Usage

_SECONDS = 5.0
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104 - read, not bound


def check_answer(host: str, port: int, *, tls: bool) -> Iterator[Finding]:
    """Does the service answer? For a container's health check: nothing but the API's process is asked."""
    reached = _EVERY.get(host, host)
    where = f"{reached}:{port}"
    link = _encrypted(reached, port) if tls else HTTPConnection(reached, port, timeout=_SECONDS)
    try:
        link.request("GET", "/health/live")
        status = link.getresponse().status
    except (OSError, HTTPException) as error:
        yield bad("service", f"{where}: {error}", "start it: sensor-storage run; or see its log")
        return
    finally:
        link.close()
    if status == HTTPStatus.OK:
        yield good("service", f"{where} answers")
    else:
        yield bad("service", f"{where} answers {status}", "is it another program? see SERVICE_PORT")


def _encrypted(host: str, port: int) -> HTTPConnection:
    """Over TLS, whatever name the certificate has: this asks the own machine by its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=_SECONDS, context=context)


def check_port(host: str, port: int) -> Iterator[Finding]:
    """Can a service listen there?"""
    try:
        listening_at(host, port).close()
    except Usage as error:
        yield bad("port", error.message, error.hint)
    else:
        yield good("port", f"{host}:{port} is free")
