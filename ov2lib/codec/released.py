"""The released front end's selection ("readiness"): what the published 8B checkpoint is fed at inference.

It is not the paper's method section: scores are bit cost alone, groups grow until the scores of their best blocks reach a
threshold, and a group's blocks are its global top. Rules and constants come from the authors' package codec-video-prep
(0.2.5), read for behaviour; all of them are *published* there and none in the paper.
"""

from dataclasses import dataclass

import numpy as np

WINDOW = 32  # frames in a threshold window, and candidate frames per group of four canvases
MIN_FRAMES, MAX_FRAMES = 8, 64  # a group's frames (the paper's evaluation grew groups to 128)
MIN_WINDOW = 4  # a threshold window shorter than this is left out
TIME_BINS = 3  # a group's chosen blocks must touch all of them
MIN_GAIN = 0.05  # a ready group keeps growing while its sum grows by at least this share
GRIDS = ("adaptive", "sub")  # published: H.264 macroblocks and units of 64 pixels; 4x4 cells, as in the paper's evaluation
UNIT = 64  # pixels, the unit of HEVC and VP9 bit maps (the paper's evaluation used a 4x4 grid inside it)
ENGINE_CODECS = ("h264", "hevc", "vp9")  # what the engine reads
SHIFTS = 4  # a sample on a key frame looks this far to either side


def sub_grid(bits: np.ndarray) -> np.ndarray:
    """Bits of H.264 macroblocks [..., rows, cols] spread evenly over their 4x4 cells, float32 [..., 4 rows, 4 cols].

    The grid "sub" of the paper's evaluation. It has no unused column.
    """
    return bits.repeat(4, axis=-2).repeat(4, axis=-1) / np.float32(16)


