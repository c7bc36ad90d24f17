"""What a codec says of each frame: motion, residual, quantisers and bits, streamed in display order."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..geometry import canvas_size
from .bits import LOG2, estimate_bits
from .compensate import MovedBy, compensated_residual
from .decode import Linked, Scaler, decode, link
from .display import Display
from .motion import QUARTER, MotionField, motion_field
from .search import BLOCK, block_search
from .source import Source
from .stream import EXPORTS_VECTORS

BATCH = 16  # frames whose vectors are worked on together
BATCH_BYTES = 1 << 24  # and no more once this much of decoded pictures is held


@dataclass(frozen=True, eq=False)
class FrameSignals:
    """One frame and its codec signals, upright (turned and mirrored as it is shown). Axes: rows downwards, columns to the
    right, from 0. Pixels are those of the source, whatever their aspect; only the canvas has square ones.

    Attributes:
        index: display order, from 0.
        time: presentation time in seconds, the first frame at 0.
        kind: "I", "P" or "B".
        size: bytes of its packet(s).
        damaged: its data is corrupt, and part of it a guess.
        luma: uint8 [H, W] at source resolution.
        motion: float32 [rows, cols, 2] in source pixels, (x, y), +x right, +y down: where a cell was predicted from minus
            where it is (content that moves right by d reads -d), list 0 (past references); cells are 8x8 source pixels,
            intra cells 0. None where the frame has no vectors. From a block search for codecs that export none.
        motion_future: the same for list 1 (future references); None but for B frames.
        qp: int32 [mb_rows, mb_cols], quantiser per 16x16 macroblock: 0 to 51 in H.264 (on the scale of 8-bit video), 1 to 31
            in MPEG-4; None where unknown.
        residual: float32 [h, w] at canvas size, luma minus its motion-compensated prediction, 0 where they agree; None for
            a frame without an earlier reference.
        bits: float32 [mb_rows, mb_cols], estimated bits per macroblock, summing to the packet; from a block search (one
            value per 8x8 canvas pixels) for codecs that export nothing. None for those where there is no earlier frame.
    """

    index: int
    time: float
    kind: str
    size: int
    damaged: bool
    luma: np.ndarray
    motion: np.ndarray | None
    motion_future: np.ndarray | None
    qp: np.ndarray | None
    bits: np.ndarray | None
    _residual: Callable[[], np.ndarray | None] = field(repr=False)

    @cached_property
    def residual(self) -> np.ndarray | None:
        """See the class; computed when first asked for, since it costs more than all else together."""
        return self._residual()


def read_signals(
    path: str | os.PathLike | Source, *, size: tuple[int, int] | None = None, stream: int | None = None, damaged: str = "skip"
) -> Iterator[FrameSignals]:
    """Stream every frame of a video with its codec signals, in display order; memory does not grow with the video.

    Frames that cannot be decoded are left out, so that indices may have gaps in a damaged file.

    Args:
        path: any video file that FFmpeg reads, or one that is open.
        stream, damaged: see `Source.open`.
        size: (height, width) in pixels at which the residual is computed, upright; the default canvas for None.

    Raises:
        VideoError: the file cannot be read as video.
    """
    source = Source.of(path, stream, damaged)
    display, coded, vectors = source.display, source.coded, source.vectors
    scaler = Scaler(*display.upright_size(size or canvas_size(*display.shown)))
    frames = link(decode(source), source.packets, by_time=not vectors)
    for batch in batches(frames, coded):
        motion = batch_motion(batch, coded) if vectors else None
        gray = cached_gray(scaler)
        bits = batch_bits(batch, source.codec, gray, motion)
        for i, linked in enumerate(batch):
            yield _frame_signals(linked, motion, i, bits[i], display, gray)
    source.damage.warn()


def _frame_signals(linked: Linked, motion: MotionField | None, i: int, bits, display: Display, gray) -> FrameSignals:
    coded, frame, past, future = display.coded, linked.frame, None, None
    searched = motion_and_residual(linked, None, i, coded, gray) if motion is None and linked.past else None
    if searched is not None:
        past = searched[0]
    elif motion is not None and frame.vectors is not None:
        past = motion.vector[i, 0].astype(np.float32) / QUARTER
        if motion.bidirectional[i]:
            future = motion.vector[i, 1].astype(np.float32) / QUARTER

    def upright(grid):
        return None if grid is None else display.upright(grid)

    def residual() -> np.ndarray | None:
        if not linked.past:
            return None
        return upright((searched or motion_and_residual(linked, motion, i, coded, gray))[1])

    return FrameSignals(
        index=frame.index,
        time=frame.time,
        kind=frame.kind,
        size=frame.size,
        damaged=frame.damaged,
        luma=upright(frame.luma),
        motion=None if past is None else display.upright_vectors(past),
        motion_future=None if future is None else display.upright_vectors(future),
        qp=upright(frame.qp),
        bits=upright(bits),
        _residual=residual,
    )


def batches(frames: Iterator[Linked], coded: tuple[int, int]) -> Iterator[list[Linked]]:
    """Group frames for joint work: at most 16, fewer where they and their references take more than `BATCH_BYTES`.

    coded: (height, width) of a coded frame in pixels.
    """
    limit = BATCH_BYTES // (coded[0] * coded[1] * 3 // 2)
    batch, held = [], set()
    for linked in frames:
        batch.append(linked)
        held.update(id(f) for f in (linked.frame, *linked.past, linked.following) if f is not None)
        if len(batch) == BATCH or len(held) >= limit:
            yield batch
            batch, held = [], set()
    if batch:
        yield batch


def batch_motion(batch: list[Linked], coded: tuple[int, int]) -> MotionField:
    """The exported vectors of a batch as dense fields."""
    return motion_field([x.frame.vectors for x in batch], *(-(-side // 16) for side in coded))


def cached_gray(scaler: Scaler) -> Callable:
    """A function frame -> scaled luma uint8 that scales each frame once (references are asked for again and again)."""
    small = {}

    def gray(frame) -> np.ndarray:
        if frame.index not in small:
            small[frame.index] = scaler.gray(frame.picture)
        return small[frame.index]

    return gray


def motion_and_residual(
    linked: Linked, motion: MotionField | None, i: int, coded: tuple[int, int], gray: Callable, past: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [rows, cols, 2] in source pixels (list 0) and signed residual float32 [h, w], coded orientation.

    Args:
        linked: a frame with at least one earlier reference.
        motion: the vectors of its batch, in which it is number `i`; None searches blocks instead.
        coded: (height, width) of the coded frame in pixels.
        gray: gives a frame's luma at the size of the residual.
        past: how many earlier references to try; a frame with a later one takes one on either side.
    """
    picture = gray(linked.frame)
    if motion is None:
        vectors, residual = block_search(picture, gray(linked.past[0]))
        return vectors * np.array([coded[1] / picture.shape[1], coded[0] / picture.shape[0]], np.float32), residual
    vector, used = motion.vector[i], motion.used[i]
    earlier = linked.past[: 1 if linked.following is not None else past]
    references = [MovedBy(gray(frame), vector[0], used[0]) for frame in earlier]
    if linked.following is not None:
        references.append(MovedBy(gray(linked.following), vector[1], used[1]))
    return vector[0].astype(np.float32) / QUARTER, compensated_residual(picture, references, coded)


