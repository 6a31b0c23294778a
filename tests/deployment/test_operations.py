"""The operators' documents: what they tell to do works, and every place they point to is there."""

import json
import re
import shutil
from pathlib import Path

import pytest

from sensor_storage.cli import run as run_cli
from sensor_storage.storage.layout import Layout
from support.deployed import ROOT
from support.trees import NOW, compactor, readings_of, stage

DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
COPIED = re.search(r"^for part in (.*?); do rsync", (DOCS / "backup.md").read_text(), re.MULTILINE)


def _anchors(document: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_into_a_document_lead_to_a_heading(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
        there = (document.parent / target).resolve() if target else document
        assert anchor in _anchors(there), (target, anchor)


def test_the_checklist_has_every_point_an_operator_was_promised() -> None:
    section = (DOCS / "operations.md").read_text().split("## Before production")[1].split("\n## ")[0]
    points = re.findall(r"^- \[ \] \*\*(.+?)\.\*\*", section, re.MULTILINE)
    assert {"Cloud credentials", "Retention", "Alerts", "Resources", "Access", "Backup"} <= set(points)


def test_each_common_problem_has_a_remedy() -> None:
    heads = re.findall(r"^## (.+)$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert {"Kafka connection failed", "High memory usage", "Upload failures", "Storage full"} <= set(heads)


def test_a_copy_taken_while_readings_move_is_whole_after_a_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert COPIED is not None
    layout, restored = Layout(tmp_path / "data" / "raw"), tmp_path / "restored"
    restored.mkdir()
    for number in range(3):
        stage(
            layout,
            readings_of(range(number * 10, number * 10 + 10)),
            number=number,
            start=number * 10,
            stop=number * 10 + 10,
        )
    moved = False
    for part in COPIED[1].split():
        place = layout.root / part
        if place.is_dir():
            shutil.copytree(place, restored / part)
        if part in {"staging", "raw"} and not moved:  # the worst moment for either order
            compactor(layout).run_once(NOW, NOW, flush=True)
            moved = True
    assert list((restored / "staging").glob("*.parquet"))
    assert list((restored / "raw").rglob("*.parquet"))
    for words in (["rebuild"], ["compact", "-q"]):
        assert run_cli([*words, "--data", str(restored)]) == 0
    capsys.readouterr()
    assert run_cli(["verify", "--full", "--json", "--data", str(restored)]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["readings"], summary["messages"]) == (30, 30)
