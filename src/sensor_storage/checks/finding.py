"""What one check found."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["good", "bad", "unknown"]
SIGNS: dict[State, str] = {"good": "✓", "bad": "✗", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do unless it is good; `unknown` is no fault."""

    name: str
    state: State
    what: str
    fix: str = ""

    @property
    def line(self) -> str:
        """For people."""
        return f"{SIGNS[self.state]} {self.name}: {self.what}" + (f"\n    → {self.fix}" if self.fix else "")


def good(name: str, what: str) -> Finding:
    """All is well."""
    return Finding(name, "good", what)


def bad(name: str, what: str, fix: str) -> Finding:
    """The service would not work, or not safely."""
    return Finding(name, "bad", what, fix)


def unknown(name: str, what: str, fix: str = "") -> Finding:
    """It can't be seen from here."""
    return Finding(name, "unknown", what, fix)
