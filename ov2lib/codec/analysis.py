"""Decode the frames that a front end asks for and score their blocks, on several threads, in display order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..tokens import MERGE
from ..video.bits import estimate_bits
from ..video.compensate import MovedBy, compensated_residual
from ..video.decode import Linked, Scaler, decode, has_vectors, link
from ..video.motion import MotionField, motion_field
from ..video.parallel import in_order
from ..video.search import block_search
from ..video.stream import Packets
from . import scoring
from .pictures import is_good

RESIDUAL_STEP = 2  # assumed: the residual is taken at half the canvas size; block scores agree with full size at Spearman .98
BATCH = 16  # frames whose vectors are worked on together
BATCH_BYTES = 1 << 25  # and at most this much of decoded pictures
AHEAD = 64  # results that a thread may be ahead of the reader


@dataclass(frozen=True)
class Video:
    """One video as the front ends see it.

    Attributes:
        path, codec: of the file; packets: its packets.
        height, width: of a canvas in pixels, upright.
        turns: quarter turns counter-clockwise that bring a coded frame upright.
        coded: (height, width) of a coded frame in pixels.
        patch_size: pixels.
    """

    path: str
    codec: str
    packets: Packets
    height: int
    width: int
    turns: int
    coded: tuple[int, int]
    patch_size: int

    @property
    def block(self) -> int:
        """Pixels on a block's side."""
        return MERGE * self.patch_size

    @property
    def coded_canvas(self) -> tuple[int, int]:
        """(height, width) of the canvas before it is turned upright."""
        return (self.width, self.height) if self.turns % 2 else (self.height, self.width)

    @property
    def vectors(self) -> bool:
        """Whether the stream carries motion vectors that can be had."""
        return has_vectors(self.codec, self.packets)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A frame ready for selection, upright.

    index: source frame; picture: uint8 [H, W, 3]; scores: float32 [H / block, W / block]; good: not black, flat or corrupt.
    """

    index: int
    picture: np.ndarray
    scores: np.ndarray
    good: bool


Scorer = Callable[[Video, list[Linked], Scaler], np.ndarray]


def candidates(video: Video, wanted: np.ndarray, scorer: Scorer, workers: int) -> Iterator[Candidate]:
    """Decode and score the wanted source frames (ascending indices); yields them in that order."""

    def work(job) -> Iterator[Candidate]:
        start, stop, indices = job
        colour = Scaler(*video.coded_canvas)
        residual = Scaler(*(side // RESIDUAL_STEP for side in video.coded_canvas))
        frames = link(decode(video.path, video.packets, start, stop, feed), video.packets, not video.vectors)
        for batch in _batches((x for x in frames if x.frame.index in indices), video):
            for linked, score in zip(batch, scorer(video, batch, residual), strict=True):
                picture = np.rot90(colour.rgb(linked.frame.picture), video.turns)
                turned = np.ascontiguousarray(np.rot90(score, video.turns))
                yield Candidate(linked.frame.index, np.ascontiguousarray(picture), turned, is_good(picture))

    feed, jobs = plan(video, wanted, workers)
    return in_order(jobs, work, workers, AHEAD)


def plan(video: Video, wanted: np.ndarray, workers: int) -> tuple[np.ndarray, list]:
    """Packets to decode, bool [n], and jobs (first packet, end packet, set of wanted frames) that can run side by side.

    Fed: the references of each stretch between clean key frames up to the last wanted frame in it, and the wanted frames.
    """
    packets = video.packets
    needed = wanted if video.vectors else np.union1d(wanted, np.maximum(wanted - 1, 0))
    asked = np.isin(packets.frame, needed) & (packets.frame >= 0)
    starts = np.flatnonzero(packets.clean)
    segment = np.searchsorted(starts, np.arange(len(packets)), side="right") - 1
    last = np.full(len(starts), -1)
    np.maximum.at(last, segment[asked], np.flatnonzero(asked))
    upto = np.arange(len(packets)) <= last[segment]
    feed = upto & (segment >= 0) & (packets.reference | asked)

    per_job = -(-len(wanted) // (8 * workers))
    position = packets.frame_packet[wanted]
    jobs, group = [], []
    for frame, first in zip(wanted.tolist(), segment[position].tolist(), strict=True):
        if group and len(group) >= per_job and first != group[-1][1]:
            jobs.append(group)
            group = []
        group.append((frame, first))
    jobs.append(group)
    lead = 0 if video.vectors else 1  # the frame before may lie in the stretch before
    out = []
    for group in jobs:
        frames = {frame for frame, _ in group}
        before = packets.frame_packet[max(min(frames) - lead, 0)]
        out.append((int(starts[segment[before]]), int(max(last[s] for _, s in group)) + 1, frames))
    return feed, out


def _batches(frames, video: Video) -> Iterator[list[Linked]]:
    size = max(1, min(BATCH, BATCH_BYTES // (video.coded[0] * video.coded[1] * 3 // 2)))
    batch = []
    for linked in frames:
        batch.append(linked)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def score_motion_residual(video: Video, batch: list[Linked], scaler: Scaler) -> np.ndarray:
    """The paper's block scores, Σ (M̄ + R̄) over canvas pixels: float32 [n, rows, cols], coded orientation."""
    height, width = video.coded_canvas
    small = {}

    def gray(frame) -> np.ndarray:
        if frame.index not in small:
            small[frame.index] = scaler.gray(frame.picture)
        return small[frame.index]

    motion = _field(video, batch) if video.vectors else None
    out = []
    for i, linked in enumerate(batch):
        vectors, residual = signals(video, linked, motion, i, gray)
        moved = scoring.resize_and_sum(scoring.normalize_motion(vectors), height, width, video.block)
        changed = scoring.block_sums(scoring.normalize_residual(residual), video.block // RESIDUAL_STEP)
        out.append(moved + RESIDUAL_STEP**2 * changed)
    return np.stack(out)


def _field(video: Video, batch: list[Linked]) -> MotionField:
    rows, cols = (-(-side // 16) for side in video.coded)
    rows = max([rows] + [len(x.frame.qp) for x in batch if x.frame.qp is not None])
    return motion_field([x.frame.vectors for x in batch], rows, cols)


def signals(video: Video, linked: Linked, motion: MotionField | None, i: int, gray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [rows, cols, 2] in source pixels (list 0) and signed residual float32 [h, w] of one frame.

    A frame without an earlier reference (a clean key frame) has neither: both are zero.
    """
    picture = gray(linked.frame)
    if not linked.past:
        return np.zeros((1, 1, 2), np.float32), np.zeros(picture.shape, np.float32)
    if motion is None:
        vectors, residual = block_search(picture, gray(linked.past[0]))
        return vectors * np.array([video.coded[1] / picture.shape[1], video.coded[0] / picture.shape[0]], np.float32), residual
    vector, used = motion.vector[i], motion.used[i]
    # nearest two for P; for B the nearest on either side
    past = linked.past[: 1 if linked.following is not None else 2]
    references = [MovedBy(gray(f), vector[0], used[0], motion.scale) for f in past]
    if linked.following is not None:
        references.append(MovedBy(gray(linked.following), vector[1], used[1], motion.scale))
    residual = compensated_residual(picture, references, video.coded)
    return vector[0].astype(np.float32) / motion.scale, residual


def score_bits(video: Video, batch: list[Linked], scaler: Scaler) -> np.ndarray:
    """The bit-cost prior per block, summed over canvas pixels: float32 [n, rows, cols], coded orientation."""
    height, width = video.coded_canvas
    bits = frame_bits(video, batch, scaler)
    return scoring.resize_and_sum(scoring.bit_cost_prior(bits), height, width, video.block)


def frame_bits(video: Video, batch: list[Linked], scaler: Scaler) -> np.ndarray:
    """Bits per macroblock float32 [n, rows, cols]: estimated from the bitstream, or from a block search without one."""
    if video.vectors and all(x.frame.qp is not None for x in batch):
        return estimate_bits(batch, video.codec)
    return np.stack([searched_bits(x, scaler) for x in batch])


def searched_bits(linked: Linked, scaler: Scaler) -> np.ndarray:
    """A coarse guess where the stream tells nothing: residual of a block search, log-compressed, scaled to the packet.

    float32, one value per 16x16 canvas pixels. A frame without an earlier one is spread evenly.
    """
    picture = scaler.gray(linked.frame.picture)
    residual = block_search(picture, scaler.gray(linked.past[0].picture))[1] if linked.past else np.zeros(picture.shape)
    rows, cols = (-(-side // 8) for side in picture.shape)
    padded = np.pad(np.log2(1 + np.abs(residual)), ((0, rows * 8 - len(residual)), (0, cols * 8 - residual.shape[1])))
    cost = scoring.block_sums(padded.astype(np.float32), 8) + 1
    return cost * np.float32(8 * linked.frame.size / cost.sum())
