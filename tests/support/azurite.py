"""A cold store in Azurite."""

from datetime import timedelta

from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.store import ColdStore
from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite


def container(azurite: Azurite, name: str, *, key: str = KEY, create: bool = True) -> ColdStore:
    """A container of that name, made if it may be."""
    place = Place(
        f"az://{name}",
        account=ACCOUNT,
        key=key,
        endpoint=azurite.endpoint,
        create_container=create,
        max_retries=1,
        timeout=timedelta(seconds=20),
    )
    return open_store(place)
