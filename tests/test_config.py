"""Settings: read in order of strength, judged all at once, and never telling a secret."""

import pickle
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sensor_storage import cli, log
from sensor_storage.config import Settings, load
from sensor_storage.config.docs import env_example, markdown
from sensor_storage.config.entries import entries
from sensor_storage.config.kinds import FieldNames
from sensor_storage.config.properties import parse_properties
from sensor_storage.config.settings import KafkaSettings
from sensor_storage.errors import Usage

ROOT = Path(__file__).parents[1]
CANARY = "kan4rienvogelpje"
"""Base64, as keys are."""
AT_EVENT_HUBS = {"KAFKA_BOOTSTRAP_SERVERS": "plant.servicebus.windows.net:9093"}


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(environ: dict[str, str], **more: Path) -> str:
    with pytest.raises(Usage) as caught:
        load(environ, env_file=more.get("env_file"), config_file=more.get("config_file"))
    return caught.value.message


def test_without_anything_every_setting_is_at_its_default() -> None:
    settings = load({})
    assert settings == Settings()
    assert {settings.origin(name) for name in entries()} == {"default"}


def test_environment_wins_over_env_file_wins_over_toml_wins_over_default(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("SERVICE_PORT=2\nMAX_ROWS_PER_FILE=2\n")
    toml = empty_directory / "s.toml"
    toml.write_text("[service]\nport = 3\n[ingest]\nmax_rows_per_file = 3\nsegment_interval = 0.5\n")
    settings = load({"SERVICE_PORT": "1", "SENSOR_STORAGE_CONFIG": str(toml)})
    assert settings.service.port == 1
    assert settings.ingest.max_rows_per_file == 2
    assert settings.ingest.segment_interval == timedelta(seconds=0.5)
    assert settings.origin("SERVICE_PORT") == "environment"
    assert settings.origin("MAX_ROWS_PER_FILE") == ".env:2"
    assert settings.origin("SEGMENT_INTERVAL_SECONDS") == f"{toml} [ingest]"
    assert settings.origin("LOG_LEVEL") == "default"
    assert load({"SERVICE_PORT": "1"}, overrides={"SERVICE_PORT": "9"}).service.port == 9


def test_an_env_file_may_name_the_toml_file(empty_directory: Path) -> None:
    (empty_directory / "s.toml").write_text("[service]\nport = 3\n")
    (empty_directory / ".env").write_text("SENSOR_STORAGE_CONFIG=s.toml\n")
    assert load({}).service.port == 3


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("BUFFER_FLUSH_INTERVAL_SECONDS", "5m", timedelta(minutes=5)),
        ("SEGMENT_INTERVAL_SECONDS", "250ms", timedelta(milliseconds=250)),
        ("TIMESTAMP_MAX_AHEAD", "36h", timedelta(hours=36)),
        ("STAGING_MAX_BYTES", "20GB", 20_000_000_000),
        ("MEMORY_LIMIT", "512Mi", 512 * 1024**2),
        ("MEMORY_LIMIT", "512000000", 512_000_000),
        ("MEMORY_LIMIT", "2G", 2_000_000_000),
        ("DISK_HIGH_WATERMARK", "97%", 0.97),
        ("OPEN_HOUR_REWRITE_FACTOR", "0", 0.0),
        ("TIMESTAMP_MIN", "2020-01-01", datetime(2020, 1, 1, tzinfo=UTC)),
        ("TIME_ZONE", "UTC", UTC),
        ("KAFKA_BOOTSTRAP_SERVERS", " a:1, [::1]:2 ,b:3", "a:1,[::1]:2,b:3"),
        ("KAFKA_SECURITY_PROTOCOL", "ssl", "SSL"),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", "JSON", "json"),
        ("MESSAGE_FORMAT", "MsgPack", "msgpack"),
        ("QUALITY_NUMBERING", "OPC-DA", "opc-da"),
        (
            "FIELD_ALIASES",
            " asset = machine, line;value=reading ;",
            FieldNames({"asset": ("machine", "line"), "value": ("reading",)}),
        ),
        ("LOCAL_STORAGE_PATH", "data/raw", None),
        ("KAFKA_CONSUMER_GROUP", "", "sensor-storage-service"),
        ("AGGREGATION_LEVELS", "Minute, hour", ("minute", "hour")),
        ("AGGREGATION_LEVELS", "none", ()),
        ("CARRY_LIMIT_SECONDS", "2h", timedelta(hours=2)),
        ("UNCERTAIN_IS_GOOD", "no", False),
    ],
)
def test_values_take_the_forms_people_write(name: str, text: str, value: object) -> None:
    expected = Path("data/raw").absolute() if name == "LOCAL_STORAGE_PATH" else value
    assert entries()[name].value(load({name: text})) == expected


