"""Sampled motion-compensated residual of P macroblocks, at source resolution (an ingredient of the bit estimate).

Sixteen luma samples a macroblock, at rows and columns 1, 5, 10 and 14: four in each 8x8 cell, placed so that the taps of a
cell's samples fill a window of 8x8 pixels. The reference is read at the exact quarter-pixel vector with cubic
interpolation; the exported vector does not say which reference it belongs to, so a few are tried, nearest first, and the
one that fits best is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .motion import NONE, WHOLE, MotionField

WINDOW = np.array([0, 9])  # first row (and column) of the window of a macroblock's first and second cell
SAMPLES = np.array([1, 5])  # sample rows (and columns) of a window: the second of each four taps
CLOSE_ENOUGH = 0.5  # assumed: a sample this many quantiser steps off makes the next reference worth a try
PAD = 24  # pixels repeated beyond the picture: a macroblock and its taps, so that whole blocks may lie outside


def _cubic_taps() -> np.ndarray:
    """float32 [4, 4]: Keys' cubic kernel (a = -1/2) at quarter-pixel phases, taps at -1, 0, 1, 2."""
    t, a = np.arange(4) / 4.0, -0.5
    near, next_ = (a + 2) * t**3 - (a + 3) * t**2 + 1, -(a + 2) * t**3 + (2 * a + 3) * t**2 - a * t
    return np.stack([a * (t**3 - 2 * t**2 + t), near, next_, a * (t**2 - t**3)], axis=1).astype(np.float32)


TAPS = _cubic_taps()
KERNELS = (TAPS.T[:, :, None, None] * np.tile(TAPS, 2)).reshape(4, 16, 8)  # [row, 4 * phase_y + phase_x, twice 4 columns]


