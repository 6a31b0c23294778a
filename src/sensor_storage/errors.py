"""The errors of the service: an error's class says how to react, its words say where and what to do."""

from typing import ClassVar


class SensorStorageError(Exception):
    """Every error this package raises on purpose.

    `message` names the attempted act and the place; `hint` is something an operator can type or change.
    `exit_code` is what the command line ends with.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Reject(SensorStorageError):
    """Keep the offending thing aside, go on with the rest."""


class Transient(SensorStorageError):
    """Back off and try again: the other side is away or busy."""

    exit_code = 4


class Halt(SensorStorageError):
    """Stop this stage and tell a person: going on could lose or double a reading."""


class Usage(SensorStorageError):
    """A setting or an argument is wrong; nothing was done."""

    exit_code = 2


class NoColdStore(SensorStorageError):
    """What was asked for is in the cold store alone, and none is set."""

    exit_code = 2


class Owned(SensorStorageError):
    """The data directory belongs to a running service that does not answer."""

    exit_code = 5


class Damaged(Reject):
    """A file's bytes are not the bytes that were written; it must not be read as data."""


class DamagedBlob(Damaged):
    """A blob that a receipt names is missing in the cold store, or is not what was written there."""


class DiskFull(Transient):
    """No room on the data disk: consumption pauses until there is."""
