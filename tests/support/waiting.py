"""Waiting for something another process does: a deadline, never a fixed sleep."""

import time
from collections.abc import Callable


def wait_until(true: Callable[[], object], what: str, *, seconds: float = 30.0) -> None:
    """Return as soon as `true()` is; past the deadline fail with `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.02)  # between two looks; how long it takes in all is up to what is waited for