def test_names_of_fields_in_toml_are_a_table_of_lists(empty_directory: Path) -> None:
    toml = empty_directory / "s.toml"
    toml.write_text('[decode.field_aliases]\nasset = ["machine;1", "line"]\nvalue = "reading"\n')
    names = load({}, config_file=toml).decode.field_aliases
    assert names == FieldNames({"asset": ("machine;1", "line"), "value": ("reading",)})


def test_a_zone_by_its_name() -> None:
    try:
        berlin = ZoneInfo("Europe/Berlin")
    except KeyError:
        pytest.skip("this machine has no zones")
    assert load({"TIME_ZONE": "Europe/Berlin"}).decode.time_zone == berlin


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BUFFER_FLUSH_INTERVAL_SECONDS", "-1"),
        ("BUFFER_FLUSH_INTERVAL_SECONDS", "9" * 30),
        ("SEGMENT_INTERVAL_SECONDS", "0"),
        ("COMMIT_INTERVAL_SECONDS", "nan"),
        ("STAGING_MAX_BYTES", "lots"),
        ("MEMORY_LIMIT", "5"),
        ("MAX_ROWS_PER_FILE", "0"),
        ("MAX_ROWS_PER_FILE", "1.5"),
        ("DISK_HIGH_WATERMARK", "95"),
        ("DISK_HIGH_WATERMARK", "nan"),
        ("DISK_HIGH_WATERMARK", "x%"),
        ("OPEN_HOUR_REWRITE_FACTOR", "0.5"),
        ("OPEN_HOUR_REWRITE_FACTOR", "inf"),
        ("AGGREGATION_LEVELS", "hour,day"),
        ("AGGREGATION_LEVELS", "minute,hour,day,week"),
        ("CARRY_LIMIT_SECONDS", "8d"),
        ("CARRY_LIMIT_SECONDS", "0"),
        ("UNCERTAIN_IS_GOOD", "perhaps"),
        ("TIMESTAMP_MIN", "yesterday"),
        ("FIELD_ALIASES", "machine"),
        ("FIELD_ALIASES", "assets=machine"),
        ("FIELD_ALIASES", "asset="),
        ("FIELD_ALIASES", "asset=a,,b"),
        ("FIELD_ALIASES", "asset=a; sensor=a"),
        ("FIELD_ALIASES", "asset=a; asset=b"),
        ("FIELD_ALIASES", "value=values"),
        ("MESSAGE_FORMAT", "xml"),
        ("TIME_ZONE", "Mars/Olympus"),
        ("TIME_ZONE", "../../etc/passwd"),
        ("KAFKA_BOOTSTRAP_SERVERS", "http://broker:9092/x"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker:99999"),
        ("KAFKA_BOOTSTRAP_SERVERS", "nohostport"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker:9092,nohostport"),
        ("KAFKA_TOPIC_PATTERN", "^(sensor"),
        ("KAFKA_AUTO_OFFSET_RESET", "newest"),
        ("KAFKA_SSL_CA_LOCATION", "/no/such/file"),
        ("KAFKA_CONFIG_FILE", "/no/such/file"),
        ("LOCAL_STORAGE_PATH", "/"),
        ("LOCAL_STORAGE_PATH", "/data/staging"),
        ("PARQUET_COMPRESSION", "rar"),
        ("SERVICE_HOST", "a b"),
        ("SERVICE_PORT", "tcp://10.0.0.1:80"),
        ("LOG_LEVEL", "loud"),
        ("COLD_STORE_URL", "ftp://plant/cold"),
        ("COLD_STORE_URL", "/mnt/cold"),
        ("COLD_STORE_URL", "file://mnt/cold"),
        ("COLD_STORE_URL", "az://"),
        ("COLD_STORE_URL", "az://Plant_Data"),
        ("AZURE_STORAGE_ACCOUNT", "Plant Data"),
        ("AZURE_STORAGE_ACCOUNT", "https://plantdata.blob.core.windows.net"),
        ("AZURE_CONTAINER_NAME", "Archive"),
        ("AZURE_CONTAINER_NAME", "ab"),
        ("AZURE_CONTAINER_NAME", "plant--data"),
        ("AZURE_CONTAINER_NAME", "-plant"),
        ("AZURE_CONTAINER_NAME", "a" * 64),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_its_rule_and_its_place(name: str, text: str) -> None:
    message = refusal({name: text})
    assert message.startswith(f"{name} must be {entries()[name].rule}, not {text[:100]!a}"), message
    assert "(environment)" in message


@pytest.mark.parametrize(
    ("name", "text"), [("AZURE_STORAGE_KEY", "not-base64!"), ("AZURE_STORAGE_SAS_TOKEN", "no-pair-at-all!")]
)
def test_a_wrong_secret_of_azure_is_told_by_its_variable_and_its_rule_and_not_shown(
    name: str, text: str
) -> None:
    message = refusal({"AZURE_STORAGE_ACCOUNT": "plantdata", name: text})
    assert message.startswith(f"{name} must be {entries()[name].rule} (environment): it is not ")
    assert text not in message


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"AZURE_STORAGE_KEY": CANARY}, "no effect without AZURE_STORAGE_ACCOUNT"),
        ({"AZURE_STORAGE_SAS_TOKEN": f"sig={CANARY}"}, "no effect without AZURE_STORAGE_ACCOUNT"),
        ({"COLD_STORE_URL": "file:///mnt/cold", "AZURE_STORAGE_ACCOUNT": "plantdata"}, "COLD_STORE_URL wins"),
        ({"COLD_STORE_URL": "az://one", "AZURE_CONTAINER_NAME": "two"}, "COLD_STORE_URL wins"),
        ({"COLD_STORE_URL": "az://one", "AZURE_STORAGE_ACCOUNT": "plantdata"}, ""),
        ({"AZURE_STORAGE_ACCOUNT": "plantdata", "AZURE_STORAGE_KEY": CANARY}, ""),
        ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=plantdata", "AZURE_STORAGE_KEY": CANARY}, ""),
    ],
)
def test_cold_store_settings_that_have_no_effect_are_a_warning(environ: dict[str, str], said: str) -> None:
    warnings = " ".join(load(environ).warnings)
    assert said in warnings
    assert bool(warnings) == bool(said)
    assert CANARY not in warnings


