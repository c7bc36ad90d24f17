"""Decode the frames that a front end asks for and score their blocks, on several threads, in display order."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import av
import numpy as np

from ..errors import VideoError
from ..geometry import MIN_PIXELS, canvas_size
from ..tokens import MERGE
from ..video.compensate import CELL
from ..video.damage import AGAIN
from ..video.decode import CodedFrame, Linked, decode, room_for
from ..video.parallel import in_order
from ..video.scaler import Scaler
from ..video.signals import (  # fmt: skip
    batch_bits,
    batch_motion,
    batches,
    bits_cell,
    cached_gray,
    linked_frames,
    motion_and_residual,
    motion_size,
)
from ..video.source import Source
from . import scoring
from .pictures import are_good
from .released import ENGINE_CODECS, engine_grid, sub_grid

# assumed: half the canvas size and the nearest reference are enough for a residual that is only ranked; on the clip in
# tests/data block scores of P frames agree with full size and four references at Spearman .986 (full size and two: .998)
RESIDUAL_STEP = 2
AHEAD = 1  # batches that a stretch of video may be ahead of the reader


@dataclass(frozen=True)
class Video:
    """One video as the front ends see it.

    Attributes:
        source: the file.
        height, width: of a canvas in pixels, upright.
        patch_size: pixels; merge: patches on a block's side.
    """

    source: Source
    height: int
    width: int
    patch_size: int
    merge: int = MERGE

    @property
    def block(self) -> int:
        """Pixels on a block's side."""
        return self.merge * self.patch_size

    @property
    def coded_canvas(self) -> tuple[int, int]:
        """(height, width) of the canvas before it is brought upright."""
        return self.source.display.upright_size((self.height, self.width))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A frame ready for selection, upright.

    index: source frame; picture: uint8 [H, W, 3]; scores: float32 [H / block, W / block]; good: not black, flat or damaged;
    damaged: its data is corrupt, or it could not be decoded at all (then the picture is black).
    """

    index: int
    picture: np.ndarray
    scores: np.ndarray
    good: bool
    damaged: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """Decoded frames on their way to the scorer, with all that FFmpeg has to do for them already done.

    linked: the frames; pictures: uint8 [H, W, 3] of each, upright; good: bool [n], see `Candidate`; gray: source index -> uint8
    [h, w] luma at the size of the residual, for each frame and the references it is compared with, coded orientation; motion:
    the frames' vectors, None for a stream without.
    """

    linked: list[Linked]
    pictures: list[np.ndarray]
    good: np.ndarray
    gray: dict[int, np.ndarray]
    motion: Any

    def small(self, frame: CodedFrame) -> np.ndarray:
        """The frame's scaled luma."""
        return self.gray[frame.index]


Scorer = Callable[[Video, Batch], np.ndarray]


def on_canvas(source: Source, max_pixels: int, patch_size: int, min_pixels: int = MIN_PIXELS, merge: int = MERGE) -> Video:
    """The video on the largest canvas that the limits allow."""
    size = canvas_size(*source.display.shown, max_pixels, patch_size, min_pixels, merge)
    return Video(source, *size, patch_size, merge)


