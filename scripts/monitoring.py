"""Make what is made of the rules: Grafana's dashboard of operations, and the rules as an object of Kubernetes.

    .venv/bin/python scripts/monitoring.py            write them
    .venv/bin/python scripts/monitoring.py --check    1 if what is there is not what would be written

A panel is a line of the table below: title, unit, and what it shows with its legend.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
DASHBOARD = ROOT / "monitoring/grafana/dashboards/operations.json"
RULES = ROOT / "deployment/components/monitoring/prometheusrule.yaml"
HEAD = "# Made by scripts/monitoring.py from monitoring/rules.\n"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 8, 7


class Panel(NamedTuple):
    """One panel: a graph, or with `stat` one number."""

    title: str
    unit: str
    shows: dict[str, str]
    stat: bool = False
    red_from: float | None = None


ROWS: dict[str, list[Panel]] = {
    "At a glance": [
        Panel("State", "none", {"sensor_storage_health == 1": "{{state}}"}, stat=True),
        Panel("Readings missing", "none", {"sensor_storage:missing_readings": ""}, stat=True, red_from=1),
        Panel("Lag", "s", {"sensor_storage:lag_seconds:max": ""}, stat=True, red_from=300),
        Panel("Disk used", "percentunit", {"sensor_storage:disk_used:ratio": ""}, stat=True, red_from=0.9),
        Panel("Halted workers", "none", {"sum(sensor_storage_halted)": ""}, stat=True, red_from=1),
        Panel("Version", "none", {"sensor_storage_build_info": "{{version}}"}, stat=True),
    ],
    "Ingest": [
        Panel("Messages and readings a second", "ops",
              {"sensor_storage:messages:rate1m": "messages", "sensor_storage:readings:rate1m": "readings"}),
        Panel("Messages that wait, by topic", "short",
              {"sum by (topic) (sensor_storage_partition_lag_messages)": "{{topic}}"}),
        Panel("How far behind Kafka, and how long to disk", "s",
              {"sensor_storage_lag_seconds": "{{worker}} is behind",
               "histogram_quantile(0.99, sum by (le) (rate(sensor_storage_latency_seconds_bucket[5m])))":
                   "99 of 100 messages are durable after"}),
        Panel("Dead letters a minute, by reason", "short",
              {"sum by (reason) (rate(sensor_storage_dead_letters_total[5m])) * 60": "{{reason}}"}),
        Panel("Passed over, empty, gaps a minute", "short",
              {"sum(rate(sensor_storage_skipped_messages_total[5m])) * 60": "passed over",
               "sum(rate(sensor_storage_empty_messages_total[5m])) * 60": "empty",
               "sum(rate(sensor_storage_offset_gaps_total[5m])) * 60": "gaps"}),
        Panel("Kafka reached, consumption paused", "none",
              {"sensor_storage_kafka_up": "{{worker}} reaches Kafka",
               "sensor_storage_paused": "{{worker}} is paused"}),
        Panel("Segments a second", "ops", {"rate(sensor_storage_segments_total[5m])": "{{worker}}"}),
        Panel("Topics and partitions", "none",
              {"sensor_storage_topics": "topics", "sum(sensor_storage_partitions)": "partitions"}),
        Panel("Bytes of segments a second", "Bps",
              {"rate(sensor_storage_segment_bytes_total[5m])": "{{worker}}"}),
    ],
    "Compact and aggregate": [
        Panel("Readings that wait for their hour file", "short", {"sensor_storage_waiting_readings": ""}),
        Panel("Oldest staged file", "s", {"sensor_storage_oldest_staged_age_seconds": ""}),
        Panel("Staged files", "short", {"sensor_storage_staged_files": ""}),
        Panel("Files written a minute", "short",
              {"rate(sensor_storage_compact_hour_files_written_total[5m]) * 60": "hour files",
               "rate(sensor_storage_compact_runs_written_total[5m]) * 60": "runs",
               "rate(sensor_storage_aggregate_files_written_total[5m]) * 60": "aggregates"}),
        Panel("Length of the last round", "s",
              {"sensor_storage_compact_last_round_seconds": "compact",
               "sensor_storage_aggregate_last_round_seconds": "aggregate"}),
        Panel("Aggregates due, files blocked", "short",
              {"sensor_storage_due_aggregates": "due", "sensor_storage_blocked_files": "blocked"}),
    ],
    "Storage": [
        Panel("Bytes by part", "bytes", {"sensor_storage_part_bytes": "{{part}}"}),
        Panel("Room on the disk", "bytes",
              {"sensor_storage_disk_free_bytes": "free", "sensor_storage_disk_size_bytes": "size"}),
        Panel("Received and stored readings", "short",
              {"sensor_storage_received_readings": "received", "sensor_storage_stored_readings": "stored"}),
    ],
    "Cold store": [
        Panel("Files uploaded, failed, removed a minute", "short",
              {"rate(azure_upload_success_total[5m]) * 60": "uploaded",
               "rate(azure_upload_failures_total[5m]) * 60": "failed",
               "rate(cleanup_files_deleted_total[5m]) * 60": "removed here"}),
        Panel("Files that wait, that failed before", "short",
              {"sensor_storage_upload_waiting_files": "wait", "sensor_storage_upload_failing_files": "failing"}),
        Panel("Oldest readings only this disk and Kafka hold", "s", {"sensor_storage_oldest_unsafe_seconds": ""}),
        Panel("Bytes uploaded and freed a second", "Bps",
              {"rate(sensor_storage_uploaded_bytes_total[5m])": "uploaded",
               "rate(sensor_storage_cleanup_bytes_total[5m])": "freed here"}),
        Panel("Length of the last upload and cleanup; store away", "s",
              {"sensor_storage_upload_last_round_seconds": "upload",
               "sensor_storage_cleanup_last_round_seconds": "cleanup",
               "sensor_storage_store_away": "away"}),
        Panel("Old files kept, by reason", "short", {"sensor_storage_cleanup_kept_files": "{{reason}}"}),
    ],
    "Processes": [
        Panel("Memory", "bytes", {"sensor_storage_process_resident_bytes": "{{worker}}"}),
        Panel("Processor", "percentunit", {"rate(sensor_storage_process_cpu_seconds_total[1m])": "{{worker}}"}),
        Panel("HTTP answers a second", "ops",
              {"rate(sensor_storage_http_answers_total[1m])": "{{status}}"}),
        Panel("HTTP mean time of an answer", "s",
              {"sum(rate(sensor_storage_http_seconds_total[1m]))"
               " / sum(rate(sensor_storage_http_answers_total[1m]))": ""}),
        Panel("Seconds since the last report", "s", {"sensor_storage_status_age_seconds": "{{worker}}"}),
    ],
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it: three panels abreast, a heading for each row."""
    panels: list[dict[str, Any]] = []
    top = 0
    for heading, row in ROWS.items():
        at = {"h": 1, "w": 24, "x": 0, "y": top}
        panels.append({"type": "row", "title": heading, "gridPos": at, "collapsed": False})
        abreast, height = (6, 4) if row[0].stat else (24 // WIDTH, HEIGHT)
        for number, panel in enumerate(row):
            width = 24 // abreast
            x, y = number % abreast * width, top + 1 + number // abreast * height
            panels.append(drawn(panel, {"h": height, "w": width, "x": x, "y": y}))
        top += 1 + -(-len(row) // abreast) * height
    for number, one in enumerate(panels, 1):
        one["id"] = number
    return {
        "uid": "sensor-storage-operations",
        "title": "Operations",
        "tags": ["sensor-storage"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "15s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


def drawn(panel: Panel, at: dict[str, int]) -> dict[str, Any]:
    """One panel."""
    named = panel.stat and any("{{" in legend for legend in panel.shows.values())
    steps = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    options: dict[str, Any] = {"tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.stat:
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "name" if named else "value"}
    return {
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": at,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
                "refId": chr(65 + number),
            }
            for number, (expr, legend) in enumerate(panel.shows.items())
        ],
    }


def rules() -> str:
    """The rules as the Prometheus operator wants them."""
    files = sorted((ROOT / "monitoring/rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "sensor-storage"},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)


def main() -> int:
    """Write, or compare."""
    made = {DASHBOARD: json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n", RULES: rules()}
    if "--check" in sys.argv[1:]:
        differ = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
        for path in differ:
            print(f"{path.relative_to(ROOT)} is not what scripts/monitoring.py makes; run it")
        return 1 if differ else 0
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
