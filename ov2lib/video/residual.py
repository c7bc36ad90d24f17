"""Sampled motion-compensated residual of P macroblocks, at source resolution (an ingredient of the bit estimate).

Sixteen luma samples a macroblock, at rows and columns 1, 6, 9 and 14: four in each 8x8 cell. The reference is read at the
exact quarter-pixel vector with cubic interpolation; the exported vector does not say which reference it belongs to, so a
few are tried, nearest first, and the one that fits best is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .motion import NONE, WHOLE, MotionField

OFFSETS = np.array([[1, 6], [9, 14]])  # sample rows (and columns) of a macroblock's first and second cell
CLOSE_ENOUGH = 0.5  # assumed: a sample this many quantiser steps off makes the next reference worth a try
PAD = 24  # pixels repeated beyond the picture: a macroblock and its taps, so that whole blocks may lie outside


def _cubic_taps() -> np.ndarray:
    """float32 [4, 4]: Keys' cubic kernel (a = -1/2) at quarter-pixel phases, taps at -1, 0, 1, 2."""
    t, a = np.arange(4) / 4.0, -0.5
    taps = [
        a * (t**3 - 2 * t**2 + t),
        (a + 2) * t**3 - (a + 3) * t**2 + 1,
        -(a + 2) * t**3 + (2 * a + 3) * t**2 - a * t,
        a * (t**2 - t**3),
    ]
    return np.stack(taps, axis=1).astype(np.float32)


TAPS = _cubic_taps()
KERNELS = (TAPS[:, None, :, None] * TAPS[None, :, None, :]).reshape(16, 16)  # [4 * phase_y + phase_x, 4 x 4 taps]


class Reference:
    """A reference luma, uint8 [H, W], its edges repeated, laid out so that four neighbours in a row read as one number.

    Attributes:
        pixels: uint8, the padded picture row after row; stride: its width.
        fours: uint32, pixel k to k + 3 of `pixels`.
    """

    def __init__(self, luma: np.ndarray):
        height, width = luma.shape
        self.stride = width + 2 * PAD
        padded = np.empty((height + 2 * PAD + 1, self.stride), np.uint8)  # a row more, so that `fours` ends inside
        middle = padded[PAD : PAD + height]
        middle[:, PAD : PAD + width] = luma
        middle[:, :PAD], middle[:, PAD + width :] = luma[:, :1], luma[:, -1:]
        padded[:PAD], padded[PAD + height :] = middle[0], middle[-1]
        self.pixels = padded.ravel()
        self.fours = np.ascontiguousarray(np.ndarray((padded.size - 3,), np.dtype("<u4"), self.pixels, strides=(1,)))


@dataclass(frozen=True, eq=False)
class SampledResidual:
    """Residual samples of one P frame.

    Attributes:
        steps: float32 [mb_rows, mb_cols, 16], |residual| in quantiser steps, four samples for each of the four 8x8 cells;
            0 in intra macroblocks.
        reference: uint8 [mb_rows, mb_cols], index of the reference that fitted best (0 = nearest).
    """

    steps: np.ndarray
    reference: np.ndarray


def sampled_residual(
    luma: np.ndarray, references: Sequence[Reference], motion: MotionField, index: int, step: np.ndarray
) -> SampledResidual:
    """Residual samples of frame `index` of a batch.

    Args:
        luma: uint8 [H, W] of the frame.
        references: nearest first; later ones are tried only where a sample is more than `CLOSE_ENOUGH` steps off.
        motion: the batch's vectors (list 0 is used).
        index: the frame's place in the batch.
        step: float32 [mb_rows, mb_cols], quantiser step.
    """
    mb_rows, mb_cols = step.shape
    grid = _sample_grid(mb_rows, mb_cols, *luma.shape)
    split = motion.split[index].ravel()
    whole, inter = split == WHOLE, split != NONE
    vector = motion.vector[index, 0].reshape(mb_rows, 2, mb_cols, 2, 2).swapaxes(1, 2).reshape(-1, 2)
    vector = np.clip(vector, grid.low, grid.high)
    target = luma.take(grid.own).astype(np.float32)
    limit = CLOSE_ENOUGH * step.ravel()
    best = np.abs(target - _read(references[0], vector, grid.padded))
    chosen = np.zeros(len(split), np.uint8)
    for number, reference in enumerate(references[1:], start=1):
        far_sample = best > np.repeat(limit, 4)[:, None]
        far_cell = far_sample.view(np.uint32)[:, 0] != 0  # any of the four samples
        far_block = far_cell.view(np.uint32) != 0  # any of the four cells
        todo = np.flatnonzero(np.repeat(inter, 4) & np.where(np.repeat(whole, 4), np.repeat(far_block, 4), far_cell))
        if not len(todo):
            break
        found = np.abs(target.take(todo, 0) - _read(reference, vector.take(todo, 0), grid.padded.take(todo, 0)))
        better = _better(found, best.take(todo, 0), todo >> 2, whole)
        best[todo[better]] = found[better]
        chosen[todo[better] >> 2] = number
    best[np.repeat(~inter, 4)] = 0
    steps = best.reshape(mb_rows, mb_cols, 16) / step[:, :, None]
    return SampledResidual(steps, chosen.reshape(mb_rows, mb_cols))