def candidates(
    video: Video, targets: np.ndarray, scorer: Scorer | None, workers: int, compares: bool = True, measures: bool = True
) -> Generator[Candidate]:
    """Decode and score the target frames of the source (ascending indices); yields them in that order. No scorer, no scores.

    One that cannot be decoded comes as a black picture with scores of zero.

    `compares` says that the scorer looks at scaled pictures (bits do without), `measures` that it looks at bits.

    FFmpeg's work is done on `workers` threads, numpy's on the caller's: the two hardly ever want the interpreter lock at
    the same time.
    """
    # 1. Split the work into stretches of the file that can be decoded alone
    source, display = video.source, video.source.display
    compares, measures = compares and scorer is not None, measures and scorer is not None
    workers = min(workers, room_for(*source.coded, av.VideoFormat(source.pixel_format)))
    feed, jobs = plan(video, targets, workers)
    threads = max(1, workers // len(jobs))

    # 2. What a thread does with a stretch: decode, link to references, scale, compare
    def work(job) -> Iterator[Batch]:
        start, stop, indices = job
        colour = Scaler(*video.coded_canvas, display.interlaced)
        height, width = video.coded_canvas
        gray = cached_gray(Scaler(height // RESIDUAL_STEP, width // RESIDUAL_STEP))
        frames = decode(source, start, stop, feed, indices if measures else (), threads)
        linked = (
            linked_frames(source, frames, indices) if scorer else (Linked(x, (), None) for x in frames if x.index in indices)
        )
        for batch in batches(linked, source.coded):
            compared = {f.index: f for x in batch for f in (x.frame, *x.past[:1], x.following) if f is not None}
            small = {index: gray(frame) for index, frame in compared.items()} if compares else {}
            pictures = [display.upright(colour.rgb(x.frame.picture)) for x in batch]
            motion = batch_motion(batch, source) if scorer else None
            yield Batch(batch, pictures, are_good(pictures), small, motion)

    # 3. Score in order; a frame that did not decode is an empty, damaged candidate
    expected, nothing = iter(targets.tolist()), None
    with closing(in_order(jobs, work, workers, AHEAD)) as decoded:
        for batch in decoded:
            scores = scorer(video, batch) if scorer else np.zeros((len(batch.linked), 0, 0), np.float32)
            for linked, picture, good, score in zip(batch.linked, batch.pictures, batch.good, scores, strict=True):
                frame, score = linked.frame, display.upright(score)
                nothing = np.zeros_like(picture), np.zeros_like(score)
                yield from (
                    Candidate(i, *nothing, False, True) for i in takewhile(lambda i, end=frame.index: i < end, expected)
                )
                yield Candidate(frame.index, picture, score, bool(good) and not frame.damaged, frame.damaged)
    # 4. Nothing at all, or the rest
    if nothing is None:
        raise VideoError(video.source.path, "none of the frames that are needed can be decoded", AGAIN)
    yield from (Candidate(index, *nothing, False, True) for index in expected)


def plan(video: Video, targets: np.ndarray, workers: int) -> tuple[np.ndarray, list]:
    """Packets to decode, bool [n], and jobs (first packet, end packet, set of target frames) that can run side by side.

    Fed: the references of each segment (from one clean key frame to the next) up to the last target frame in it, the target
    frames, and the key frame behind of leading pictures among them.
    What follows the last target frame, the next reference, is fed too: MPEG-1, 2 and 4 give vectors and quantisers of a
    picture only when that pushes it out, and a proxy's B frames are predicted from it.
    """
    # 1. Which packets hold a frame that is needed, and in which segment they lie
    packets = video.source.packets
    lead = int(video.source.intra)  # there, the frame before may lie in the stretch before
    needed = np.union1d(targets, np.maximum(targets - lead, 0))
    asked = np.isin(packets.frame, needed) & (packets.frame >= 0)
    starts, segment = np.flatnonzero(packets.clean), packets.segment
    # 2. Feed each segment up to its last needed packet, without what nothing depends on
    last = np.full(len(starts), -1)
    np.maximum.at(last, segment[asked], np.flatnonzero(asked))
    upto = np.arange(len(packets)) <= last[segment]
    feed = upto & (segment >= 0) & (packets.needed | asked)
    behind = starts[np.minimum(segment + 1, len(starts) - 1)]
    feed[behind[asked & (np.arange(len(packets)) > behind)]] = True
    # 3. Decoders that hold pictures back need one more reference to give out the last one
    if video.source.codec != "h264":
        references = np.flatnonzero(packets.reference)
        last = references[np.minimum(np.searchsorted(references, last, side="right"), len(references) - 1)].clip(last)
        feed[last[np.unique(segment[asked])]] = True

    # 4. Group the frames into jobs of about equal size that begin at segments
    per_job = -(-len(targets) // (8 * workers))
    position = packets.frame_packet[targets]
    jobs, group = [], []
    for frame, first in zip(targets.tolist(), segment[position].tolist(), strict=True):
        if group and len(group) >= per_job and first != group[-1][1]:
            jobs.append(group)
            group = []
        group.append((frame, first))
    jobs.append(group)
    # 5. A job's first and last packet
    out = []
    for group in jobs:
        frames = {frame for frame, _ in group}
        before = packets.frame_packet[max(min(frames) - lead, 0)]
        out.append((int(starts[segment[before]]), int(max(last[s] for _, s in group)) + 1, frames))
    return feed, out


def score_motion_residual(video: Video, batch: Batch) -> np.ndarray:
    """The paper's block scores, Σ (M̄ + R̄) over canvas pixels: float32 [n, rows, cols], coded orientation.

    A frame without an earlier reference (a clean key frame) scores zero.
    """
    height, width = video.coded_canvas
    out = np.zeros((len(batch.linked), height // video.block, width // video.block), np.float32)
    for i, linked in enumerate(batch.linked):
        if linked.past:
            vectors, residual = motion_and_residual(linked, batch.motion, i, video.source, batch.small, past=1)
            filled: Any = tuple(side / CELL for side in motion_size(video.source))
            moved = scoring.resize_and_sum(scoring.normalize_motion(vectors), height, width, video.block, filled)
            changed = scoring.block_sums(scoring.normalize_residual(residual), video.block // RESIDUAL_STEP)
            out[i] = moved + RESIDUAL_STEP**2 * changed
    return out


def bit_prior(video: Video, batch: Batch, grid: str = "") -> np.ndarray:
    """The bit-cost prior per block, summed over canvas pixels: float32 [n, rows, cols], coded orientation.

    grid: one of the authors' engine's, `released.GRIDS`, as the released chain has it; none keeps the cells of the signal.
    """
    height, width = video.coded_canvas
    out = np.zeros((len(batch.linked), height // video.block, width // video.block), np.float32)
    estimates = batch_bits(batch.linked, video.source, batch.motion)
    maps = {i: bits for i, bits in enumerate(estimates) if bits is not None}
    if maps:
        bits, cell = np.stack(list(maps.values())), bits_cell(video.source)
        filled: Any = tuple(side / size for side, size in zip(video.source.coded, cell, strict=True))
        if grid == "sub" and video.source.codec == "h264":
            bits, filled = sub_grid(bits), None
        elif grid == "adaptive" and video.source.codec in ENGINE_CODECS:
            bits, filled = engine_grid(bits, video.source.codec, video.source.coded, cell), None
        out[list(maps)] = scoring.resize_and_sum(scoring.bit_cost_prior(bits), height, width, video.block, filled)
    return out
