"""What Azure takes as an account, a container, a key and a token: each judge gives the value back, or ValueError.

No error shows a key or a token.
"""

import base64
import binascii
import re
from typing import Final

ACCOUNT_RULE: Final = "3 to 24 lower-case letters and digits"
CONTAINER_RULE: Final = "3 to 63 lower-case letters, digits and single hyphens between them"
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")


def account(value: object) -> str:
    """The name of a storage account."""
    name = str(value).strip()
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(f"an account's name is {ACCOUNT_RULE}, as it stands before .blob.core.windows.net")
    return name


def container(value: object) -> str:
    """The name of a container."""
    name = str(value).strip()
    if not _CONTAINER.fullmatch(name):
        raise ValueError(f"a container's name is {CONTAINER_RULE}")
    return name


def key(value: str) -> str:
    """The key of an account."""
    try:
        base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
    return value.strip()


def sas_token(value: str) -> str:
    """A SAS token, without the question mark that portals put before it."""
    token = value.strip().lstrip("?")
    if not all("=" in pair for pair in token.split("&")):
        raise ValueError("it is not name=value&name=value; copy the token whole, without the URL before it")
    return token
