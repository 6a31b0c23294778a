"""Azurite beside the demo: what it leaves for those who ask in another terminal."""

from pathlib import Path

from sensor_storage.cold.azure_rest import Account
from sensor_storage.cold.connect import account_of
from sensor_storage.config import load
from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.main import cold_place


def test_the_login_it_leaves_is_read_as_the_settings_of_a_service(tmp_path: Path) -> None:
    azurite = Azurite(tmp_path, cache=tmp_path)
    settings = load({}, env_file=azurite.write_login(tmp_path / "azurite.env"))
    place = cold_place(settings)
    assert place is not None
    assert account_of(place) == Account(ACCOUNT, KEY, endpoint=azurite.endpoint)
    assert place.create_container