def test_what_may_be_left_out_and_what_is_nothing_read_well_in_the_documents() -> None:
    assert entries()["AZURE_ACCESS_TIER"].rule == "one of Hot, Cool, Cold, Archive, or not set"
    assert "UPLOAD_BYTES_PER_SECOND=0\n" in env_example()
    assert "``" not in markdown()


def test_all_wrong_values_are_told_at_once(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("SERVICE_PORT=a\nNO_SUCH=1\nKAFKA_TOPIK_PATTERN=x\n")
    message = refusal({"LOG_LEVEL": "loud", "DISK_LOW_WATERMARK": "0.99"})
    assert message.startswith("5 things are wrong")
    for word in ("SERVICE_PORT", ".env:1", "NO_SUCH", "did you mean KAFKA_TOPIC_PATTERN?", "LOG_LEVEL"):
        assert word in message


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"DISK_LOW_WATERMARK": "0.96"}, ["DISK_LOW_WATERMARK", "DISK_HIGH_WATERMARK"]),
        ({"SEGMENT_INTERVAL_SECONDS": "61"}, ["SEGMENT_INTERVAL_SECONDS", "BUFFER_FLUSH_INTERVAL_SECONDS"]),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, ["KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM"]),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN"},
            ["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"],
        ),
        ({"KAFKA_SASL_USERNAME": "me"}, ["KAFKA_SASL_USERNAME", "KAFKA_SECURITY_PROTOCOL"]),
        ({"KAFKA_SSL_CA_LOCATION": __file__}, ["KAFKA_SSL_CA_LOCATION", "KAFKA_SECURITY_PROTOCOL"]),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_LOCATION": __file__},
            ["KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_KEY_LOCATION"],
        ),
        (AT_EVENT_HUBS, ["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]),
        (
            {**AT_EVENT_HUBS, "KAFKA_SASL_PASSWORD": "x", "KAFKA_GROUP_PROTOCOL": "consumer"},
            ["KAFKA_GROUP_PROTOCOL", "Event Hubs"],
        ),
        (
            {**AT_EVENT_HUBS, "KAFKA_SASL_PASSWORD": "x", "COMMIT_INTERVAL_SECONDS": "0.2"},
            ["COMMIT_INTERVAL_SECONDS", "Event Hubs"],
        ),
    ],
)
def test_settings_that_contradict_each_other_are_told_with_both_names(
    environ: dict[str, str], names: list[str]
) -> None:
    message = refusal(environ)
    assert all(name in message for name in names)


