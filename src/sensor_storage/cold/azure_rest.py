"""What the client library has not of Azure Blob Storage: make a container, change or list the tiers of blobs.

Signed as `https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key` says.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from http.client import BAD_REQUEST, CONFLICT, HTTPException, responses
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import Request, urlopen
from xml.etree.ElementTree import Element, ParseError, fromstring

from sensor_storage.cold.store import Blob, Page, Refused
from sensor_storage.errors import Transient, Usage

_API_VERSION: Final = "2021-12-02"


class Denied(OSError):
    """The store's answer says no: its words have status and Azure's code."""

    def __init__(self, error: HTTPError) -> None:
        self.status, self.code = error.code, error.headers.get("x-ms-error-code") or ""
        super().__init__(f"{self.status} {responses.get(self.status, '')} {self.code}".strip())


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account and what opens it."""

    name: str
    key: str = field(default="", repr=False)
    sas_token: str = field(default="", repr=False)
    endpoint: str = ""


def create_container(account: Account, container: str) -> None:
    """PUT the container; one that is there already is fine. Denied where the store says no."""
    try:
        _ask("PUT", account, container, {"restype": "container"}, {})
    except Denied as error:
        if error.code != "ContainerAlreadyExists":
            raise


def rehydrate(account: Account, container: str, name: str) -> None:
    """Ask for a blob to be moved to the tier Hot, which takes hours for an archived one; one on its way is fine."""
    if not account.key and not account.sas_token:
        raise Usage(
            "moving a blob out of the archive needs an account key or a SAS token",
            hint=f"az storage blob set-tier --tier Hot --container-name {container} --name {name}",
        )
    headers = {"x-ms-access-tier": "Hot", "x-ms-rehydrate-priority": "Standard"}
    try:
        _ask("PUT", account, f"{container}/{quote(name)}", {"comp": "tier"}, headers)
    except Denied as error:
        if error.status != CONFLICT:  # it is on its way already
            raise Refused(f"rehydrate {name}: {error}", hint="is the account one with tiers?") from None


def list_blobs(account: Account, container: str, prefix: str, *, marker: str, limit: int) -> Page:
    """One request's blobs below a prefix, from where the one before ended; folders have no size and are left out.

    Usage for a marker that is none, Transient for an answer that is no list.
    """
    query = {"restype": "container", "comp": "list", "prefix": prefix, "maxresults": str(limit)}
    try:
        answer = _ask("GET", account, container, query | ({"marker": marker} if marker else {}), {})
    except Denied as error:
        if marker and error.status == BAD_REQUEST:
            raise Usage(
                "the cursor is not one this store gave", hint="begin again without a cursor"
            ) from error
        raise
    try:
        told = fromstring(answer)  # noqa: S314 - the store's own answer
    except ParseError as error:
        raise Transient(f"list {container}: {error}", hint="is it the store that answers?") from error
    found = [_blob(one) for one in told.iterfind("Blobs/Blob")]
    return Page([blob for blob in found if blob.size_bytes], told.findtext("NextMarker") or None)


def _blob(told: Element) -> Blob:
    name, of = told.find("Name"), "Properties/{}".format
    text = (name.text if name is not None else None) or ""
    if name is not None and name.get("Encoded") == "true":
        text = unquote(text)
    return Blob(
        text,
        int(told.findtext(of("Content-Length")) or 0),
        told.findtext(of("Etag")) or "",
        parsedate_to_datetime(told.findtext(of("Last-Modified")) or "").timestamp(),
        tier=told.findtext(of("AccessTier")),
    )


def _ask(
    method: str, account: Account, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> bytes:
    """The answer to a request without a body. Denied for one that says no, Transient for none."""
    endpoint = account.endpoint or f"https://{account.name}.blob.core.windows.net"
    asked = urlencode(sorted(query.items()), quote_via=quote)
    url = f"{endpoint.rstrip('/')}/{path}?{asked}"
    date = formatdate(datetime.now(UTC).timestamp(), usegmt=True)
    dated = {**headers, "x-ms-date": date, "x-ms-version": _API_VERSION}
    sent = {**dated, "Content-Length": "0"}
    if account.key:
        words = (
            method
            + "\n" * 12
            + "".join(f"{key}:{value}\n" for key, value in sorted(dated.items()))
            + f"/{account.name}{urlsplit(url).path}"
            + "".join(f"\n{key}:{value}" for key, value in sorted(query.items()))
        )
        signature = hmac.new(base64.b64decode(account.key), words.encode(), hashlib.sha256).digest()
        sent["Authorization"] = f"SharedKey {account.name}:{base64.b64encode(signature).decode()}"
    else:
        url += "&" + account.sas_token.lstrip("?")
    try:
        with urlopen(Request(url, method=method, headers=sent), timeout=20) as answer:  # noqa: S310 - the endpoint set
            content: bytes = answer.read()
            return content
    except HTTPError as error:
        with error:
            raise Denied(error) from None
    except (URLError, HTTPException, OSError) as error:
        why = error.reason if isinstance(error, URLError) else error
        raise Transient(f"{path}: {why}", hint="is the store reachable?") from None
