"""`run` and the two checks: settings no worker could work with end them at once, by words."""

import pytest

from support.command import Run

ACCOUNT = {"AZURE_STORAGE_ACCOUNT": "plantdata"}
STRING = "AZURE_STORAGE_CONNECTION_STRING"


@pytest.mark.parametrize(
    "verb", [["run"], ["config", "check"], ["check", "--only", "settings"]], ids="-".join
)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ACCOUNT | {"AZURE_STORAGE_KEY": "not-base64!"}, ("AZURE_STORAGE_KEY must be", "Access keys")),
        ({"AZURE_STORAGE_ACCOUNT": "Plant Data"}, ("AZURE_STORAGE_ACCOUNT must be 3 to 24 lower-case",)),
        (ACCOUNT | {"AZURE_CONTAINER_NAME": "My_Plant"}, ("AZURE_CONTAINER_NAME must be 3 to 63",)),
        ({"COLD_STORE_URL": "http://x/y"}, ("COLD_STORE_URL must be", "no kind of store")),
        ({"COLD_STORE_URL": "s3://"}, ("COLD_STORE_URL must be", "no container or bucket")),
        ({"COLD_STORE_URL": "az://plant"}, ("COLD_STORE_URL az://plant", "set AZURE_STORAGE_ACCOUNT")),
        ({STRING: "AccountName=plantdata;AccountKey=%%%"}, (STRING, "AccountKey", "copy the string whole")),
        ({STRING: "AccountName=Plant Data;AccountKey=eA=="}, (STRING, "AccountName", "copy the string")),
        ({STRING: "AccountName=plantdata;BlobEndpoint=nonsense"}, (STRING, "BlobEndpoint", "https://")),
        (
            {STRING: "AccountName=plantdata;BlobEndpoint=http://[x"},
            ("cold store az://", "docs/cold-store.md"),
        ),
    ],
)
def test_a_cold_store_that_cannot_be_opened_ends_run_with_exit_2_and_the_remedy(
    run: Run, monkeypatch: pytest.MonkeyPatch, verb: list[str], given: dict[str, str], said: tuple[str, ...]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    done = run(*verb)
    assert done.code == 2
    assert all(words in done.err for words in said), done.err
    assert not any(dump in done.err for dump in ("Debug source", "Generic", "Traceback", "%%%", "not-base64"))
