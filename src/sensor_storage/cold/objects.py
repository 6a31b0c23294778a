"""Azure Blob Storage, S3 and Google Cloud Storage as cold store, by obstore.

The client's own retries are few: a write that was applied and whose answer was lost comes back from its second
attempt as "somebody else wrote", which is why callers look after every error. Long waits are the upload queue's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final

import obstore
from obstore.exceptions import BaseError, NotFoundError

from sensor_storage.cold.azure_rest import Denied
from sensor_storage.cold.reactions import reaction
from sensor_storage.cold.store import PAGE, Blob, Changed, Content, Page, check_name
from sensor_storage.errors import SensorStorageError
from sensor_storage.storage.durable import NO_ROOM, no_room

_PREFIX: Final = "sensor_storage_"
_QUICK_BYTES: Final = 64_000
"""So much is sent soon even on a slow line. The library's read timeout runs while a body is sent, too."""


class ObjectStore:
    """Blobs in a container or bucket; one that `make_container` may make is empty till the first write.

    `store` gives up a server that falls silent, `patient`, for large writes, only one that takes minutes in all.
    """

    def __init__(
        self,
        store: Any,  # noqa: ANN401 - obstore's union
        url: str,
        *,
        patient: Any = None,  # noqa: ANN401
        access_tier: str = "",
        make_container: Callable[[], None] | None = None,
        list_tiers: Callable[..., Page] | None = None,
    ) -> None:
        self._store = store
        self._patient = patient or store
        self._url = url
        self._tier = access_tier
        self._make_container = make_container
        self._list_tiers = list_tiers

    @property
    def url(self) -> str:
        """The container or bucket."""
        return self._url

    def look(self, name: str) -> Blob | None:
        """HEAD, then the metadata come with it."""
        with self._meaning("look at", name):
            try:
                found = obstore.get(self._store, check_name(name), options={"head": True})
            except (NotFoundError, FileNotFoundError) as error:
                if _has_no_container(error) and self._make_container is None:  # which is no answer
                    raise
                return None
            return _blob(found.meta, found.attributes)

    def download(self, name: str, into: IO[bytes]) -> Blob | None:
        """GET, in pieces of a few megabytes."""
        with self._meaning("read", name):
            try:
                found = obstore.get(self._store, check_name(name))
            except (NotFoundError, FileNotFoundError) as error:
                if _has_no_container(error) and self._make_container is None:  # which is no answer
                    raise
                return None
            for piece in found.stream(min_chunk_size=4 << 20):
                into.write(piece)
            return _blob(found.meta, found.attributes)

    def write(
        self, name: str, content: Content, *, replaces: str | None, metadata: Mapping[str, str]
    ) -> Blob:
        """PUT on the condition that nothing is there, or what is replaced; first the container, if it may be."""
        attributes: dict[str, str] = {_PREFIX + key: value for key, value in metadata.items()}
        if self._tier:
            attributes["Storage-Class"] = self._tier
        with self._meaning("write", name):
            try:
                done = self._put(name, content, attributes, replaces)
            except (NotFoundError, FileNotFoundError) as error:
                if self._make_container is None or not _has_no_container(error):
                    raise
                self._make_container()
                done = self._put(name, content, attributes, replaces)
        return Blob(name, len(content), str(done["e_tag"]), 0.0, dict(metadata))

    def _put(self, name: str, content: Content, attributes: dict[str, str], replaces: str | None) -> Any:  # noqa: ANN401 - obstore's answer
        return obstore.put(
            self._store if len(content) <= _QUICK_BYTES else self._patient,
            check_name(name),
            content,
            attributes=attributes,
            mode="create" if replaces is None else self._in_place_of(name, replaces),
            use_multipart=False,
        )

    def _in_place_of(self, name: str, etag: str) -> Any:  # noqa: ANN401 - obstore's condition
        """The condition that the blob is the one with that ETag; Google knows it by its generation alone."""
        if not self._url.startswith("gs://"):
            return {"e_tag": etag}
        meta = obstore.head(self._store, check_name(name))
        if (meta["e_tag"] or "").strip('"') != etag.strip('"'):
            raise Changed(f"write {name} in {self._url}: written by somebody else")
        return {"e_tag": etag, "version": meta["version"]}

    def pages(self, prefix: str) -> Iterator[list[Blob]]:
        """List; folders of a hierarchical namespace have no size and are left out."""
        with self._meaning("list", prefix):
            try:
                for page in obstore.list(self._store, prefix or None, chunk_size=PAGE):
                    found = [_blob(meta, {}) for meta in page if meta["size"]]
                    if found:
                        yield found
            except BaseError as error:
                if self._make_container is None or not _has_no_container(error):
                    raise

    def page(self, prefix: str, *, cursor: str, limit: int) -> Page:
        """By Azure's own list, which tells tiers, with a key or token; else by the library's, behind a name."""
        with self._meaning("list", prefix):
            try:
                if self._list_tiers:
                    return self._list_tiers(prefix, marker=cursor, limit=min(limit, PAGE))
                return self._page(prefix, cursor, limit)
            except (BaseError, Denied) as error:
                if self._make_container is None or not _has_no_container(error):
                    raise
                return Page([], None)

    def _page(self, prefix: str, after: str, limit: int) -> Page:
        found: list[Blob] = []
        for some in obstore.list(self._store, prefix or None, offset=after or None, chunk_size=limit + 1):
            found += [_blob(meta, {}) for meta in some if meta["size"]]
            if len(found) > limit:
                return Page(found[:limit], found[limit - 1].name)
        return Page(found, None)

    def delete(self, name: str) -> None:
        """DELETE."""
        with self._meaning("delete", name):
            try:
                obstore.delete(self._store, check_name(name))
            except (NotFoundError, FileNotFoundError):
                return

    @contextmanager
    def _meaning(self, act: str, name: str) -> Iterator[None]:
        """Turn the library's errors into ones that say how to react."""
        try:
            yield
        except SensorStorageError:
            raise
        except (BaseError, OSError, ValueError) as error:
            words = " ".join(filter(None, (act, name, "in", self._url)))
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise no_room(words) from error
            raise reaction(words, error) from error


def _has_no_container(error: Exception) -> bool:
    return "ContainerNotFound" in str(error) or "NoSuchBucket" in str(error)


def _blob(meta: Any, attributes: Any) -> Blob:  # noqa: ANN401 - obstore's mappings
    own = {
        str(key)[len(_PREFIX) :]: str(value)
        for key, value in dict(attributes).items()
        if str(key).startswith(_PREFIX)
    }
    return Blob(meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"].timestamp(), own)
