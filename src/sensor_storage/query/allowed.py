"""Of which assets whoever asks may be told: set once a request, and kept by every directory made for it."""

import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar

_PATTERNS: ContextVar[tuple[str, ...]] = ContextVar("assets", default=())


def only_assets(patterns: Sequence[str]) -> None:
    """From here on in this request: of assets that match one of them alone; without any, of all."""
    _PATTERNS.set(tuple(patterns))


def allowed() -> Callable[[str], bool]:
    """May this asset be told of? `*` in a pattern stands for any characters, and everything else for itself."""
    patterns = _PATTERNS.get()
    if not patterns:
        return lambda _: True
    whole = re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in patterns), re.DOTALL)
    return lambda asset: whole.fullmatch(asset) is not None
