"""What must be true of every set of visual tokens made from a video."""

import hashlib
import json
from pathlib import Path

import numpy as np

from ov2lib.tokens import MERGE, VisualTokens
from ov2lib.video.decode import decode
from ov2lib.video.scaler import Scaler
from ov2lib.video.source import Source

BEACH = Path(__file__).parents[1] / "data" / "beach_360x640_h264.mp4"


def digest(tokens: VisualTokens) -> str:
    """A digest of everything that a front end decides."""
    parts = [tokens.canvases, tokens.patch_positions, tokens.group_ids, tokens.frame_times]
    text = json.dumps([tokens.fps, tokens.patch_size, tokens.kind, tokens.config], sort_keys=True)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts) + text.encode()).hexdigest()


def source_patches(tokens: VisualTokens) -> np.ndarray:
    """Read every listed patch from its source frame again: uint8 [n*h*w, patch, patch, 3], padding black."""
    path, patch = tokens.source, tokens.patch_size
    (rows, cols), source = tokens.grid, Source.open(path)
    display = source.display
    scaler = Scaler(*display.upright_size((rows * patch, cols * patch)), display.interlaced)
    out = np.zeros((len(tokens.patch_positions), patch, patch, 3), np.uint8)
    t, row, col = tokens.patch_positions.T
    for frame in decode(source):
        mine = np.flatnonzero(t == frame.index)
        if len(mine):
            picture = display.upright(scaler.rgb(frame.picture))
            tiles = picture.reshape(rows, patch, cols, patch, 3).swapaxes(1, 2)
            out[mine] = tiles[row[mine], col[mine]]
    return out


def packed_patches(tokens: VisualTokens) -> np.ndarray:
    """Every patch of the canvases in raster order: uint8 [n*h*w, patch, patch, 3]."""
    (rows, cols), patch = tokens.grid, tokens.patch_size
    tiles = tokens.canvases.reshape(-1, rows, patch, cols, patch, 3).swapaxes(2, 3)
    return tiles.reshape(-1, patch, patch, 3)


def check_positions(tokens: VisualTokens) -> None:
    """Positions address real patches; padding is -1 throughout and never half a canvas; time never runs back."""
    (rows, cols), positions = tokens.grid, tokens.patch_positions
    used = positions[:, 0] >= 0
    assert (positions[~used] == -1).all()
    assert (positions[used] >= 0).all() and (positions[used] < [len(tokens.frame_times), rows, cols]).all()
    assert (used.reshape(len(tokens.canvases), -1).mean(axis=1) > 0.5).all()
    stream = positions[tokens.merge_order]
    assert (np.diff(stream[stream[:, 0] >= 0, 0]) >= 0).all()


def check_blocks(tokens: VisualTokens) -> None:
    """Each merge block is one 2x2 block of one frame, and no block comes twice in a group."""
    blocks = tokens.patch_positions[tokens.merge_order].reshape(-1, MERGE**2, 3)
    groups = np.repeat(tokens.group_ids, len(blocks) // len(tokens.canvases))
    used = blocks[:, 0, 0] >= 0
    within = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    np.testing.assert_array_equal(blocks[used] - blocks[used][:, :1], np.tile(within, (used.sum(), 1, 1)))
    assert (blocks[used][:, 0, 1:] % MERGE == 0).all()
    keys = np.column_stack([groups[used], blocks[used][:, 0]])
    assert len(np.unique(keys, axis=0)) == len(keys)


def check_groups(tokens: VisualTokens) -> None:
    """Groups are numbered from 0 without gaps; each has one whole frame; their frames do not overlap in time."""
    assert np.unique(tokens.group_ids).tolist() == list(range(tokens.group_ids[-1] + 1))
    t = tokens.patch_positions[:, 0].reshape(len(tokens.canvases), -1)
    spans = [t[tokens.group_ids == group] for group in range(tokens.group_ids[-1] + 1)]
    assert all((np.ptp(span, axis=1) == 0).any() for span in spans)
    bounds = np.array([[span[span >= 0].min(), span.max()] for span in spans])
    assert (bounds[1:, 0] > bounds[:-1, 1]).all()


def check_codec_tokens(tokens: VisualTokens) -> None:
    """All invariants of codec-stream tokens, the pixels included."""
    n, height, width, _ = tokens.canvases.shape
    assert tokens.num_tokens == n * height * width // (MERGE * tokens.patch_size) ** 2
    check_positions(tokens)
    check_blocks(tokens)
    check_groups(tokens)
    np.testing.assert_array_equal(packed_patches(tokens), source_patches(tokens))
