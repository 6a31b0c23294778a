"""What every test may ask for. The broker is one real Apache Kafka for each process that runs tests."""

import re
import uuid
from collections.abc import Generator, Iterator

import pytest

from sensor_storage.demo.broker import EmbeddedBroker


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed travels between processes as UTF-8, which some of the names it is tried with are not."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running broker, shared: a test takes topics under its own `topic_prefix` and never stops it."""
    brisk = {"log.cleaner.backoff.ms": "200"}  # by default a compacted topic is cleaned every 15 s
    with EmbeddedBroker(tmp_path_factory.mktemp("broker"), properties=brisk) as running:
        yield running


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A name no other test uses, for topics, groups and patterns."""
    return f"{re.sub('[^a-z0-9]+', '-', request.node.name.lower())[:60]}-{uuid.uuid4().hex[:8]}"