def engine_grid(bits: np.ndarray, codec: str, coded: tuple[int, int], cell: tuple[float, float]) -> np.ndarray:
    """Bits [..., rows, cols] on the grid on which the authors' engine reports them for `ENGINE_CODECS`, float32.

    H.264: macroblocks, with one unused column on the right (FFmpeg's stride), which takes part in the resize to the canvas.
    HEVC and VP9: units of 64x64 source pixels, summed from a finer grid of cells of (height, width) pixels.
    """
    if codec == "h264":
        return np.concatenate([bits, np.zeros_like(bits[..., :1])], axis=-1)
    for axis, side, size in zip((-2, -1), coded, cell, strict=True):
        centres = np.minimum((np.arange(bits.shape[axis]) + 0.5) * size, side - 1)
        _, first = np.unique(centres // UNIT, return_index=True)
        bits = np.add.reduceat(bits, first, axis=axis)
    return bits


def candidate_frames(num_frames: int, num_candidates: int, key_frames: np.ndarray | None = None) -> np.ndarray:
    """Indices of the candidate frames, int64 [at most num_frames], ascending.

    Uniform ints of linspace(0, T-1, N). With `key_frames` (indices) a sample on one moves to the nearest other frame, +1
    before -1, then ±2 up to ±4, and places lost to duplicates are refilled, nearest to a chosen frame first, then nearest
    to the middle of the video.
    """
    # 1. Spread evenly, as int(linspace)
    count = min(num_candidates, num_frames)
    picks = np.linspace(0, num_frames - 1, count).astype(np.int64)
    if key_frames is None or not len(key_frames):
        return picks
    # 2. Move picks off key frames, to the nearest frame within reach
    is_key = np.zeros(num_frames, dtype=bool)
    is_key[key_frames] = True
    for i in np.flatnonzero(is_key[picks]):
        nearby = (picks[i] + sign * step for step in range(1, SHIFTS + 1) for sign in (1, -1))
        picks[i] = next((f for f in nearby if 0 <= f < num_frames and not is_key[f]), picks[i])
    # 3. Picks that met leave gaps: fill them with the frame closest to a pick, then to the middle
    frames = np.unique(picks)
    free = np.setdiff1d(np.arange(num_frames), np.union1d(frames, np.flatnonzero(is_key)))
    after = np.searchsorted(frames, free)
    gap_right = np.abs(frames[np.minimum(after, len(frames) - 1)] - free)
    gap_left = np.abs(free - frames[np.maximum(after - 1, 0)])
    order = np.lexsort((free, np.abs(free - num_frames // 2), np.minimum(gap_left, gap_right)))
    frames = np.union1d(frames, free[order[: count - len(frames)]])
    # 4. Fill the rest with key frames
    keys_left = np.setdiff1d(np.flatnonzero(is_key), frames)  # only a video of nearly nothing but key frames gets here
    return np.union1d(frames, keys_left[: count - len(frames)])


@dataclass(frozen=True)
class ReadinessGroup:
    """One group: candidates [start, end), the sum of its best blocks, and why it ended.

    `stop` is "gain" (ready, and growing paid less than 5 %), "ready" (ready, grown to the limit) or "limit" (never ready).
    """

    start: int
    end: int
    top_sum: float
    stop: str


def top_sum(scores: np.ndarray, budget: int) -> float:
    """Sum of the `budget` highest block scores of frames [n, blocks], the group's first frame left out."""
    flat = scores[1:].ravel()
    return _sum(flat[top_blocks(flat, budget)])


def _sum(scores: np.ndarray) -> float:
    """Their sum, the highest first: the same for the same scores in any order."""
    return float(np.sort(scores)[::-1].sum(dtype=np.float32))


def readiness_threshold(scores: np.ndarray, budget: int) -> float:
    """Mean of `top_sum` over consecutive windows of 32 candidate frames; scores float32 [n, blocks] -> block-score units."""
    windows = [scores[i : i + WINDOW] for i in range(0, len(scores), WINDOW)]
    sums = [top_sum(window, budget) for window in windows if len(window) >= MIN_WINDOW]
    return float(np.mean(sums)) if sums else 0.0


def build_groups(scores: np.ndarray, budget: int, threshold: float, max_frames: int = MAX_FRAMES) -> list[ReadinessGroup]:
    """Cut candidates into groups of 8 to `max_frames` frames, each ended where its blocks are worth the threshold.

    scores float32 [n, blocks]; `budget` blocks per group. An end is accepted when the sum reaches the threshold and the
    chosen blocks touch all three time bins; growth stops at the first accepted end that gained less than 5 % on the end
    before it, else the last accepted one counts; with none accepted the group takes the maximum. A tail of fewer than
    eight frames is dropped.
    """
    # 1. Groups grow from where the last one ended, while enough frames are left
    groups, start = [], 0
    while len(scores) - start >= MIN_FRAMES:
        limit = min(len(scores), start + max_frames)
        flat, blocks, known = scores[start:limit].ravel(), scores.shape[1], 1  # the first frame's blocks do not count
        selection, before, accepted, stop = np.zeros(0, int), None, None, "limit"
        # 2. Add a frame at a time and keep the best blocks so far
        for end in range(start + MIN_FRAMES, limit + 1):
            frames = end - start
            selection = np.append(selection, np.arange(known * blocks, frames * blocks))
            selection, known = selection[top_blocks(flat[selection], budget)], frames
            # 3. Ready: the blocks are worth enough and come from enough of the group; grow on while the gain is large
            total, bins = _sum(flat[selection]), _touched_bins(selection, frames, blocks)
            if total >= threshold and bins >= TIME_BINS:
                accepted, stop = (end, total), "ready"
                if before is not None and (total - before) / max(abs(before), 1e-6) < MIN_GAIN:
                    stop = "gain"
                    break
            before = total
        # 4. Close the group
        end, total = accepted or (limit, before)
        groups.append(ReadinessGroup(start, end, total, stop))
        start = end
    return groups


def _touched_bins(selection: np.ndarray, frames: int, blocks: int) -> int:
    """The number of a group's time bins with at least one chosen block (flat indices, ascending)."""
    length = (max(2, frames) - 1) / TIME_BINS
    starts = [int(1 + i * length) * blocks for i in range(1, TIME_BINS)]
    ends = [0, *np.searchsorted(selection, starts), len(selection)]
    return sum(first < last for first, last in zip(ends, ends[1:], strict=False))


def top_blocks(scores: np.ndarray, budget: int) -> np.ndarray:
    """Flat indices, ascending, of the `budget` highest scores; equal scores go to the lower index (earlier, higher, left)."""
    flat = scores.ravel()
    if budget >= flat.size:
        return np.arange(flat.size)
    cut = np.partition(flat, flat.size - budget)[flat.size - budget]
    above = np.flatnonzero(flat > cut)
    ties = np.flatnonzero(flat == cut)[: budget - len(above)]
    return np.sort(np.concatenate([above, ties]))


def select_blocks(scores: np.ndarray, budget: int, good: np.ndarray) -> tuple[int, np.ndarray]:
    """The whole frame and the blocks of one group.

    Args:
        scores: float32 [n, blocks] of the group's candidate frames in time order.
        budget: blocks to choose, (4 - 1) canvases' worth.
        good: bool [n], False for black, one-colour or corrupt frames: never the whole frame, and no block is taken from one.

    Returns:
        (index of the first good frame, or 0; blocks int64 [k, 2] as (frame, block), ascending).
    """
    anchor = int(np.argmax(good))
    usable = np.flatnonzero(good)
    usable = usable[usable != anchor]
    flat = top_blocks(scores[usable], budget)
    return anchor, np.stack([usable[flat // scores.shape[1]], flat % scores.shape[1]], axis=1)
