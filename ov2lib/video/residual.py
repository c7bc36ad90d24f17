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
CLOSE_ENOUGH = 0.35  # assumed: a sample this many quantiser steps off makes the next reference worth a try
PAD = 3  # pixels repeated beyond the picture, so that four taps at its edge stay inside


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
    """A reference luma, uint8 [H, W], laid out so that four neighbours in a row are read as one number."""

    def __init__(self, luma: np.ndarray):
        edged = np.pad(luma, PAD, mode="edge")
        self.height, self.width = edged.shape
        flat = np.append(edged.ravel(), np.zeros(3, np.uint8))
        self.pixels = flat
        four = np.ndarray((edged.size,), np.dtype("<u4"), flat, strides=(1,))
        self.fours = np.ascontiguousarray(four)


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
    rows, cols = _sample_grid(mb_rows, mb_cols)
    split = motion.split[index].ravel()
    whole, inter = split == WHOLE, split != NONE
    vector = motion.vector[index, 0].reshape(mb_rows, 2, mb_cols, 2, 2).swapaxes(1, 2).reshape(-1, 2)
    target = _own_samples(luma, rows, cols)
    limit = CLOSE_ENOUGH * step.ravel()
    best = np.abs(target - _read(references[0], vector, rows, cols))
    chosen = np.zeros(len(split), np.uint8)
    for number, reference in enumerate(references[1:], start=1):
        far_sample = best > np.repeat(limit, 4)[:, None]
        far_cell = far_sample.view(np.uint32)[:, 0] != 0  # any of the four samples
        far_block = far_cell.view(np.uint32) != 0  # any of the four cells
        todo = np.flatnonzero(np.repeat(inter, 4) & np.where(np.repeat(whole, 4), np.repeat(far_block, 4), far_cell))
        if not len(todo):
            break
        found = np.abs(target.take(todo, 0) - _read(reference, vector.take(todo, 0), rows.take(todo, 0), cols.take(todo, 0)))
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


@lru_cache(maxsize=8)
def _sample_grid(mb_rows: int, mb_cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample rows and columns int32 [cells, 2] of every 8x8 cell, macroblock by macroblock in raster order."""
    at = np.meshgrid(np.arange(mb_rows), np.arange(mb_cols), (0, 1), (0, 1), indexing="ij")
    mb_row, mb_col, cell_row, cell_col = (axis.ravel() for axis in at)
    rows = mb_row[:, None] * 16 + OFFSETS[cell_row]
    cols = mb_col[:, None] * 16 + OFFSETS[cell_col]
    return rows.astype(np.int32), cols.astype(np.int32)


def _own_samples(luma: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """float32 [cells, 4], the frame's own samples, its edge repeated to whole macroblocks."""
    height, width = luma.shape
    rows, cols = np.minimum(rows, height - 1), np.minimum(cols, width - 1)
    return luma[rows[:, :, None], cols[:, None, :]].reshape(-1, 4).astype(np.float32)


def _read(reference: Reference, vector: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Reference samples float32 [n, 4] at rows x cols (int32 [n, 2] each) displaced by quarter-pixel vectors [n, 2]."""
    rows = np.clip(rows + (vector[:, 1:] >> 2), 1 - PAD, reference.height - PAD - 3) + PAD
    cols = np.clip(cols + (vector[:, :1] >> 2), 1 - PAD, reference.width - PAD - 3) + PAD
    place = (rows[:, :, None] * reference.width + cols[:, None, :]).reshape(-1, 4)
    phase = (vector[:, 1] & 3) * 4 + (vector[:, 0] & 3)
    out = reference.pixels.take(place).astype(np.float32)
    between = np.flatnonzero(phase)
    lines = np.arange(-1, 3, dtype=np.int32) * reference.width - 1  # the four rows of taps, from the leftmost
    start = place.take(between, 0)[:, :, None] + lines
    taps = reference.fours.take(start).view(np.uint8).reshape(-1, 4, 16).astype(np.float32)
    kernel = KERNELS.take(phase.take(between), 0)
    out[between] = np.rint(np.einsum("nst,nt->ns", taps, kernel))
    return out
