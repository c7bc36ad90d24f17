"""What a codec says of each frame: motion, residual, quantisers and bits, streamed in display order."""

import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..errors import Ov2Error, whole_number
from ..files import path_text
from ..geometry import canvas_size
from .bits import estimate_bits
from .compensate import MovedBy, compensated_residual
from .decode import CodedFrame, Linked, decode, link
from .motion import QUARTER, MotionField, motion_field
from .parallel import usable_cores
from .proxy import proxied, proxy_size
from .scaler import Scaler
from .source import Source

BATCH = 16  # frames whose vectors are worked on together
BATCH_BYTES = 3 << 21  # and no more once this much of decoded pictures is held; several batches are under way at once
MAX_SIDE = 1 << 13  # assumed: of a residual, in pixels; a side of 8K video


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
            intra cells 0. None where the frame has no vectors. Codecs that export none have those of a proxy; of a large
            picture it is smaller, and so are its cells.
        motion_future: the same for list 1 (future references); None but for B frames.
        qp: int32 [mb_rows, mb_cols], quantiser per 16x16 macroblock: 0 to 51 in H.264 (on the scale of 8-bit video), 1 to 31
            in MPEG-4; None where unknown.
        residual: float32 [h, w] at canvas size, luma minus its motion-compensated prediction, 0 where they agree; None for
            a frame without an earlier reference.
        bits: float32 [mb_rows, mb_cols], estimated bits per macroblock (of the source, or of its proxy), summing to the packet.
        profile: float32 [rows, cols], bits per unit (16x16 to 128x128 pixels) as the sizes of slices, tiles and rows say, exact
            for each of these and even within it; nothing is decoded for it. None where a picture is coded in one piece.
        origins: where motion, residual, qp and bits come from: "exported", "proxy" or "none".
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
    profile: np.ndarray | None
    origins: dict[str, str]
    _residual: Callable[[], np.ndarray | None] = field(repr=False)

    @cached_property
    def residual(self) -> np.ndarray | None:
        """See the class; computed when first asked for, since it costs more than all else together."""
        return self._residual()


def read_signals(
    path: str | os.PathLike | Source, *, size: tuple[int, int] | None = None, stream: int | None = None, damaged: str = "skip"
) -> Iterator[FrameSignals]:
    """Stream every frame of a video with its codec signals, in display order; memory does not grow with the video.

    >>> frame = next(read_signals("tests/data/beach_360x640_h264.mp4"))
    >>> frame.kind, frame.size, frame.qp.shape
    ('I', 8384, (40, 23))

    Frames that cannot be decoded are left out, so that indices may have gaps in a damaged file.

    Args:
        path: any video file that FFmpeg reads, or one that is open.
        stream, damaged: see `Source.open`.
        size: (height, width) in pixels at which the residual is computed, upright; the default canvas for None.

    Raises:
        VideoError: the file cannot be read as video.
        Ov2Error: an argument that makes no sense.
    """
    # 1. Check what was given, and open the file
    if size is not None:
        if not isinstance(size, tuple | list) or len(size) != 2:
            raise Ov2Error(f"size={size!r}; must be (height, width)")
        size = whole_number("height of size", size[0], 1), whole_number("width of size", size[1], 1)
        if max(size) > MAX_SIDE:
            raise Ov2Error(f"size={size}; must be at most {MAX_SIDE} on a side")
    source = path if isinstance(path, Source) else Source.open(path_text(path, Ov2Error), stream, damaged)
    # 2. Decode; work out the vectors and bits of some frames together
    scaler = Scaler(*source.display.upright_size(size or canvas_size(*source.display.shown)))
    frames = decode(source, measured=range(len(source.packets.frame_packet)), threads=usable_cores())
    for batch in batches(linked_frames(source, frames), source.coded):
        motion, gray = batch_motion(batch, source), cached_gray(scaler)
        for i, (linked, bits) in enumerate(zip(batch, batch_bits(batch, source, motion), strict=True)):
            yield _frame_signals(linked, motion, i, bits, source, gray)
    source.damage.warn()


def linked_frames(source: Source, frames: Iterator[CodedFrame], targets: Container[int] | None = None) -> Iterator[Linked]:
    """The frames `targets` (None: all), with their references, vectors exported or from a proxy."""
    if source.origins["motion"] == "proxy":
        frames = proxied(frames, proxy_size(source.coded), targets, source.intra)
    return (x for x in link(frames) if x.frame.target and (targets is None or x.frame.index in targets))


def motion_size(source: Source) -> tuple[int, int]:
    """(height, width) in pixels of the pictures that the vectors belong to."""
    return proxy_size(source.coded) if source.origins["motion"] == "proxy" else source.coded


def bits_cell(source: Source) -> tuple[float, float]:
    """(height, width) in coded pixels of what a value of `batch_bits` stands for."""
    size = source.coded if source.origins["bits"] == "exported" else motion_size(source)
    return 16 * source.coded[0] / size[0], 16 * source.coded[1] / size[1]


