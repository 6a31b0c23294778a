"""What the documents name exists, and what their examples show is true."""

import ast
import json
import re
import runpy
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec
import pytest

from sensor_storage.aggregation import stage as aggregate
from sensor_storage.api.app import create_app
from sensor_storage.cli import VERBS
from sensor_storage.clock import ManualClock
from sensor_storage.cold import folding
from sensor_storage.config import load
from sensor_storage.config.entries import entries
from sensor_storage.consuming import decode_settings
from sensor_storage.kafka import ingest, refusal
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.refusal import Reason
from sensor_storage.kafka.timestamps import instant_text, read_timestamp
from sensor_storage.metrics import DEFINITIONS
from sensor_storage.storage import arrow_columns, compact, dead_letters, durable, footers, ledger_files
from sensor_storage.storage.findings import FindingKind
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from support.decoding import TOPIC, batch_of, readings_of
from support.trees import NOW, compactor, stage
from support.trees import readings_of as some_readings

ROOT = Path(__file__).parents[1]
PROMETHEUS = "/prometheus/api/v1/"
README = ROOT / "README.md"
DOCS = ROOT / "docs"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("0*.md"))
NO_SETTING = {"SENSOR_STORAGE_CONFIG", "DELTA_BINARY_PACKED", "SSL_CERT_FILE"}
SAID_BEFORE = r"(?:With `(\w+)=(.+)`, from the topic `(.+)`:\n\n)?"
BEHIND = r"(?:Behind the bytes `([0-9A-F ]+)`:\n\n)?"
EXAMPLE = re.compile(
    SAID_BEFORE + BEHIND + r"```json\n(.*?)\n```\n\n\| asset \|.*?\n\|[-|]+\n((?:\|.*\n)+)",
)
REASON_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \|(?: `(.+)`)? \|$", re.MULTILINE)
KEY = b"press-9"
EPOCH = datetime.fromtimestamp(0, UTC)

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


# ── names ──


@every_document
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    named = re.findall(r"`((?:tests|scripts|docs|benchmarks|src)/[\w/.-]+)`", text)
    modules = re.findall(r"`((?:kafka|storage|aggregation|api|verbs|config|demo)/(?:\w+\.py)?)`", text)
    missing = [target for target in linked if not (document.parent / target).exists()]
    missing += [path for path in named if not (ROOT / path).exists()]
    assert missing + [path for path in modules if not (ROOT / "src/sensor_storage" / path).exists()] == []


@every_document
def test_settings_make_verbs_and_commands_exist(document: Path) -> None:
    text = document.read_text()
    makefile = (ROOT / "Makefile").read_text()
    settings = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text)) - NO_SETTING
    assert settings - entries().keys() == set()
    verbs = set(re.findall(r"(?:`|^)make ([a-z][a-z-]+)", text, re.MULTILINE))
    assert {verb for verb in verbs if not re.search(rf"^{verb}:", makefile, re.MULTILINE)} == set()
    commands = set(re.findall(r"sensor-storage ([a-z][a-z-]*)", text))
    assert commands - VERBS.keys() == set()


@every_document
def test_metrics_and_tests_exist(document: Path) -> None:
    text = document.read_text()
    named = re.findall(r"`(sensor_storage_[a-z_]+|[a-z_]+_total|storage_used_bytes)`", text)
    assert set(named) - {definition.name for definition in DEFINITIONS} == set()
    suite = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    promised = re.findall(r"`(test_\w+)`", text)
    assert [name for name in promised if f"def {name}(" not in suite] == []


def test_the_readme_lists_the_addresses_there_are(tmp_path: Path) -> None:
    paths = create_app(Layout(tmp_path / "raw"), ManualClock()).openapi()["paths"].keys()
    there = {path for path in paths if not path.startswith(PROMETHEUS)}
    section = README.read_text().split("## HTTP")[1].split("\n## ")[0]
    listed = set(re.findall(r"`(/[a-z/{}-]*)`", section))
    assert listed - {"/docs", "/explore"} == there
    assert f"`{PROMETHEUS}…`" in section
    told = (ROOT / "docs" / "grafana.md").read_text().split(f"`{PROMETHEUS}`")[1]
    for path in paths - there:
        assert f"`{path.removeprefix(PROMETHEUS).replace('{name}', 'NAME')}`" in told


# ── the readme and the decisions ──


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_decisions_are_numbered_without_a_hole_and_have_all_their_parts() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{n:04}" for n in range(1, len(DECISIONS) + 1)]
    for path in DECISIONS:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}. ")
        for part in ("\nStatus: ", "\n**Context.** ", "\n**Decision.** ", "\n**Consequences.** "):
            assert part in text, f"{path.name}: {part.strip()}"


# ── architecture.md ──


