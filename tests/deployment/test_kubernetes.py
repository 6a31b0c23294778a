"""What is applied to a cluster: valid by the schemas of who reads it, tight, and never a danger to readings."""

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from sensor_storage import __version__
from sensor_storage.config import load
from sensor_storage.config.entries import entries
from sensor_storage.main import cold_place
from sensor_storage.supervisor import STOP_SECONDS
from support import operators
from support.deployed import ROOT, only, rendered, tool

OVERLAYS = ["base", "overlays/dev", "overlays/production", "overlays/full"]
KUBERNETES = "1.32"

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def pod(overlay: str) -> dict[str, Any]:
    found: dict[str, Any] = only(rendered(overlay), "StatefulSet")["spec"]["template"]["spec"]
    return found


def container(overlay: str) -> dict[str, Any]:
    (found,) = pod(overlay)["containers"]
    assert isinstance(found, dict)
    return found


@every_overlay
def test_every_object_is_valid_by_its_schema(overlay: str) -> None:
    for one in rendered(overlay):
        if one["kind"] in operators.KINDS:
            operators.validate(one)
        else:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_a_mistyped_field_would_be_found() -> None:
    broken = {**only(rendered("base"), "StatefulSet"), "specc": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("kind", "path", "field", "value"),
    [
        ("ServiceMonitor", ("spec", "endpoints", 0), "intervall", "15s"),
        ("ServiceMonitor", ("spec", "endpoints", 0), "interval", "a while"),
        ("ServiceMonitor", ("spec", "selector"), "matchLabel", {"role": "pods"}),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0), "form", "2m"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0), "labels", ["critical"]),
        ("PrometheusRule", (), "apiVersion", "monitoring.coreos.com/v2"),
        ("ScaledObject", ("spec",), "maxReplicas", 4),
        ("ScaledObject", ("spec",), "maxReplicaCount", "4"),
        ("ScaledObject", ("spec", "triggers", 0, "metadata"), "lagThreshold", 1_000_000),
        ("ScaledObject", ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior"), "scaledown", {}),
    ],
)
def test_a_mistyped_field_would_be_found_in_what_operators_read_too(
    kind: str, path: tuple[str | int, ...], field: str, value: object
) -> None:
    broken = deepcopy(only(rendered("overlays/full"), kind))
    part: Any = broken
    for step in path:
        part = part[step]
    part[field] = value
    with pytest.raises(ValueError, match=kind):
        operators.validate(broken)


@every_overlay
def test_deleting_what_was_deployed_deletes_no_reading(overlay: str) -> None:
    kinds = {one["kind"] for one in rendered(overlay)}
    assert kinds.isdisjoint({"Namespace", "PersistentVolumeClaim", "PersistentVolume"})
    spec = only(rendered(overlay), "StatefulSet")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] in {one["name"] for one in container(overlay)["volumeMounts"]}


@every_overlay
def test_the_pod_has_no_right_it_does_not_need(overlay: str) -> None:
    spec, only_one = pod(overlay), container(overlay)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert only_one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("USER "))
    assert user == f"USER {spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"


@every_overlay
def test_the_pod_may_end_by_itself_before_it_is_killed(overlay: str) -> None:
    assert pod(overlay)["terminationGracePeriodSeconds"] > STOP_SECONDS + 10


@every_overlay
def test_liveness_does_not_depend_on_kafka_and_readiness_does(overlay: str) -> None:
    one = container(overlay)
    assert one["livenessProbe"]["httpGet"]["path"] == one["startupProbe"]["httpGet"]["path"] == "/health/live"
    assert one["readinessProbe"]["httpGet"]["path"] == "/health/ready"


