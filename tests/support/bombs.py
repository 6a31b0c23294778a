"""Messages of ten million bytes and less that a careless reader would die of, and what becomes of each.

`python -m support.bombs NAME` prints the readings or the reason, and the peak memory, of decoding and keeping
five of them as ingest does.
"""

import sys
from collections.abc import Callable

import msgspec

from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.gather import pieces
from sensor_storage.kafka.ingest import IngestPolicy
from sensor_storage.kafka.segment_buffer import SegmentBuffer, spans_of
from sensor_storage.storage.segments import encode_segment
from support.decoding import batch_of
from support.memory import peak_bytes

SIZE, MESSAGES = 10_000_000, 5
MILLION = 1_000_000
_WAVE = b'{"asset_id":"p","tag":"w","ts":1704067200,"sample_rate_hz":20000,"values":['
_NARROW = b'{"asset_id":"p","sensor_name":"t","timestamp":"2024-01-01T00:00:00Z","value":1.5},'


def _full(head: bytes, unit: bytes, tail: bytes) -> bytes:
    return head + unit * ((SIZE - len(head) - len(tail)) // len(unit)) + tail


def _fields(count: int) -> bytes:
    return b"{" + b",".join(b'"f%d":1' % number for number in range(count)) + b"}"


def _packed(samples: list[float]) -> bytes:
    message = {"asset_id": "p", "tag": "w", "ts": 1704067200, "sample_rate_hz": 1e6, "values": samples}
    return msgspec.msgpack.encode(message)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a million samples of a byte each": (lambda: _packed([7] * MILLION), "1000000"),
    "a million samples": (lambda: _packed([number / 7 for number in range(MILLION)]), "1000000"),
    "a million samples in JSON": (lambda: _WAVE + b"0," * (MILLION - 1) + b"0]}", "1000000"),
    "a million texts": (lambda: _WAVE + b'"on",' * (MILLION - 1) + b'""]}', "1000000"),
    "a hundred thousand readings": (lambda: b"[" + _NARROW * 99_999 + _NARROW[:-1] + b"]", "100000"),
    "a text of ten million letters": (lambda: _full(b'{"s":"', b"x", b'"}'), "1"),
    "a number of ten million digits": (lambda: _full(b'{"s":', b"7", b"}"), "1"),
    "ten million brackets in a text": (lambda: _full(b'{"s":"', b"[{", b'"}'), "1"),
    "five million zeros": (lambda: _full(b'{"x":[', b"0,", b"0]}"), "too_large"),
    "a million zeros": (lambda: b'{"x":[' + b"0," * MILLION + b"0]}", "too_many_fields"),
    "a hundred thousand fields": (lambda: _fields(100_000), "too_many_fields"),
    "a million fields": (lambda: _fields(MILLION), "too_many_fields"),
    "empty objects": (lambda: _full(b"[", b"{},", b"{}]"), "too_large"),
    "empty arrays": (lambda: _full(b"[", b"[],", b"[]]"), "too_large"),
    "objects up to the limit": (lambda: b"[" + b'{"a":1},' * 249_998 + b'{"a":1}]', "too_many_readings"),
    "ten thousand levels": (lambda: b"[" * 10_000 + b"]" * 10_000, "too_deep"),
    "five million levels": (lambda: b"[" * 5_000_000, "too_large"),
    "packed empty objects": (lambda: b"\xdd\x00\x98\x96\x7b" + b"\x80" * 9_999_995, "too_large"),
    "packed zeros": (lambda: b"\x81\xa1x\xdd\x00\x98\x96\x77" + b"\x00" * 9_999_991, "too_large"),
    "ten thousand packed levels": (lambda: b"\x91" * 10_000 + b"\x01", "too_deep"),
    "a claim of four thousand million entries": (lambda: b"\xdd\xff\xff\xff\xff", "not_msgpack"),
}


def main(name: str) -> None:
    message = BOMBS[name][0]()
    decoder, buffer = Decoder(DecodeSettings()), SegmentBuffer()
    small = b'[{"a":1},{"a":2,"b":3}]'
    for _ in range(4):  # so that a shape for arrays of objects is known, and tried
        decoder.decode(batch_of([small] * 64))
    batch = batch_of([message] * MESSAGES)
    found: set[str] = set()
    for part in pieces(batch):
        decoded = decoder.decode(part)
        starts = [int(part.offset.min())]
        buffer.add(part, decoded, spans_of(part, decoded, starts), 0.0)
        found |= {item.reason for item in decoded.rejected}
        if len(decoded.readings):
            found.add(str(len(decoded.readings) // len(part)))
        if buffer.rows >= IngestPolicy().max_rows or buffer.size_bytes >= IngestPolicy().max_bytes:
            content = buffer.content()
            encode_segment(content.readings, content.ledger, "zstd")
            buffer.clear()
    sys.stdout.write(f"{','.join(found)} {peak_bytes()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
