"""Block scores: motion, residual and bit cost, each on its robust scale, summed over 2x2 patch blocks.

S = M̄ + R̄ per pixel (the paper), where M̄ and R̄ are clipped at the frame's 95th percentile; a block's score is the sum
over its pixels. The bit-cost prior lives on the same blocks. Every function takes and returns plain arrays.
"""

from functools import lru_cache

import numpy as np

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
    """R̄ = clip(|r - zero| / P95, 0, 1) with the percentile at least 1 grey level. `zero` is 128 in the paper's notation."""
    return clip_to_percentile(np.abs(residual.astype(np.float32) - np.float32(zero)), PERCENTILE, RESIDUAL_FLOOR)


def normalize_motion(motion: np.ndarray, subtract_median: bool = False) -> np.ndarray:
    """M̄ = clip(|v| / P95, 0, 1) for vectors [..., 2] in pixels (+x right, +y down).

    `subtract_median` removes the frame's median vector first (global motion): the encoder paper does, OV2's code does not.
    """
    motion = motion.astype(np.float32)
    if subtract_median:
        motion = motion - np.median(motion.reshape(-1, 2), axis=0)
    return clip_to_percentile(np.hypot(motion[..., 0], motion[..., 1]), PERCENTILE, MOTION_FLOOR)


def resize_nearest(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of the first two axes: out[y, x] = grid[floor(y·h/height), floor(x·w/width)]."""
    rows = np.arange(height) * grid.shape[0] // height
    cols = np.arange(width) * grid.shape[1] // width
    return grid[rows[:, None], cols]


def block_sums(pixels: np.ndarray, block: int) -> np.ndarray:
    """Sum a map [..., H, W] over square blocks of `block` pixels: [..., H / block, W / block], float32.

    With `block = patch_size` these are patch scores, with `2 * patch_size` block scores (the sum of its four patches).
    """
    height, width = pixels.shape[-2:]
    down, across = _coverage(height, height, block), _coverage(width, width, block)  # sums as products: four times as fast
    return down @ pixels.astype(np.float32, copy=False) @ across.T


def resize_and_sum(grid: np.ndarray, height: int, width: int, block: int) -> np.ndarray:
    """`block_sums(resize_nearest(grid, height, width), block)` without making the pixel map.

    grid [..., h, w] -> float32 [..., height / block, width / block]. Each cell counts as often as the resize repeats it.
    """
    down, across = _coverage(grid.shape[-2], height, block), _coverage(grid.shape[-1], width, block)
    return (down @ grid.astype(np.float32) @ across.T).astype(np.float32)


@lru_cache(maxsize=16)
def _coverage(cells: int, pixels: int, block: int) -> np.ndarray:
    """float32 [pixels / block, cells]: how many pixels of each block a nearest resize takes from each cell."""
    cell_of_pixel = np.arange(pixels) * cells // pixels
    counts = np.zeros((pixels // block, cells), dtype=np.float32)
    np.add.at(counts, (np.arange(pixels) // block, cell_of_pixel), 1.0)
    return counts


def bit_cost_prior(bits: np.ndarray) -> np.ndarray:
    """log1p(bits) / P99 clipped to [0, 1], per frame: float32, same shape [..., h, w] (the released scoring)."""
    log_bits = np.log1p(np.maximum(bits, 0.0, dtype=np.float32))
    scale = percentile(log_bits, BIT_PERCENTILE, axes=2)
    return np.minimum(log_bits / np.maximum(scale, np.float32(BIT_FLOOR)), np.float32(1))


def fuse(score: np.ndarray, prior: np.ndarray, beta: float) -> np.ndarray:
    """Block scores with the bit-cost prior added at weight β; β = 0 gives the motion + residual score exactly.

    The paper fuses the prior at block level and does not publish β; both maps are sums over the same pixels.
    """
    return score if beta == 0 else score + np.float32(beta) * prior