class PaddedLuma:
    """A luma picture uint8 [H, W] with its edges repeated, laid out so that eight neighbours in a row read as one number.

    Attributes:
        pixels: uint8, the padded picture row after row; stride: its width in pixels.
        eights: uint64, a view of pixel k to k + 7 of `pixels`.
    """

    def __init__(self, luma: np.ndarray):
        height, width = luma.shape
        self.stride = width + 2 * PAD
        padded = np.empty((height + 2 * PAD, self.stride), np.uint8)
        middle = padded[PAD : PAD + height]
        middle[:, PAD : PAD + width] = luma
        middle[:, :PAD], middle[:, PAD + width :] = luma[:, :1], luma[:, -1:]
        padded[:PAD], padded[PAD + height :] = middle[0], middle[-1]
        self.pixels = padded.ravel()
        self.eights = np.ndarray((padded.size - 7,), np.uint64, self.pixels, strides=(1,))

    def macroblocks(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Index into `pixels` of the first pixel of macroblocks (row, col)."""
        return (16 * row + PAD) * self.stride + 16 * col + PAD


@dataclass(frozen=True, eq=False)
class SampledResidual:
    """Residual samples of one P frame.

    Attributes:
        steps: float32 [mb_rows, mb_cols, 16], absolute residual in quantiser steps, four samples for each of the four 8x8
            cells; 0 in intra macroblocks.
        reference: uint8 [mb_rows, mb_cols], index of the reference that fitted best (0 = nearest).
    """

    steps: np.ndarray
    reference: np.ndarray


def sampled_residual(
    luma: PaddedLuma, references: Sequence[PaddedLuma], motion: MotionField, index: int, step: np.ndarray
) -> SampledResidual:
    """Residual samples of frame `index` of a batch.

    Args:
        luma: of the frame.
        references: nearest first; the later ones are tried where a sample of the nearest is more than `CLOSE_ENOUGH` steps off.
        motion: the batch's vectors (list 0 is used).
        index: the frame's place in the batch.
        step: float32 [mb_rows, mb_cols], quantiser step.
    """
    # 1. All samples against the nearest reference
    mb_rows, mb_cols = step.shape
    grid = _sample_grid(mb_rows, mb_cols, luma.stride, len(luma.pixels) // luma.stride)
    split = motion.split[index].ravel()
    vector = motion.vector[index, 0].reshape(mb_rows, 2, mb_cols, 2, 2).swapaxes(1, 2).reshape(-1, 2)
    vector = np.clip(vector, grid.low, grid.high)
    target = luma.pixels.take(grid.own).astype(np.float32)
    off = np.abs(target - _read(references[0], vector, grid.window))
    # 2. The other references, where that is not close enough in a cell, or anywhere in an unsplit macroblock
    best_reference = np.zeros(len(split), np.uint8)
    far = (off.max(axis=0).reshape(-1, 4) > CLOSE_ENOUGH * step.reshape(-1, 1)) & (split != NONE)[:, None]
    far |= (split == WHOLE)[:, None] & far.any(axis=1, keepdims=True)
    todo = np.flatnonzero(far)
    if len(todo) and len(references) > 1:
        own, args = target.take(todo, axis=1), (vector.take(todo, axis=0), grid.window.take(todo))
        tried = [off.take(todo, axis=1)] + [np.abs(own - _read(reference, *args)) for reference in references[1:]]
        best = _best(tried, todo >> 2, split == WHOLE)
        best_reference[todo >> 2] = best
        off[:, todo] = np.choose(best, tried)
    # 3. In quantiser steps, macroblock by macroblock
    off *= np.repeat(split != NONE, 4)
    steps = off.reshape(4, -1, 4).transpose(2, 0, 1).reshape(16, mb_rows, mb_cols) / step
    return SampledResidual(np.moveaxis(steps, 0, -1), best_reference.reshape(mb_rows, mb_cols))


def _best(tried: Sequence[np.ndarray], macroblock: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Which reference fits best, int [n], from samples' distances [4, n] to each: one for an unsplit macroblock's cells."""
    error = [off.sum(axis=0) for off in tried]
    together = [np.bincount(macroblock, e, len(whole)).take(macroblock) for e in error]
    return np.where(whole.take(macroblock), together, error).argmin(axis=0)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Where the samples of every 8x8 cell lie in a `PaddedLuma`, cells macroblock by macroblock in raster order.

    own: [4, cells], index of each sample. window: [cells], index where the window of its taps begins. low, high: int16
    [cells, 2], vectors (quarter pixels) that keep the cell's macroblock inside the padding; beyond it every pixel is the
    same as its neighbour.
    """

    own: np.ndarray
    window: np.ndarray
    low: np.ndarray
    high: np.ndarray


@lru_cache(maxsize=8)
def _sample_grid(mb_rows: int, mb_cols: int, stride: int, padded_rows: int) -> _Grid:
    at = np.meshgrid(np.arange(mb_rows), np.arange(mb_cols), (0, 1), (0, 1), indexing="ij")
    mb_row, mb_col, cell_row, cell_col = (axis.ravel() for axis in at)
    window = (16 * mb_row + WINDOW[cell_row] + PAD) * stride + 16 * mb_col + WINDOW[cell_col] + PAD
    origin = PAD + 16 * np.stack([mb_col, mb_row], axis=1)
    room = np.array([stride, padded_rows]) - 17 - origin  # a macroblock's windows reach over 17 pixels
    low, high = np.maximum(-4 * origin, -(1 << 15)), np.clip(4 * room, 0, (1 << 15) - 1)
    own = window + (stride * SAMPLES[:, None] + SAMPLES).reshape(4, 1)
    return _Grid(own, window, low.astype(np.int16), high.astype(np.int16))


def _read(reference: PaddedLuma, vector: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Samples float32 [4, n] of a reference from windows [n] displaced by quarter-pixel vectors int16 [n, 2]."""
    x, y = vector.T.astype(np.intp)
    first = window + (y >> 2) * reference.stride + (x >> 2)
    rows = reference.eights[first + reference.stride * np.arange(8)[:, None]]
    taps = rows.view(np.uint8).reshape(2, 4, len(window), 8).astype(np.float32)  # two samples down, four rows each
    taps *= KERNELS.take((y & 3) * 4 + (x & 3), axis=1)
    columns = taps.sum(axis=1).reshape(-1, 4).T
    samples = columns[0] + columns[1] + columns[2] + columns[3]  # exact: whole numbers of 1/16384, under 2^24 of them
    return np.rint(samples.reshape(2, -1, 2).swapaxes(1, 2).reshape(4, -1))