@every_overlay
def test_the_settings_are_settings_and_good(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = dict(only(rendered(overlay), "ConfigMap")["data"])
    assert given.keys() - entries().keys() == set()
    for name in ("API_KEYS_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"):
        if name in given:
            given[name] = str(ROOT / "LICENSE")
    assert load(given).warnings == ()


@every_overlay
def test_the_memory_of_all_processes_fits_the_limit(overlay: str) -> None:
    given = only(rendered(overlay), "ConfigMap")["data"]
    settings = load({"MEMORY_LIMIT": given["MEMORY_LIMIT"]})
    processes = settings.ingest.workers + 3
    limit = load({"MEMORY_LIMIT": container(overlay)["resources"]["limits"]["memory"]}).service.memory_limit
    assert processes * settings.service.memory_limit + 200_000_000 <= limit


@every_overlay
def test_services_policies_and_budgets_mean_the_pods_there_are(overlay: str) -> None:
    labels = only(rendered(overlay), "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    for kind, path in (("Service", ()), ("PodDisruptionBudget", ("matchLabels",))):
        selector = only(rendered(overlay), kind)["spec"]["selector"]
        for key in path:
            selector = selector[key]
        assert selector.items() <= labels.items()
    policy = only(rendered(overlay), "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= labels.items()
    assert policy


def test_prometheus_sees_a_pod_that_is_not_ready() -> None:
    objects = rendered("overlays/full")
    wanted = only(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = [one for one in objects if one["kind"] == "Service"]
    (seen,) = [one for one in services if wanted.items() <= one["metadata"]["labels"].items()]
    assert seen["spec"]["publishNotReadyAddresses"]
    assert seen["metadata"]["name"] == only(objects, "StatefulSet")["spec"]["serviceName"]


def test_scaling_on_lag_never_takes_a_pod_away_from_its_volume() -> None:
    scaled = only(rendered("overlays/full"), "ScaledObject")["spec"]
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"] == {"selectPolicy": "Disabled"}
    group = entries()["KAFKA_CONSUMER_GROUP"].info.default
    asked = scaled["triggers"][0]["metadata"]
    # Their names its definition leaves open; these are of the scaler's documents.
    assert asked.keys() == {"bootstrapServers", "consumerGroup", "lagThreshold", "offsetResetPolicy"}
    assert asked["consumerGroup"] == group
    given = only(rendered("overlays/full"), "ConfigMap")["data"]
    assert asked["bootstrapServers"] == given["KAFKA_BOOTSTRAP_SERVERS"]


@every_overlay
def test_the_pod_may_reach_kafka_event_hubs_and_a_schema_registry(overlay: str) -> None:
    kafka = entries()["KAFKA_BOOTSTRAP_SERVERS"].info.default
    registry = str((entries()["SCHEMA_REGISTRY_URL"].info.examples or [""])[0])
    policy = only(rendered(overlay), "NetworkPolicy")["spec"]["egress"]
    listed = [(one["port"], one.get("endPort", one["port"])) for rule in policy for one in rule["ports"]]
    for port in (53, 443, 9093, int(kafka.split(":")[1]), int(registry.rsplit(":", 1)[1])):
        assert any(first <= port <= last for first, last in listed), port


@every_overlay
def test_the_image_is_this_version(overlay: str) -> None:
    assert container(overlay)["image"] == f"sensor-storage:{__version__}"


def test_the_secure_component_asks_for_keys_over_tls_and_probes_and_prometheus_know(tmp_path: Path) -> None:
    folder = ROOT / "deployment"
    resources = {"resources": [os.path.relpath(folder / "base", tmp_path)],
                 "components": [os.path.relpath(folder / "components" / name, tmp_path)
                                for name in ("monitoring", "secure")]}  # fmt: skip
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(resources))
    done = tool("kubectl", "kustomize", str(tmp_path))
    assert done.returncode == 0, done.stderr
    objects = tuple(one for one in yaml.safe_load_all(done.stdout) if one)
    (one,) = only(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert {probe["httpGet"]["scheme"] for name, probe in one.items() if name.endswith("Probe")} == {"HTTPS"}
    (scraped,) = only(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert scraped["scheme"] == "https"
    (keys,) = [mount["mountPath"] for mount in one["volumeMounts"] if mount["name"] == "keys"]
    given = {item["name"]: item["value"] for item in one["env"]}
    assert given.keys() == {"API_KEYS_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"}
    assert given.keys() <= entries().keys()
    assert all(value.startswith(f"{keys}/") for value in given.values())


@pytest.mark.parametrize("overlay", ["overlays/production", "overlays/full"])
def test_production_uploads_by_workload_identity_and_holds_no_secret(overlay: str) -> None:
    objects = rendered(overlay)
    given = only(objects, "ConfigMap")["data"]
    place = cold_place(load(dict(given)))
    assert place is not None
    assert place.url == "az://sensor-data-cold-storage"
    assert (place.key, place.sas_token) == ("", "")
    assert {name for name in given if entries()[name].secret} == set()
    labels = only(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert labels["azure.workload.identity/use"] == "true"
    assert "azure.workload.identity/client-id" in only(objects, "ServiceAccount")["metadata"]["annotations"]
    ports = [rule["ports"] for rule in only(objects, "NetworkPolicy")["spec"]["egress"]]
    assert [one for listed in ports for one in listed if one["port"] == 443] == [
        {"protocol": "TCP", "port": 443}
    ]