def _better(found: np.ndarray, best: np.ndarray, macroblock: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """bool [n], cells where the new reference fits better: together over an unsplit macroblock, else each for itself."""
    gain = (best - found) @ np.ones(4, np.float32)
    together = np.bincount(macroblock, gain, len(whole))
    return np.where(whole[macroblock], together[macroblock], gain) > 0


@dataclass(frozen=True, eq=False)
class _Grid:
    """Where the samples of every 8x8 cell lie, cells macroblock by macroblock in raster order.

    own: int32 [cells, 4], index into the frame's luma (its edge repeated to whole macroblocks). padded: the same into a
    `Reference`. low, high: int16 [cells, 2], vectors (quarter pixels) that keep the cell's macroblock inside the padding;
    beyond it every pixel is the same as its neighbour.
    """

    own: np.ndarray
    padded: np.ndarray
    low: np.ndarray
    high: np.ndarray


@lru_cache(maxsize=8)
def _sample_grid(mb_rows: int, mb_cols: int, height: int, width: int) -> _Grid:
    at = np.meshgrid(np.arange(mb_rows), np.arange(mb_cols), (0, 1), (0, 1), indexing="ij")
    mb_row, mb_col, cell_row, cell_col = (axis.ravel() for axis in at)
    rows = (mb_row[:, None] * 16 + OFFSETS[cell_row])[:, :, None]
    cols = (mb_col[:, None] * 16 + OFFSETS[cell_col])[:, None, :]
    own = np.minimum(rows, height - 1) * width + np.minimum(cols, width - 1)
    padded = np.minimum(rows + PAD, height + 2 * PAD - 3) * (width + 2 * PAD) + np.minimum(cols + PAD, width + 2 * PAD - 3)
    origin = 16 * np.stack([mb_col, mb_row], axis=1)
    low = 4 * (2 - PAD - origin)
    high = 4 * (np.array([width, height]) + PAD - 3 - 15 - origin)
    return _Grid(
        own=own.reshape(-1, 4).astype(np.int32),
        padded=padded.reshape(-1, 4).astype(np.int32),
        low=np.maximum(low, -(1 << 15)).astype(np.int16),
        high=np.clip(high, 0, (1 << 15) - 1).astype(np.int16),
    )


def _read(reference: Reference, vector: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Reference samples float32 [n, 4] at places `at` (int32 [n, 4]) displaced by quarter-pixel vectors int16 [n, 2]."""
    x, y = vector[:, 0].astype(np.int32), vector[:, 1].astype(np.int32)
    place = at + ((y >> 2) * reference.stride + (x >> 2))[:, None]
    phase = (y & 3) * 4 + (x & 3)
    out = reference.pixels.take(place).astype(np.float32)
    between = np.flatnonzero(phase)
    rows = np.arange(-1, 3, dtype=np.int32) * reference.stride - 1  # four rows of taps, each from its leftmost
    start = place.take(between, 0)[:, :, None] + rows
    taps = reference.fours.take(start).view(np.uint8).reshape(-1, 4, 16).astype(np.float32)
    out[between] = np.rint(np.einsum("nst,nt->ns", taps, KERNELS.take(phase.take(between), 0)))
    return out
