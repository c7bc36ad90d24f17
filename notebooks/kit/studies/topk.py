"""Patch-level top-K of the OneVision-Encoder, the ancestor of this project's front ends, for comparison.

Single patches instead of 2x2 blocks: 64 uniform frames, motion and residual averaged 1:1, the best 12.5 % of all patches
chosen at once over the whole video, the first frame kept whole. A 2x2 merge of patches chosen like this joins different
places and times (`split_share`), which is why OV2 chooses blocks.
"""

import os
from dataclasses import dataclass

import numpy as np

from ov2lib.codec import scoring
from ov2lib.codec.analysis import Batch, Video, candidates, on_canvas
from ov2lib.codec.released import candidate_frames, top_blocks
from ov2lib.errors import Ov2Error
from ov2lib.tokens import MERGE
from ov2lib.video.parallel import usable_cores
from ov2lib.video.signals import motion_and_residual
from ov2lib.video.source import Source

FRAMES = 64  # published: OneVision-Encoder
KEPT = 0.125  # published: OneVision-Encoder, 8 frames' worth of 64, the whole first frame included


@dataclass(frozen=True, eq=False)
class TopPatches:
    """Patches chosen one by one.

    Attributes:
        frames: int64 [n], source frame indices.
        pictures: uint8 [n, H, W, 3].
        scores: float32 [n, H / patch, W / patch].
        positions: int64 [k, 3], (source frame index t, patch row, patch column) of the chosen, ascending.
        patch_size: pixels.
    """

    frames: np.ndarray
    pictures: np.ndarray
    scores: np.ndarray
    positions: np.ndarray
    patch_size: int


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
    _, owner, chosen = np.unique(rest // [1, MERGE, MERGE], axis=0, return_inverse=True, return_counts=True)
    return float((chosen[owner.ravel()] < MERGE**2).mean()) if len(rest) else 0.0


def top_patches(
    path: str | os.PathLike, num_frames: int = FRAMES, kept: float = KEPT, max_pixels: int = 153_664, patch_size: int = 14
) -> TopPatches:
    """Choose the patches of a video. Arguments and errors as `tokenize_video`; `num_frames` uniform frames, `kept` a share."""
    if num_frames < 1 or not 0 < kept <= 1:
        raise Ov2Error(f"num_frames={num_frames}, kept={kept}; at least one frame, and a share between 0 and 1")
    source = Source.open(path)
    video = on_canvas(source, max_pixels, patch_size)
    wanted = candidate_frames(len(source.packets.frame_times), num_frames)
    found = list(candidates(video, wanted, _score_batch, usable_cores(), measures=False))
    source.damage.warn()
    scores = np.stack([f.scores for f in found])
    chosen = choose_patches(scores, kept)
    chosen[:, 0] = wanted[chosen[:, 0]]
    return TopPatches(wanted, np.stack([f.picture for f in found]), scores, chosen, patch_size)


def _score_batch(video: Video, batch: Batch) -> np.ndarray:
    """`patch_scores` of a batch, float32 [n, rows, cols], coded orientation; zero without an earlier reference."""
    height, width = video.coded_canvas
    out = np.zeros((len(batch.linked), height // video.patch_size, width // video.patch_size), np.float32)
    for i, linked in enumerate(batch.linked):
        if linked.past:
            maps = motion_and_residual(linked, batch.motion, i, video.source, batch.small, past=1)
            out[i] = patch_scores(*maps, height, width, video.patch_size)
    return out
