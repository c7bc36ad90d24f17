"""Decode the frames that are needed, in display order, each with what its bitstream says.

Frames that nothing refers to and nobody asked for are never given to the decoder; decoding starts at clean key frames, so
that parts of a file can be decoded at once. But for leading pictures, references never reach across a clean key frame, which
makes the result the same whether a file is decoded whole or in parts.
"""

from collections import deque
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice

import av
import numpy as np
from av.sidedata.encparams import VideoEncParamsType
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import Interpolation, VideoReformatter

from ..errors import VideoError
from .headers import H264
from .marginals import Marginals, marginals_reader
from .packets import Packets
from .residual import PaddedLuma
from .scaler import plane, side_data
from .source import Source
from .stream import ERRORS, LIMITS, coded_packets, decode_packet, open_video

HELD_BYTES = 3 << 26  # assumed: 192 MiB of pictures wait for others; 16 of 3840x2160, only one of 8000x8000 in RGB
PAST = 3  # assumed: earlier reference frames kept at hand (a fourth moved the P estimate's rank agreement by .0001)
KINDS = {1: "I", 3: "B", 5: "I"}  # FFmpeg's AVPictureType; SI counts as I, and everything else that is predicted as P
UNSPECIFIED = 2  # FFmpeg's AVCOL_SPC_UNSPECIFIED
MATRICES = (0, 1, UNSPECIFIED, 4, 5, 6, 7, 9)  # measured with FFmpeg 8: the AVColorSpace values that its scaler converts
PLANAR_LUMA = ("yuv", "nv12", "nv21", "gray")  # pixel formats whose first plane is luma


@dataclass(frozen=True, eq=False)
class CodedFrame:
    """One decoded frame and what the bitstream says of it, in coded orientation (before rotation).

    Attributes:
        index: display order, from 0.
        time: presentation time in seconds, the first frame at 0.
        kind: "I", "P" or "B".
        size: bytes of its packet(s).
        is_reference: later frames may be predicted from it.
        order: decode order.
        damaged: its data is corrupt, and part of it a guess.
        picture: the decoded picture.
        cropped: whole macroblocks (columns, rows) that the codec cuts off on the left and at the top. Vectors and quantisers
            are without them; where the cut goes through a macroblock, their grid begins that much beside the picture.
        scaled: to the size of the first picture, so that vectors and quantisers no longer fit.
        restart: nothing shown from here on needs anything before (a clean key frame).
        target: the frame is read for itself, not as another's reference.
        marginals: exact bytes of its parts, None where they were not asked for or it is coded in one piece.
        original: of a frame with a proxy (see `proxy`), the frame as decoded; small: its luma at the proxy's size; coding: the
            proxy's picture, of which vectors and quantisers are read.
    """

    index: int
    time: float
    kind: str
    size: int
    is_reference: bool
    order: int
    damaged: bool
    picture: av.VideoFrame
    cropped: tuple[int, int] = (0, 0)
    scaled: bool = False
    restart: bool = False
    target: bool = True
    marginals: Marginals | None = None
    original: "CodedFrame | None" = None
    small: av.VideoFrame | None = None
    coding: av.VideoFrame | None = None

    @cached_property
    def _side_data(self) -> SideDataContainer:
        return side_data(self.coding or self.picture)

    @cached_property
    def vectors(self) -> np.ndarray | None:
        """FFmpeg's motion vector records (structured array), or None, as for the last frame of MPEG-4 with reordering."""
        data = None if self.scaled else self._side_data.get("MOTION_VECTORS")
        if data is None or not any(self.cropped):
            return None if data is None else data.to_ndarray()
        vectors = data.to_ndarray().copy()
        for name in ("src_x", "src_y", "dst_x", "dst_y"):
            vectors[name] -= 16 * self.cropped[name.endswith("y")]
        return vectors

    @cached_property
    def qp(self) -> np.ndarray | None:
        """int32 [mb_rows, mb_cols] quantiser per 16x16 macroblock (H.264: on the scale of 8-bit video), or None likewise."""
        return None if self.scaled else quantisers(self._side_data, self.coding or self.picture, self.cropped)

    @cached_property
    def luma(self) -> np.ndarray:
        """uint8 [H, W] at source resolution, the upper 8 bits where samples have more."""
        fmt, bits = self.picture.format, self.picture.format.components[0].bits
        if fmt.name.startswith(PLANAR_LUMA) and bits == 8:
            return plane(self.picture)
        if fmt.name.startswith(PLANAR_LUMA) and fmt.name.endswith("le"):
            return (plane(self.picture, np.dtype("<u2")) >> (bits - 8)).astype(np.uint8)
        return plane(VideoReformatter().reformat(self.picture, format="gray", threads=1))

    @cached_property
    def padded(self) -> PaddedLuma:
        """The luma, or that of the proxy, with its edges repeated."""
        return PaddedLuma(plane(self.small) if self.small else self.luma)


@dataclass(frozen=True, eq=False)
class Linked:
    """A frame with its neighbours.

    past: earlier references, nearest first; following: the next reference in display order; anchor: for a B frame, the last
    I or P frame shown before it, itself linked.
    """

    frame: CodedFrame
    past: tuple[CodedFrame, ...]
    following: CodedFrame | None
    anchor: "Linked | None" = None


