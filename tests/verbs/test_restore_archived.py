"""`restore --rehydrate` on Azurite: archived blobs are asked for, and no other."""

import os
from collections.abc import Iterator

import pytest

from sensor_storage.cold.azure_rest import Account, _ask
from sensor_storage.cold.store import ColdStore
from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.storage.layout import Layout
from support.aggregates import LATER
from support.azurite import container
from support.cold import Plant
from support.command import Run
from support.trees import HOUR

CONTAINER = "archived"


def tiers(store: ColdStore) -> list[str | None]:
    return [blob.tier for blob in store.page("raw/", cursor="", limit=100).blobs]


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite(tmp_path_factory.mktemp("azurite"), cache=cache_folder(os.environ)) as running:
        yield running


def test_of_a_range_what_is_archived_is_asked_for_and_everything_else_keeps_its_tier(
    azurite: Azurite, run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, account = container(azurite, CONTAINER), Account(ACCOUNT, KEY, endpoint=azurite.endpoint)
    plant = Plant(layout.root, store)
    for hour in range(3):
        plant.arrive([hour * 2], hour=HOUR + hour)
    plant.compact()
    plant.upload()
    assert plant.clean(LATER + 30 * 86_400).removed == 3
    for cold, tier in zip(plant.catalog.cold_files(), ("Archive", "Cool", "Hot"), strict=True):
        path = f"{CONTAINER}/{layout.relative(cold.path)}"
        _ask("PUT", account, path, {"comp": "tier"}, {"x-ms-access-tier": tier})
    plant.close()
    for name, value in {**azurite.settings, "AZURE_CONTAINER_NAME": CONTAINER}.items():
        monkeypatch.setenv(name, value)
    done = run("restore", "--into", "week")
    assert (done.code, "2 files brought back, 1 refused" in done.out) == (3, True)
    assert "restore --rehydrate" in done.out
    assert run("restore", "--rehydrate", "--json").lines()[-1]["asked"] == 1
    assert tiers(store) == ["Hot", "Cool", "Hot"]
    assert "3 files brought back" in run("restore").out
