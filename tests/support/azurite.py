"""A cold store in Azurite."""

from datetime import timedelta
from typing import Protocol

from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.store import ColdStore
from sensor_storage.demo.azurite import ACCOUNT, KEY


class Endpoint(Protocol):
    """Azurite, or a line to it."""

    @property
    def endpoint(self) -> str: ...


def container(
    azurite: Endpoint, name: str, *, key: str = KEY, create: bool = True, max_retries: int = 1, tier: str = ""
) -> ColdStore:
    """A container of that name, made if it may be."""
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
    return open_store(place)
