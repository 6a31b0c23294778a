"""A word from inside long work, so that whoever watches sees that it goes on."""

from collections.abc import Callable
from typing import TypeAlias

Alive: TypeAlias = Callable[[], object]
"""Called often, between two pieces of the work; must be quick."""


def nothing() -> None:
    """Nobody watches."""


GoOn: TypeAlias = Callable[[], bool]
"""Asked between two pieces of a round: is there time for another, or shall the rest be left to the next round?"""


def always() -> bool:
    """There is no hurry."""
    return True
