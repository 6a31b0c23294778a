"""The API's certificate: checked at start, and read again when it is renewed, without a restart."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Event

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


def keep_fresh(
    certificate: Certificate, context: ssl.SSLContext, stop: Event, seconds: float = LOOK_SECONDS
) -> None:
    """Load the pair again whenever a file changes, until told to stop; a bad pair changes nothing."""
    seen = certificate.state()
    while not stop.wait(seconds):
        try:
            now = certificate.state()
            if now != seen:
                certificate.context()  # a half-renewed pair must not reach the context that serves
                context.load_cert_chain(certificate.chain, certificate.key)
                seen = now
                _log.info("certificate_read")
        except (OSError, Usage) as error:
            _log.error("certificate_not_read", error=str(error), hint="the one read before stays in force")


def _no_password() -> str:
    raise ValueError("the key has a password")