def test_at_event_hubs_address_and_connection_string_are_enough_and_more_is_taken_as_set(
    empty_directory: Path,
) -> None:
    given = {**AT_EVENT_HUBS, "KAFKA_SASL_PASSWORD": "Endpoint=sb://plant/;SharedAccessKey=x"}
    client = load(given).kafka.client_properties()
    login = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "$ConnectionString"}
    assert client.items() >= login.items()
    assert int(client["connections.max.idle.ms"]) < 240_000
    (empty_directory / "further").write_text("sasl.mechanisms=OAUTHBEARER\nsocket.keepalive.enable=false\n")
    client = load({**AT_EVENT_HUBS, "KAFKA_CONFIG_FILE": "further"}).kafka.client_properties()
    assert "sasl.username" not in client
    assert (client["sasl.mechanisms"], client["socket.keepalive.enable"]) == ("OAUTHBEARER", "false")
    assert load({}).kafka.client_properties() == {"bootstrap.servers": "localhost:9092"}


def test_a_relation_of_a_wrong_value_is_not_told_too() -> None:
    assert "DISK_HIGH_WATERMARK must be" not in refusal({"DISK_LOW_WATERMARK": "x"}).split(";")[-1]


def test_an_unknown_name_in_toml_is_an_error_with_the_nearest_right_one(empty_directory: Path) -> None:
    toml = empty_directory / "s.toml"
    toml.write_text("SERVICE_PORT = 1\n[kafka]\ntopik_pattern = 'x'\n[ingets]\na = 1\n")
    message = refusal({}, config_file=toml)
    assert "did you mean topic_pattern?" in message
    assert "did you mean ingest?" in message
    assert "SERVICE_PORT is written as port below [service]" in message


def test_in_toml_true_is_no_number(empty_directory: Path) -> None:
    toml = empty_directory / "s.toml"
    toml.write_text("[ingest]\nmax_rows_per_file = true\nsegment_interval = true\n")
    message = refusal({}, config_file=toml)
    assert "MAX_ROWS_PER_FILE" in message
    assert "SEGMENT_INTERVAL_SECONDS" in message


