"""Exact bytes of the parts of a picture, read from its headers without decoding anything.

A picture is often coded in parts that a decoder must be able to find: slices of any codec, the rows of coding tree units of
HEVC with wavefront parallel processing (x265's default), the tiles of HEVC, VP9 and AV1. Their sizes stand in the headers.
They say exactly where in the picture the bytes go, if coarsely: every estimate of block bits is scaled to them, and alone
they are a spatial profile that costs no pixel. FFmpeg's `trace_headers` filter parses the headers of HEVC, VP9 and AV1; of
H.264 and MPEG-1/2 the first numbers of each slice suffice.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import av
import av.logging
import numpy as np
from av.bitstream import BitStreamFilterContext

from .bitstream import Bits, nal_units, obus, superframe
from .headers import header_reader

MACROBLOCK, SUPERBLOCK = 16, 64  # pixels
PARAMETER_SETS = {"Sequence Parameter Set": "sps_seq_parameter_set_id", "Picture Parameter Set": "pps_pic_parameter_set_id"}
LINE = re.compile(r"(\d+)\s+([a-z][\w.]*)(?:\[\d+\])*\s+([01]*) = (-?\d+)\s*$")
_LOCK = threading.Lock()  # FFmpeg has one log level for all threads


@dataclass(frozen=True, eq=False)
class Marginals:
    """The parts of one coded picture, in coded orientation.

    Attributes:
        part: int64 [rows, cols], which part each unit of the picture belongs to.
        unit: pixels on a unit's side; those on the right and lower edge may reach beyond the picture.
        size: int64 [parts], bytes of each part.
    """

    part: np.ndarray
    unit: int
    size: np.ndarray

    @cached_property
    def profile(self) -> np.ndarray:
        """float32 [rows, cols], bits of each unit if every part spread its bits evenly."""
        units = np.bincount(self.part.ravel(), minlength=len(self.size))
        return (8 * self.size / np.maximum(units, 1)).astype(np.float32)[self.part]

    def fit(self, bits: np.ndarray, cell: tuple[float, float]) -> np.ndarray:
        """Scale estimated bits so that they agree with the parts; the sum stays what it was.

        bits: float32 [h, w] on cells of (height, width) coded pixels. A cell counts to the part in which its middle lies.
        """
        rows, cols = (
            np.minimum(((np.arange(n) + 0.5) * side / self.unit).astype(int), limit - 1)
            for n, side, limit in zip(bits.shape, cell, self.part.shape, strict=True)
        )
        part = self.part[rows[:, None], cols]
        estimate = bits + np.float32(0.02) * bits.mean()  # assumed: no block is free, so that any part can have its bytes
        sums = np.bincount(part.ravel(), estimate.ravel(), len(self.size))
        scaled = estimate * (self.size / np.where(sums > 0, sums, 1))[part]
        return (scaled * (bits.sum(dtype=np.float64) / max(scaled.sum(), 1e-9))).astype(np.float32)


Reader = Callable[[av.Packet], Marginals | None]


def marginals_reader(stream) -> Reader:
    """A function that reads packets of this stream, in decode order; None for a picture that is coded in one piece.

    Key pictures must be among the packets, others may be left out; of AV1 none may, unless its key pictures have no tiles.
    """
    context = stream.codec_context
    codec, size = context.codec.canonical_name, (context.height, context.width)
    if codec in TRACED:
        try:
            return TRACED[codec](stream, size)
        except av.error.FFmpegError:
            return lambda packet: None  # damaged headers: the decoder may still cope
    if codec == "h264":
        return _H264Slices(size, header_reader(codec, context.extradata))
    return _Mpeg2Slices(size) if codec in ("mpeg1video", "mpeg2video") else lambda packet: None


class _Parts:
    """Where the parts of a picture may begin: units in the order in which they are coded.

    order: int64 [units], their index in raster order; run: int64 [units], number of the tile or row that each lies in.
    """

    def __init__(self, size: tuple[int, int], unit: int, rows=(), cols=(), by_row: bool = False):
        """rows, cols: where tiles begin, in units (0 may be left out); by_row: each row of units is a run of its own."""
        self.unit, self.shape = unit, (-(-size[0] // unit), -(-size[1] // unit))
        row, col = np.indices(self.shape).reshape(2, -1)
        down, across = (np.searchsorted(sorted(s), at, side="right") for s, at in ((rows, row), (cols, col)))
        run = (down * (len(cols) + 1) + across) * (self.shape[0] + 1) + (row if by_row else 0)
        self.order = np.lexsort((col, row, run))
        self.place, self.run = np.argsort(self.order), run[self.order]
        self.whole = bool(self.run[0] == self.run[-1])  # one run: a single slice has no parts

    def marginals(self, slices: list[tuple[int, list[int]]]) -> Marginals | None:
        """slices: (raster index of the first unit, bytes of each of its runs), in coding order. None if they do not fit."""
        # 1. Where in coding order the slices begin
        if self.whole and len(slices) == 1:
            return None
        starts = [int(self.place[first]) for first, _ in slices]
        if not slices or starts[0] != 0 or (np.diff(starts) <= 0).any():
            return None
        # 2. A part begins with a slice or a run; where the runs were miscounted, with the slice alone
        new, sizes = np.diff(self.run, prepend=-1) != 0, []
        for (_, runs), start, end in zip(slices, starts, [*starts[1:], len(new)], strict=True):
            new[start] = True
            if len(runs) != new[start:end].sum():
                new[start + 1 : end], runs = False, [sum(runs)]
            sizes += runs
        if len(sizes) < 2 or min(sizes) < 0:
            return None
        # 3. The part of each unit, back in raster order
        part = (np.cumsum(new) - 1)[self.place]
        return Marginals(part.reshape(self.shape), self.unit, np.array(sizes))


# --- codecs whose headers FFmpeg parses -----------------------------------------------------------------------------


class _Traced:
    """Reads packets through FFmpeg's `trace_headers`, which prints every field of every header."""

    def __init__(self, stream, size: tuple[int, int]):
        self.size, self.sets = size, {}
        context = stream.codec_context
        self.length_size = getattr(header_reader(context.codec.canonical_name, context.extradata), "length_size", 0)
        with _captured_log() as lines:
            self.filter = BitStreamFilterContext("trace_headers", stream)
        self.note(_headers(lines))

    def note(self, headers: list) -> None:
        """Remember what later packets need."""

    def read(self, data: bytes, headers: list) -> Marginals | None:
        """What the headers of one packet say of its parts."""

    def __call__(self, packet: av.Packet) -> Marginals | None:
        data = bytes(packet)
        copy = av.Packet(data)  # the filter keeps what it is given
        copy.is_keyframe = packet.is_keyframe
        try:
            with _captured_log() as lines:
                self.filter.filter(copy)
            headers = _headers(lines)
            self.note(headers)
            return self.read(data, headers)
        except (av.error.FFmpegError, IndexError, KeyError, ValueError):
            return None  # damaged or odd headers: the decoder may still cope


