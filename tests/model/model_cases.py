"""What the tests of the model share: the golden cases, and canvases with chosen source frames."""

from pathlib import Path

import numpy as np
import torch

from ov2lib import VisualTokens

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
TINY = GOLDEN / "tiny_p14m2"
CASES = ("image", "frames_one_video", "frames_one_row_each", "image_and_video", "codec_canvases")
VISUAL = ("pixel_values", "image_grid_thw", "patch_positions")


def visual(golden: dict[str, torch.Tensor], case: str) -> dict[str, torch.Tensor]:
    """The visual inputs of a golden case."""
    return {name: golden[f"{case}.{name}"] for name in VISUAL}


def strip(frames: list[list[int]], kind: str = "codec", fps: float = 10.0, groups: list[int] | None = None) -> VisualTokens:
    """Canvases one block high: canvas i holds one 2x2 block of each source frame in frames[i]; -1 is padding."""
    source = np.repeat(np.asarray(frames), 2, axis=1)[:, None].repeat(2, axis=1)  # [n, 2, columns]
    n, _, columns = source.shape
    rows = np.broadcast_to(np.arange(2)[:, None], source.shape)
    places = np.stack([source, rows, np.broadcast_to(np.arange(columns), source.shape)], axis=-1)
    places = np.where(source[..., None] < 0, -1, places).reshape(-1, 3).astype(np.int64)
    pixels = np.random.default_rng(n * columns).integers(0, 256, (n, 28, 14 * columns, 3), dtype=np.uint8)
    ids = np.arange(n) // 4 if groups is None else np.asarray(groups)
    return VisualTokens(pixels, places, ids, fps, np.arange(max(1, source.max() + 1)) / fps, 14, kind)