def test_the_environment_of_kubernetes_is_no_concern_of_ours() -> None:
    noise = {
        "KAFKA_PORT": "tcp://10.0.0.1:9092",
        "KAFKA_PORT_9092_TCP_ADDR": "10.0.0.1",
        "KAFKA_SERVICE_HOST": "10.0.0.1",
        "DB_SERVICE_PORT": "5432",
        "SENSOR_STORAGE_CACHE": "/tmp/x",
        "PATH": "/bin",
        "LANG": "C",
    }
    assert load(noise).warnings == ()


@pytest.mark.parametrize("name", ["KAFKA_TOPIC_PATERN", "kafka_topic_pattern", "TIMEZONE", "LOG_LEVELS"])
def test_a_near_miss_in_the_environment_is_a_warning(name: str) -> None:
    (warning,) = load({name: CANARY}).warnings
    assert name in warning
    assert CANARY not in warning


def test_a_variable_that_stands_twice_is_a_warning(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("SERVICE_PORT=1\n\nSERVICE_PORT=2\n")
    settings = load({})
    assert settings.service.port == 2
    assert settings.warnings == ("SERVICE_PORT stands twice: .env:3 wins over .env:1",)


@pytest.mark.parametrize("name", ["missing.env", "missing.toml"])
def test_a_named_file_that_is_not_there_is_an_error(empty_directory: Path, name: str) -> None:
    path = empty_directory / name
    key = "env_file" if name.endswith(".env") else "config_file"
    assert "No such file" in refusal({}, **{key: path})


def test_nothing_in_an_env_file_is_expanded(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("KAFKA_CONSUMER_GROUP=$HOME-${HOME}\n")
    assert load({"HOME": "x"}).kafka.consumer_group == "$HOME-${HOME}"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load({}).service.port = 1


def test_settings_travel_to_a_worker_process() -> None:
    settings = load({"SERVICE_PORT": "1", "TIME_ZONE": "UTC"})
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own


def test_a_field_is_named_as_its_variable_says() -> None:
    for name, entry in entries().items():
        short = name.lower().removeprefix(f"{entry.room}_").removesuffix("_seconds")
        assert entry.field == short


@given(st.sampled_from(sorted(entries())), st.text(max_size=40))
def test_any_text_is_taken_or_refused_as_usage(name: str, text: str) -> None:
    with suppress(Usage):
        load({name: text})


def test_what_a_setting_says_of_itself_reads_back_as_the_same() -> None:
    for name, entry in entries().items():
        default = entry.value(Settings())
        if default is not None:
            assert entry.value(load({name: entry.text(default)})) == default, name


# ── Kafka's own properties ──


def test_a_variable_wins_over_a_line_of_the_properties_file(empty_directory: Path) -> None:
    path = empty_directory / "client.properties"
    path.write_text("# mine\nfetch.min.bytes = 5\nsecurity.protocol=SASL_SSL\nsasl.mechanisms=PLAIN\n"
                    "sasl.username=a\nsasl.password=p=q\n")  # fmt: skip
    properties = load({"KAFKA_CONFIG_FILE": str(path), "KAFKA_SASL_USERNAME": "b"}).kafka.client_properties()
    assert properties == {
        "bootstrap.servers": "localhost:9092",
        "fetch.min.bytes": "5",
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "b",
        "sasl.password": "p=q",
    }


@pytest.mark.parametrize("name", ["enable.auto.commit", "group.id", "check.crcs", "auto.offset.reset"])
def test_the_properties_file_cannot_break_the_promise_of_exactly_once(name: str) -> None:
    with pytest.raises(ValueError, match=f"line 2: {name}"):
        parse_properties(f"\n{name}={CANARY}")


# ── secrets ──


def secret_places(directory: Path) -> dict[str, str]:
    properties = directory / "client.properties"
    properties.write_text(f"sasl.oauthbearer.client.secret={CANARY}\n")
    secrets = {name: CANARY for name, entry in entries().items() if entry.secret}
    secrets["AZURE_STORAGE_SAS_TOKEN"] = f"sig={CANARY}"
    secrets["AZURE_STORAGE_CONNECTION_STRING"] = f"AccountName=plantdata;AccountKey={CANARY}"
    assert len(secrets) >= 2
    return {**secrets, "KAFKA_CONFIG_FILE": str(properties)}


def test_a_secret_is_in_no_representation(empty_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = secret_places(empty_directory) | {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "me",
        "SCHEMA_REGISTRY_USERNAME": "me",
    }
    del good[
        "SCHEMA_REGISTRY_TOKEN"
    ]  # which may not stand beside a password; `test_secrets.py` plants it alone
    settings = load(good)
    assert settings.kafka.client_properties()["sasl.password"] == CANARY
    for told in (repr(settings), str(settings), str(settings.model_dump()), settings.kafka.model_dump_json()):
        assert CANARY not in told
    for name, value in good.items():
        monkeypatch.setenv(name, value)
    for verb in (["show"], ["show", "--json"], ["check", "-v"]):
        result = CliRunner().invoke(cli.group, ["config", *verb])
        assert result.exit_code == 0, result.output
        assert CANARY not in result.output


def test_a_secret_is_in_no_error(empty_directory: Path) -> None:
    wrong = secret_places(empty_directory)
    assert CANARY not in refusal(wrong | {"SERVICE_PORT": "x"})
    for text in (f"KAFKA_SASL_PASSWORD='{CANARY}\n", f"{CANARY}\n", f"KAFKA_SASL_PASWORD={CANARY}\n"):
        (empty_directory / "broken.env").write_text(text)
        assert CANARY not in refusal({}, env_file=empty_directory / "broken.env")
    for text in (f"[kafka]\nsasl_password = ['{CANARY}']\n", f"[kafka]\nsasl_password = {CANARY}\n"):
        (empty_directory / "broken.toml").write_text(text)
        assert CANARY not in refusal({}, config_file=empty_directory / "broken.toml")
    (empty_directory / "client.properties").write_text(f"{CANARY}\n")
    assert CANARY not in refusal(wrong)
    with pytest.raises(ValidationError) as caught:
        KafkaSettings.model_validate({"KAFKA_SASL_PASSWORD": [CANARY]})
    assert CANARY not in str(caught.value)


def test_a_secret_is_in_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaSettings.model_validate({"KAFKA_SASL_PASSWORD": CANARY})
    for form in ("json", "console"):
        log.configure("DEBUG", form)
        log.get("test").info("started", settings=kafka, password=kafka.sasl_password)
    told = capsys.readouterr().err
    assert told.count("started") == 2
    assert CANARY not in told


# ── documents made from the settings ──


@pytest.mark.parametrize(
    ("path", "text"), [("docs/settings.md", markdown()), (".env.example", env_example())]
)
def test_the_document_says_what_the_code_says(path: str, text: str) -> None:
    assert (ROOT / path).read_text("utf-8") == text, (
        f"run `sensor-storage config docs`, or make env-example: {path}"
    )


def test_the_example_copied_as_it_is_changes_nothing() -> None:
    assert load({}, env_file=ROOT / ".env.example").origins == {}


def test_every_default_in_the_example_is_good(empty_directory: Path) -> None:
    lines = [line[1:] for line in env_example().splitlines() if line[:1] == "#" and line[1:2].isupper()]
    assert [line.split("=")[0] for line in lines] == list(entries())
    for line in lines:
        if entries()[line.split("=")[0]].info.default is not None:
            (empty_directory / "one.env").write_text(line)
            load({}, env_file=empty_directory / "one.env")
