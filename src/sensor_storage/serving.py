"""Builds the API, apart from `main`: a worker that only reads Kafka starts without a web server's libraries."""

from ipaddress import ip_network
from threading import Event

from sensor_storage.api.keys import KeyRing
from sensor_storage.api.proxy import TrustedProxy
from sensor_storage.api.server import serve
from sensor_storage.api.tls import Certificate
from sensor_storage.clock import Clock, SystemClock
from sensor_storage.config import Settings
from sensor_storage.consuming import layout_of
from sensor_storage.main import aggregate_policy, build_files, build_store


def build_api(settings: Settings) -> "ApiLoop":
    """HTTP over everything that is stored."""
    return ApiLoop(settings, SystemClock())


class ApiLoop:
    """The HTTP server as a worker."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def run(self, stop: Event) -> None:
        """Answer requests until told to stop."""
        service = self._settings.service
        serve(
            layout_of(self._settings),
            self._clock,
            host=service.host,
            port=service.port,
            stop=stop,
            parameters=aggregate_policy(self._settings).parameters,
            files=build_files(self._settings, layout_of(self._settings)),
            store=build_store(self._settings),
            keys=build_keys(self._settings, self._clock),
            proxy=build_proxy(self._settings),
            requests_per_second=service.max_requests_per_second,
            certificate=build_certificate(self._settings),
        )


def build_keys(settings: Settings, clock: Clock) -> KeyRing:
    """Who may ask. Usage when the keys are none."""
    given = settings.service.api_keys
    return KeyRing(clock, given.get_secret_value() if given else "", settings.service.api_keys_file)


def build_proxy(settings: Settings) -> TrustedProxy | None:
    """The proxy whose word on callers counts, if there is one."""
    service = settings.service
    if service.trusted_proxies is None:
        return None
    return TrustedProxy(
        networks=tuple(ip_network(one) for one in service.trusted_proxies),
        user_header=service.proxy_user_header,
        groups_header=service.proxy_groups_header,
        readers=frozenset(service.proxy_read_groups or ()),
        admins=frozenset(service.proxy_admin_groups or ()),
    )


def build_certificate(settings: Settings) -> Certificate | None:
    """What the API shows its callers, if it speaks TLS."""
    chain, key = settings.service.tls_cert_file, settings.service.tls_key_file
    return Certificate(chain, key) if chain and key else None
