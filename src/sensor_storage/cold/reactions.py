"""What an error of a cloud's client asks of us: its class says how to react, one line of words what happened."""

import re
from typing import Final

from obstore.exceptions import (
    AlreadyExistsError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

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
    "AuthorizationFailure": "the account's network rules keep this machine out",
    "InvalidAuthenticationInfo": "check key or SAS token",
    "AccountIsDisabled": "the storage account is disabled",
    "403 Forbidden": "check key or SAS token and its rights, and the clock",
    "401 Unauthorized": "check the credentials",
}
"""What it will not do with any."""

_ANSWER: Final = re.compile(
    r"status code: (\d{3} [A-Z][\w ]+)(?:.*?<Code>([^<]+)</Code>(?:.*?<Message>([^<.\n]+))?)?", re.DOTALL
)
_OWN_WORDS: Final = (
    re.compile(r'error: "(failed to lookup [^"]+)"'),
    re.compile(r'message: "([^"]+)"'),
)
"""Where the operating system says what is wrong."""

_SIGNS: Final = {
    "InvalidCertificate": "its certificate is not one this machine trusts",
    "InvalidContentType": "what answers there does not speak TLS",
    "Timeout": "no answer in time",
    "TimedOut": "no answer in time",
    "Incomplete": "the connection ended before the answer did",
}
_LIBRARY_WORDS: Final = re.compile(r"^Generic \w+ error: |\s*Debug source.*", re.DOTALL)
_LONGEST: Final = 300
_REACHABLE: Final = "is the store reachable? `sensor-storage check` looks"
_NOT_NOW: Final = re.compile("5|408|429")
_BUSY: Final = "the store is in trouble or asks for fewer requests: it is tried again, each time later"
_TRY_OUT: Final = "`sensor-storage check` tries the store out"


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
    if answer := _ANSWER.search(text):
        hint = _BUSY if _NOT_NOW.match(answer[1]) else _TRY_OUT
        return Transient(f"{act}: {', '.join(filter(None, answer.groups()))}", hint=hint)
    return Transient(f"{act}: {_cause(text)}", hint=_REACHABLE)


def plain(error: Exception) -> str:
    """The error without its library's own words and secrets, in one line."""
    return " ".join(without_secrets(_LIBRARY_WORDS.sub("", str(error))).split())


def _cause(text: str) -> str:
    """Why there was no answer; the library has it innermost, in its own account of the error."""
    for words in _OWN_WORDS:
        if found := words.search(text):
            return found[1]
    for sign, meaning in _SIGNS.items():
        if sign in text:
            return meaning
    return " ".join(_LIBRARY_WORDS.sub("", text).split())[:_LONGEST]
