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


def inside_bars(pictures: Sequence[np.ndarray], block: int) -> np.ndarray:
    """bool [H / block, W / block]: blocks that are not wholly within dark bars at the edges of all pictures (uint8 [H, W, 3]).

    A bar is a run of rows (columns) from an edge, at most 45 % of the picture, each with mean luma under 16 in every picture:
    what is dark in one alone may be a night sky. Pictures that are dark all over have no bars.
    """
    height, width = pictures[0].shape[:2]
    keep = np.ones((height // block, width // block), bool)
    for axis in (0, 1):
        for step in (1, -1):
            bar = _bar([np.moveaxis(picture, axis, 0)[::step] for picture in pictures])
            np.moveaxis(keep, axis, 0)[::step][: bar // block] = False
    return keep


def _bar(pictures: Sequence[np.ndarray]) -> int:
    """First rows that are dark in all pictures; 0 if they are more than a bar may have."""
    limit = int(len(pictures[0]) * BAR_SHARE)
    bar = limit + 1
    for picture in pictures:
        sums = (picture[:bar, :, channel].sum(axis=1, dtype=np.uint32) for channel in range(3))
        luma = sum(weight * line for weight, line in zip(LUMA, sums, strict=True))
        dark = luma < 1000 * BAR_LEVEL * picture.shape[1]
        bar = int(np.argmin(np.append(dark, False)))
        if not bar:
            break
    return bar if bar <= limit else 0
