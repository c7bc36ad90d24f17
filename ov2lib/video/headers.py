"""What the bitstream says of a packet without decoding it: picture type, whether others refer to it, whether it is shown.

Only headers are read. Known: H.264, HEVC, MPEG-1, 2 and 4, H.263, VP8, VP9 and AV1; otherwise the key flag is all there is.
"""

from collections.abc import Callable
from typing import NamedTuple

from .bitstream import Bits, Header, nal_units
from .hidden import Av1, Vp9


def header_reader(codec: str, extradata: bytes | None) -> Callable[[memoryview], Header]:
    """The function that reads a packet's bytes for this codec, to be called on every packet in decode order."""
    extradata = extradata or b""
    classes = {"h264": H264, "hevc": _Hevc, "vp9": Vp9, "av1": Av1}  # those that remember something
    if codec in classes:
        return classes[codec](extradata)
    readers = {"mpeg4": _mpeg4, "mpeg1video": _mpeg2, "mpeg2video": _mpeg2, "h263": _h263, "vp8": _vp8}
    return readers.get(codec, lambda data: Header())


class H264:
    """Reads H.264 packets, and remembers what the sequence parameter set says.

    fields: how a slice header says that its picture is a single field, None where all are whole frames; crop: (left, top)
    pixels that are cut off before a picture is shown, (0, 0) where the stream's head does not say.
    """

    def __init__(self, extradata: bytes | None):
        extradata = extradata or b""
        self.fields: _FieldSyntax | None = None
        self.crop = (0, 0)
        boxed = len(extradata) > 7 and extradata[0] == 1  # an avcC box: length-prefixed units, parameter sets inside
        self.length_size = (extradata[4] & 3) + 1 if boxed else 0
        if boxed:
            size = int.from_bytes(extradata[6:8], "big")
            self.fields, self.crop = _sequence(extradata[9 : 8 + size])
        else:
            self(memoryview(extradata))

    def __call__(self, data: memoryview) -> Header:
        recovers = False
        for start, end in nal_units(data, self.length_size):
            unit = data[start] & 31
            if unit == 7:
                self.fields, self.crop = _sequence(bytes(data[start + 1 : end]))
            elif unit == 6:
                recovers |= _recovers_at_once(data[start + 1 : end])
            elif unit in (1, 2, 5):  # a slice of a picture; 5 is an IDR picture, after which nothing refers back
                bits = Bits(bytes(data[start + 1 : min(end, start + 25)]))
                bits.golomb()  # first_mb_in_slice
                kind = "PBIPI"[bits.golomb() % 5]
                field = self.fields.read(bits) if self.fields else None
                return Header(kind, bool(data[start] >> 5 & 3), True, unit == 5 or recovers, field)
        return Header()


class _FieldSyntax(NamedTuple):
    """Where a slice header says that its picture is a field: after so many bits of colour plane and frame number."""

    colour_plane: int
    frame_number: int

    def read(self, bits: Bits) -> tuple[int, bool] | None:
        """(frame number, is bottom), or None for a whole frame; `bits` stands behind slice_type (7.3.3 of the standard)."""
        bits.golomb()  # pic_parameter_set_id
        bits.read(self.colour_plane)
        number = bits.read(self.frame_number)
        return (number, bool(bits.read(1))) if bits.read(1) else None


CHROMA_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # published: 7.3.2.1.1 of the standard


