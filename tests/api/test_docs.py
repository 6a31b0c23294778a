import re

from support.sending import Send

PROMISED = {
    *(
        (f"/prometheus/api/v1/{name}", method)
        for name in ("query", "query_range", "labels", "series")
        for method in ("get", "post")
    ),
    *(
        (f"/prometheus/api/v1/{name}", "get")
        for name in ("label/{name}/values", "metadata", "status/buildinfo")
    ),
    ("/health", "get"),
    ("/health/live", "get"),
    ("/health/ready", "get"),
    ("/metrics", "get"),
    ("/storage/stats", "get"),
    ("/storage/flush", "post"),
    ("/upload/trigger", "post"),
    ("/upload/trigger/{job}", "get"),
    ("/cleanup/trigger", "post"),
    ("/cleanup/trigger/{job}", "get"),
    ("/azure/files", "get"),
    ("/storage/flush/{job}", "get"),
    ("/query", "get"),
    ("/assets", "get"),
    ("/assets/{asset}/sensors", "get"),
    ("/latest", "get"),
    ("/where", "get"),
    ("/coverage", "get"),
    ("/files", "get"),
    ("/files/content", "get"),
    ("/dead-letters", "get"),
    ("/dead-letters/replay", "post"),
    ("/dead-letters/replay/{job}", "get"),
    ("/", "get"),
}
LINKED = {"explore", "docs", "openapi.json", "health", "metrics", "storage/stats", "assets", "latest"}


def test_the_documentation_page_names_nothing_outside_this_machine(send: Send) -> None:
    page = send("GET", "/docs")
    assert page.status_code == 200
    named = re.findall(r'(?:src|href|url)[=:]\s*"([^"]*)"', page.text + send("GET", "/docs/start.js").text)
    assert len(named) == 5
    for address in named:
        assert ":" not in address
        assert not address.startswith("/"), "an absolute path breaks below a base path"
        assert send("GET", f"/{address}").status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "*" not in policy


def test_nothing_here_points_to_another_machine(send: Send) -> None:
    for path in ("/", "/docs", "/docs/start.js", "/openapi.json", "/health", "/metrics", "/storage/stats"):
        assert not re.search(r"https?://", send("GET", path).text), path


def test_redoc_and_other_pages_that_load_from_elsewhere_are_not_there(send: Send) -> None:
    assert send("GET", "/redoc").status_code == 404
    assert send("GET", "/docs/oauth2-redirect").status_code == 404


def test_swagger_ui_comes_whole_out_of_the_installed_package(send: Send) -> None:
    bundle = send("GET", "/docs/swagger-ui-bundle.js")
    assert bundle.headers["content-type"].startswith("text/javascript")
    assert b"SwaggerUIBundle" in bundle.content[:500]
    assert len(bundle.content) > 1_000_000


def test_openapi_lists_exactly_the_promised_addresses(send: Send) -> None:
    paths = send("GET", "/openapi.json").json()["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods} == PROMISED


def test_the_root_links_to_what_there_is(send: Send) -> None:
    answer = send("GET", "/").json()
    assert set(answer["links"].values()) == LINKED
    for link in answer["links"].values():
        assert send("GET", f"/{link}").status_code == 200
