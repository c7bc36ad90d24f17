"""Open a video file, and list its packets: sizes, times and types, without decoding.

Errors are told as `VideoError`: file, cause, remedy. Times come from presentation time stamps. Only where a container
stores none (bare streams, AVI) are they counted at the stream's rate, in the order in which a decoder shows the pictures.
"""

import os
from array import array
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain

import av
import numpy as np

from ..errors import VideoError
from .packets import Header, header_reader

MAX_PIXELS = 1 << 26  # assumed: 67 megapixels, two 8K frames; a file that declares more is refused before it is decoded
MAX_PACKETS = 1 << 22  # assumed: 19 hours at 60 frames per second
MAX_SECONDS = 7 * 24 * 3600  # assumed: time stamps that span more than a week are damaged
MAX_REORDER = 64  # published: H.264 and HEVC hold back at most 16 frames, 32 fields; farther out of order is damage
REPAIR = "check the file, or repair it with `ffmpeg -i IN -c copy OUT`"
RETIME = "write new ones with `ffmpeg -i IN -vf setpts=N/FRAME_RATE/TB OUT.mp4`"
EXPORTS_VECTORS = ("h264", "mpeg4")  # measured with FFmpeg 8: the decoders that export vectors and quantisers
LIMITS = {"max_pixels": str(MAX_PIXELS)}  # to be given to every decoder
TAGS = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}  # PyAV 19 does so by itself
_UNKNOWN = np.iinfo(np.int64).min


@contextmanager
def open_video(path: str | os.PathLike):
    """Open `path` for reading; yields (container, video stream) and closes the container.

    The stream decodes on one thread: FFmpeg's frame threading corrupts exported motion vectors and quantisers.

    Raises:
        VideoError: missing, not a regular file, unreadable, empty, not a video, without a video stream, of an unknown codec
            or of an absurd size.
    """
    _check_file(path)
    name = "file:" + os.fsdecode(path)  # else FFmpeg takes what stands before a colon in the name for a protocol
    try:
        with av.open(name, options=LIMITS | {"protocol_whitelist": "file"}, **TAGS) as container:
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
        raise VideoError(path, "its frame size is unknown or impossible (damaged or truncated)", REPAIR)
    if context.width * context.height > MAX_PIXELS:
        cause = f"declares {context.width}x{context.height} frames, over the limit of {MAX_PIXELS} pixels"
        raise VideoError(path, cause, "scale it down first")
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
        frame: int64, display index of the frame the packet belongs to (two fields belong to one); -1 for one that is never
            shown.
        owner: int64, display index of the frame that the packet's bytes count to: its own, for a hidden picture that
            others are predicted from the next one in decode order, and -1 for a picture that was cut away.
        time_base: seconds per tick.
        last_duration: seconds that the last frame stays, 0 if the file does not say.
        ordered: the file gives presentation times (else order comes from the decoder, times from its rate).
    """

    pts: np.ndarray
    dts: np.ndarray
    size: np.ndarray
    key: np.ndarray
    kind: np.ndarray
    reference: np.ndarray
    clean: np.ndarray
    frame: np.ndarray
    owner: np.ndarray
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
        counted = self.owner >= 0
        return np.bincount(self.owner[counted], self.size[counted], len(self.frame_packet)).astype(np.int64)

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
    """List the video packets of a file by demuxing it.

    Nothing is decoded, except where pictures are reordered and the container does not say how (bare streams; AVI, whose
    times then follow decode order): there, one pass of the decoder tells which picture is shown when.

    A stream that merely ends early (a recording in TS, Matroska, FLV that was stopped) is read as far as its packets are
    whole; a file whose index promises more than it holds (MP4) is refused, since what is missing is known to be missing.

    Raises:
        VideoError: as `open_video`; or no packets, no key frame, a damaged packet, or impossible time stamps.
    """
    with open_video(path) as (container, stream):
        return list_packets(path, container, stream, container.demux(stream))


def list_packets(path: str | os.PathLike, container, stream, demuxed: Iterable[av.Packet]) -> Packets:
    """`read_packets` of a file that is open; demuxed: all packets of the stream."""
    reorders, rate = stream.codec_context.has_b_frames, stream.guessed_rate or 25
    read_header = header_reader(stream.codec_context.codec.canonical_name, stream.codec_context.extradata)
    rows = array("q")
    for packet in demuxed:
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise VideoError(path, f"is damaged or truncated at packet {len(rows) // len(COLUMNS)}", REPAIR)
        if len(rows) >= MAX_PACKETS * len(COLUMNS):
            raise VideoError(path, f"has over {MAX_PACKETS} packets", "split it first")
        times = packet.pts, packet.dts, packet.duration
        header = read_header(memoryview(packet))
        rows.extend(_row(*times, packet.size, packet.is_keyframe, packet.is_discard, header))
    trusted = not reorders or container.format.name != "avi"
    return _table(path, rows, stream.time_base, rate, reorders, trusted)


COLUMNS = ("pts", "dts", "duration", "size", "key", "dropped", "kind", "reference", "shown", "clean", "field")
KINDS = "?IPB"


def _row(pts, dts, duration, size: int, key: bool, dropped: bool, header: Header) -> tuple[int, ...]:
    """One packet as `COLUMNS`; dropped: the container says not to show it; field: 2 · frame number + is bottom, or -1."""
    clean = key if header.clean is None else key and header.clean
    kind = KINDS.index("I" if key and header.kind == "?" else header.kind)
    field = -1 if header.field is None else 2 * header.field[0] + header.field[1]
    times = (_UNKNOWN if pts is None else pts, _UNKNOWN if dts is None else dts, duration or 0)
    return *times, size, key, dropped, kind, header.reference, header.shown, clean, field


def _table(path, rows: array, time_base: Fraction, rate: Fraction, reorders: bool, trusted: bool) -> Packets:
    """The table of packets given as `COLUMNS`, one row after another.

    rate: frames per second where there are no times; reorders: pictures may be shown in another order than decoded;
    trusted: where times follow decode order, so do the pictures.
    """
    if not rows:
        raise VideoError(path, "no video packet can be read from it (truncated?)", REPAIR)
    row = dict(zip(COLUMNS, np.frombuffer(rows, np.int64).reshape(-1, len(COLUMNS)).T.copy(), strict=True))
    key, clean, pts, dts = row["key"] != 0, row["clean"] != 0, row["pts"], row["dts"]
    if not key.any():
        raise VideoError(path, "there is no key frame to start decoding from", REPAIR)
    first, second = int(np.argmax(key)), _second_fields(row["field"])
    shown = (row["shown"] != 0) & (row["dropped"] == 0) & ~second
    shown[:first] = False  # nothing before the first key frame can be decoded
    if not reorders:
        pts = np.where(pts == _UNKNOWN, dts, pts)
    ordered = bool((pts[shown] != _UNKNOWN).all()) and (trusted or bool((np.diff(pts[shown]) < 0).any()))
    if not ordered:
        pts, shown = _times_from_decoder(path, pts, shown, reorders, max(1, round(1 / (rate * time_base))))
    shown &= key | (pts >= pts[first])  # else a leading picture whose references were cut away
    _check_times(path, pts[shown], time_base)
    frame = np.full(len(pts), -1)
    _, frame[shown] = np.unique(pts[shown], return_inverse=True)
    frame[second] = frame[np.flatnonzero(second) - 1]
    pts[second] = pts[np.flatnonzero(second) - 1]
    clean &= _closed(pts, shown)
    clean[first] = True
    last = np.flatnonzero(frame == frame.max())
    stays = int(row["duration"][last[0]]) * time_base if len(last) == 1 else 0  # two fields say half of it, or all
    return Packets(
        pts=pts, dts=np.where(dts == _UNKNOWN, pts, dts), size=row["size"], key=key,
        kind=np.array(list(KINDS))[row["kind"]], reference=row["reference"] != 0, clean=clean,
        frame=frame, owner=_owner(frame, hidden=(row["shown"] == 0) & (np.arange(len(pts)) > first)),
        time_base=float(time_base), ordered=ordered,
        last_duration=float(stays) if 0 < stays <= MAX_SECONDS else 0.0,
    )  # fmt: skip


def _second_fields(field: np.ndarray) -> np.ndarray:
    """bool [n]: the packet is the second field of the frame that the packet before it began."""
    second = np.zeros(len(field), bool)
    pairs = (field[1:] ^ field[:-1] == 1) & (field[1:] >= 0)  # the same frame number, the other parity
    for i in np.flatnonzero(pairs) + 1:
        second[i] = not second[i - 1]
    return second


def _times_from_decoder(path, pts: np.ndarray, shown: np.ndarray, reorders: bool, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Presentation times in the order in which the decoder shows the pictures, and which it shows.

    Times that the file gives are kept, as a set; where one is missing, all are counted by `step` ticks.
    """
    rank = np.cumsum(shown) - 1
    if reorders:
        rank = _decoded_rank(path, len(pts))
        shown = shown & (rank >= 0)
    if not shown.any():
        raise VideoError(path, "no frame can be decoded from it", REPAIR)
    given, place = pts[shown], np.argsort(np.argsort(rank[shown]))
    out = np.zeros_like(pts)
    out[shown] = place * step if (given == _UNKNOWN).any() else np.sort(given)[place]
    return out, shown


