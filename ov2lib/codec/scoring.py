"""Block scores: motion, residual and bit cost, each on its robust scale, summed over 2x2 patch blocks.

S = M̄ + R̄ per pixel (the paper), where M̄ and R̄ are clipped at the frame's 95th percentile; a block's score is the sum
over its pixels. The bit-cost prior lives on the same blocks. Every function takes and returns plain arrays.

No sum is a matrix product: its order of additions, and so its last digit, depends on the processor, and its threads wait by
spinning, so that a neighbour's load slows it down. Lengths are square roots, which are exact, and not `hypot`, which is not.
"""

from functools import lru_cache

import numpy as np

from .logarithm import log1p

PERCENTILE = 95.0  # published: codec-video-prep (the paper says "robust frame-level percentile")
RESIDUAL_FLOOR = 1.0  # published: codec-video-prep, in grey levels
MOTION_FLOOR = 1e-6  # published: codec-video-prep, in pixels
BIT_PERCENTILE = 99.0  # published: codec-video-prep
BIT_FLOOR = 1e-6  # published: codec-video-prep


def percentile(values: np.ndarray, q: float, axes: int | None = None) -> np.ndarray:
    """The q-th percentile, linear between neighbours: numpy's default rule at a fraction of its time.

    Over all values (a scalar), or over the last `axes` axes (kept, with length 1).
    """
    lead = values.shape[: values.ndim - axes] if axes else ()
    flat = values.reshape(*lead, -1)
    place = (flat.shape[-1] - 1) * q / 100
    low = int(place)
    if not axes:
        flat, low = _upper_part(flat, low)
    high = min(low + 1, flat.shape[-1] - 1)
    part = np.partition(flat, (low, high), axis=-1)
    result = part[..., low] + (part[..., high] - part[..., low]) * np.float32(place - int(place))
    return result.reshape(*lead, *(1,) * axes) if axes else result


def _upper_part(flat: np.ndarray, rank: int) -> tuple[np.ndarray, int]:
    """A smaller array in which the value of this rank is found at another rank: most values are left out unsorted.

    A sample says below which value the wanted one cannot be, or it is not used.
    """
    sample = np.sort(flat[::16])
    bound = sample[max(len(sample) * rank // len(flat) - len(sample) // 32, 0)]
    upper = flat[flat >= bound]
    left_out = len(flat) - len(upper)
    return (upper, rank - left_out) if left_out <= rank else (flat, rank)


def clip_to_percentile(magnitude: np.ndarray, q: float, floor: float) -> np.ndarray:
    """`magnitude / max(P_q, floor)` clipped to [0, 1]; float32, same shape.

    The floor keeps a frame in which nothing happens at (nearly) zero instead of blowing up noise.
    """
    return np.minimum(magnitude * np.float32(1 / max(float(percentile(magnitude, q)), floor)), np.float32(1))


def normalize_residual(residual: np.ndarray, zero: float = 0.0) -> np.ndarray:
    """R̄ = `clip(|r - zero| / P95, 0, 1)` with the percentile at least 1 grey level. `zero` is 128 in the paper's notation."""
    return clip_to_percentile(np.abs(residual.astype(np.float32) - np.float32(zero)), PERCENTILE, RESIDUAL_FLOOR)


def normalize_motion(motion: np.ndarray, subtract_median: bool = False) -> np.ndarray:
    """M̄ = `clip(|v| / P95, 0, 1)` for vectors [..., 2] in pixels (+x right, +y down).

    `subtract_median` removes the frame's median vector first (global motion): the encoder paper does, OV2's code does not.
    """
    motion = motion.astype(np.float32)
    if subtract_median:
        motion = motion - np.median(motion.reshape(-1, 2), axis=0)
    x, y = motion[..., 0], motion[..., 1]
    return clip_to_percentile(np.sqrt(x * x + y * y), PERCENTILE, MOTION_FLOOR)


def resize_nearest(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of the first two axes: out[y, x] = grid[floor(y·h/height), floor(x·w/width)]."""
    rows = np.arange(height) * grid.shape[0] // height
    cols = np.arange(width) * grid.shape[1] // width
    return grid[rows[:, None], cols]


def block_sums(pixels: np.ndarray, block: int) -> np.ndarray:
    """Sum a map [..., H, W] over square blocks of `block` pixels: [..., H / block, W / block], float32.

    With `block = patch_size` these are patch scores, with `2 * patch_size` block scores (the sum of its four patches).
    """
    *lead, height, width = pixels.shape
    rows = pixels.reshape(*lead, height // block, block, width).sum(axis=-2, dtype=np.float32)
    return rows.reshape(*lead, height // block, width // block, block).sum(axis=-1)


def resize_and_sum(
    grid: np.ndarray, height: int, width: int, block: int, filled: tuple[float, float] | None = None
) -> np.ndarray:
    """`block_sums(resize_nearest(grid, height, width), block)` without making the pixel map.

    grid [..., h, w] -> [..., height / block, width / block], float32 (float64 where a float32 cannot hold every value of the
    grid's type). Each cell counts as often as the resize repeats it. filled: how many rows and columns of cells the picture
    fills, 22.5 of 23 for macroblocks on 360 pixels; None for all.
    """
    grid = grid.astype(np.result_type(grid, np.float32), copy=False)
    rows, cols = filled or grid.shape[-2:]
    down, across = _coverage(grid.shape[-2], height, block, rows), _coverage(grid.shape[-1], width, block, cols)
    rows = sum(grid.take(cell, axis=-2) * pixels[:, None] for cell, pixels in down)
    return sum(rows.take(cell, axis=-1) * pixels for cell, pixels in across)


@lru_cache(maxsize=16)
def _coverage(cells: int, pixels: int, block: int, filled: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which cells a nearest resize takes a block's pixels from: the first of every block, the second, and so on.

    Each is (cell, pixels), int64 and float32 [pixels / block]; no pixels where a block has fewer cells than others.
    """
    cell_of_pixel = np.minimum(np.arange(pixels) * filled // pixels, cells - 1).astype(np.int64).reshape(-1, block)
    each = [np.unique(line, return_counts=True) for line in cell_of_pixel]
    index, counts = np.zeros((2, max(len(cell) for cell, _ in each), len(each)), np.int64)
    for number, (cell, count) in enumerate(each):
        index[: len(cell), number], counts[: len(cell), number] = cell, count
    return list(zip(index, counts.astype(np.float32), strict=True))


def bit_cost_prior(bits: np.ndarray) -> np.ndarray:
    """log1p(bits) / P99 clipped to [0, 1], per frame: float32, same shape [..., h, w] (the released scoring)."""
    log_bits = log1p(np.maximum(bits, 0.0)).astype(np.float32)
    scale = percentile(log_bits, BIT_PERCENTILE, axes=2)
    return np.minimum(log_bits / np.maximum(scale, np.float32(BIT_FLOOR)), np.float32(1))


def fuse(score: np.ndarray, prior: np.ndarray, beta: float) -> np.ndarray:
    """Block scores with the bit-cost prior added at weight β; β = 0 gives the motion + residual score exactly.

    The paper fuses the prior at block level and does not publish β; both maps are sums over the same pixels.
    """
    return score if beta == 0 else score + np.float32(beta) * prior
