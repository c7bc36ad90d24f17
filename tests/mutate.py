"""Damage a file as disks, networks and attackers do: `mutate(data, rng)` returns the damaged bytes and what was done.

Half of the mutants are blind (flipped bits, a cut, chunks dropped, doubled, zeroed, swapped or overwritten), half have a
header field set to a hostile value. Fields of MP4 boxes, EBML elements, RIFF and PNG chunks are found by walking them; of
other formats, any place near the start may be one.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

PNG = b"\x89PNG\r\n\x1a\n"
TS_PACKET = 188  # bytes
NEAR = 400  # bytes at the start of a file where a format that is not walked keeps its header
WORDS = 64  # fields taken from one box or chunk; long tables repeat themselves


@dataclass(frozen=True)
class Field:
    """A number in a header: its place, its width in bytes, and the values it may take. mask: bits that are its own."""

    start: int
    width: int
    order: str = "big"
    mask: int = -1


def mutate(data: bytes, rng: Random) -> tuple[bytes, str]:
    """One to three mutations; a PNG gets right checksums again in half of the cases, since readers stop at wrong ones."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(BLIND) if rng.random() < 0.5 else hostile_field
        data, what = change(data, rng)
        done.append(what)
    if data.startswith(PNG) and rng.random() < 0.5:
        data = with_checksums(data)
    return data, ", ".join(done)


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    """A chunk (start, stop), its length from one byte to a quarter of the file, short ones as likely as long ones.

    Of a transport stream, whole packets in half of the cases.
    """
    length = int(2 ** rng.uniform(0, max(0, (len(data) // 4).bit_length() - 1)))
    start = rng.randrange(max(1, len(data) - length))
    if data[:1] == data[TS_PACKET : TS_PACKET + 1] == b"G" and rng.random() < 0.5:
        start -= start % TS_PACKET
        length += -length % TS_PACKET
    return start, start + length


def flip(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Flip 1 to 64 bits anywhere."""
    out, count = bytearray(data), 2 ** rng.randrange(7)
    for _ in range(count if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out), f"{count} bits flipped"


def cut(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Keep the beginning."""
    stop = rng.randrange(len(data) + 1)
    return data[:stop], f"cut at {stop}"


def drop(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Leave out a chunk."""
    start, stop = _span(data, rng)
    return data[:start] + data[stop:], f"{start}:{stop} dropped"


def double(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Repeat a chunk."""
    start, stop = _span(data, rng)
    return data[:stop] + data[start:], f"{start}:{stop} doubled"


def zero(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Zero a chunk, as a hole in a download."""
    start, stop = _span(data, rng)
    return data[:start] + bytes(len(data[start:stop])) + data[stop:], f"{start}:{stop} zeroed"


def noise(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Overwrite a chunk with random bytes."""
    start, stop = _span(data, rng)
    return data[:start] + rng.randbytes(len(data[start:stop])) + data[stop:], f"{start}:{stop} overwritten"


def swap(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Exchange two chunks."""
    (a, b), (c, d) = sorted((_span(data, rng), _span(data, rng)))
    b = min(b, c)
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:], f"{a}:{b} and {c}:{d} swapped"


BLIND = (flip, cut, drop, double, zero, noise, swap)


def hostile_field(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Set a header field to nothing, one, the largest or smallest value of its width, a power of two, or one near or random.

    In a quarter of the cases the number behind it is set too, since width and height stand side by side.
    """
    fields = header_fields(data)
    if not fields:
        width = rng.choice((1, 2, 4, 8))
        reach = min(len(data), NEAR) if rng.random() < 0.8 else len(data)
        fields = [Field(rng.randrange(max(1, reach)), width, rng.choice(("big", "little")))]
    field = rng.choice(fields)
    out, what = _set(data, field, rng)
    if field.mask == -1 and rng.random() < 0.25:
        out, more = _set(out, replace(field, start=field.start + field.width), rng)
        what += f", {more}"
    return out, what


def _set(data: bytes, field: Field, rng: Random) -> tuple[bytes, str]:
    stop, bits = field.start + field.width, 8 * field.width
    old, top = int.from_bytes(data[field.start : stop], field.order), (1 << bits) - 1
    near = old + 1, old - 1, 2 * old
    value = rng.choice((0, 1, top, top >> 1, (top >> 1) + 1, *near, 1 << rng.randrange(bits), rng.randint(0, top)))
    value = ((value & field.mask) | (old & ~field.mask)) & top
    out = data[: field.start] + value.to_bytes(field.width, field.order) + data[stop:]
    return out, f"{field.width} bytes at {field.start} set to {value:#x}"


def header_fields(data: bytes) -> list[Field]:
    """The header fields of a file whose structure is walked here; empty for other formats."""
    if data[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"free"):
        return list(_boxes(data, 0, len(data)))
    if data[:4] == b"RIFF":
        return list(_chunks(data, 0, len(data)))
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return list(_elements(data, 0, len(data)))
    if data.startswith(PNG):
        return [field for start, kind, size in _png_chunks(data) for field in _png_fields(start, kind, size)]
    return []


def _words(start: int, stop: int, order: str) -> Iterator[Field]:
    for at in range(start, min(stop, start + 4 * WORDS), 4):
        yield Field(at, min(4, stop - at), order)
    for at in range(start, min(stop, start + WORDS) - 1, 2):
        yield Field(at, 2, order)


# boxes that hold boxes, with the bytes before the first one
BOXES = dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"dinf", b"moof", b"traf", b"mvex"), 0)
BOXES |= {b"meta": 4, b"stsd": 8, b"iprp": 0, b"ipco": 0, b"avc1": 78, b"hvc1": 78, b"hev1": 78, b"av01": 78, b"mp4v": 78}


def _boxes(data: bytes, start: int, stop: int) -> Iterator[Field]:
    """ISO base media (MP4, MOV, 3GP, AVIF): sizes of all boxes, and what stands in those without pictures."""
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        end = min(start + size, stop) if size >= 8 else stop
        yield Field(start, 4)
        inside = BOXES.get(kind)
        if inside is not None:
            yield from _words(start + 8, start + 8 + inside, "big")
            yield from _boxes(data, start + 8 + inside, end)
        elif kind != b"mdat":
            yield from _words(start + 8, end, "big")
        start = end


def _chunks(data: bytes, start: int, stop: int) -> Iterator[Field]:
    """RIFF (AVI, WebP): sizes of all chunks, and what stands in those without pictures."""
    while start + 8 <= stop:
        kind, size = struct.unpack_from("<4sI", data, start)
        end = min(start + 8 + size, stop)
        yield Field(start + 4, 4, "little")
        if kind in (b"RIFF", b"LIST"):
            yield from _chunks(data, start + 12, end)
        elif kind[2:] not in (b"dc", b"db", b"wb"):
            yield from _words(start + 8, end, "little")
        start = end + (size & 1)


MASTERS = {0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB, 0xB7, 0x114D9B74}
MASTERS |= {0x4DBB}  # Seek; before: EBML, Segment, Info, Tracks, entry, Video, Cluster, group, Cues, point, positions, SeekHead


def _elements(data: bytes, start: int, stop: int) -> Iterator[Field]:
    """EBML (Matroska, WebM): sizes of all elements, and numbers. A size keeps the bits that say how wide it is."""
    while start < stop:
        width = 9 - data[start].bit_length()
        at = start + width
        if width > 4 or at >= stop or not data[at]:
            return
        length = 9 - data[at].bit_length()
        own = (1 << (7 * length)) - 1
        size = int.from_bytes(data[at : at + length], "big") & own
        inside = at + length
        end = stop if size == own else min(inside + size, stop)
        yield Field(at, length, "big", own)
        if int.from_bytes(data[start:at], "big") in MASTERS:
            yield from _elements(data, inside, end)
        elif end - inside <= 8 and end > inside:
            yield Field(inside, end - inside)
        else:
            yield from _words(inside, min(end, inside + 8), "big")  # a block's track, time and flags; text
        start = end


def _png_chunks(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(start, kind, size of the payload) of each whole chunk."""
    start = len(PNG)
    while start + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        if start + 12 + size > len(data):
            return
        yield start, kind, size
        start += 12 + size


def _png_fields(start: int, kind: bytes, size: int) -> Iterator[Field]:
    yield Field(start, 4)
    if kind not in (b"IDAT", b"fdAT"):
        yield from _words(start + 8, start + 8 + size, "big")
        for at in range(start + 8, start + 8 + min(size, WORDS)):
            yield Field(at, 1)


def with_checksums(data: bytes) -> bytes:
    """The PNG with the checksum of every whole chunk worked out anew."""
    out = bytearray(data)
    for start, _, size in _png_chunks(data):
        struct.pack_into(">I", out, start + 8 + size, zlib.crc32(data[start + 4 : start + 8 + size]))
    return bytes(out)
