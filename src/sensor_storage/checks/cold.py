"""The cold store: can a blob be written, read and listed there?"""

from collections.abc import Iterator
from io import BytesIO
from uuid import uuid4

from sensor_storage.checks.finding import Finding, bad, good
from sensor_storage.cold.store import ColdStore
from sensor_storage.errors import SensorStorageError

_CONTENT = b"a word"


def check_cold_store(store: ColdStore) -> Iterator[Finding]:
    """Write a blob, read it, list it, and remove it again."""
    name = f"probes/{uuid4().hex}"
    try:
        written = store.write(name, _CONTENT, replaces=None, metadata={"purpose": "probe"})
        held = BytesIO()
        read = store.download(name, held)
        listed = [blob.name for page in store.pages("probes/") for blob in page]
        store.delete(name)
    except SensorStorageError as error:
        yield bad("cold store", error.message, error.hint)
        return
    if read is None or held.getvalue() != _CONTENT or read.etag != written.etag or name not in listed:
        yield bad(
            "cold store", f"{store.url} does not give back what it took", "is it one of the stores supported?"
        )
        return
    yield good("cold store", f"{store.url} takes, gives and lists blobs")
