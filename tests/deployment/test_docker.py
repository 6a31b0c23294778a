"""The image and the Compose file: what they promise, as far as it can be shown without an engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sensor_storage import __version__
from sensor_storage.cold.connect import parse_connection_string
from sensor_storage.config.entries import entries
from sensor_storage.demo.azurite import ACCOUNT, KEY
from support.deployed import ROOT, loaded, tool

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+(\.\d+)?[\w.-]*$")
CONTAINER_VERBS = ["docker-build", "docker-run", "compose-dev", "compose-up", "compose-down"]
CLUSTER_VERBS = ["k8s-deploy", "k8s-logs", "k8s-delete"]
# Would make it print the directories it enters, and take over the outer one's variables.
OF_AN_OUTER_MAKE = {"MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "GNUMAKEFLAGS", "REGISTRY"}


def make(
    *words: str, path: Path, checkout: Path = ROOT, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """A make verb on a machine that has only the programs in `path`; not a part of the make that runs tests."""
    own = {name: value for name, value in os.environ.items() if name not in OF_AN_OUTER_MAKE}
    environment = {**own, "PATH": str(path), **variables}
    return subprocess.run(
        [shutil.which("make") or "make", *words],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def bare_machine(tmp_path: Path) -> Path:
    """A folder of the few programs every machine has."""
    for name in (
        "bash",
        "sh",
        "sed",
        "timeout",
        "test",
        "echo",
        "env",
        "awk",
        "cat",
        "printf",
        "mkdir",
        "id",
    ):
        found = shutil.which(name)
        if found:
            (tmp_path / name).symlink_to(found)
    return tmp_path


def engine(folder: Path, script: str, name: str = "docker") -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


# ── the image ──


def test_the_dockerfile_has_no_lint() -> None:
    done = tool("hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_the_image_runs_without_root_and_knows_its_health() -> None:
    last = DOCKERFILE.split("\nFROM ")[-1]
    assert re.search(r"^USER (?!0)\d+:\d+$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert "SERVICE_HOST=0.0.0.0" in last
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert base is not None
    assert PINNED.match(base[1])
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_every_package_of_the_image_is_pinned_by_digest() -> None:
    for name in ("requirements.txt", "config/requirements-build.txt"):
        text = (ROOT / name).read_text()
        pins = re.findall(r"^[a-z0-9][\w.-]*(?:\[[\w,]+\])?==\S+", text, re.MULTILINE)
        assert pins
        assert len(re.findall(r"^\S.*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(pins)
        assert "://" not in text
    assert DOCKERFILE.count("--require-hashes") == 2
    assert DOCKERFILE.count("--no-index") == 1
    assert len(re.findall(r"/pip .*?install ", DOCKERFILE)) == 3


def test_settings_in_the_image_exist() -> None:
    given = set(re.findall(r"^(?:ENV)?\s+([A-Z_]+)=", DOCKERFILE, re.MULTILINE))
    own = {name for name in given if not name.startswith(("PYTHON", "PIP", "PATH"))}
    assert own
    assert own - entries().keys() == set()


def test_nothing_but_what_the_image_is_made_of_is_sent_to_the_engine() -> None:
    lines = [one for one in (ROOT / ".dockerignore").read_text().splitlines() if one and one[0] != "#"]
    assert lines[0] == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for word in line.split()
    }
    assert copied == let_through
    assert all((ROOT / one).exists() for one in copied)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_dockerfiles_steps_make_a_service_that_starts_is_healthy_and_ends(
    tmp_path: Path, unused_port: int
) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "replay_dockerfile.py", "--folder", tmp_path / "image"],
        env={**os.environ, "SERVICE_PORT": str(unused_port)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "healthy\nended with 0 on SIGTERM\n" in done.stdout
    size = re.search(r"^(\d+) MB compressed", done.stdout, re.MULTILINE)
    assert size is not None
    assert int(size[1]) < 300  # the base takes less than 100 of the 400


# ── Compose ──


def test_the_compose_file_is_one_by_its_schema() -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert done.returncode == 0, done.stdout
    done = tool("yamllint", "--strict", "docker-compose.yml", "deployment", ".github", "monitoring")
    assert done.returncode == 0, done.stdout


def test_compose_pins_every_image_and_opens_ports_on_this_machine_alone() -> None:
    services = loaded("docker-compose.yml")["services"]
    for name, service in services.items():
        if name != "sensor-storage":
            assert PINNED.match(service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
    assert services["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    assert services["grafana"]["ports"] == ["127.0.0.1:3000:3000"]
    profiles = {name: service.get("profiles") for name, service in services.items()}
    assert profiles == {
        "sensor-storage": None,
        "kafka": ["dev"],
        "azurite": ["dev"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


def test_compose_runs_the_service_as_tightly_as_kubernetes_does() -> None:
    service = loaded("docker-compose.yml")["services"]["sensor-storage"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert int(service["stop_grace_period"].rstrip("s")) > 30
    assert service["environment"].keys() - entries().keys() == set()
    assert service["image"].endswith(f"-{__version__}}}")


def test_compose_uploads_to_the_emulator_beside_it_unless_an_account_is_named() -> None:
    services = loaded("docker-compose.yml")["services"]
    chosen = services["sensor-storage"]["environment"]["AZURE_STORAGE_CONNECTION_STRING"]
    match = re.fullmatch(r"\$\{COMPOSE_AZURE:-(.*)\}", chosen)
    assert match is not None
    given = parse_connection_string(match[1])
    assert (given["account_name"], given["account_key"]) == (ACCOUNT, KEY)
    host, port = given["endpoint"].removeprefix("http://").split("/")[0].split(":")
    assert host in services
    assert services[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert services[host]["environment"] == {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}


def test_every_file_compose_mounts_is_there() -> None:
    for service in loaded("docker-compose.yml")["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), source


# ── make verbs ──


def test_scripts_have_no_lint() -> None:
    done = tool("shellcheck", "scripts/need.sh", ".ci/run")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("verb", CONTAINER_VERBS)
def test_without_docker_each_verb_says_so_and_what_to_do(verb: str, bare_machine: Path) -> None:
    done = make(verb, path=bare_machine)
    assert done.returncode == 2
    assert "docker is not installed on this machine." in done.stderr


@pytest.mark.parametrize("verb", CONTAINER_VERBS)
def test_without_an_engine_each_verb_says_so_and_what_to_do(verb: str, bare_machine: Path) -> None:
    engine(bare_machine, "exit 1")
    done = make(verb, path=bare_machine)
    assert done.returncode == 2
    assert "no engine answers it" in done.stderr


def test_without_the_compose_plugin_the_verbs_that_need_it_say_so(bare_machine: Path) -> None:
    engine(bare_machine, '[ "$1" != compose ]')
    done = make("compose-up", path=bare_machine)
    assert done.returncode == 2
    assert "no compose plugin" in done.stderr


@pytest.mark.parametrize("verb", ["docker-build", "compose-up"])
def test_on_a_machine_without_gnu_s_timeout_the_engine_is_asked_all_the_same(
    verb: str, bare_machine: Path
) -> None:
    """As macOS is."""
    (bare_machine / "timeout").unlink()
    engine(bare_machine, "exit 1")
    assert "no engine answers it" in make(verb, path=bare_machine).stderr
    engine(bare_machine, 'echo "docker $*"')
    assert make(verb, path=bare_machine).returncode == 0


def test_the_service_in_the_container_and_whoever_looks_into_it_read_the_same_env_file(
    tmp_path: Path, bare_machine: Path
) -> None:
    """The health check and `docker exec` start anew, in the container's working directory."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "scripts/need.sh"):
        shutil.copy(ROOT / name, checkout / name)
    engine(bare_machine, 'echo "docker $*"')
    assert "cp .env.example .env" in make("docker-run", path=bare_machine, checkout=checkout).stderr
    (checkout / ".env").write_text("SERVICE_PORT=9000\n")
    done = make("docker-run", path=bare_machine, checkout=checkout)
    words = done.stdout.splitlines()[-1].split()
    assert words[-1] == f"sensor-storage:{__version__}"  # by its own command
    place = words[words.index("--workdir") + 1]
    assert f"{checkout}/.env:{place}/.env:ro" in words
    assert f"{checkout}/data:/data" in words


@pytest.mark.parametrize("verb", CLUSTER_VERBS)
def test_without_kubectl_or_a_cluster_each_verb_says_so(verb: str, bare_machine: Path) -> None:
    done = make(verb, f"KUBECTL={bare_machine}/kubectl", path=bare_machine)
    assert "kubectl is not installed" in done.stderr
    engine(bare_machine, "exit 1", "kubectl")
    done = make(verb, f"KUBECTL={bare_machine}/kubectl", path=bare_machine)
    assert done.returncode == 2
    assert "no cluster answers it" in done.stderr


def test_a_push_needs_a_registry_and_names_the_image_in_it(bare_machine: Path) -> None:
    engine(bare_machine, 'echo "docker $*"')
    refused = make("docker-push", "REGISTRY=", path=bare_machine)
    assert refused.returncode == 2
    assert "REGISTRY=" in refused.stderr
    done = make("docker-push", path=bare_machine, REGISTRY="example.azurecr.io")
    image = f"example.azurecr.io/sensor-storage:{__version__}"
    assert f"docker build --tag {image} .\n" in done.stdout
    assert done.stdout.endswith(f"docker push {image}\n")
