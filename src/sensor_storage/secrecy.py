"""What people put into addresses and should not be read by others: logins and tokens.

Settings that are secrets have a type of their own and are never shown. This is for text that may hold
one all the same: a value in the wrong place, or what another program answered.
"""

import re
from typing import Final

HIDDEN: Final = "(hidden)"
_LOGIN: Final = re.compile(r"(?<![^\s'\"/,])[^\s'\"/,@:]*:[^\s'\"/,@]*@|(?<=://)[^\s'\"/]*@")
_TOKEN: Final = re.compile(
    r"((?:\b|_)(?:sig|signature|token|password|passwd|secret|api[-_]?key|account[-_]?key|shared[-_]?access[-_]?key"
    r"|shared[-_]?access[-_]?signature|authorization)=)[^\s&;,'\"<>]+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """The text; of logins (`user:password@`) and tokens (`sig=…`, `AccountKey=…`) only that they are there."""
    if "@" in text:
        text = _LOGIN.sub(f"{HIDDEN}@", text)
    return _TOKEN.sub(rf"\g<1>{HIDDEN}", text) if "=" in text else text
