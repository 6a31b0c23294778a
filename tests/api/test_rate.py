"""One client that asks too fast is told when to come again; others and the probes notice nothing."""

from ipaddress import ip_network

import pytest

from sensor_storage.api.app import create_app
from sensor_storage.api.proxy import TrustedProxy
from sensor_storage.api.rate import BURST_SECONDS, RateLimit
from sensor_storage.clock import ManualClock
from sensor_storage.storage.layout import Layout
from support.sending import sender

PROXY = TrustedProxy((ip_network("10.0.0.7/32"),))


def _from(peer: str, user: str = "") -> dict[str, object]:
    return {"client": (peer, 1), "headers": [(b"x-forwarded-user", user.encode())] if user else []}


def test_who_asks_too_fast_gets_429_and_a_time_and_is_answered_after_it(
    layout: Layout, clock: ManualClock
) -> None:
    send = sender(create_app(layout, clock, requests_per_second=2))
    assert {send("GET", "/assets").status_code for _ in range(2 * BURST_SECONDS)} == {200}
    refused = send("GET", "/assets")
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["hint"]
    assert refused.headers["x-content-type-options"] == "nosniff"
    for path in ("/health", "/health/live", "/metrics"):
        assert send("GET", path).status_code == 200
    clock.advance(float(refused.headers["retry-after"]))
    assert send("GET", "/assets").status_code == 200


def test_a_pace_below_the_limit_is_never_refused() -> None:
    rate = RateLimit(4)
    assert all(rate.wait_seconds(_from("10.0.0.1"), number / 4) == 0 for number in range(1000))
    assert sum(rate.wait_seconds(_from("10.0.0.2"), number / 8) == 0 for number in range(1000)) == (
        4 * BURST_SECONDS + 500 - 1
    )


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (_from("10.0.0.1"), _from("10.0.0.2"), False),
        (_from("10.0.0.1"), _from("::ffff:10.0.0.1"), True),
        (_from("2001:db8::1"), _from("2001:db8::ffff:2"), True),
        (_from("2001:db8::1"), _from("2001:db8:0:1::1"), False),
        (_from("10.0.0.7", "ada"), _from("10.0.0.7", "bob"), False),
        (_from("10.0.0.1", "ada"), _from("10.0.0.1", "bob"), True),
    ],
)
def test_a_client_is_an_address_or_a_network_or_a_person_a_trusted_proxy_names(
    first: dict[str, object], second: dict[str, object], *, same: bool
) -> None:
    rate = RateLimit(0.1, PROXY)
    assert rate.wait_seconds(first, 0) == 0
    assert rate.wait_seconds(first, 0) == 10
    assert bool(rate.wait_seconds(second, 0)) == same


def test_a_crowd_of_strangers_takes_bounded_memory() -> None:
    rate = RateLimit(1)
    for number in range(20_000):
        rate.wait_seconds(_from(f"10.1.{number // 256}.{number % 256}"), 0)
    assert len(rate._clients) <= 10_000
