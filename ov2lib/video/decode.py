"""Decode the frames that are needed, in display order, each with what its bitstream says.

Frames that nothing refers to and nobody asked for are never given to the decoder; decoding starts at clean key frames, so
that parts of a file can be decoded at once. References never reach across a clean key frame, which makes the result the
same whether a file is decoded whole or in parts.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from ..errors import VideoError
from .residual import Reference
from .stream import EXPORTS_VECTORS, MAX_PIXELS, REPAIR, Packets, open_video

PAST = 4  # assumed: earlier reference frames kept at hand
KINDS = {1: "I", 3: "B", 5: "I"}  # FFmpeg's AVPictureType; SI counts as I, and everything else that is predicted as P
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
        picture: the decoded picture.
        vectors: FFmpeg's motion vector records (structured array), or None.
        qp: int32 [mb_rows, mb_cols] quantiser per 16x16 macroblock, or None.
    """

    index: int
    time: float
    kind: str
    size: int
    is_reference: bool
    order: int
    picture: av.VideoFrame
    vectors: np.ndarray | None
    qp: np.ndarray | None

    @cached_property
    def luma(self) -> np.ndarray:
        """uint8 [H, W] at source resolution."""
        fmt = self.picture.format
        if fmt.name.startswith(PLANAR_LUMA) and fmt.components[0].bits == 8:
            return plane(self.picture)
        return plane(VideoReformatter().reformat(self.picture, format="gray", threads=1))

    @cached_property
    def reference(self) -> Reference:
        """The luma prepared for sampled motion compensation."""
        return Reference(self.luma)


@dataclass(frozen=True, eq=False)
class Linked:
    """A frame with its neighbours: earlier references, nearest first, and the next reference in display order."""

    frame: CodedFrame
    past: tuple[CodedFrame, ...]
    following: CodedFrame | None


def plane(picture: av.VideoFrame, number: int = 0) -> np.ndarray:
    """View uint8 [height, width] of a picture's 8-bit plane, without its row padding."""
    p = picture.planes[number]
    return np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width]


def has_vectors(codec: str, packets: Packets) -> bool:
    """Whether this stream carries vectors that stock FFmpeg exports (an all-intra stream has none)."""
    return codec in EXPORTS_VECTORS and not bool(packets.key.all())


def decode(
    path: str | os.PathLike, packets: Packets, start: int = 0, stop: int | None = None, feed=None
) -> Iterator[CodedFrame]:
    """Decode packets [start, stop), yielding frames in display order.

    Args:
        path: the file that `packets` lists.
        start: a clean packet, or 0.
        feed: bool [n], packets to give to the decoder; None gives all. References must be among them.

    Raises:
        VideoError: damaged data, or a picture larger than the limit.
    """
    stop = len(packets) if stop is None else stop
    with open_video(path) as (container, stream):
        context = stream.codec_context
        context.options = {"flags2": "+export_mvs", "export_side_data": "venc_params", "max_pixels": str(MAX_PIXELS)}
        context.copy_opaque = True
        for number, packet in _packets_from(path, container, stream, packets, start):
            if number >= stop:
                break
            if feed is None or feed[number]:
                packet.opaque = (number,)  # a fresh tuple: equal small numbers get lost in PyAV 18
                yield from _pictures(path, packets, context, packet)
        yield from _pictures(path, packets, context, None)


def _packets_from(path, container, stream, packets: Packets, start: int):
    """(number, packet) in decode order from packet `start` on; a seek that misses is repaired by reading from the top."""
    if start:
        container.seek(int(packets.pts[start]), stream=stream)
        number = None
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if number is None:
                time = packet.dts if packet.dts is not None else packet.pts
                at = np.flatnonzero((packets.dts == time) & (packets.size == packet.size)) if time is not None else ()
                if len(at) != 1 or at[0] > start:
                    break
                number = int(at[0])
            if number >= start:
                yield number, packet
            number += 1
        else:
            return
        container.seek(0, stream=stream, any_frame=False)
    for number, packet in enumerate(p for p in container.demux(stream) if p.size):
        if number >= start:
            yield number, packet


