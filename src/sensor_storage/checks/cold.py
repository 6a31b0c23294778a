"""The cold store: is there a way to it, and can a blob be written, read and listed there?"""

from collections.abc import Callable, Iterator
from io import BytesIO
from ipaddress import ip_address
from socket import SOCK_STREAM, getaddrinfo
from uuid import uuid4

from sensor_storage.checks.address import check_address
from sensor_storage.checks.finding import Finding, bad, good, unknown
from sensor_storage.cold.store import ColdStore
from sensor_storage.errors import SensorStorageError

_CONTENT = b"a word"


def addresses_of(host: str) -> list[str]:
    """What the name means here."""
    try:
        return sorted({str(one[4][0]) for one in getaddrinfo(host, None, type=SOCK_STREAM)})
    except OSError:
        return []


def check_way(host: str, port: int, find: Callable[[str], list[str]] = addresses_of) -> Iterator[Finding]:
    """Is the store's name known, do we come through, and by a private endpoint or in public?"""
    found = check_address("cold store address", host, port, runs="it is the store's")
    yield found
    if found.state != "good" or not (addresses := find(host)):
        return
    inside = [ip_address(one).is_private for one in addresses]
    shown = ", ".join(addresses)
    if all(inside):
        yield good("cold store network", f"{host} is at {shown}, inside a private network")
    else:
        yield unknown(
            "cold store network",
            f"{host} is at {shown}, a public address",
            "no fault, unless there is a private endpoint: then link its private DNS zone to this network",
        )


def check_cold_store(store: ColdStore) -> Iterator[Finding]:
    """Write a blob, read it, list it, and remove it again where the login may; the service never has to."""
    name = f"probes/{uuid4().hex}"
    try:
        written = store.write(name, _CONTENT, replaces=None, metadata={"purpose": "probe"})
        held = BytesIO()
        read = store.download(name, held)
        listed = [blob.name for page in store.pages("probes/") for blob in page]
    except SensorStorageError as error:
        yield bad("cold store", error.message, error.hint)
        return
    left = ""
    try:
        store.delete(name)
    except SensorStorageError:
        left = f"; {name} stays there, as this login does not remove blobs"
    if read is None or held.getvalue() != _CONTENT or read.etag != written.etag or name not in listed:
        yield bad(
            "cold store", f"{store.url} does not give back what it took", "is it one of the stores supported?"
        )
        return
    yield good("cold store", f"{store.url} takes, gives and lists blobs{left}")
