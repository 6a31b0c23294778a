"""The API's certificate: checked at start, and read again when it is renewed, without a restart."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from sensor_storage.errors import Usage
from sensor_storage.log import get
from sensor_storage.storage.file_state import FileState, file_state

LOOK_SECONDS = 10.0
_log = get("api")


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a certificate with its chain, and of its key, both PEM."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server needs: TLS 1.2 or newer. Usage when the files are no such pair."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.chain, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise Usage(
                f"TLS_CERT_FILE {self.chain} and TLS_KEY_FILE {self.key}: {error}",
                hint="give a PEM certificate with its chain, and the PEM key it was made with, without a password",
            ) from error
        return context

    def state(self) -> tuple[FileState, FileState]:
        """Changes when a file does."""
        return file_state(self.chain), file_state(self.key)


class Newest(ssl.SSLContext):
    """A server's context whose connections each begin with the newest context of the certificate's files.

    A renewed pair is loaded aside and taken as a whole: what OpenSSL holds while it loads one into a context that
    serves, a new chain without its key, would be shown to whoever connects in that moment.
    """

    taken: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:  # noqa: ANN401 - as the one taken has them
        """A connection of an event loop."""
        return self.taken.wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as the one taken has them
        """A connection of a thread."""
        return self.taken.wrap_socket(*arguments, **named)


class Renewed:
    """A certificate whose `context` follows its files."""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self._seen = certificate.state()
        self.context = Newest(ssl.PROTOCOL_TLS_SERVER)
        self.context.taken = certificate.context()

    def keep_fresh(self, stop: Event) -> None:
        """Load the pair again whenever a file changes, until told to stop; a bad pair changes nothing."""
        while not stop.wait(LOOK_SECONDS):
            try:
                self._look()
            except (OSError, Usage) as error:
                _log.error(
                    "certificate_not_read", error=str(error), hint="the one read before stays in force"
                )

    def _look(self) -> None:
        now = self._certificate.state()
        if now != self._seen:
            self.context.taken = self._certificate.context()
            self._seen = now
            _log.info("certificate_read")


def _no_password() -> str:
    raise ValueError("the key has a password")
