"""CPU time of decoding, a message and a reading, for the forms plants send.

Run `.venv/bin/python benchmarks/decode.py`; the best of several rounds, in µs of CPU, in batches of 5,000.
"""

import json
import random
import re
import time
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np

from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.model import Source
from sensor_storage.storage.coded import Coded

Form: TypeAlias = Callable[[random.Random, int], bytes]

MESSAGES = 5000
ROUNDS = 15
TEXT_PERCENT = 5
START_MS = 1_704_067_200_000
TOPIC = "sensor-data-hall-1"


def iso(ms: int) -> str:
    return f"{np.datetime64(ms, 'ms')}Z"


def narrow(rng: random.Random, i: int) -> bytes:
    return (
        f'{{"asset_id":"press-{rng.randrange(20)}","sensor_name":"temperature_{rng.randrange(10)}",'
        f'"timestamp":"{iso(START_MS + i * 37)}","value":{rng.gauss(20, 3):.3f},'
        '"unit":"°C","quality":"good"}'
    ).encode()


def narrow_epoch(rng: random.Random, i: int) -> bytes:
    return narrow(rng, i).replace(f'"{iso(START_MS + i * 37)}"'.encode(), b"%d" % (START_MS + i * 37))


def wide(rng: random.Random, i: int) -> bytes:
    fields = {f"channel_{j}": round(rng.gauss(0, 1), 4) for j in range(8)}
    head = {
        "asset_id": f"press-{rng.randrange(20)}",
        "sensor_id": "ch1",
        "timestamp": iso(START_MS + i * 37),
    }
    return json.dumps(head | fields, separators=(",", ":")).encode()


def wide_with_gaps(rng: random.Random, i: int) -> bytes:
    tree = json.loads(wide(rng, i)) | {"status": "ok"}
    tree[f"channel_{rng.randrange(8)}"] = None
    del tree[f"channel_{rng.randrange(8)}"]
    return json.dumps(tree, separators=(",", ":")).encode()


def text_and_trouble(rng: random.Random, i: int) -> bytes:
    """Of a hundred messages one is malformed and five have text for a value."""
    chance = rng.randrange(100)
    message = narrow(rng, i)
    if chance == 0:
        return rng.choice([message[:60], b"42", b"\n", b"\xff", message.replace(b"2024", b"0000")])
    if chance <= TEXT_PERCENT:
        return re.sub(rb'"value":[^,]+', b'"value":"running"', message)
    return message


def mixed(rng: random.Random, i: int) -> bytes:
    return rng.choice([narrow, wide])(rng, i)


def nested(rng: random.Random, i: int) -> bytes:
    tree = json.loads(wide(rng, i)) | {"metadata": {"fw": "1.2"}}
    return json.dumps(tree, separators=(",", ":")).encode()


def array_of_ten(rng: random.Random, i: int) -> bytes:
    return b"[" + b",".join(narrow(rng, i * 10 + j) for j in range(10)) + b"]"


def batch_of_ten(rng: random.Random, i: int) -> bytes:
    """An asset with ten narrow readings that have their own times."""
    entries = [json.loads(narrow(rng, i * 10 + j)) for j in range(10)]
    for entry in entries:
        del entry["asset_id"]
    return json.dumps({"asset_id": f"press-{i % 20}", "readings": entries}, separators=(",", ":")).encode()


def batch_of_wide(rng: random.Random, i: int) -> bytes:
    """Ten readings of eight fields."""
    entries = [json.loads(wide(rng, i * 10 + j)) for j in range(10)]
    return json.dumps({"asset_id": f"press-{i % 20}", "readings": entries}, separators=(",", ":")).encode()


def values_map(rng: random.Random, i: int) -> bytes:
    fields = {f"channel_{j}": round(rng.gauss(0, 1), 4) for j in range(8)}
    head = {"asset_id": f"press-{rng.randrange(20)}", "timestamp": iso(START_MS + i * 37)}
    return json.dumps(head | {"values": fields}, separators=(",", ":")).encode()


def values_with_units(rng: random.Random, i: int) -> bytes:
    fields = {f"channel_{j}": {"value": round(rng.gauss(0, 1), 4), "unit": "mm/s"} for j in range(8)}
    head = {"asset_id": f"press-{rng.randrange(20)}", "timestamp": iso(START_MS + i * 37)}
    return json.dumps(head | {"values": fields}, separators=(",", ":")).encode()


def waveform(rng: random.Random, i: int, samples: int = 2000) -> bytes:
    head = {"asset_id": "press-1", "sensor_name": "vib", "timestamp": iso(START_MS + i * 100)}
    values = [round(rng.gauss(0, 1), 5) for _ in range(samples)]
    return json.dumps(head | {"sample_rate_hz": 20_000, "values": values}, separators=(",", ":")).encode()


def waveform_of_100(rng: random.Random, i: int) -> bytes:
    return waveform(rng, i, 100)


def packed(make: Form) -> Form:
    """The same messages in MessagePack."""

    def packed_form(rng: random.Random, i: int) -> bytes:
        return msgspec.msgpack.encode(json.loads(make(rng, i)))

    packed_form.__name__ = f"{make.__name__}, packed"
    return packed_form


def ever_new(rng: random.Random, i: int) -> bytes:
    tree = json.loads(narrow(rng, i)) | {f"k{rng.getrandbits(60)}": 1}
    return json.dumps(tree, separators=(",", ":")).encode()


def batch_of(values: list[bytes | None]) -> MessageBatch:
    count = len(values)
    return MessageBatch(
        topic=TOPIC,
        source=Coded.constant(Source(TOPIC, "AAAAAAAAAAAAAAAAAAAAAA", 0, 0), count),
        offset=np.arange(count, dtype=np.int64),
        timestamp=np.full(count, START_MS + 3_600_000, np.int64),
        key=[b"press-1"] * count,
        value=values,
    )


def measure(make: Form, messages: int = MESSAGES) -> tuple[float, int, int]:
    """Best CPU µs a message, readings and rejected."""
    rng = random.Random(7)
    decoder = Decoder(DecodeSettings())
    batch = batch_of([make(rng, i) for i in range(messages)])
    for _ in range(5):
        decoded = decoder.decode(batch)
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        decoder.decode(batch)
        best = min(best, time.process_time() - start)
    return best / messages * 1e6, len(decoded.readings), len(decoded.rejected)


def main() -> None:
    print(f"{'form':24} {'µs/message':>10} {'µs/reading':>10} {'rejected':>9}")
    small = [narrow, narrow_epoch, wide, wide_with_gaps, text_and_trouble, mixed, nested, ever_new]
    small += [values_map, values_with_units, packed(narrow), packed(wide)]
    large = [array_of_ten, batch_of_ten, batch_of_wide, packed(batch_of_ten), waveform_of_100]
    forms = [(make, MESSAGES) for make in small] + [(make, 500) for make in large]
    for make, messages in [*forms, (waveform, 50), (packed(waveform), 50)]:
        cost, readings, rejected = measure(make, messages)
        print(f"{make.__name__:24} {cost:10.2f} {cost * messages / max(readings, 1):10.3f} {rejected:9}")
    for size in (1, 10, 24, 50, 200):
        cost, _, _ = measure(narrow, size)
        print(f"narrow, batch of {size:4}: {cost * size:8.1f} µs a batch")


if __name__ == "__main__":
    main()
