"""What the bitstream says of a packet without decoding it: picture type, whether others refer to it, whether it is shown.

Only the first bytes of a packet are read. Known: H.264, HEVC, MPEG-4 Part 2 and VP8; for every other codec the key flag
is all there is.
"""

from collections.abc import Callable
from typing import NamedTuple


class Header(NamedTuple):
    """kind: "I", "P", "B" or "?"; reference: later pictures may need it; shown: it yields a frame of its own; clean: decoding
    may start here (None: trust the key flag)."""

    kind: str = "?"
    reference: bool = True
    shown: bool = True
    clean: bool | None = None


def header_reader(codec: str, extradata: bytes | None) -> Callable[[memoryview], Header]:
    """The function that reads a packet's bytes for this codec."""
    extradata = extradata or b""
    if codec == "h264":
        length = (extradata[4] & 3) + 1 if len(extradata) > 4 and extradata[0] == 1 else 0
        return lambda data: _h264(data, length)
    if codec == "hevc":
        length = (extradata[21] & 3) + 1 if len(extradata) > 22 and extradata[0] == 1 else 0
        return lambda data: _hevc(data, length)
    return {"mpeg4": _mpeg4, "vp8": _vp8}.get(codec, lambda data: Header())


def _nal_units(data: memoryview, length_size: int):
    """(offset, end) of each NAL unit: length-prefixed (MP4, MKV) or between start codes (TS, raw)."""
    if length_size:
        at = 0
        while at + length_size < len(data):
            start = at + length_size
            at = start + int.from_bytes(data[at:start], "big")
            yield start, min(at, len(data))
        return
    raw = bytes(data)
    at = raw.find(b"\0\0\1")
    while at >= 0:
        after = raw.find(b"\0\0\1", at + 3)
        yield at + 3, after if after >= 0 else len(raw)
        at = after


def _h264(data: memoryview, length_size: int) -> Header:
    recovers = False
    for start, end in _nal_units(data, length_size):
        unit = data[start] & 31
        if unit == 6:
            recovers |= _recovers_at_once(data[start + 1 : end])
        if unit in (1, 2, 5):  # a slice of a picture; 5 is an IDR picture, after which nothing refers back
            bits = int.from_bytes(bytes(data[start + 1 : min(end, start + 13)]).ljust(12, b"\xff"), "big")
            _, left = _exp_golomb(bits, 96)
            slice_type, _ = _exp_golomb(bits, left)
            return Header("PBIPI"[slice_type % 5], bool(data[start] >> 5 & 3), True, unit == 5 or recovers)
    return Header()


def _recovers_at_once(sei: memoryview) -> bool:
    """A recovery point message (payload type 6) with recovery_frame_cnt = 0, whose ue(v) code is a single 1 bit."""
    at = 0
    while at + 2 < len(sei):
        kind, size = sei[at], sei[at + 1]
        if kind == 6:
            return bool(sei[at + 2] & 0x80)
        if kind == 255 or size == 255:
            return False  # a long message; the recovery point comes in a message of its own
        at += 2 + size
    return False


def _exp_golomb(bits: int, left: int) -> tuple[int, int]:
    """Read ue(v) from the top `left` bits; (value, bits left)."""
    window = bits & ((1 << left) - 1)
    zeros = left - window.bit_length()
    size = 2 * zeros + 1
    if size > left:
        return 0, left
    return (window >> (left - size)) - 1, left - size


def _hevc(data: memoryview, length_size: int) -> Header:
    for start, _end in _nal_units(data, length_size):
        unit = data[start] >> 1 & 63
        if unit < 32:  # a slice segment; even types below 16 are not referred to within their layer, 16 to 23 are entry points
            entry = 16 <= unit <= 23
            return Header("I" if entry else "?", not (unit < 16 and unit % 2 == 0), True, entry)
    return Header()


def _mpeg4(data: memoryview) -> Header:
    at = bytes(data).find(b"\0\0\1\xb6")
    if at < 0 or at + 4 >= len(data):
        return Header()
    kind = "IPBP"[data[at + 4] >> 6]
    return Header(kind, kind != "B")


def _vp8(data: memoryview) -> Header:
    return Header(shown=bool(data[0] >> 4 & 1)) if len(data) else Header()
