"""Azurite beside the demo: what it leaves for those who ask in another terminal."""

import os
from pathlib import Path

from sensor_storage.cold.azure_rest import Account
from sensor_storage.cold.connect import account_of
from sensor_storage.config import load
from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.main import cold_place
from support.azurite import container


def test_the_login_it_leaves_is_read_as_the_settings_of_a_service(tmp_path: Path) -> None:
    azurite = Azurite(tmp_path, cache=tmp_path)
    settings = load({}, env_file=azurite.write_login(tmp_path / "azurite.env"))
    place = cold_place(settings)
    assert place is not None
    assert account_of(place) == Account(ACCOUNT, KEY, endpoint=azurite.endpoint)
    assert place.create_container


def test_one_that_a_killed_demo_left_over_is_ended_and_its_blobs_are_there(tmp_path: Path) -> None:
    cache = cache_folder(os.environ)
    left_over = Azurite(tmp_path / "azurite", cache=cache)
    left_over.start()
    container(left_over, "before").write("x", b"content", replaces=None, metadata={})
    with Azurite(tmp_path / "azurite", cache=cache) as running:
        assert not left_over.running
        found = container(running, "before").look("x")
        assert found is not None
        assert found.size_bytes == len(b"content")
    assert not running.running
