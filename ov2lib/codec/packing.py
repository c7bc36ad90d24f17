"""Which blocks of a group are packed, on which P-canvas, and where they lie (equations 5 and 6)."""

from collections.abc import Sequence

import numpy as np

from ..tokens import MERGE

ATTENUATION = 0.35  # published: codec-video-prep (λ)
PEAK_WEIGHT = 0.35  # published: codec-video-prep (α)
WEIGHT_FLOOR = 1e-6  # published: codec-video-prep


def attenuate(scores: np.ndarray, attenuation: float = ATTENUATION) -> np.ndarray:
    """Ã = A / √(1 + λ·rank), rank from 0 by descending score inside each frame; scores [n, blocks], float64 out.

    The more blocks a frame has given, the less its next one counts, so that one busy frame does not fill a canvas. Equal
    scores rank in raster order.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(scores.shape[1])[None, :], axis=1)
    return scores / np.sqrt(1 + attenuation * ranks)


def frame_weights(attenuated: np.ndarray, peak: float = PEAK_WEIGHT) -> np.ndarray:
    """w_t = Σ Ã + α·max Ã over each frame's blocks, at least 1e-6; [n, blocks] -> [n]."""
    return np.maximum(attenuated.sum(axis=1) + peak * attenuated.max(axis=1), WEIGHT_FLOOR)


def cumulative_share(weights: np.ndarray) -> np.ndarray:
    """F(t_m) = Σ_{j ≤ m} w_j / Σ w, frames in time order; the last one is 1."""
    total = np.cumsum(weights)
    return total / total[-1]


def interval_of(share: np.ndarray, canvases: int) -> np.ndarray:
    """P-canvas r - 1 (from 0) that each frame feeds: F in [(r-1)/n, r/n); F = 1 belongs to the last."""
    return np.minimum((share * canvases + 1e-9).astype(np.int64), canvases - 1)


def choose_blocks(
    attenuated: np.ndarray, canvases: int, capacity: int, usable: np.ndarray | None = None, peak: float = PEAK_WEIGHT
) -> list[np.ndarray]:
    """Draw `capacity` blocks for each P-canvas from the frames in its interval of F (equation 6).

    Args:
        attenuated: Ã [n, blocks] of candidate frames in time order, non-negative.
        canvases: n, the number of P-canvases.
        usable: bool [blocks], False for blocks that are never taken (letterbox bars).

    Where an interval has too few blocks, the intervals beside it are drawn on, then the whole group. No block is used
    twice. Equal scores go to the earlier frame, then in raster order.

    Returns:
        per canvas, flat indices (frame · blocks + block) ascending.
    """
    frames, blocks = attenuated.shape
    interval = interval_of(cumulative_share(frame_weights(attenuated, peak)), canvases)
    order = np.argsort(-attenuated.ravel(), kind="stable")
    owner = interval[order // blocks]
    free = np.ones(len(order), bool) if usable is None else usable[order % blocks]
    selection = []
    for r in range(canvases):
        picked = np.zeros(0, np.int64)
        for reach in (0, 1, canvases):
            pool = np.flatnonzero(free & (np.abs(owner - r) <= reach))[: capacity - len(picked)]
            free[pool] = False
            picked = np.concatenate([picked, order[pool]])
            if len(picked) == capacity:
                break
        selection.append(np.sort(picked))
    return selection


def arrange(
    attenuated: np.ndarray,
    before_anchor: int,
    canvases: int,
    capacity: int,
    usable: np.ndarray | None = None,
    peak: float = PEAK_WEIGHT,
) -> tuple[list[np.ndarray], int]:
    """P-canvases of a group around its anchor frame: (blocks per canvas, how many canvases come before the I-canvas).

    The prompt needs source times that never decrease, while the I-canvas stays one whole frame. So no P-canvas reaches
    across the anchor: the canvases are split between the frames before and after it in proportion to their weight, and
    each side is divided by equation 6 (assumed: the paper does not say how the two rules meet). A canvas that could not
    be filled beyond half is left out.

    Args:
        attenuated: Ã [n, blocks] of the candidate frames in time order, the anchor excluded.
        before_anchor: how many of them come before the anchor.
    """
    blocks = attenuated.shape[1] if usable is None else int(usable.sum())
    room = [canvases_filled(count * blocks, capacity) for count in (before_anchor, len(attenuated) - before_anchor)]
    canvases = min(canvases, sum(room))
    if canvases == 0:
        return [], 0
    share = cumulative_share(frame_weights(attenuated, peak))[before_anchor - 1] if before_anchor else 0.0
    before = int(np.clip(round(canvases * share), canvases - room[1], room[0]))
    selection = []
    for start, stop, count in ((0, before_anchor, before), (before_anchor, len(attenuated), canvases - before)):
        if count:
            side = choose_blocks(attenuated[start:stop], count, capacity, usable, peak)
            flat = np.sort(np.concatenate(side)) + start * attenuated.shape[1]  # time order runs on from canvas to canvas
            selection += [flat[i * capacity : (i + 1) * capacity] for i in range(count)]
    return selection, before


def canvases_filled(blocks: int, capacity: int) -> int:
    """The number of canvases for `blocks` blocks; the last is kept only if it is more than half full."""
    return (blocks + (capacity - 1) // 2) // capacity


def place_blocks(
    pictures: Sequence[np.ndarray], times: np.ndarray, selection: np.ndarray, patch_size: int, merge: int = MERGE
) -> tuple[np.ndarray, np.ndarray]:
    """Copy blocks onto one canvas in raster order.

    Args:
        pictures: candidate frames at canvas size, uint8 [H, W, 3] each.
        times: int64 [n], their source frame indices.
        selection: flat indices (frame · blocks + block) in the order of placement, at most as many as the canvas holds.
        merge: patches on a block's side.

    Returns:
        canvas uint8 [H, W, 3] (unfilled places black) and positions int64 [H / patch, W / patch, 3] (unfilled -1).
    """
    height, width, _ = pictures[0].shape
    side = merge * patch_size
    rows, cols = height // side, width // side
    frame, block = np.divmod(selection, rows * cols)
    source_row, source_col = np.divmod(block, cols)
    row, col = np.divmod(np.arange(len(selection)), cols)
    canvas = np.zeros((rows, side, cols, side, 3), np.uint8)
    for number in np.unique(frame):
        mine = frame == number
        tiles = pictures[number].reshape(rows, side, cols, side, 3)
        canvas[row[mine], :, col[mine]] = tiles[source_row[mine], :, source_col[mine]]
    positions = np.full((rows, merge, cols, merge, 3), -1, np.int64)
    within = np.arange(merge)
    positions[row, :, col, :, 0] = times[frame][:, None, None]
    positions[row, :, col, :, 1] = (source_row * merge)[:, None, None] + within[:, None]
    positions[row, :, col, :, 2] = (source_col * merge)[:, None, None] + within
    return canvas.reshape(height, width, 3), positions.reshape(rows * merge, cols * merge, 3)


def whole_frame(time: int, height: int, width: int, patch_size: int) -> np.ndarray:
    """Positions int64 [H / patch, W / patch, 3] of a canvas that is one whole frame."""
    rows, cols = height // patch_size, width // patch_size
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), axis=-1)
    return np.concatenate([np.full((rows, cols, 1), time), grid], axis=-1).astype(np.int64)
