"""Patch-level top-K of the OneVision-Encoder, the ancestor of this project's front ends, for comparison.

Single patches instead of 2x2 blocks: 64 uniform frames, motion and residual averaged 1:1, the best 12.5 % of all patches
chosen at once over the whole video, the first frame kept whole. A 2x2 merge of patches chosen like this joins different
places and times (`split_share`), which is why OV2 chooses blocks.
"""

import numpy as np

from ov2lib.codec import scoring
from ov2lib.codec.released import top_blocks
from ov2lib.tokens import MERGE

KEPT = 0.125  # published: OneVision-Encoder, 8 frames' worth of 64, the whole first frame included


def patch_scores(motion: np.ndarray, residual: np.ndarray, height: int, width: int, patch_size: int) -> np.ndarray:
    """Σ (M̄ + R̄) / 2 over each patch, global motion removed; float32 [height / patch, width / patch].

    Args:
        motion: [rows, cols, 2] in pixels; the frame's median vector is subtracted.
        residual: [h, w] in grey levels, 0 where prediction was right.
        height, width: of the canvas in pixels, to which both maps are resized (nearest neighbour).
    """
    moved = scoring.normalize_motion(motion, subtract_median=True)
    changed = scoring.normalize_residual(residual)
    return sum(scoring.resize_and_sum(part, height, width, patch_size) for part in (moved, changed)) / np.float32(2)


def choose_patches(scores: np.ndarray, kept: float = KEPT) -> np.ndarray:
    """The first frame whole and the highest scores of all others together: int64 [k, 3], (frame, row, col) ascending.

    scores [n, rows, cols]; k is `kept` of all patches, but at least one frame's. Equal scores go to the earlier frame, then
    in raster order.
    """
    frame = scores[0].size
    rest = max(round(kept * scores.size) - frame, 0)
    flat = np.arange(frame)
    if rest:
        flat = np.concatenate([flat, frame + top_blocks(scores[1:], rest)])
    return np.stack(np.unravel_index(flat, scores.shape), axis=1).astype(np.int64)


def split_share(positions: np.ndarray) -> float:
    """Share of the chosen patches whose 2x2 block is not chosen whole; the first frame, kept whole, is left out.

    positions int64 [k, 3]. However such patches are laid out, a 2x2 merge joins them with patches of another place or time.
    """
    rest = positions[positions[:, 0] != positions[0, 0]]
    _, owner, counts = np.unique(rest // [1, MERGE, MERGE], axis=0, return_inverse=True, return_counts=True)
    return float((counts[owner.ravel()] < MERGE**2).mean()) if len(rest) else 0.0
