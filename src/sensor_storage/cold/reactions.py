"""What an error of a cloud's client asks of us: its class says how to react, one line of words what happened."""

import re
from typing import Final

from obstore.exceptions import (
    AlreadyExistsError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from sensor_storage.cold.azure_rest import Denied
from sensor_storage.cold.store import Changed, Refused, ShutOut
from sensor_storage.errors import SensorStorageError, Transient
from sensor_storage.secrecy import without_secrets

_REFUSALS: Final = {
    "BlobArchived": "ask for it: sensor-storage restore --rehydrate, with --from and --to; it takes hours",
    "BlobBeingRehydrated": "the blob is on its way out of the archive; this may take hours",
    "BlobImmutableDueToPolicy": "the container's immutability policy forbids changes to it",
}
"""What the store will not do with one blob."""

_SHUT_OUT: Final = {
    "ContainerNotFound": "create the container, or let the service: AZURE_CREATE_CONTAINER=true",
    "NoSuchBucket": "create the bucket",
    "InvalidResourceName": "the container's name is not one Azure takes",
    "AuthorizationPermissionMismatch": "give the identity the role Storage Blob Data Contributor",
    "AuthenticationFailed": "check key or SAS token, and the clock: more than 15 minutes off is refused",
    "AuthorizationFailure": "check key or SAS token; or the account's network rules keep this machine out",
    "InvalidAuthenticationInfo": "check key or SAS token",
    "AccountIsDisabled": "the storage account is disabled",
    "403 Forbidden": "check key or SAS token and its rights, and the clock",
    "401 Unauthorized": "check the credentials",
}
"""What it will not do with any."""

_ANSWER: Final = re.compile(r"status code: (\d{3}[^:\n]*):?(.*)", re.DOTALL)
_WHY: Final = (re.compile(r"<Code>([^<]+)"), re.compile(r'(?:<Message>|"error_description": ?")([^<".\n]+)'))
"""Code and first sentence of an answer: Azure's and S3's are XML, those of an identity JSON."""

_OWN_WORDS: Final = (
    re.compile(r'error: "(failed to lookup [^"]+)"'),
    re.compile(r'message: "([^"]+)"'),
)
"""Where the operating system says what is wrong, in the library's account of its insides."""

_SIGNS: Final = {
    re.compile(r"InvalidCertificate\("): "its certificate is not one this machine trusts",
    re.compile(r"InvalidMessage\("): "what answers there does not speak TLS",
    re.compile(r"Parse\("): "what answers there does not speak HTTP",
    re.compile(r"(?:kind: Timeout|source: TimedOut)\b"): "no answer in time",
    re.compile(r"Incomplete(?:Message|Body),"): "the connection ended before the answer did",
}
_LIBRARY_WORDS: Final = re.compile(r"^Generic \w+ error: ")
_INSIDES: Final = "Debug source"
_LONGEST: Final = 300
_REACHABLE: Final = "is the store reachable? `sensor-storage check` looks"
_NOT_NOW: Final = re.compile("5|408|429")
_BUSY: Final = "the store is in trouble or asks for fewer requests: it is tried again, each time later"
_TRY_OUT: Final = "`sensor-storage check` tries the store out"
_IDENTITY: Final = "has this machine or pod the identity? docs/cold-store.md tells the ways to sign in"


def reaction(act: str, error: Exception) -> SensorStorageError:
    """The error to raise in its place, about `act`: Refused, ShutOut, Changed, or Transient with what happened."""
    text = without_secrets(str(error))
    for kind, codes in ((Refused, _REFUSALS), (ShutOut, _SHUT_OUT)):
        for code, hint in codes.items():
            if code in text:
                return kind(f"{act}: {code}", hint=hint)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return ShutOut(f"{act}: permission denied", hint=_SHUT_OUT["403 Forbidden"])
    if "Lease" not in text and isinstance(error, AlreadyExistsError | PreconditionError):
        return Changed(f"{act}: written by somebody else")
    said, _, insides = text.partition(_INSIDES)
    words, hint = _answered(error, said) or (_cause(said, insides), _REACHABLE)
    if "token request" in said:
        words, hint = f"no token for the identity: {words}", _IDENTITY
    return Transient(f"{act}: {_line(words)}", hint=hint)


def plain(error: Exception) -> str:
    """The error without its library's own words and secrets, in one line."""
    return _line(_LIBRARY_WORDS.sub("", without_secrets(str(error)).partition(_INSIDES)[0]))


def _answered(error: Exception, said: str) -> tuple[str, str] | None:
    """What the store answered, and what to do; None where it did not."""
    answer = _ANSWER.search(said)
    if isinstance(error, Denied):
        status, body = str(error), ""
    elif answer:
        status, body = answer[1], answer[2]
    else:
        return None
    why = [found[1] for words in _WHY if (found := words.search(body))] or [body.strip()]
    hint = _BUSY if _NOT_NOW.match(status) else _TRY_OUT
    return ", ".join(filter(None, (status, *why))), hint


def _cause(said: str, insides: str) -> str:
    """Why there was no answer; the library has it innermost."""
    for words in _OWN_WORDS:
        if found := words.search(insides):
            return found[1]
    for sign, meaning in _SIGNS.items():
        if sign.search(insides):
            return meaning
    return _LIBRARY_WORDS.sub("", said)


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
