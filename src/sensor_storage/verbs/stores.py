"""The cold store of the verbs: the one that is set, else the folder the directory's service uploads to."""

from sensor_storage.cold.connect import folder_url_told
from sensor_storage.cold.files import HOW_TO_SET
from sensor_storage.config import Settings
from sensor_storage.errors import Usage
from sensor_storage.main import cold_place
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import read_cold


def with_store_told(settings: Settings, layout: Layout) -> Settings:
    """The settings, and in them the folder the directory's service last said it uploads to where no store is set.

    For verbs that read the store. Whoever uploads or removes does it by what is set, or asks the service.
    """
    url = "" if cold_place(settings) else folder_url_told(layout)
    if not url:
        return settings
    return settings.model_copy(update={"cold": settings.cold.model_copy(update={"store_url": url})})


def no_store(layout: Layout, *, what: str = "") -> Usage:
    """That no cold store is set, which one the directory's service last said it uploads to, and what follows."""
    told = read_cold(layout)
    if told and told.url:
        return Usage(
            f"no cold store is set; the service of this directory uploads to {told.url}"
            + (what and f": {what}"),
            hint=HOW_TO_SET,
        )
    return Usage("no cold store is set", hint="set COLD_STORE_URL or AZURE_STORAGE_ACCOUNT")
