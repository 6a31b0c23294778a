"""A cold store by its URL, or by the Azure settings that are a short form of one."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from obstore.store import from_url

from sensor_storage.cold.azure_rest import Account, create_container, list_blobs
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.mark import open_folder
from sensor_storage.cold.objects import ObjectStore
from sensor_storage.cold.reactions import plain
from sensor_storage.cold.store import ColdStore
from sensor_storage.config import azure
from sensor_storage.config.kinds import AZURE_SCHEMES, STORE_SCHEMES, check_file_url
from sensor_storage.config.load import load
from sensor_storage.config.settings import ColdSettings
from sensor_storage.errors import Usage
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_cold

_RETRY_WITHIN: Final = timedelta(seconds=10)
"""The client's own retries are for a hiccup; after a silence the upload queue or whoever asked decides."""

_CONNECTION_WORDS: Final = {
    "AccountName": "account_name",
    "AccountKey": "account_key",
    "BlobEndpoint": "endpoint",
    "SharedAccessSignature": "sas_token",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cold store is, and how to get in; without any credentials the environment's identity is used."""

    url: str
    account: str = ""
    key: str = field(default="", repr=False)
    sas_token: str = field(default="", repr=False)
    endpoint: str = ""
    access_tier: str = ""
    create_container: bool = False
    max_retries: int = 2
    timeout: timedelta = timedelta(minutes=5)
    """For a request and its answer as a whole."""

    silence: timedelta = timedelta(seconds=12)
    """So long may a store say nothing; a large file may take longer to send."""


def parse_connection_string(text: str) -> dict[str, str]:
    """Account, key, endpoint and SAS token of an Azure connection string; an error never shows it."""
    words = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    found = {_CONNECTION_WORDS[key]: value for key, value in words.items() if key in _CONNECTION_WORDS}
    if words.get("UseDevelopmentStorage", "").lower() == "true":
        raise Usage(
            "AZURE_STORAGE_CONNECTION_STRING: UseDevelopmentStorage is not supported",
            hint="write the emulator's account, key and BlobEndpoint out",
        )
    if "account_name" not in found and "endpoint" not in found:
        raise Usage(
            "AZURE_STORAGE_CONNECTION_STRING names no account",
            hint="copy it from the storage account's page Access keys: AccountName=…;AccountKey=…",
        )
    if "endpoint" not in found and "account_name" in found:
        suffix = words.get("EndpointSuffix", "core.windows.net")
        found["endpoint"] = f"https://{found['account_name']}.blob.{suffix}"
        _judge_word("AccountName", azure.account, found["account_name"])
    if "account_key" in found:
        _judge_word("AccountKey", azure.key, found["account_key"])
    if not found["endpoint"].startswith(("http://", "https://")):
        raise Usage(
            "AZURE_STORAGE_CONNECTION_STRING: its BlobEndpoint is no address",
            hint="it begins with https://; leave it out for https://<account>.blob.core.windows.net",
        )
    return found


def _judge_word(word: str, judge: Callable[[str], str], value: str) -> None:
    try:
        judge(value)
    except ValueError as error:
        raise Usage(
            f"AZURE_STORAGE_CONNECTION_STRING: its {word} is wrong: {error}",
            hint="copy the string whole from the storage account's page Access keys",
        ) from None


def place_of(cold: ColdSettings) -> Place | None:
    """Where the cold store is, if there is one. Usage when the settings don't say it whole."""
    given = (
        parse_connection_string(cold.azure_storage_connection_string.get_secret_value())
        if cold.azure_storage_connection_string
        else {}
    )
    account = cold.azure_storage_account or given.get("account_name", "")
    url = cold.store_url or (f"az://{cold.azure_container_name}" if account or given else None)
    if url is None:
        return None
    place = Place(
        url=url,
        account=account,
        key=cold.azure_storage_key.get_secret_value()
        if cold.azure_storage_key
        else given.get("account_key", ""),
        sas_token=cold.azure_storage_sas_token.get_secret_value()
        if cold.azure_storage_sas_token
        else given.get("sas_token", ""),
        endpoint=given.get("endpoint", ""),
        access_tier=cold.azure_access_tier,
        create_container=cold.azure_create_container,
        max_retries=cold.azure_max_retries,
    )
    if (
        place.create_container
        and urlsplit(url).scheme in AZURE_SCHEMES
        and not (place.key or place.sas_token)
    ):
        raise Usage(
            "AZURE_CREATE_CONTAINER needs an account key or a SAS token",
            hint=f"create it once: az storage container create --name {container_of(place)}",
        )
    return place


def open_url(url: str, environ: Mapping[str, str], layout: Layout, *, may_be_new: bool = True) -> ColdStore:
    """The store of a URL for those who only read it, with the credentials the environment has for it."""
    if folder := folder_of(url):
        return open_folder(folder, layout, may_be_new=may_be_new)
    azure = {name: value for name, value in environ.items() if name.startswith("AZURE_")}
    place = place_of(load(azure, env_file=Path(os.devnull)).cold) or Place(url)
    return open_store(replace(place, url=url, create_container=False))


def folder_told(layout: Layout) -> ColdStore | None:
    """The folder of `folder_url_told`; None where there is none."""
    folder = folder_of(folder_url_told(layout))
    return open_folder(folder, layout) if folder else None


def folder_url_told(layout: Layout) -> str:
    """The folder the directory's service last said it uploads to; empty where there is none to be seen here."""
    told = read_cold(layout)
    folder = folder_of(told.url) if told else None
    return told.url if told and folder and folder.is_dir() else ""


def folder_of(url: str) -> Path | None:
    """The folder of a file URL; None for any other. Usage where it names no folder from the root on."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    try:
        check_file_url(url)
    except ValueError as error:
        raise Usage(f"COLD_STORE_URL {url}: {error}", hint="such as file:///mnt/cold") from None
    return Path(unquote(parts.path))


def open_store(place: Place) -> ColdStore:
    """The store. Usage when the URL names none that is known; nothing is asked of it yet."""
    if folder := folder_of(place.url):
        return DirectoryStore(folder)
    parts = urlsplit(place.url)
    if parts.scheme not in STORE_SCHEMES:
        raise Usage(
            f"COLD_STORE_URL: {parts.scheme or place.url!r} is no kind of store",
            hint="file:///folder, az://container, s3://bucket or gs://bucket",
        )
    client: dict[str, Any] = {"timeout": place.timeout, "connect_timeout": timedelta(seconds=10)}
    options: dict[str, Any] = {
        "client_options": client,
        "retry_config": {"max_retries": place.max_retries, "retry_timeout": _RETRY_WITHIN},
    }
    if parts.scheme in AZURE_SCHEMES:
        options["config"] = _azure(place)
        if place.endpoint.startswith("http://"):
            client["allow_http"] = True
    try:
        patient = from_url(place.url, **options)
        client["read_timeout"] = place.silence
        store = from_url(place.url, **options)
    except Exception as error:
        raise _unusable(place, error) from error
    account, container = account_of(place), container_of(place)
    asked = parts.scheme in AZURE_SCHEMES and (place.key or place.sas_token) and not parts.path.strip("/")
    return ObjectStore(
        store,
        place.url,
        patient=patient,
        access_tier=place.access_tier,
        make_container=partial(create_container, account, container) if place.create_container else None,
        list_tiers=partial(list_blobs, account, container) if asked else None,
    )


def _unusable(place: Place, error: Exception) -> Usage:
    """What the client library says in a sentence, without the dump of its insides behind it."""
    said = plain(error)
    if said.endswith("Account must be specified"):
        return Usage(
            f"COLD_STORE_URL {place.url} needs an account",
            hint="set AZURE_STORAGE_ACCOUNT, or AZURE_STORAGE_CONNECTION_STRING, which names one",
        )
    return Usage(
        f"the cold store {place.url} can't be opened with these settings: {said}",
        hint="docs/cold-store.md tells which settings each kind of store needs",
    )


def azure_address(place: Place) -> tuple[str, int] | None:
    """Host and port of the account's endpoint; None where the place is no Azure container."""
    if urlsplit(place.url).scheme not in AZURE_SCHEMES or not (place.endpoint or place.account):
        return None
    parts = urlsplit(place.endpoint or f"https://{place.account}.blob.core.windows.net")
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def _azure(place: Place) -> Mapping[str, str]:
    given = {
        "azure_storage_account_name": place.account,
        "azure_storage_account_key": place.key,
        "azure_storage_sas_key": place.sas_token.lstrip("?"),
        "azure_storage_endpoint": place.endpoint,
    }
    return {key: value for key, value in given.items() if value}


def account_of(place: Place) -> Account:
    """The Azure account of a place."""
    return Account(place.account, place.key, place.sas_token, place.endpoint)


def container_of(place: Place) -> str:
    """The container of a place in Azure."""
    return urlsplit(place.url).netloc.split("@")[0]