def _pictures(path, packets: Packets, context, packet) -> Iterator[CodedFrame]:
    try:
        pictures = context.decode(packet)
    except av.error.FFmpegError as error:
        where = f"{packet.pts * packets.time_base:.2f} s" if packet is not None and packet.pts is not None else "the end"
        raise VideoError(path, f"the video is damaged near {where} ({error.strerror})", REPAIR) from error
    for picture in pictures:
        number = picture.opaque[0]
        index = int(packets.frame[number])
        if index < 0:
            continue
        time = float(packets.frame_times[index])
        if picture.is_corrupt:
            raise VideoError(path, f"the video is damaged near {time:.2f} s", REPAIR)
        yield CodedFrame(
            index=index,
            time=time,
            kind=KINDS.get(int(picture.pict_type), "P"),
            size=int(packets.frame_sizes[index]),
            is_reference=bool(packets.reference[number]),
            order=number,
            picture=picture,
            vectors=_vectors(picture),
            qp=_quantisers(picture),
        )


def _vectors(picture: av.VideoFrame) -> np.ndarray | None:
    data = picture.side_data.get("MOTION_VECTORS")
    return None if data is None else data.to_ndarray()


def _quantisers(picture: av.VideoFrame) -> np.ndarray | None:
    """Read the buffer directly: `qp_map()` is 15 to 30 times slower. Layout: AVVideoEncParams, libavutil."""
    data = picture.side_data.get("VIDEO_ENC_PARAMS")
    if data is None or not data.nb_blocks:
        return None
    blocks = np.frombuffer(data, np.int32, offset=data.blocks_offset).reshape(-1, data.block_size // 4)
    mb_rows, mb_cols = -(-picture.height // 16), -(-picture.width // 16)
    if len(blocks) < mb_rows * mb_cols:
        return None
    rows = len(blocks) // mb_cols  # an interlaced picture is padded to pairs of macroblock rows
    return (data.qp + blocks[: rows * mb_cols, 4]).reshape(rows, mb_cols)


def link(frames: Iterable[CodedFrame], packets: Packets, by_time: bool = False) -> Iterator[Linked]:
    """Give each frame its references, in display order; a B frame waits for the next reference.

    `by_time` is for streams without vectors, where any earlier frame will do: the past is then simply the frames before,
    across key frames too, and nothing waits.
    """
    past: deque[CodedFrame] = deque(maxlen=PAST)
    waiting: list[Linked] = []
    for frame in frames:
        if by_time:
            yield Linked(frame, tuple(past), None)
            past.appendleft(frame)
            continue
        restart = bool(packets.clean[frame.order])
        if frame.is_reference:
            yield from (Linked(w.frame, w.past, None if restart else frame) for w in waiting)
            waiting.clear()
        if restart:
            past.clear()
        linked = Linked(frame, tuple(p for p in past if p.order < frame.order), None)
        if frame.kind == "B" or waiting:
            waiting.append(linked)
        else:
            yield linked
        if frame.is_reference:
            past.appendleft(frame)
    yield from waiting


class Scaler:
    """Scales pictures of one video to one size, keeping its FFmpeg contexts (PyAV 16 to 18 leak one that is made anew).

    Args:
        height, width: of the result in pixels, even.
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self._scale, self._color, self._gray = VideoReformatter(), VideoReformatter(), VideoReformatter()

    def rgb(self, picture: av.VideoFrame) -> np.ndarray:
        """uint8 [height, width, 3], bicubic. Scaled first and coloured then: a quarter of the time of both at once."""
        small = self._scale.reformat(
            picture, self.width, self.height, "yuv420p", interpolation=Interpolation.BICUBIC, threads=1
        )
        return self._color.reformat(small, format="rgb24", threads=1).to_ndarray()

    def gray(self, picture: av.VideoFrame) -> np.ndarray:
        """uint8 [height, width] luma, averaged over the area each pixel covers."""
        return plane(self._gray.reformat(picture, self.width, self.height, "gray", interpolation=Interpolation.AREA, threads=1))


def display_turns(path: str | os.PathLike, packets: Packets) -> int:
    """Quarter turns counter-clockwise (numpy.rot90's sense) that bring a coded frame upright, 0 to 3."""
    first = int(np.flatnonzero(packets.clean)[0])
    for frame in decode(path, packets, first):
        return round(frame.picture.rotation / 90) % 4
    raise VideoError(path, "no frame can be decoded from it", REPAIR)
