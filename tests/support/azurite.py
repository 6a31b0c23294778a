"""A cold store in Azurite."""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlencode

from sensor_storage.cold.azure_rest import create_container
from sensor_storage.cold.connect import Place, account_of, open_store
from sensor_storage.cold.store import ColdStore
from sensor_storage.demo.azurite import ACCOUNT, KEY


class Endpoint(Protocol):
    """Azurite, or a line to it."""

    @property
    def endpoint(self) -> str: ...


def container(
    azurite: Endpoint,
    name: str,
    *,
    key: str = KEY,
    create: bool = True,
    late: bool = False,
    max_retries: int = 1,
    tier: str = "",
) -> ColdStore:
    """A container of that name, made if it may be: at once, or `late`, by the store itself."""
    place = Place(
        f"az://{name}",
        account=ACCOUNT,
        key=key,
        endpoint=azurite.endpoint,
        create_container=create,
        access_tier=tier,
        max_retries=max_retries,
        timeout=timedelta(seconds=20),
    )
    if create and not late:
        create_container(account_of(place), name)
    return open_store(place)


def sas_token(rights: str) -> str:
    """A token for the emulator's account and everything in it, with these rights."""
    fields = {"sp": rights, "ss": "b", "srt": "sco", "st": "", "se": "2099-01-01T00:00:00Z"}
    fields |= {"sip": "", "spr": "", "sv": "2020-08-04"}
    words = "".join(f"{word}\n" for word in (ACCOUNT, *fields.values()))
    signature = hmac.new(base64.b64decode(KEY), words.encode(), hashlib.sha256).digest()
    given = {name: value for name, value in fields.items() if value}
    return urlencode({**given, "sig": base64.b64encode(signature).decode()})
