"""Open a video file, and list its packets: sizes, times and types, without decoding.

Errors are told as `VideoError`: file, cause, remedy. Times come from presentation time stamps, never from index / fps.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import av
import numpy as np

from ..errors import VideoError
from .packets import header_reader

MAX_PIXELS = 1 << 26  # assumed: 67 megapixels, four 8K frames; a file that declares more is refused before it is decoded
MAX_PACKETS = 1 << 22  # assumed: 19 hours at 60 frames per second
REPAIR = "check the file, or repair it with `ffmpeg -i IN -c copy OUT`"

av.logging.set_level(av.logging.PANIC)  # every failure is raised with its cause; FFmpeg's own lines would only repeat it


@contextmanager
def open_video(path: str | os.PathLike):
    """Open `path` for reading; yields (container, video stream) and closes the container.

    The stream decodes on one thread: FFmpeg's frame threading corrupts exported motion vectors and quantisers.

    Raises:
        VideoError: missing, not a regular file, unreadable, empty, not a video, without a video stream, of an unknown codec
            or of an absurd size.
    """
    _check_file(path)
    try:
        with av.open(os.fspath(path), options={"protocol_whitelist": "file"}) as container:
            yield container, _video_stream(path, container)
    except av.error.FFmpegError as error:
        raise VideoError(path, f"cannot be read as video ({error.strerror})", REPAIR) from error


def _check_file(path: str | os.PathLike) -> None:
    if not os.path.exists(path):
        raise VideoError(path, "no such file", "check the path")
    if not os.path.isfile(path):
        raise VideoError(path, "not a regular file", "name a video file")
    if not os.access(path, os.R_OK):
        raise VideoError(path, "no permission to read it", "change the file's permissions")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "the file is empty", "download or copy it again")


def _video_stream(path, container):
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise VideoError(path, "there is no video stream in it", "name a file that holds video")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise VideoError(path, "its video codec is unknown to this FFmpeg", "re-encode it, for example to H.264")
    if not context.width or not context.height:
        raise VideoError(path, "its frame size is unknown (damaged or truncated)", REPAIR)
    if context.width * context.height > MAX_PIXELS:
        raise VideoError(
            path,
            f"declares {context.width}x{context.height} frames, over the limit of {MAX_PIXELS} pixels",
            "scale it down first",
        )
    stream.thread_type = "NONE"
    context.thread_count = 1
    return stream


@dataclass(frozen=True, eq=False)
class Packets:
    """The video packets of a file in decode order, one array entry each.

    Attributes:
        pts, dts: int64, in ticks of `time_base`.
        size: int64, bytes.
        key: bool, the container's key flag.
        kind: "I", "P", "B" or "?" (unknown without decoding: not key, of a codec whose headers are not read).
        reference: bool, later pictures may be predicted from it.
        clean: bool, decoding may start here and nothing after it in decode order needs anything before it.
        frame: int64, display index of the frame the packet belongs to; -1 for one that is never shown.
        time_base: seconds per tick.
        last_duration: seconds that the last frame stays, 0 if the file does not say.
        ordered: the file gives presentation times (else display order is known only after decoding).
    """

    pts: np.ndarray
    dts: np.ndarray
    size: np.ndarray
    key: np.ndarray
    kind: np.ndarray
    reference: np.ndarray
    clean: np.ndarray
    frame: np.ndarray
    time_base: float
    last_duration: float
    ordered: bool

    def __len__(self) -> int:
        return len(self.size)

    @cached_property
    def frame_packet(self) -> np.ndarray:
        """int64 [T], the (first) packet of each frame in display order."""
        first = np.zeros(int(self.frame.max()) + 1, np.int64)
        shown = np.flatnonzero(self.frame >= 0)[::-1]
        first[self.frame[shown]] = shown
        return first

    @cached_property
    def frame_times(self) -> np.ndarray:
        """float64 [T], presentation time in seconds of each frame, the first at 0."""
        ticks = self.pts[self.frame_packet]
        return (ticks - ticks[0]) * self.time_base

    @cached_property
    def frame_sizes(self) -> np.ndarray:
        """int64 [T], bytes of each frame; a hidden packet counts to the next shown frame in decode order."""
        owner = np.where(self.frame >= 0, self.frame, -1)
        shown = np.flatnonzero(owner >= 0)
        following = shown[np.minimum(np.searchsorted(shown, np.arange(len(owner))), len(shown) - 1)]
        return np.bincount(owner[following], self.size, len(self.frame_packet)).astype(np.int64)

    @cached_property
    def duration(self) -> float:
        """Seconds from the first frame's time to the last one's end."""
        times = self.frame_times
        last = self.last_duration or (float(np.median(np.diff(times))) if len(times) > 1 else 1 / 25)
        return float(times[-1]) + last

    @property
    def fps(self) -> float:
        """Frames per second on average."""
        return len(self.frame_times) / self.duration


def read_packets(path: str | os.PathLike) -> Packets:
    """List the video packets of a file by demuxing it; nothing is decoded.

    Raises:
        VideoError: as `open_video`; or no packets, no key frame, or a damaged packet.
    """
    with open_video(path) as (container, stream):
        read_header = header_reader(stream.codec_context.name, stream.codec_context.extradata)
        rows, duration = [], 0
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_corrupt or len(rows) >= MAX_PACKETS:
                cause = "a packet is damaged" if packet.is_corrupt else f"has over {MAX_PACKETS} packets"
                raise VideoError(path, cause, REPAIR if packet.is_corrupt else "split it first")
            header = read_header(memoryview(packet))
            shown = header.shown and not packet.is_discard
            rows.append((packet.pts, packet.dts, packet.size, packet.is_keyframe, shown, header))
            duration = packet.duration or duration
        return _table(path, rows, float(stream.time_base), duration or 0)


def read_index(path: str | os.PathLike) -> Packets | None:
    """The same list from the container's index, without reading the payload: MP4 and MOV without reordering.

    None where the index is missing or does not give presentation times (B frames): use `read_packets` there. Kinds are
    known from the key flag only, so a non-key I picture counts as "?".
    """
    with open_video(path) as (container, stream):
        entries = stream.index_entries
        if "mov" not in container.format.name or stream.codec_context.has_b_frames or not len(entries):
            return None
        if stream.start_time is not None and entries[0].timestamp != stream.start_time:
            return None  # an edit list shifts presentation against the index
        reader = header_reader("", None)(memoryview(b""))
        rows = [(e.timestamp, e.timestamp, e.size, e.is_keyframe, not e.is_discard, reader) for e in entries]
        step = rows[-1][0] - rows[-2][0] if len(rows) > 1 else 0
        return _table(path, rows, float(stream.time_base), step)


def _table(path, rows: list, time_base: float, last_ticks: int) -> Packets:
    if not rows:
        raise VideoError(path, "no video packet can be read from it (truncated?)", REPAIR)
    pts, dts, size, key, shown, headers = (list(column) for column in zip(*rows, strict=True))
    if not any(key):
        raise VideoError(path, "there is no key frame to start decoding from", REPAIR)
    ordered = sum(p is not None for p in pts) > len(pts) // 2
    dts = _fill_missing(dts, pts)
    pts = np.array([p if p is not None else _UNKNOWN for p in pts], np.int64) if ordered else dts.copy()
    key, shown = np.array(key), np.array(shown)
    kind = np.array([h.kind if h.kind != "?" else ("I" if k else "?") for h, k in zip(headers, key, strict=True)])
    clean = np.array([k if h.clean is None else k and h.clean for h, k in zip(headers, key, strict=True)])
    if not clean.any():
        clean = key.copy()  # recovery points only: start there, and let the decoder settle
    first = int(np.argmax(key))
    shown[:first] = False  # nothing before the first key frame can be decoded
    shown &= ~((pts != _UNKNOWN) & (pts < pts[first]) & ~key)  # leading pictures whose references were cut away
    frame = _display_index(pts, shown)
    clean &= _closed(pts, shown)
    clean[first] = True
    return Packets(
        pts=pts, dts=dts, size=np.array(size, np.int64), key=key, kind=kind,
        reference=np.array([h.reference for h in headers]), clean=clean, frame=frame,
        time_base=time_base, last_duration=last_ticks * time_base, ordered=ordered,
    )  # fmt: skip


_UNKNOWN = np.iinfo(np.int64).min


def _fill_missing(dts: list, pts: list) -> np.ndarray:
    """Decode times with gaps filled from presentation times or by counting on."""
    out, last = np.empty(len(dts), np.int64), 0
    for i, value in enumerate(dts):
        last = value if value is not None else (pts[i] if pts[i] is not None and i == 0 else last + 1)
        out[i] = last
    return out


def _display_index(pts: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Rank of each shown packet's time; a packet without a time (a second field) belongs to the frame before it."""
    frame = np.full(len(pts), -1, np.int64)
    timed = np.flatnonzero(shown & (pts != _UNKNOWN))
    _, frame[timed] = np.unique(pts[timed], return_inverse=True)
    for i in np.flatnonzero(shown & (pts == _UNKNOWN)):
        frame[i] = frame[i - 1] if i else 0
    return frame


def _closed(pts: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """bool [n]: every shown packet from here on, in decode order, is presented no earlier than this one."""
    later = np.where(shown & (pts != _UNKNOWN), pts, np.iinfo(np.int64).max)
    return np.minimum.accumulate(later[::-1])[::-1] >= pts


EXPORTS_VECTORS = ("h264", "mpeg4")  # measured with FFmpeg 8: the decoders that export vectors and quantisers