@pytest.mark.parametrize(
    ("heading", "module"),
    [
        ("Publish", durable),
        ("Ingest", ingest),
        ("Compact", compact),
        ("Aggregate", aggregate),
        ("Fold", folding),
    ],
)
def test_the_failure_table_has_every_step_of_the_module(heading: str, module: ModuleType) -> None:
    steps = set(re.findall(r"^ ?(\d)\. ", module.__doc__ or "", re.MULTILINE))
    section = (DOCS / "architecture.md").read_text().split(f"### {heading}")[1].split("\n##")[0]
    assert set(re.findall(r"^\| (\d) ", section, re.MULTILINE)) == steps != set()


def test_every_kind_of_finding_is_documented() -> None:
    text = (DOCS / "architecture.md").read_text()
    assert [kind for kind in get_args(FindingKind) if f"`{kind}`" not in text] == []


# ── formats.md ──


def test_every_column_and_every_field_of_the_footer_is_documented() -> None:
    text = (DOCS / "formats.md").read_text()
    names = {*arrow_columns.SCHEMA.names, *ledger_files.SCHEMA.names, *dead_letters.SCHEMA.names}
    for struct in (footers.Footer, footers.Totals, LedgerEntry):
        names |= {field.name for field in msgspec.structs.fields(struct)}
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_the_digest_example_tells_a_sound_file_from_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    stage(layout, some_readings(range(10)), number=0, start=0, stop=10)
    (tmp_path / "digest.py").write_text(_python_examples()[0])

    def said(path: Path) -> str:
        monkeypatch.setattr("sys.argv", ["digest.py", str(path)])
        runpy.run_path(str(tmp_path / "digest.py"))
        return capsys.readouterr().out.strip()

    assert said(layout.staged_files()[0][1]) == "True"
    compactor(layout).run_once(NOW, NOW, flush=True)
    for path in (layout.hour_files()[0], layout.ledger_files()[0]):
        assert said(path) == "True"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert said(path) == "False"


def test_the_row_hash_example_gives_the_hash_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "row_hash.py").write_text(_python_examples()[1])
    runpy.run_path(str(tmp_path / "row_hash.py"))
    assert f"has the hash {capsys.readouterr().out.strip()}:" in (DOCS / "formats.md").read_text()


def _python_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)\n```", (DOCS / "formats.md").read_text(), re.DOTALL)


# ── messages.md ──


def test_every_example_of_a_message_gives_the_readings_told() -> None:
    text = (DOCS / "messages.md").read_text()
    examples = EXAMPLE.findall(text)
    assert len(examples) == text.count("```json") >= 8
    for name, value, topic, mark, message, told in examples:
        settings = decode_settings(load({name: value} if name else {}))
        expected = [_cells(line) for line in told.splitlines()]
        as_json = bytes.fromhex(mark) + message.encode()
        for content in (as_json, msgspec.msgpack.encode(json.loads(message))):
            found = readings_of(content, settings, topic=topic or TOPIC, key=KEY)
            assert [_shown(reading) for reading in found] == expected, message
    assert {name for name, *_ in examples} == {"", "KAFKA_TOPIC_PATTERN", "FIELD_ALIASES"}
    assert {mark for _, _, _, mark, *_ in examples} == {"", "EF BB BF"}


def test_every_form_of_a_time_is_the_instant_told() -> None:
    text = (DOCS / "messages.md").read_text().split("## Times")[1].split("## Values")[0]
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)` \| `([^`]+)` \|$", text, re.MULTILINE)
    assert len(rows) == text.count("\n| ") - 1 >= 16
    for example, told in rows:
        assert read_timestamp(json.loads(example), UTC) == read_timestamp(told, UTC), example
        assert instant_text(read_timestamp(json.loads(example), UTC)) == told


def test_every_reason_of_a_dead_letter_is_documented_in_the_words_of_the_code() -> None:
    rows = REASON_ROW.findall((DOCS / "messages.md").read_text().split("## Dead letters")[1])
    assert [(reason, words) for reason, words, _ in rows] == list(_reasons().items())
    for reason, _, example in rows:
        if example:
            batch = batch_of([example.encode()], keys=[KEY])
            (rejected,) = Decoder(DecodeSettings()).decode(batch).rejected
            assert rejected.reason == reason, example


def _cells(line: str) -> list[str | None]:
    return [cell.strip().strip("`") or None for cell in line.strip("|").split("|")]


def _shown(reading: tuple[object, ...]) -> list[str | None]:
    asset, sensor, timestamp, *rest = reading
    time = (EPOCH + timedelta(microseconds=int(str(timestamp)))).isoformat(timespec="milliseconds")
    shown = [asset, sensor, time.replace("+00:00", "Z"), *rest]
    return [None if item is None else str(item) for item in shown]


def _reasons() -> dict[str, str]:
    """Each reason and the sentence that stands below it in the code."""
    tree = ast.parse(Path(str(refusal.__file__)).read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Reason")
    said = {
        ast.literal_eval(name.value): ast.literal_eval(words.value)
        for name, words in pairwise(body)
        if isinstance(name, ast.Assign) and isinstance(words, ast.Expr)
    }
    assert list(said) == list(Reason)
    return said