def _sequence(sps: bytes) -> tuple[_FieldSyntax | None, tuple[int, int]]:
    """What a sequence parameter set (7.3.2.1.1) says of fields (None: whole frames only), and its (left, top) crop."""
    # 1. Profile; constraints, level and number are skipped
    bits = Bits(sps.replace(b"\0\0\3", b"\0\0"))
    profile, colour_plane, chroma = bits.read(8), 0, 1
    bits.read(16), bits.golomb()
    # 2. Chroma, in the profiles that have a choice
    if profile in CHROMA_PROFILES:
        chroma = bits.golomb()
        colour_plane = 2 * bits.read(1) if chroma == 3 else 0
        bits.golomb(), bits.golomb(), bits.read(1)  # bit depths, transform bypass
        if bits.read(1):
            _skip_scaling_lists(bits, 12 if chroma == 3 else 8)
    # 3. How frames are counted
    frame_number = 4 + min(bits.golomb(), 12)  # published: 7.4.2.1.1 allows no more
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.read(1), bits.golomb(), bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    # 4. Behind references, gaps, width and height: fields, and what is cut off
    bits.golomb(), bits.read(1), bits.golomb(), bits.golomb()
    frames_only = bits.read(1)
    bits.read(1 if frames_only else 2)  # macroblock pairs, direct vectors
    left, _right, top = (bits.golomb(), bits.golomb(), bits.golomb()) if bits.read(1) else (0, 0, 0)
    crop = left * (2 if chroma in (1, 2) else 1), top * (2 if chroma == 1 else 1) * (2 - frames_only)
    return None if frames_only else _FieldSyntax(colour_plane, frame_number), crop


def _skip_scaling_lists(bits: Bits, lists: int) -> None:
    for number in range(lists):
        last = step = 8
        for _ in range((16 if number < 6 else 64) if bits.read(1) else 0):
            if step:
                code = bits.golomb()
                step = (last + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
            last = step or last


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


class _Hevc:
    """Reads HEVC packets; remembers whether leading pictures have lost what they refer to, as they have behind a splice."""

    def __init__(self, extradata: bytes):
        self.length_size = (extradata[21] & 3) + 1 if len(extradata) > 22 and extradata[0] == 1 else 0
        self.spliced, self.leads_lost = True, False

    def __call__(self, data: memoryview) -> Header:
        for start, _end in nal_units(data, self.length_size):
            unit = data[start] >> 1 & 63
            if unit in (36, 37):  # end of sequence, end of bitstream
                self.spliced = True
            if unit < 32:  # a slice segment; even types below 16 are not referred to within their layer
                entry = 16 <= unit <= 23
                if entry:
                    self.leads_lost, self.spliced = self.spliced or unit < 19, False  # 16 to 18 are broken links
                shown = not (self.leads_lost and unit in (8, 9))  # skipped leading pictures
                return Header("I" if entry else "?", not (unit < 16 and unit % 2 == 0), shown, entry)
        return Header()


def _mpeg4(data: memoryview) -> Header:
    at = bytes(data).find(b"\0\0\1\xb6")
    if at < 0 or at + 4 >= len(data):
        return Header()
    kind = "IPBP"[data[at + 4] >> 6]
    return Header(kind, kind != "B")


def _mpeg2(data: memoryview) -> Header:
    at = bytes(data).find(b"\0\0\1\0")  # picture_start_code, temporal_reference (10 bits), picture_coding_type (3)
    kind = "?IPB????"[data[at + 5] >> 3 & 7] if 0 <= at < len(data) - 5 else "?"
    return Header(kind, kind != "B")


def _vp8(data: memoryview) -> Header:
    return Header("P" if data[0] & 1 else "I", shown=bool(data[0] >> 4 & 1)) if len(data) else Header()


def _h263(data: memoryview) -> Header:
    """A picture start code of 22 bits, then a time of 8 and the type; in version 2 the type stands behind an extension."""
    # 1. Start code and time; marker, split screen, camera, freeze
    bits = Bits(bytes(data[:12]))
    if bits.read(22) != 0b100000:
        return Header()
    bits.read(8 + 5)
    # 2. The type, at once or behind an extended header
    if bits.read(3) != 7:
        return Header("P" if bits.read(1) else "I")
    bits.read(18 if bits.read(3) == 1 else 0)  # the optional part of the extended type
    code = bits.read(3)
    return Header("IPPB"[code] if code < 4 else "P", reference=code != 3)