def room_for(height: int, width: int, pixel_format: av.VideoFormat) -> int:
    """How many decoded pictures of this size may be held at a time, at least one."""
    return max(1, HELD_BYTES // (height * width * pixel_format.padded_bits_per_pixel // 8 or 1))


def decode(
    source: Source,
    start: int = 0,
    stop: int | None = None,
    feed: np.ndarray | None = None,
    measured: Container[int] = (),
    threads: int = 1,
) -> Iterator[CodedFrame]:
    """Decode packets [start, stop), yielding frames in display order.

    What cannot be decoded is left out and told to `source.damage`. A picture of another size than the first is scaled to
    the first one's, without vectors and quantisers.

    Args:
        start: a clean packet, or 0. Leading pictures of it are left to who decodes the part before.
        feed: bool [n], packets to give to the decoder; None gives all. References must be among them.
        measured: frames whose `marginals` are wanted.
        threads: for the decoder of a stream of which it exports nothing; else it has one (FFmpeg's frame threading corrupts
            exported vectors and quantisers).

    Raises:
        VideoError: damage, where it is to be refused; or the file changed.
    """
    # 1. Which packets to feed, and which frames they should give
    packets, damage = source.packets, source.damage
    stop = len(packets) if stop is None else stop
    feed = (True if feed is None else feed) & (packets.segment >= packets.segment[start])
    awaited = np.zeros(len(packets.frame_packet), bool)
    awaited[packets.frame[start:stop][feed[start:stop] & (packets.frame[start:stop] >= 0)]] = True
    last, scaler, failed = -1, VideoReformatter(), ""
    with _opened_at(source, start) as (stream, numbered):
        # 2. A decoder that exports what it can
        context = stream.codec_context
        _configure(stream, source, threads)
        reader = marginals_reader(stream) if measured else None
        left, top = H264(context.extradata).crop if context.name == "h264" else (0, 0)
        # 3. Packet by packet, and None at the end for the frames that the decoder still holds
        for packet in chain(_fed(numbered, source, start, stop, feed), [None]):
            if packet is not None and reader and (packet.is_keyframe or packets.frame[packet.opaque[0]] in measured):
                packet.opaque = (packet.opaque[0], reader(packet))
            pictures, error = decode_packet(context, packet)
            failed = failed or error
            for frame in _frames(packets, pictures, (left // 16, top // 16)):
                if frame.kind == "I" and source.display.turns_away(frame.picture):
                    damage.note("is turned another way later; shown as it begins")
                if frame.index <= last:  # a second picture for the same time, which nobody sees, or one come too late
                    continue
                last, awaited[frame.index] = frame.index, False
                if frame.damaged:
                    damage.of_frame(frame.index, frame.time, "its data is corrupt")
                if (frame.picture.height, frame.picture.width) != (size := source.coded):
                    smooth = Interpolation.BILINEAR
                    picture = scaler.reformat(frame.picture, size[1], size[0], interpolation=smooth, threads=1)
                    frame = replace(frame, picture=picture, scaled=True)
                yield frame
            if packet is None:
                context.flush_buffers()
    # 4. Frames that never came
    for index in np.flatnonzero(awaited).tolist():
        damage.of_frame(index, packets.frame_times[index], failed or "it cannot be decoded")


def _configure(stream, source: Source, threads: int) -> None:
    context = stream.codec_context
    context.options = LIMITS | {"flags": "+unaligned"}  # else FFmpeg leaves part of what is to be cropped on the left
    if source.exported:
        context.options |= {"flags2": "+export_mvs", "export_side_data": "venc_params"}
    elif threads > 1:
        stream.thread_type, context.thread_count = "AUTO", threads
    context.copy_opaque = True


@contextmanager
def _opened_at(source: Source, start: int):
    """The opened stream, and its (number, packet) pairs from packet `start` on, in decode order.

    Containers seek by presentation or by decode time, and some land too late; reading from the top always works.
    """
    # 1. Seek, and see which packet that leads to
    path, packets = source.path, source.packets
    for ticks in (packets.pts[start], packets.dts[start]) if start and packets.ordered else ():
        with open_video(path, source.stream) as (container, stream):
            try:
                container.seek(int(ticks), stream=stream)
            except ERRORS:
                continue  # a stream without an index
            coded = coded_packets(container, stream)
            landed = next(coded, None)
            at = () if landed is None else np.flatnonzero((packets.pts == landed.pts) & (packets.size == landed.size))
            if len(at) == 1 and at[0] <= start:
                yield stream, _from(path, packets, start, enumerate(chain([landed], coded), int(at[0])))
                return
    # 2. Or read from the top
    with open_video(path, source.stream) as (container, stream):
        yield stream, _from(path, packets, start, enumerate(coded_packets(container, stream)))


def _from(path, packets: Packets, start: int, numbered):
    for number, packet in numbered:
        if number >= len(packets) or packet.size != packets.size[number]:
            raise VideoError(path, "the file changed while it was read", "wait until it is complete")
        if number >= start:
            yield number, packet


def _fed(numbered, source: Source, start: int, stop: int, feed: np.ndarray) -> Iterator[av.Packet | None]:
    """The packets before `stop` that are to be decoded, each carrying its number.

    None stands where the decoder has to begin anew: at a clean key frame behind references that were left out. Unless it
    is an IDR picture, H.264 and HEVC would count its place in display order on from the last reference, and get it wrong.
    """
    packets, gap = source.packets, False
    for number, packet in numbered:
        if number >= stop:
            return
        if feed[number]:
            if gap and packets.clean[number]:
                yield None
            if source.preamble and number and (number == start or gap and packets.clean[number]):
                packet = _behind(source.preamble, packet)
            gap = False
            packet.opaque = (number, None)  # a fresh tuple: equal small numbers get lost in PyAV 18
            yield packet
        gap |= bool(packets.needed[number] and not feed[number])


def _behind(preamble: bytes, packet: av.Packet) -> av.Packet:
    """The packet with `preamble` in front of its data."""
    out = av.Packet(preamble + bytes(packet))
    out.pts, out.dts, out.time_base, out.is_keyframe = packet.pts, packet.dts, packet.time_base, packet.is_keyframe
    return out


def _frames(packets: Packets, pictures: Iterable[av.VideoFrame], cropped: tuple[int, int]) -> Iterator[CodedFrame]:
    """What the decoder put out, with what is known of it; hidden pictures are left out."""
    for picture in pictures:
        if picture.opaque is None or packets.frame[picture.opaque[0]] < 0:
            continue
        if picture.colorspace not in MATRICES:  # a rare one or a damaged header: FFmpeg's scaler would refuse the picture
            picture.colorspace = UNSPECIFIED
        number, marginals = picture.opaque
        index, kind = int(packets.frame[number]), KINDS.get(int(picture.pict_type), "P")
        yield CodedFrame(
            index, time=float(packets.frame_times[index]), kind=kind, size=int(packets.frame_sizes[index]),
            is_reference=bool(packets.reference[number]), order=number, damaged=bool(picture.is_corrupt),
            picture=picture, cropped=cropped, restart=bool(packets.clean[number]), marginals=marginals,
        )  # fmt: skip


def quantisers(attached: SideDataContainer, picture: av.VideoFrame, cropped: tuple[int, int]) -> np.ndarray | None:
    """Read the buffer directly: `qp_map()` is 15 to 30 times slower. Layout: AVVideoEncParams, libavutil.

    There is a record for every macroblock that was coded, those that were cropped away (and the padding of an interlaced
    picture to pairs of rows) included.
    """
    data, mpeg = attached.get("VIDEO_ENC_PARAMS"), VideoEncParamsType.MPEG2
    if data is None or data.codec_type not in (VideoEncParamsType.H264, mpeg):
        return None  # VP9 exports a base quantiser that means something else
    # 1. The records as a map of macroblocks, cut to those that are shown
    blocks = np.frombuffer(data, np.int32, offset=data.blocks_offset).reshape(-1, data.block_size // 4)
    columns = int(blocks[-1, 0]) // 16 + 1 if len(blocks) else 1  # fields: x, y, width, height, offset of the quantiser
    (first_col, first_row), mb_rows, mb_cols = cropped, -(-picture.height // 16), -(-picture.width // 16)
    coded = blocks[: len(blocks) // columns * columns, 4].reshape(-1, columns)
    delta = coded[first_row : first_row + mb_rows, first_col : first_col + mb_cols]
    if delta.shape != (mb_rows, mb_cols):
        return None
    # 2. Exported from the lowest quantiser up, which is -12 for 10 bits of H.264, and in half units for MPEG-4
    if data.codec_type == mpeg:
        return (delta + data.qp) // 2
    return delta + (data.qp - 6 * (picture.format.components[0].bits - 8))


def link(frames: Iterable[CodedFrame]) -> Iterator[Linked]:
    """Give each frame its references, in display order; a B frame waits for the next reference."""
    past: deque[CodedFrame] = deque()
    room = 2 * PAST  # twice as many: those decoded after a frame are not its references
    waiting: list[Linked] = []
    anchor = None
    for frame in frames:
        # 1. A reference is what B frames before it wait for; a clean key frame ends all references but of leading pictures
        if frame.is_reference:
            for w in waiting:
                yield replace(w, following=None if frame.restart and w.frame.order < frame.order else frame)
            waiting.clear()
        if frame.restart:
            past.clear()
            anchor = None
        # 2. The frame with its earlier references
        is_b, before = frame.kind == "B", tuple(islice((p for p in past if p.order < frame.order), PAST))
        linked = Linked(frame, before, None, anchor if is_b else None)
        anchor = anchor if is_b else linked
        if is_b or waiting:
            waiting.append(linked)
        else:
            yield linked
        # 3. Keep it for those that follow, as far as memory allows
        if frame.is_reference:
            room = min(room, room_for(frame.picture.height, frame.picture.width, frame.picture.format))
            past.appendleft(frame)
            while len(past) > room:
                past.pop()
    yield from waiting
