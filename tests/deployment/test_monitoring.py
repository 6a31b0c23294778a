"""Alerts and dashboards: each alert fires for its fault and only for it, and every name in them exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import yaml

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.metrics import DEFINITIONS
from support.deployed import ROOT, loaded, tool
from support.kafka_io import create_topic, produce
from support.prometheus import free_port, programs, scraping
from support.service import running
from support.waiting import wait_until

Series = dict[str, str]

ALERTS = {rule["alert"]: rule for rule in loaded("monitoring/rules/alerts.yml")["groups"][0]["rules"]}
RECORDED = {
    rule["record"]: rule["expr"] for rule in loaded("monitoring/rules/recording.yml")["groups"][0]["rules"]
}
OPERATIONS = ROOT / "monitoring/grafana/dashboards/operations.json"
NAMES = re.compile(r"\b(?:sensor_storage[\w:]*|storage_used_bytes|[a-z_]+_total)\b")
PROMETHEUS_OWN = {"up"}
KINDS = {definition.name: definition.kind for definition in DEFINITIONS}


class Fault(NamedTuple):
    """What Prometheus sees of a fault and of what only looks like it, one value a minute; when it must fire."""

    bad: Series
    good: Series
    after: str
    says: str
    labels: Mapping[str, str] = MappingProxyType({})


INGEST = {"worker": "ingest-0"}
FAULTS = {
    "SensorStorageDown": Fault(
        {'up{job="sensor-storage",instance="a:8080"}': "0x60"},
        {'up{job="sensor-storage",instance="a:8080"}': "0x1 1x60"},
        "3m",
        "The service at a:8080 does not answer.",
        {"job": "sensor-storage", "instance": "a:8080"},
    ),
    "SensorStorageHalted": Fault(
        {'sensor_storage_halted{worker="ingest-0"}': "0 1x60"},
        {'sensor_storage_halted{worker="ingest-0"}': "0x60"},
        "2m",
        "ingest-0 has stopped rather than lose or double readings.",
        INGEST,
    ),
    "SensorStorageWorkerSilent": Fault(
        {'sensor_storage_status_age_seconds{worker="ingest-0"}': "61+60x60"},
        {'sensor_storage_status_age_seconds{worker="ingest-0"}': "1x60"},
        "3m",
        "ingest-0 has not reported for 4m 1s.",
        INGEST,
    ),
    "SensorStorageWorkerRestarts": Fault(
        {'sensor_storage_worker_start_time_seconds{worker="ingest-0"}': "0 100 200 300x60"},
        {'sensor_storage_worker_start_time_seconds{worker="ingest-0"}': "0 100x60"},
        "5m",
        "ingest-0 was started again 3 times in 15 minutes.",
        INGEST,
    ),
    "SensorStorageKafkaUnreachable": Fault(
        {'sensor_storage_kafka_up{worker="ingest-0"}': "0x60"},
        {'sensor_storage_kafka_up{worker="ingest-0"}': "0x2 1x60"},
        "6m",
        "ingest-0 does not reach Kafka.",
        INGEST,
    ),
    "SensorStorageLag": Fault(
        {
            'sensor_storage_lag_seconds{worker="ingest-0"}': "301x60",
            'sensor_storage_lag_seconds{worker="ingest-1"}': "1x60",
        },
        {'sensor_storage_lag_seconds{worker="ingest-0"}': "301x5 1x60"},
        "12m",
        "What is stored is 5m 1s behind Kafka.",
    ),
    "SensorStorageNoTopics": Fault(
        {'sensor_storage_topics{worker="ingest-0"}': "0x60"},
        {'sensor_storage_topics{worker="ingest-0"}': "0x5 1x60"},
        "16m",
        "No topic matches the pattern of ingest-0.",
        INGEST,
    ),
    "SensorStoragePaused": Fault(
        {'sensor_storage_paused{worker="ingest-0"}': "1x60"},
        {'sensor_storage_paused{worker="ingest-0"}': "1x2 0x60"},
        "6m",
        "ingest-0 fetches nothing, as for a full disk or staging area.",
        INGEST,
    ),
    "SensorStorageDiskFillsUp": Fault(
        {"sensor_storage_disk_free_bytes": "45-0.1x100", "sensor_storage_disk_size_bytes": "100x100"},
        {"sensor_storage_disk_free_bytes": "45x100", "sensor_storage_disk_size_bytes": "100x100"},
        "60m",
        "At this pace the data disk is full within a day.",
    ),
    "SensorStorageDiskAlmostFull": Fault(
        {"sensor_storage_disk_free_bytes": "9x60", "sensor_storage_disk_size_bytes": "100x60"},
        {"sensor_storage_disk_free_bytes": "11x60", "sensor_storage_disk_size_bytes": "100x60"},
        "6m",
        "The data disk is 91% full.",
    ),
    "SensorStorageDeadLetters": Fault(
        {
            'messages_consumed_total{worker="ingest-0"}': "0+1000x60",
            'sensor_storage_dead_letters_total{worker="ingest-0",reason="not_json"}': "0+20x60",
        },
        {
            'messages_consumed_total{worker="ingest-0"}': "0+1000x60",
            'sensor_storage_dead_letters_total{worker="ingest-0",reason="not_json"}': "0+5x60",
        },
        "25m",
        "2% of the messages can't become readings.",
    ),
    "SensorStorageDeadLettersFull": Fault(
        {
            'sensor_storage_dead_letters_used_ratio{worker="ingest-0"}': "0.81x60",
            'sensor_storage_dead_letters_used_ratio{worker="ingest-1"}': "0.81x60",
        },
        {'sensor_storage_dead_letters_used_ratio{worker="ingest-0"}': "0.79x60"},
        "6m",
        "Dead letters take 81% of their room; at 100% consumption pauses.",
    ),
    "SensorStorageReadingsMissing": Fault(
        {"sensor_storage_received_readings": "100x60", "sensor_storage_stored_readings": "90x60"},
        {"sensor_storage_received_readings": "100x60", "sensor_storage_stored_readings": "110x60"},
        "11m",
        "10 readings received are not accounted for.",
    ),
    "SensorStorageOffsetsLost": Fault(
        {"sensor_storage_recorded_gaps": "1x5 2x60"},
        {"sensor_storage_recorded_gaps": "2x60"},
        "8m",
        "Kafka no longer had messages when they were due.",
    ),
    "SensorStorageBlockedFiles": Fault(
        {"sensor_storage_blocked_files": "1x60"},
        {"sensor_storage_blocked_files": "1x2 0x60"},
        "6m",
        "1 damaged files keep readings from their place.",
    ),
    "SensorStorageCompactionBehind": Fault(
        {"sensor_storage_oldest_staged_age_seconds": "10801+60x60"},
        {"sensor_storage_oldest_staged_age_seconds": "7000x60"},
        "16m",
        "A staged file has waited 3h 16m 1s for its hour files.",
    ),
    "SensorStorageAggregatesBehind": Fault(
        {"sensor_storage_due_aggregates": "5x200"},
        {"sensor_storage_due_aggregates": "5x30 0x5 5x165"},
        "130m",
        "5 sensor-hours have been without their aggregates for an hour.",
    ),
    "SensorStorageStoreAway": Fault(
        {"sensor_storage_store_away": "1x60"},
        {"sensor_storage_store_away": "1x10 0x50"},
        "16m",
        "The cold store does not answer.",
    ),
    "SensorStorageUploadsFail": Fault(
        {"sensor_storage_upload_failing_files": "3x60"},
        {"sensor_storage_upload_failing_files": "3x20 0x40"},
        "31m",
        "3 files can't be uploaded.",
    ),
    "SensorStorageReadingsUnsafe": Fault(
        {"sensor_storage_oldest_unsafe_seconds": "21601+60x200"},
        {"sensor_storage_oldest_unsafe_seconds": "21601+60x100 0x1 30000x100"},
        "121m",
        "Readings 8h 1m 1s old are on this disk and in Kafka alone.",
    ),
    "SensorStorageCleanupBlocked": Fault(
        {'sensor_storage_cleanup_kept_files{reason="not uploaded"}': "7x900"},
        {'sensor_storage_cleanup_kept_files{reason="not uploaded"}': "7x400 0x500"},
        "781m",
        "7 old files can't leave this disk: not uploaded.",
        {"reason": "not uploaded"},
    ),
    "SensorStorageBlobsDiffer": Fault(
        {'sensor_storage_cleanup_kept_files{reason="blob missing"}': "0 1x60"},
        {'sensor_storage_cleanup_kept_files{reason="changed since its upload"}': "1x60"},
        "2m",
        "1 blobs are not what was uploaded: blob missing.",
        {"reason": "blob missing"},
    ),
}


def _case(name: str, series: Series, *, fires: bool) -> dict[str, Any]:
    fault, rule = FAULTS[name], ALERTS[name]
    expected = {
        "exp_labels": {**rule["labels"], **fault.labels},
        "exp_annotations": {"summary": fault.says, "runbook": rule["annotations"]["runbook"]},
    }
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": fault.after,
                "alertname": other,
                "exp_alerts": [expected] if fires and other == name else [],
            }
            for other in ALERTS
        ],
    }


def test_every_alert_fires_for_its_fault_and_only_for_it_and_not_for_what_looks_like_it(
    tmp_path: Path,
) -> None:
    assert FAULTS.keys() == ALERTS.keys()
    cases = [_case(name, FAULTS[name].bad, fires=True) for name in ALERTS]
    cases += [_case(name, FAULTS[name].good, fires=False) for name in ALERTS]
    rules = [str(ROOT / "monitoring/rules" / name) for name in ("recording.yml", "alerts.yml")]
    (tmp_path / "tests.yml").write_text(
        yaml.safe_dump({"rule_files": rules, "evaluation_interval": "1m", "tests": cases})
    )
    promtool = programs() / "promtool"
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    checked = subprocess.run(
        [promtool, "check", "rules", *rules], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def _panels() -> list[tuple[str, str]]:
    board = json.loads(OPERATIONS.read_text())
    return [
        (panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])
    ]


def _defined(name: str) -> str:
    """The metric that a series is of: a histogram has three kinds of them."""
    head, _, tail = name.rpartition("_")
    return head if tail in {"bucket", "sum", "count"} and KINDS.get(head) == "histogram" else name


@pytest.mark.parametrize(
    ("where", "expression"),
    [
        *((name, rule["expr"]) for name, rule in ALERTS.items()),
        *RECORDED.items(),
        *_panels(),
    ],
)
def test_every_name_in_an_expression_exists_and_counters_are_rated(where: str, expression: str) -> None:
    named = set(NAMES.findall(expression))
    assert named or expression.split("{", maxsplit=1)[0] in PROMETHEUS_OWN, where
    assert {_defined(name) for name in named} - KINDS.keys() - RECORDED.keys() == set()
    for name in named:
        if KINDS.get(_defined(name)) in {"counter", "histogram"}:
            assert re.search(rf"(rate|increase)\({name}(\{{.*?\}})?\[", expression), name


def test_the_dashboard_and_the_rules_for_kubernetes_are_made_of_what_stands_here() -> None:
    done = tool("python", "scripts/monitoring.py", "--check")
    assert done.returncode == 0, done.stdout


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    text = (ROOT / "docs/runbooks.md").read_text()
    assert re.findall(r"^## (SensorStorage\w+)$", text, re.MULTILINE) == list(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
        section = text.split(f"## {name}\n")[1].split("\n## ")[0]
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in section, (name, part)


def test_the_prometheus_of_compose_finds_its_rules_and_the_service(tmp_path: Path) -> None:
    """Laid out as Compose mounts it."""
    services = loaded("docker-compose.yml")["services"]
    for volume in services["prometheus"]["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            place = tmp_path / target.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, place)
    (named,) = [word for word in services["prometheus"]["command"] if word.startswith("--config.file=/")]
    config = tmp_path / named.removeprefix("--config.file=/")
    done = subprocess.run(
        [programs() / "promtool", "check", "config", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"SUCCESS: {len(ALERTS)} rules found" in done.stdout
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert f"127.0.0.1:{port}:{port}" in services[name]["ports"]
    assert f'job="{job["job_name"]}"' in ALERTS["SensorStorageDown"]["expr"]


def test_grafana_knows_every_data_source_its_dashboards_use() -> None:
    folder = ROOT / "monitoring/grafana"
    sources = {
        source["uid"]
        for path in (folder / "provisioning/datasources").glob("*.yaml")
        for source in yaml.safe_load(path.read_text())["datasources"]
    }
    for path in (folder / "dashboards").glob("*.json"):
        used = set(re.findall(r'"type": "prometheus",\s+"uid": "([^"]+)"', path.read_text()))
        assert used <= sources
        assert used
    (provider,) = loaded("monitoring/grafana/provisioning/dashboards/sensor-storage.yaml")["providers"]
    mounts = loaded("docker-compose.yml")["services"]["grafana"]["volumes"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounts


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_real_faults_of_the_running_service_fire_their_alerts_in_a_real_prometheus(tmp_path: Path) -> None:
    port = free_port()
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        create_topic(broker.bootstrap_servers, "sensor-data-a")
        good = [
            f'{{"asset_id":"a","sensor_name":"s","timestamp":{1_704_067_200 + n},"value":{n}}}'
            for n in range(500)
        ]
        produce(broker.bootstrap_servers, "sensor-data-a", good)
        cold = tmp_path / "cold"
        cold.mkdir()
        settings = {
            "SERVICE_PORT": str(port),
            "COLD_STORE_URL": f"file://{cold}",
            "UPLOAD_INTERVAL_SECONDS": "1",
        }
        with (
            running(tmp_path / "data", broker.bootstrap_servers, "sensor-data-", **settings) as service,
            scraping(tmp_path / "prometheus", port) as prometheus,
        ):
            service.wait_for_messages(500)
            known = "sensor_storage:readings:rate1m"
            wait_until(lambda: bool(prometheus.series(known)), "Prometheus scrapes it", seconds=30)
            # The disk's are this machine's own, on which other tests write. Readings of years ago are unsafe,
            # and told so at once without a `for`, until they are uploaded.
            others = {"SensorStorageDiskAlmostFull", "SensorStorageDiskFillsUp", "SensorStorageDown"}
            wait_until(lambda: prometheus.firing() <= others, "no alert without a fault", seconds=60)

            silent = [expr for _, expr in _panels() if not prometheus.series(expr)]
            assert [one for one in silent if "kept" not in one] == []

            produce(broker.bootstrap_servers, "sensor-data-a", [*good, *["{broken"] * 100])
            service.wait_for_messages(1_100)
            wait_until(
                lambda: "SensorStorageDeadLetters" in prometheus.firing(), "dead letters alert", seconds=30
            )
            assert "SensorStorageKafkaUnreachable" not in prometheus.firing()

            assert prometheus.firing().isdisjoint({"SensorStorageStoreAway", "SensorStorageUploadsFail"})
            cold.rename(tmp_path / "gone")
            cold.write_text("in the way of the folder")
            late = [line.replace("1704", "1705") for line in good]
            produce(broker.bootstrap_servers, "sensor-data-a", late)
            wait_until(
                lambda: "SensorStorageStoreAway" in prometheus.firing(),
                "the cold store's death alerts",
                seconds=60,
            )
            assert "SensorStorageKafkaUnreachable" not in prometheus.firing()

            broker.kill()
            fires = "SensorStorageKafkaUnreachable"
            wait_until(lambda: fires in prometheus.firing(), "the broker's death alerts", seconds=60)
            assert "SensorStorageDown" not in prometheus.firing()

            service.kill()
            wait_until(
                lambda: "SensorStorageDown" in prometheus.firing(), "the service's death alerts", seconds=30
            )