def _decoded_rank(path, count: int) -> np.ndarray:
    """int64 [n]: how many pictures the decoder puts out before the one of each packet; -1 for packets without one."""
    rank = np.full(count, -1)
    with open_video(path) as (container, stream):
        context, out = stream.codec_context, 0
        context.options = LIMITS | {"skip_loop_filter": "all", "skip_idct": "all"}  # the order is the same without them
        context.copy_opaque = True
        coded = enumerate(packet for packet in container.demux(stream) if packet.size)
        for number, packet in chain(coded, [(count, None)]):
            if packet is not None:
                packet.opaque = (number,)
            for picture in context.decode(packet):
                rank[picture.opaque[0]], out = out, out + 1
    return rank


def _check_times(path, pts: np.ndarray, time_base: Fraction) -> None:
    """Refuse times of shown pictures, in decode order, that no encoder means."""
    if not len(pts):
        raise VideoError(path, "none of its frames is ever shown", REPAIR)
    if (int(pts.max()) - int(pts.min())) * time_base > MAX_SECONDS:
        raise VideoError(path, f"its time stamps span more than {MAX_SECONDS // 3600} hours", RETIME)
    moved = np.abs(np.argsort(pts, kind="stable") - np.arange(len(pts)))
    if moved.max() > MAX_REORDER:
        at = float((int(pts[np.argmin(np.diff(pts))]) - int(pts[0])) * time_base)
        raise VideoError(path, f"its time stamps jump back near {at:.2f} s (several recordings in one file?)", RETIME)


def _owner(frame: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Display index of the frame each packet's bytes count to: a hidden picture's to the next shown one."""
    shown = np.flatnonzero(frame >= 0)
    following = shown[np.minimum(np.searchsorted(shown, np.arange(len(frame))), len(shown) - 1)]
    return np.where(hidden, frame[following], frame)


def _closed(pts: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """bool [n]: every shown packet from here on, in decode order, is presented no earlier than this one."""
    later = np.where(shown, pts, np.iinfo(np.int64).max)
    return np.minimum.accumulate(later[::-1])[::-1] >= pts
