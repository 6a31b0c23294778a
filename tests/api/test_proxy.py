"""A trusted proxy's word on who asks: believed from its address alone, and never by a caller's own headers."""

from ipaddress import ip_network

import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.api.keys import KeyRing, line_of, new_key
from sensor_storage.api.proxy import Person, TrustedProxy
from sensor_storage.clock import ManualClock
from sensor_storage.config import load
from sensor_storage.errors import Usage
from sensor_storage.serving import build_proxy
from sensor_storage.storage.layout import Layout
from support.sending import sender
from support.statuses import tell_all_well
from support.workers import FLUSHED, maintain_that_answers

READER = new_key()
PROXY = TrustedProxy(
    (ip_network("127.0.0.0/8"), ip_network("10.244.0.0/16")),
    readers=frozenset({"operators"}),
    admins=frozenset({"admins"}),
)
ANN = ("X-Forwarded-User", "ann")


@pytest.fixture
def app(layout: Layout, clock: ManualClock) -> FastAPI:
    """Behind a proxy on this machine, and with a key beside it."""
    tell_all_well(layout)
    keys = KeyRing(clock, line_of("grafana", "read", READER))
    return create_app(layout, clock, host="0.0.0.0", keys=keys, proxy=PROXY)  # noqa: S104 - not bound


def raw(*headers: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


@pytest.mark.parametrize(
    ("peer", "headers", "person"),
    [
        ("127.0.0.1", [ANN, ("X-Forwarded-Groups", "guests, operators")], Person("ann", "read")),
        ("::ffff:10.244.3.4", [ANN, ("X-Forwarded-Groups", "admins")], Person("ann", "admin")),
        ("127.0.0.1", [ANN, ("X-Forwarded-Groups", "operatorsx")], Person("ann", None)),
        ("127.0.0.1", [ANN], Person("ann", None)),
        ("10.245.0.1", [ANN, ("X-Forwarded-Groups", "admins")], None),
        ("not an address", [ANN, ("X-Forwarded-Groups", "admins")], None),
        ("127.0.0.1", [("X-Forwarded-Groups", "admins")], None),
        ("127.0.0.1", [("X-Forwarded-User", " "), ("X-Forwarded-Groups", "admins")], None),
        # a caller's header beside the proxy's own
        ("127.0.0.1", [ANN, ("X_Forwarded_User", "bob"), ("X-Forwarded-Groups", "admins")], None),
        (
            "127.0.0.1",
            [ANN, ("X-Forwarded-Groups", "operators"), ("X-Forwarded_Groups", "admins")],
            Person("ann", None),
        ),
    ],
)
def test_a_proxy_is_believed_by_its_address_and_each_header_once(
    peer: str, headers: list[tuple[str, str]], person: Person | None
) -> None:
    assert PROXY.person(peer, raw(*headers)) == person


def test_without_groups_for_readers_everybody_signed_in_may_read() -> None:
    assert TrustedProxy(PROXY.networks).person("127.0.0.1", raw(ANN)) == Person("ann", "read")


@pytest.mark.parametrize(
    ("groups", "read", "change"),
    [("operators", 200, 403), ("admins", 200, 200), ("x", 403, 403), (None, 403, 403)],
)
def test_groups_decide_what_somebody_may(
    app: FastAPI, layout: Layout, groups: str | None, read: int, change: int
) -> None:
    headers = dict([ANN]) | ({"X-Forwarded-Groups": groups} if groups else {})
    send = sender(app)
    assert send("GET", "/assets", headers=headers).status_code == read
    with maintain_that_answers(layout, lambda _: FLUSHED):
        assert send("POST", "/storage/flush", headers=headers).status_code == change


def test_another_sites_page_can_not_post_by_a_browser_the_proxy_knows(app: FastAPI, layout: Layout) -> None:
    send = sender(app)
    known = {**dict([ANN]), "X-Forwarded-Groups": "admins", "X-Forwarded-Host": "sensors.plant.example"}
    with maintain_that_answers(layout, lambda _: FLUSHED):
        for origin, status in (("https://evil.example", 403), ("https://sensors.plant.example", 200)):
            assert send("POST", "/storage/flush", headers={**known, "origin": origin}).status_code == status


def test_nobody_is_let_in_without_either_and_a_key_works_beside_it(app: FastAPI) -> None:
    send = sender(app)
    assert send("GET", "/assets").status_code == 401
    assert send("GET", "/health").status_code == 200
    assert send("GET", "/assets", headers={"authorization": f"Bearer {READER}"}).status_code == 200


def test_without_a_trusted_proxy_no_header_says_who_asks(layout: Layout, clock: ManualClock) -> None:
    send = sender(create_app(layout, clock, keys=KeyRing(clock, line_of("a", "read", READER))))
    assert send("GET", "/assets", headers={**dict([ANN]), "X-Forwarded-Groups": "admins"}).status_code == 401


def test_settings_make_the_proxy() -> None:
    assert build_proxy(load({})) is None
    given = {
        "TRUSTED_PROXIES": "127.0.0.1, 10.244.0.0/16",
        "PROXY_READ_GROUPS": "a, b",
        "PROXY_GROUPS_HEADER": "X-Auth-Request-Groups",
    }
    proxy = build_proxy(load(given))
    assert proxy is not None
    assert proxy.person("10.244.1.1", raw(ANN, ("X-Auth-Request-Groups", "b"))) == Person("ann", "read")
    with pytest.raises(Usage, match="TRUSTED_PROXIES must be addresses"):
        load({"TRUSTED_PROXIES": "proxy.example"})
    with pytest.raises(Usage, match="need TRUSTED_PROXIES"):
        load({"PROXY_ADMIN_GROUPS": "admins"})
