"""What is published: it installs and runs where nothing of the checkout is, and says what it is made of."""

import hashlib
import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from urllib.request import urlopen

import pytest

from sensor_storage import __version__
from support.deployed import BIN, ROOT, loaded, tool
from support.waiting import wait_until

WORKFLOW = ".github/workflows/check.yml"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    done = tool("hatchling", "build", "--directory", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def _elsewhere(**more: str) -> dict[str, str]:
    """The environment of a machine that knows nothing of this checkout."""
    told = ("PYTHON", "SENSOR_", "VIRTUAL")
    return {name: value for name, value in os.environ.items() if not name.startswith(told)} | more


def _run(*words: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=_elsewhere(),
        capture_output=True,
        text=True,
        check=False,
    )


def _got(port: int, path: str) -> bytes:
    """What a service answers; nothing while there is none."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def test_wheel_and_source_hold_the_whole_package_and_nothing_else(built: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/sensor_storage"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wanted = {name.removeprefix("src/") for name in tracked if (ROOT / name).exists()}
    with zipfile.ZipFile(_only(built, "*.whl")) as wheel:
        inside = set(wheel.namelist())
    assert wanted - inside == set()
    assert {name for name in inside - wanted if ".dist-info/" not in name and "/page/" not in name} == set()
    assert any(name.endswith("/licenses/LICENSE") for name in inside)
    assert "sensor_storage/page/index.html" in inside
    with tarfile.open(_only(built, "*.tar.gz")) as source:
        names = {name.split("/", 1)[1] for name in source.getnames()}
    assert {f"src/{name}" for name in wanted} - names == set()
    assert {"LICENSE", "CHANGELOG.md", "pyproject.toml"} <= names


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_what_is_published_installs_and_runs_in_a_clean_environment(
    built: Path, tmp_path: Path, pattern: str, unused_port: int
) -> None:
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    uv = BIN / "uv"
    requirements = ROOT / "requirements.txt"
    steps: list[list[object]] = [
        [sys.executable, "-m", "venv", "--without-pip", environment],
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "--require-hashes",
            "--no-deps",
            "-r",
            requirements,
        ],
        [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", _only(built, pattern)],
    ]
    for words in steps:
        done = _run(*words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    program = environment / "bin" / "sensor-storage"
    assert _run(program, "--version", folder=tmp_path).stdout.split()[-1] == __version__
    settings = _run(program, "config", "docs", folder=tmp_path)
    assert settings.stdout == (ROOT / "docs" / "settings.md").read_text()
    looked = _run(program, "check", "--only", "disk", "--data", tmp_path / "data", "--json", folder=tmp_path)
    assert json.loads(looked.stdout.splitlines()[-1])["type"] == "summary"
    where = _run(python, "-c", "import sensor_storage; print(sensor_storage.__file__)", folder=tmp_path)
    assert where.stdout.startswith(str(environment))
    settings_of_it = _elsewhere(SERVICE_PORT=str(unused_port), KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    with subprocess.Popen([program, "run", "--data", "data"], cwd=tmp_path, env=settings_of_it) as service:
        try:
            wait_until(lambda: _got(unused_port, "/health/live"), "it answers", seconds=60)
            for path, name in (("/explore", "index.html"), ("/page/app.js", "app.js")):
                assert _got(unused_port, path) == (ROOT / "src/sensor_storage/page" / name).read_bytes()
        finally:
            service.terminate()
        assert service.wait(40) == 0


def test_the_same_source_gives_the_same_wheel(built: Path, tmp_path: Path) -> None:
    assert tool("hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)).returncode == 0
    digests = {hashlib.sha256(_only(folder, "*.whl").read_bytes()).digest() for folder in (built, tmp_path)}
    assert len(digests) == 1


def test_the_bill_of_materials_names_every_package_of_the_lock_with_its_licence(tmp_path: Path) -> None:
    done = tool("python", "scripts/sbom.py", str(tmp_path / "sbom.json"))
    assert done.returncode == 0, done.stderr
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", __version__)
    lock = (ROOT / "requirements.txt").read_text()
    named = {(part["name"], part["version"]) for part in bill["components"]}
    always = re.findall(r"^([a-z0-9][\w.-]*)(?:\[[\w,]+\])?==(\S+) \\$", lock, re.MULTILINE)
    assert set(always) <= named
    for part in bill["components"]:
        assert part["licenses"][0]["license"]["name"]
        for one in part["properties"]:
            assert f"--hash=sha256:{one['value']}" in lock


def test_a_licence_that_is_not_accepted_is_not_passed_on() -> None:
    accepted = runpy.run_path(str(ROOT / "scripts" / "sbom.py"))["accepted"]
    good = ["MIT", "BSD-3-Clause AND Zlib", "GPL-3.0 OR MIT", "Apache Software License"]
    bad = ["GPL-3.0", "MIT AND GPL-3.0", ""]
    assert [one for one in good if not accepted(one)] == [one for one in bad if accepted(one)] == []


# ── known weaknesses ──


def _advisory(name: str, **affected: object) -> str:
    package = {"ecosystem": "PyPI", "name": name}
    return json.dumps({"id": f"X-{name}", "summary": "bad", "affected": [{"package": package, **affected}]})


def _range(**events: str) -> list[dict[str, object]]:
    return [{"type": "ECOSYSTEM", "events": [{kind: version} for kind, version in events.items()]}]


@pytest.mark.parametrize(
    ("affected", "found"),
    [
        ({"versions": ["1.0", "1.5"]}, True),
        ({"versions": ["1.0", "1.6"]}, False),
        ({"ranges": _range(introduced="0", fixed="1.5.1")}, True),
        ({"ranges": _range(introduced="0", fixed="1.5")}, False),
        ({"ranges": _range(introduced="1.4", last_affected="1.5")}, True),
        ({"ranges": _range(introduced="1.6")}, False),
        ({"ranges": _range(introduced="1.2")}, True),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_locked_package_with_a_known_weakness_is_named_without_a_network(
    tmp_path: Path, affected: dict[str, object], *, found: bool, zipped: bool
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("some-thing==1.5 \\\n    --hash=sha256:0\nother==2 ; sys_platform == 'win32' \\\n")
    place = tmp_path / ("all.zip" if zipped else "advisories")
    texts = {
        "a.json": _advisory("Some_Thing", **affected),
        "b.json": _advisory("elsewhere", versions=["1.5"]),
    }
    if zipped:
        with zipfile.ZipFile(place, "w") as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
    else:
        place.mkdir()
        for name, text in texts.items():
            (place / name).write_text(text)
    done = tool("python", "scripts/audit.py", str(place), "--lock", str(lock))
    assert done.returncode == (1 if found else 0), done.stderr
    assert ("some-thing 1.5: X-Some_Thing bad" in done.stdout) == found
    assert "2 packages, 2 advisories" in done.stdout


def test_an_audit_without_advisories_does_not_pass(tmp_path: Path) -> None:
    assert tool("python", "scripts/audit.py", str(tmp_path)).returncode == 2


# ── the workflow ──


def test_the_workflow_is_one_by_its_schema_and_calls_verbs_that_exist() -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW)
    assert done.returncode == 0, done.stdout
    text = (ROOT / WORKFLOW).read_text()
    makefile = (ROOT / "Makefile").read_text()
    for verb in re.findall(r"run: make ([a-z-]+)", text):
        assert re.search(rf"^{verb}:", makefile, re.MULTILINE), verb
    ours = (ROOT / ".ci/run").read_text()
    assert set(re.findall(r"^make ([a-z-]+)$", ours, re.MULTILINE)) <= set(
        re.findall(r"run: make ([a-z-]+)", text)
    )


def test_the_workflow_tries_every_python_the_project_claims_and_asks_for_no_right_to_write() -> None:
    flow = loaded(WORKFLOW)
    tried = flow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tried == ["3.11", "3.12", "3.13", "3.14"]
    claimed = re.search(r'requires-python = ">=(\S+)"', (ROOT / "pyproject.toml").read_text())
    assert claimed is not None
    assert claimed[1] == tried[0]
    assert flow["permissions"] == {"contents": "read"}
