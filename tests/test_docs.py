"""What the documents name exists, and what their examples show is true."""

import re
from pathlib import Path

import numpy as np
import pytest

from sensor_storage.cli import VERBS
from sensor_storage.config.entries import entries
from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.refusal import Reason
from sensor_storage.model import Source
from sensor_storage.storage.coded import Coded

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = re.compile(r"```json\n(.*?)\n```\nReadings: (.*?)\n", re.DOTALL)
LATER = {"FIELD_ALIASES"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    named = re.findall(r"`((?:tests|scripts|docs|benchmarks|src)/[\w/.-]+)`", text)
    missing = [target for target in linked if not (document.parent / target).exists()]
    assert missing + [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_and_make_verbs_exist(document: Path) -> None:
    text = document.read_text()
    makefile = (ROOT / "Makefile").read_text()
    generated = document.name == "settings.md"  # which also names the settings of later versions
    settings = set() if generated else set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text))
    settings -= LATER | {"DELTA_BINARY_PACKED"}
    assert settings - entries().keys() == set()
    verbs = set(re.findall(r"(?:`|^)make ([a-z][a-z-]+)", text, re.MULTILINE))
    assert {verb for verb in verbs if not re.search(rf"^{verb}:", makefile, re.MULTILINE)} == set()
    commands = set(re.findall(r"sensor-storage ([a-z-]+)", text))
    assert commands - VERBS.keys() == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_example_of_a_message_gives_the_readings_told() -> None:
    examples = EXAMPLE.findall((ROOT / "docs" / "messages.md").read_text())
    assert len(examples) >= 6
    for message, told in examples:
        assert sorted(_readings(message.encode())) == sorted(re.findall(r"`([^`]+)`", told)), message


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    text = (ROOT / "docs" / "messages.md").read_text()
    assert [reason for reason in Reason if f"`{reason}`" not in text] == []


def _readings(value: bytes) -> list[str]:
    batch = MessageBatch(
        topic="sensor-data-a",
        source=Coded.constant(Source("sensor-data-a", "id", 0, 0), 1),
        offset=np.zeros(1, np.int64),
        timestamp=np.full(1, 1_704_067_200_000),
        key=[None],
        value=[value],
    )
    decoded = Decoder(DecodeSettings(topic_pattern="^sensor-data-.*")).decode(batch)
    assert decoded.rejected == []
    rows = decoded.readings
    texts = rows.text.to_pylist() if rows.text is not None else [None] * len(rows)
    shown = [
        text or ("null" if number != number else str(number))  # noqa: PLR0124 - NaN
        for number, text in zip(rows.value.tolist(), texts, strict=True)
    ]
    return [
        f"{series.asset} {series.sensor} {value}"
        for series, value in zip(rows.series.tolist(), shown, strict=True)
        if series is not None
    ]
