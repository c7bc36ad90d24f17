"""Pictures not worth packing: black, one-colour and corrupt frames, and letterbox bars."""

from collections.abc import Sequence

import numpy as np

# published: codec-video-prep; grey levels of 0..255 and shares of the picture
BLACK_MEAN, BLACK_SPREAD = 8.0, 6.0
FLAT_SPREAD, FLAT_RANGE = 4.0, 12.0
GREEN_LEVEL, GREEN_OTHERS, GREEN_SHARE = 180, 90, 0.35
BAR_LEVEL, BAR_SHARE = 16.0, 0.45
STEP = 8  # assumed: every eighth row and column is enough to judge a frame
LUMA = (299, 587, 114)  # thousandths of red, green and blue: sums of whole numbers are exact


def are_good(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """bool [n], False for pictures (uint8 [H, W, 3]) that are black, of one colour, or the green of a failed decode."""
    sample = np.stack([picture[::STEP, ::STEP].reshape(-1, 3).T for picture in pictures], axis=1)
    luma = sum(weight * channel.astype(np.int32) for weight, channel in zip(LUMA, sample, strict=True))
    mean, spread = luma.mean(axis=-1) / 1000, luma.std(axis=-1) / 1000
    black = (mean <= BLACK_MEAN) & (spread <= BLACK_SPREAD)
    flat = (spread <= FLAT_SPREAD) & (np.ptp(sample, axis=-1) <= FLAT_RANGE).all(axis=0)
    red, green, blue = sample
    corrupt = (green >= GREEN_LEVEL) & (red <= GREEN_OTHERS) & (blue <= GREEN_OTHERS)
    return ~(black | flat | (corrupt.mean(axis=-1) >= GREEN_SHARE))


def inside_bars(rgb: np.ndarray, block: int) -> np.ndarray:
    """bool [H / block, W / block]: blocks that are not wholly within dark bars at the picture's edges.

    A bar is a run of rows (columns) from an edge, at most 45 % of the picture, each with mean luma under 16. A picture
    that is dark all over has no bars.
    """
    keep = np.ones((rgb.shape[0] // block, rgb.shape[1] // block), bool)
    for axis in (0, 1):
        sums = (rgb[..., channel].sum(axis=1 - axis, dtype=np.uint32) for channel in range(3))
        luma = sum(weight * line for weight, line in zip(LUMA, sums, strict=True))
        dark = luma < 1000 * BAR_LEVEL * rgb.shape[1 - axis]
        limit = int(len(dark) * BAR_SHARE)
        for flip in (False, True):
            line = dark[::-1] if flip else dark
            bar = int(np.argmin(np.append(line, False)))
            if 0 < bar <= limit:
                blocks = np.moveaxis(keep, axis, 0)
                blocks = blocks[::-1] if flip else blocks
                blocks[: bar // block] = False
    return keep
