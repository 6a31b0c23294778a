"""The whole service against a real broker."""

import json
import random
import socket
import time
from pathlib import Path

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.storage.dead_letters import all_dead_letters
from sensor_storage.storage.status import read_ingest
from support.kafka_io import create_topic, produce
from support.service import Service, running
from support.waiting import wait_until


def _narrow(start: int, count: int) -> list[bytes | str | None]:
    return [
        json.dumps({"asset_id": "press-1", "sensor_name": "t", "timestamp": 1_704_067_200 + n, "value": n})
        for n in range(start, start + count)
    ]


def _verified(service: Service) -> dict[str, object]:
    done = service.run("verify", "--full", "--json")
    assert done.returncode == 0, done.stdout
    summary: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return summary


def test_readings_arrive_in_their_hour_file_and_poison_costs_only_itself(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}-a"
    create_topic(broker.bootstrap_servers, topic, 2)
    produce(broker.bootstrap_servers, topic, [*_narrow(0, 50), b"{broken", b"", None, *_narrow(50, 50)])
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as service:
        service.wait_for_messages(103)
        assert service.run("compact", "-q").returncode == 0
        path = service.layout.raw / "press-1" / "2024" / "01" / "01" / "00" / "t.parquet"
        assert path.exists()
        day = service.layout.aggregated / "press-1" / "2024" / "01" / "t_day.parquet"
        wait_until(day.exists, "the day's aggregate")
        made = service.run("rebuild", "aggregates", "--json")
        assert json.loads(made.stdout.splitlines()[-1])["readings"] == 100
        assert service.stop() == 0
    summary = _verified(service)
    assert (summary["readings"], summary["dead_letters"], summary["empty"]) == (100, 1, 2)
    assert (summary["aggregates"], summary["aggregates_made_again"], summary["due_aggregates"]) == (3, 3, 0)
    (letter,) = all_dead_letters(service.layout)
    assert (letter.value, letter.reason) == (b"{broken", "not_json")


def test_a_topic_that_appears_while_it_runs_is_read_within_15_seconds(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, f"{topic_prefix}-a")
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as service:
        create_topic(broker.bootstrap_servers, f"{topic_prefix}-b")
        produce(broker.bootstrap_servers, f"{topic_prefix}-b", _narrow(0, 10))
        service.wait_for_messages(10, seconds=15 + 3)


def test_a_killed_services_restart_reads_on_at_once_and_nothing_is_double(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}-a"
    create_topic(broker.bootstrap_servers, topic)
    produce(broker.bootstrap_servers, topic, _narrow(0, 100))
    patient = (
        tmp_path / "patient.properties"
    )  # in time, only who comes back as the same member gets its partitions
    patient.write_text("session.timeout.ms=300000\n")
    member = {"KAFKA_CONFIG_FILE": str(patient)}
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **member) as service:
        service.wait_for_messages(100)
        service.kill()
        produce(broker.bootstrap_servers, topic, _narrow(100, 100))
        service.start()
        service.wait_for_messages(200, seconds=60)
        assert service.stop() == 0
    assert _verified(service)["readings"] == 200


def test_a_second_service_on_one_directory_refuses_and_names_the_first(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, f"{topic_prefix}-a")
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as service:
        second = service.run("run")
        assert second.returncode == 5
        assert "is in use by the service with process id" in second.stderr


def test_a_service_whose_port_somebody_has_ends_before_it_reads_and_says_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        service = Service(tmp_path / "data", "127.0.0.1:1", "x-", SERVICE_PORT=port)
        ended = service.run("run")
    assert ended.returncode == 2
    assert f"listen on 127.0.0.1:{port}" in ended.stderr
    assert "SERVICE_PORT" in ended.stderr
    assert not list(service.layout.run.glob("ingest*"))


def test_a_broker_that_is_gone_is_told_of_and_when_it_is_back_nothing_is_missing(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        create_topic(broker.bootstrap_servers, "sensor-data-a")
        produce(broker.bootstrap_servers, "sensor-data-a", _narrow(0, 100))
        with running(tmp_path / "data", broker.bootstrap_servers, "sensor-data-") as service:
            service.wait_for_messages(100)
            broker.kill()
            wait_until(lambda: read_ingest(service.layout)[0].kafka_error, "it notices", seconds=60)
            seen = service.run("status")
            assert seen.returncode == 1
            assert "Kafka does not answer" in seen.stdout
            broker.start()
            produce(broker.bootstrap_servers, "sensor-data-a", _narrow(100, 100))
            service.wait_for_messages(200, seconds=60)
            wait_until(lambda: not read_ingest(service.layout)[0].kafka_error, "it says so")
            assert service.stop() == 0
        assert {"broker_unreachable"} <= service.events()
    assert _verified(service)["readings"] == 200


def test_sigterm_with_a_dead_broker_ends_within_30_seconds_and_loses_nothing(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        create_topic(broker.bootstrap_servers, "sensor-data-a")
        produce(broker.bootstrap_servers, "sensor-data-a", _narrow(0, 100))
        with running(tmp_path / "data", broker.bootstrap_servers, "sensor-data-") as service:
            service.wait_for_messages(100)
            broker.kill()
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < 30
    assert _verified(service)["readings"] == 100


def test_after_a_restart_kafkas_time_is_what_it_was_until_it_reads(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}-a"
    create_topic(broker.bootstrap_servers, topic)
    produce(broker.bootstrap_servers, topic, _narrow(0, 10))
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as service:
        service.wait_for_messages(10)
        assert service.stop() == 0
        (last,) = read_ingest(service.layout)
        service.start()
        (first,) = read_ingest(service.layout)
        assert first.pid != last.pid
        assert first.watermark == last.watermark
        wait_until(
            lambda: read_ingest(service.layout)[0].watermark > last.watermark, "it reads, and time goes on"
        )


def test_a_full_staging_area_pauses_consumption_which_goes_on_by_itself(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}-a"
    create_topic(broker.bootstrap_servers, topic)
    chance = random.Random(1)
    noise = [
        json.dumps({"asset_id": "press-1", "sensor_name": "t", "value": chance.random()})
        for _ in range(200_000)
    ]
    produce(broker.bootstrap_servers, topic, noise)
    settings = {"STAGING_MAX_BYTES": "1MB", "BUFFER_FLUSH_INTERVAL_SECONDS": "5"}
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        service.wait_for_messages(len(noise))
        wait_until(lambda: any(one.paused for one in read_ingest(service.layout)), "it pauses")
        produce(broker.bootstrap_servers, topic, _narrow(0, 100))
        service.wait_for_messages(len(noise) + 100)
        assert service.stop() == 0
    assert _verified(service)["readings"] == len(noise) + 100