def batch_bits(batch: list[Linked], codec: str | None, gray: Callable, motion: MotionField | None) -> list[np.ndarray | None]:
    """Bits per macroblock of each frame, float32: estimated from the bitstream and its vectors, or for codecs that say nothing
    from a block search. None where a frame of the former kind lacks its quantisers."""
    if codec not in EXPORTS_VECTORS:
        return [searched_bits(x, gray) for x in batch]
    told = [x for x in batch if x.frame.qp is not None]
    if motion is None or len(told) < len(batch):
        motion = motion_field([x.frame.vectors for x in told], *told[0].frame.qp.shape) if told else None
    estimates = iter(estimate_bits(told, motion, codec) if told else ())
    return [next(estimates) if x.frame.qp is not None else None for x in batch]


def searched_bits(linked: Linked, gray: Callable) -> np.ndarray | None:
    """A coarse guess where the stream tells nothing: the residual of a block search, log-compressed, scaled to the packet.

    float32, one value per 8x8 pixels of the scaled picture; None for a frame without an earlier one.
    """
    if not linked.past:
        return None
    _, residual = block_search(gray(linked.frame), gray(linked.past[0]))
    rows, cols = (-(-side // BLOCK) for side in residual.shape)
    cost = LOG2.take(np.abs(residual).astype(np.intp))
    cost = np.pad(cost, ((0, rows * BLOCK - cost.shape[0]), (0, cols * BLOCK - cost.shape[1])))
    cost = cost.reshape(rows, BLOCK, cols, BLOCK).sum(axis=(1, 3)) + 1
    return (cost * (8 * linked.frame.size / cost.sum())).astype(np.float32)