@contextmanager
def _captured_log() -> Iterator[list]:
    """What FFmpeg says in this thread, as a list of (level, name, message)."""
    with _LOCK:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as lines:
                yield lines
        finally:
            av.logging.set_level(level)


class _Header(dict):
    """The fields of one header by name, the values of a repeated or indexed field in a list; `end`: bits it takes."""

    title, end = "", 0

    def one(self, name: str, default: int = 0) -> int:
        return self[name][0] if name in self else default


def _headers(lines: list) -> list[_Header]:
    headers = [_Header()]
    for _, name, message in lines:
        if name != "trace_headers":
            continue
        field = LINE.match(message)
        if field:
            position, key, bits, value = field.groups()
            headers[-1].setdefault(key, []).append(int(value))
            headers[-1].end = int(position) + len(bits)
        elif not message.startswith(("Packet:", "Extradata")):
            headers.append(_Header())
            headers[-1].title = message.strip()
    return headers


class _Hevc(_Traced):
    """HEVC: rows of coding tree units, tiles and slices (7.3.6.1 and 9.3.1 of the standard)."""

    parts: _Parts | None = None

    def note(self, headers: list[_Header]) -> None:
        for header in headers:
            if header.title in PARAMETER_SETS:
                self.sets[header.title, header.one(PARAMETER_SETS[header.title])], self.parts = header, None

    def read(self, data: bytes, headers: list[_Header]) -> Marginals | None:
        segments = [h for h in headers if h.title == "Slice Segment Header"]
        units = [(s, e) for s, e in nal_units(memoryview(data), self.length_size) if data[s] >> 1 & 63 < 32]
        if self.parts is None and segments:
            self.parts = self._parts(self.sets["Picture Parameter Set", segments[0].one("slice_pic_parameter_set_id")])
        slices = []
        for header, (start, end) in zip(segments, units, strict=True):
            runs = [offset + 1 for offset in header.get("entry_point_offset_minus1", ())]
            slices.append((header.one("slice_segment_address"), [*runs, end - start - -(-header.end // 8) - sum(runs)]))
        return self.parts.marginals(slices) if self.parts and slices else None

    def _parts(self, pps: _Header) -> _Parts:
        # 1. Units, and how many: a size that is not the decoder's belongs to a damaged parameter set
        sps = self.sets["Sequence Parameter Set", pps.one("pps_seq_parameter_set_id")]
        smallest = sps.one("log2_min_luma_coding_block_size_minus3") + 3
        unit = 1 << (smallest + sps.one("log2_diff_max_min_luma_coding_block_size"))
        size = sps.one("pic_height_in_luma_samples"), sps.one("pic_width_in_luma_samples")
        if size[0] - self.size[0] not in range(2 * unit) or size[1] - self.size[1] not in range(2 * unit):
            raise ValueError("not the size of the pictures")
        # 2. Where tiles begin
        starts = []
        for side, name, length in zip(size, ("row", "column"), ("row_height_minus1", "column_width_minus1"), strict=True):
            count = pps.one(f"num_tile_{name}s_minus1") + 1
            if pps.one("uniform_spacing_flag", 1):
                starts.append(_even_starts(-(-side // unit), count))
            else:
                starts.append((np.cumsum(pps.get(length, [])) + np.arange(1, count)).tolist())
        return _Parts(size, unit, starts[0], starts[1], by_row=bool(pps.one("entropy_coding_sync_enabled_flag")))


def _even_starts(units: int, count: int) -> list[int]:
    """Where all but the first of `count` tiles of about one size begin."""
    return [i * units // count for i in range(1, count)]


class _Vp9(_Traced):
    """VP9: tiles, each behind its size in four bytes, the last one to the end; hidden pictures of a packet are added."""

    def read(self, data: bytes, headers: list[_Header]) -> Marginals | None:
        pictures = [h for h in headers if h.title == "Frame"]
        total, at = None, 0
        for header, end in zip(pictures, superframe(data), strict=True):
            if "header_size_in_bytes" in header:
                counts = [1 << header.one(f"tile_{axis}_log2") for axis in ("rows", "cols")]
                rows, cols = (_even_starts(-(-side // SUPERBLOCK), n) for side, n in zip(self.size, counts, strict=True))
                body = at + -(-header.end // 8) + header.one("header_size_in_bytes")
                sizes = _sized(data[body:end], counts[0] * counts[1], 4, "big", 0)
                total = _add(total, _Parts(self.size, SUPERBLOCK, rows, cols).marginals([(0, sizes)]))
            at = end
        return total


class _Av1(_Traced):
    """AV1: tiles, each behind its size, the last one of a group to the end of its unit; pictures of a packet are added."""

    tiled = True

    def note(self, headers: list[_Header]) -> None:
        for header in headers:
            if header.title == "Sequence Header":
                self.unit = SUPERBLOCK << header.one("use_128x128_superblock")

    def __call__(self, packet: av.Packet) -> Marginals | None:
        return super().__call__(packet) if self.tiled or packet.is_keyframe else None

    def read(self, data: bytes, headers: list[_Header]) -> Marginals | None:
        total, frame, sizes = None, None, []
        places = [i for i, h in enumerate(headers) if h.title == "OBU header"]
        for place, (kind, start, end) in zip(places, obus(data), strict=True):
            # 1. What the headers of this unit belong to: a picture, a group of its tiles, or both
            titled = {h.title: h for h in reversed(headers[place + 1 : place + 3])}
            if kind in (3, 6):
                frame = titled.get("Frame Header", frame)
            group = titled.get("Tile Group") if kind in (4, 6) else None
            if group is None or frame is None:
                continue
            # 2. How the picture is cut
            rows, cols = (self._starts(frame, axis) for axis in (0, 1))
            tiles = (len(rows) + 1) * (len(cols) + 1)
            self.tiled = tiles > 1
            if not self.tiled:
                continue
            # 3. The sizes in front of the tiles; the picture is complete with its last group
            first, last = group.one("tg_start"), group.one("tg_end", tiles - 1)
            body = start + -(-(group.end or frame.end) // 8)
            sizes += _sized(data[body:end], last - first + 1, frame.one("tile_size_bytes_minus1") + 1, "little", 1)
            if len(sizes) == tiles:
                total, sizes = _add(total, _Parts(self.size, self.unit, rows, cols).marginals([(0, sizes)])), []
        return total

    def _starts(self, frame: _Header, axis: int) -> list[int]:
        units = -(-self.size[axis] // self.unit)
        if frame.one("uniform_tile_spacing_flag"):
            step = max(1, -(-units // (1 << frame.one(("tile_rows_log2", "tile_cols_log2")[axis]))))
            return list(range(step, units, step))
        widths = frame.get(("height_in_sbs_minus_1", "width_in_sbs_minus_1")[axis], [])
        return np.cumsum([width + 1 for width in widths])[:-1].tolist()


def _sized(data: bytes, count: int, width: int, order: Literal["little", "big"], add: int) -> list[int]:
    """Sizes of `count` chunks, each but the last behind its size (less `add`) in `width` bytes."""
    sizes, at = [], 0
    for _ in range(count - 1):
        sizes.append(int.from_bytes(data[at : at + width], order) + add)
        at += width + sizes[-1]
    return [*sizes, len(data) - at]


def _add(total: Marginals | None, more: Marginals | None) -> Marginals | None:
    """Bytes of two pictures of one packet together, if both are cut alike; else those of the later one."""
    if total is None or more is None or not np.array_equal(total.part, more.part):
        return more or total
    return Marginals(more.part, more.unit, total.size + more.size)


TRACED: dict[str, Callable[..., _Traced]] = {"hevc": _Hevc, "vp9": _Vp9, "av1": _Av1}


# --- slices that begin with their place -----------------------------------------------------------------------------


class _H264Slices:
    """H.264: slices of progressive pictures, in macroblock order (fields, and macroblock pairs, count otherwise)."""

    def __init__(self, size: tuple[int, int], reader):
        self.parts, self.reader = _Parts(size, MACROBLOCK), reader

    def __call__(self, packet: av.Packet) -> Marginals | None:
        data, slices = memoryview(packet), []
        self.reader(data)
        if self.reader.fields is not None:
            return None
        for start, end in nal_units(data, self.reader.length_size):
            if data[start] & 31 in (1, 5):
                slices.append((Bits(bytes(data[start + 1 : start + 9])).golomb(), [end - start]))
        return self.parts.marginals(slices) if all(first < self.parts.order.size for first, _ in slices) else None


class _Mpeg2Slices:
    """MPEG-1 and 2: slices, which begin with their row. Those of one row count together; field pictures are left out."""

    def __init__(self, size: tuple[int, int]):
        self.rows, self.cols = (-(-side // MACROBLOCK) for side in size)

    def __call__(self, packet: av.Packet) -> Marginals | None:
        # 1. Bytes of the slices that begin in each row
        data, size = bytes(packet), np.zeros(self.rows, np.int64)
        for start, end in nal_units(memoryview(data), 0):
            code = data[start]
            if code == 0xB5 and end - start > 3 and data[start + 1] >> 4 == 8 and data[start + 3] & 3 != 3:
                return None  # picture coding extension: its picture_structure is a field
            if 1 <= code <= min(self.rows, 0xAF):
                size[code - 1] += end - start
        # 2. A row without any belongs to the part before
        begins = size > 0
        if not begins[0] or begins.sum() < 2:
            return None
        return Marginals(np.repeat(np.cumsum(begins) - 1, self.cols).reshape(-1, self.cols), MACROBLOCK, size[begins])
