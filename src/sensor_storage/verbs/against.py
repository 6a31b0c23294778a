"""What `verify --against-kafka` does and says."""

import msgspec

from sensor_storage.config import Settings
from sensor_storage.consuming import build_decoder, build_log_reader
from sensor_storage.kafka.against import Against, AgainstKafka, PartitionAgainst
from sensor_storage.kafka.topics import TopicDirectory
from sensor_storage.main import build_files
from sensor_storage.storage.findings import with_names
from sensor_storage.storage.held_staging import entries_now
from sensor_storage.storage.layout import Layout
from sensor_storage.verbs.options import Output

_PROGRESS_MESSAGES = 200_000
_SUMS = (
    "compared",
    "equal",
    "tombstones",
    "differing",
    "readable",
    "missing",
    "aborted",
    "absent",
    "beyond",
    "waiting",
)


def compare_with_kafka(output: Output, settings: Settings, layout: Layout) -> Against:
    """Hold what is stored against the broker's messages. Transient when it does not answer."""
    told = 0

    def progress(messages: int) -> None:
        nonlocal told
        if messages - told >= _PROGRESS_MESSAGES:
            told = messages
            output.progress({"messages": messages}, f"{messages:,} messages compared …")

    entries = [entry for entry in entries_now(layout) if not entry.source.is_import]
    ids = TopicDirectory(settings.kafka.client_properties()).ids(
        sorted({entry.source.topic for entry in entries})
    )
    decode = build_decoder(settings).decode
    files = build_files(settings, layout)
    log = build_log_reader(settings)
    return AgainstKafka(layout, log, ids, decode, progress, find=files.find if files else None).run(entries)


def tell_against(output: Output, against: Against) -> None:
    """A line for each partition."""
    for name, item in with_names(against.partitions):
        output.item({"kind": "against-kafka", **msgspec.to_builtins(item)}, _line(name, item))


def against_summary(against: Against) -> dict[str, object]:
    """The sums over the partitions."""
    sums = {name: sum(getattr(item, name) for item in against.partitions) for name in _SUMS}
    return {"against_kafka": sums}


def _line(place: str, item: PartitionAgainst) -> str:
    words = [
        f"{place}   Kafka: {item.compared:,} messages compared",
        f"{item.equal:,} equal",
        f"{item.missing:,} missing",
    ]
    absent = "absent (compaction or control records)" if item.compacted else "control records"
    for name, told in (
        ("tombstones", "of them without a value"),
        ("differing", "differ from how they are decoded today"),
        ("readable", "dead letters readable today"),
        ("aborted", "aborted"),
        ("absent", absent),
        ("beyond", "stored and no longer there"),
        ("waiting", "not consumed yet"),
    ):
        if count := getattr(item, name):
            words.append(f"{count:,} {told}")
    return "   ".join(words)