def _frame_signals(linked: Linked, motion: MotionField, i: int, bits, source: Source, gray) -> FrameSignals:
    # 1. All is brought upright
    display, frame = source.display, linked.frame
    original = frame.original or frame

    def upright(grid):
        return None if grid is None else display.upright(grid)

    def vectors(which: int, known: bool) -> np.ndarray | None:
        return display.upright_vectors(motion.vector[i, which] * (scale_of(source) / QUARTER)) if known else None

    def residual() -> np.ndarray | None:
        return upright(motion_and_residual(linked, motion, i, source, gray)[1]) if linked.past else None

    # 2. What the frame has, of its proxy only the vectors
    has_vectors = frame.vectors is not None
    return FrameSignals(
        index=frame.index, time=frame.time, kind=original.kind, size=frame.size, damaged=frame.damaged,
        luma=upright(frame.luma), motion=vectors(0, has_vectors),
        motion_future=vectors(1, has_vectors and motion.bidirectional[i]), qp=upright(original.qp), bits=upright(bits),
        profile=upright(frame.marginals and frame.marginals.profile), origins=source.origins, _residual=residual,
    )  # fmt: skip


def scale_of(source: Source) -> np.ndarray:
    """float32 [2], coded pixels per pixel of the vectors, (x, y)."""
    size = motion_size(source)
    return np.array([source.coded[1] / size[1], source.coded[0] / size[0]], np.float32)


def batches(frames: Iterator[Linked], coded: tuple[int, int]) -> Iterator[list[Linked]]:
    """Group frames for joint work: at most 16, fewer where they and their references take more than `BATCH_BYTES`.

    coded: (height, width) of a coded frame in pixels.
    """
    limit = BATCH_BYTES // (coded[0] * coded[1] * 3 // 2)
    batch, pictures = [], set()
    for linked in frames:
        batch.append(linked)
        pictures.update(id(f) for f in (linked.frame, *linked.past, linked.following) if f is not None)
        if len(batch) == BATCH or len(pictures) >= limit:
            yield batch
            batch, pictures = [], set()
    if batch:
        yield batch


def batch_motion(batch: list[Linked], source: Source) -> MotionField:
    """The vectors of a batch, and behind them those of its `leaned_on` frames, as dense fields."""
    frames = [*batch, *leaned_on(batch, source)]
    return motion_field([x.frame.vectors for x in frames], *(-(-side // 16) for side in motion_size(source)))


def leaned_on(batch: list[Linked], source: Source) -> list[Linked]:
    """Frames whose bits the estimate of the batch's B frames needs, but that are not in the batch: only with a proxy."""
    if source.origins["bits"] == "exported":
        return []
    anchors = {x.anchor.frame.index: x.anchor for x in batch if x.anchor}
    for linked in batch:
        anchors.pop(linked.frame.index, None)
    return list(anchors.values())


def cached_gray(scaler: Scaler) -> Callable:
    """A function frame -> scaled luma uint8 that scales each frame once (references are asked for again and again)."""
    small = {}

    def gray(frame) -> np.ndarray:
        if frame.index not in small:
            small[frame.index] = scaler.gray(frame.picture)
        return small[frame.index]

    return gray


def motion_and_residual(
    linked: Linked, motion: MotionField, i: int, source: Source, gray: Callable, past: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [rows, cols, 2] in source pixels (list 0) and signed residual float32 [h, w], coded orientation.

    Args:
        linked: a frame with at least one earlier reference.
        motion: the vectors of its batch, in which it is number `i`.
        gray: gives a frame's luma at the size of the residual.
        past: how many earlier references to try; a frame with a later one takes one on either side.
    """
    # 1. The references, with the vectors that lead to them
    vector, used = motion.vector[i], motion.used[i]
    earlier = linked.past[: 1 if linked.following is not None else past]
    references = [MovedBy(gray(frame), vector[0], used[0]) for frame in earlier]
    if linked.following is not None:
        references.append(MovedBy(gray(linked.following), vector[1], used[1]))
    # 2. What they leave
    residual = compensated_residual(gray(linked.frame), references, motion_size(source))
    return vector[0] * (scale_of(source) / QUARTER), residual


def batch_bits(batch: list[Linked], source: Source, motion: MotionField) -> list[np.ndarray | None]:
    """Bits of each frame, float32, on cells of `bits_cell`: estimated from what FFmpeg exports of it or of its proxy, scaled
    to its packet and to the exact bytes of its parts. None where an exporting decoder lacks the frame's quantisers."""
    # 1. Frames with quantisers; where all is intra, the stream's own, without the vectors of its proxy
    frames = [*batch, *leaned_on(batch, source)]
    own = source.exported and source.origins["motion"] == "proxy"
    if own:
        frames = [replace(x, frame=x.frame.original or x.frame, past=()) for x in frames]
    known = [x for x in frames if x.frame.qp is not None]
    if not known:
        return [None] * len(batch)
    # 2. Their bits, from the vectors of these very frames
    if own or len(known) < len(frames):
        motion = motion_field([x.frame.vectors for x in known], *known[0].frame.qp.shape)  # type: ignore[union-attr]
    estimates = estimate_bits(known, motion, source.codec if source.exported else "h264")
    bits = {x.frame.index: estimate for x, estimate in zip(known, estimates, strict=True)}
    return [_fitted(x, bits, source) for x in batch]


def _fitted(linked: Linked, bits: dict[int, np.ndarray], source: Source) -> np.ndarray | None:
    """The estimate of one frame as `batch_bits` gives it.

    B frames of a proxy are its weakest: half of their estimate is that of the picture before, scaled. On the clip of `proxy`
    that takes them from .49 to .53, and with the bytes of rows from .54 to .58.
    """
    frame, before = linked.frame, linked.anchor.frame if linked.anchor else None
    estimate = bits.get(frame.index)
    if estimate is None:
        return None
    if before and before.index in bits and not source.exported:
        estimate = (estimate + bits[before.index] * np.float32(frame.size / before.size)) / 2
    return estimate if frame.marginals is None else frame.marginals.fit(estimate, bits_cell(source))
