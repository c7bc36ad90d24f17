"""Residual at canvas resolution: a frame minus its references, moved along the exported vectors.

Stock FFmpeg gives no residual. Here each reference near the frame is moved by the vectors of its list and the one that
fits a block best is kept, since the exported vectors do not say which reference they belong to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .motion import QUARTER

CELL = 8  # source pixels on a side of the cells that `MotionField` uses


@dataclass(frozen=True, eq=False)
class MovedBy:
    """A reference picture and the vectors that lead to it.

    picture: uint8 [h, w]; vector: int16 [R, C, 2] per 8x8 source cell, in quarters of a source pixel; used: bool [R, C], cells
    that are predicted this way (others are not filled from this picture).
    """

    picture: np.ndarray
    vector: np.ndarray
    used: np.ndarray


def compensated_residual(picture: np.ndarray, references: Sequence[MovedBy], source_size: tuple[int, int]) -> np.ndarray:
    """Signed residual float32 [h, w] (frame minus prediction, 0 where they agree) at the size of `picture`.

    Args:
        picture: uint8 [h, w], the frame's luma scaled down.
        references: at least one; later ones win a cell only by a smaller sum of absolute differences. A cell that no
            reference predicts (intra) is compared with the first one in place.
        source_size: (height, width) of the coded frame in pixels, the scale of the vectors.
    """
    cells = _cells(*picture.shape, *references[0].used.shape, *source_size)
    intra = ~np.any([r.used for r in references], axis=0).ravel()
    target = picture.astype(np.float32).ravel()
    best, least = np.zeros_like(target), np.full(intra.shape, np.inf)
    for number, reference in enumerate(references):
        # 1. What is left of the picture when this reference is moved below it
        vector = np.where(reference.used[..., None], reference.vector, 0).reshape(-1, 2)
        residual = target - _moved(reference.picture, vector * (cells.scale / QUARTER), cells)
        if len(references) == 1:
            return residual.reshape(picture.shape)
        # 2. Where that is less than with the references before
        counted = reference.used.ravel() if number else reference.used.ravel() | intra
        error = np.where(counted, np.bincount(cells.of_pixel, np.abs(residual), len(counted)), np.inf)
        best = np.where((error < least).take(cells.of_pixel), residual, best)
        least = np.minimum(error, least)
    return best.reshape(picture.shape)


MARGIN = 16  # pixels repeated around a reference: more than a cell ever measures at canvas size


@dataclass(frozen=True, eq=False)
class _Cells:
    """How the cells of the vector field lie on the scaled picture: each pixel's cell, each cell's rows and columns."""

    of_pixel: np.ndarray
    pixel: np.ndarray  # index of each pixel in the padded picture
    low: np.ndarray  # float32 [cells, 2], the smallest and largest vector (x, y) that stays in the padded picture
    high: np.ndarray
    scale: np.ndarray


@lru_cache(maxsize=8)
def _cells(height: int, width: int, rows: int, cols: int, source_height: int, source_width: int) -> _Cells:
    # 1. The cell of each row and column
    y_cell = np.minimum((np.arange(height) * source_height // height) // CELL, rows - 1)
    x_cell = np.minimum((np.arange(width) * source_width // width) // CELL, cols - 1)
    stride = width + 2 * MARGIN
    y, x = np.divmod(np.arange(rows * cols), cols)
    # 2. How far a cell may go
    low, high = np.empty((2, rows * cols, 2), np.float32)
    for axis, (cell, own, size) in enumerate(((x_cell, x, width), (y_cell, y, height))):
        low[:, axis] = -MARGIN - np.searchsorted(cell, own, side="left")
        high[:, axis] = size + MARGIN - 1 - np.searchsorted(cell, own, side="right")
    pixel = (np.arange(height)[:, None] + MARGIN) * stride + np.arange(width) + MARGIN
    scale = np.array([width / source_width, height / source_height], np.float32)
    return _Cells((y_cell[:, None] * cols + x_cell).ravel(), pixel.ravel(), low, high, scale)


def _moved(picture: np.ndarray, vector: np.ndarray, cells: _Cells) -> np.ndarray:
    """The picture read at every pixel plus its cell's vector (pixels of the picture), bilinear, edges repeated; flat."""
    # 1. Whole pixels and fractions of each cell's vector
    padded = np.pad(picture, MARGIN, mode="edge")
    stride = padded.shape[1]
    vector = np.clip(vector, cells.low, cells.high).astype(np.float32)
    whole = np.floor(vector)
    fx, fy = (vector - whole).T.copy()
    shift = whole[:, 1].astype(np.intp) * stride + whole[:, 0].astype(np.intp)
    # 2. Four neighbours of each pixel, weighted
    at = cells.pixel + shift.take(cells.of_pixel)
    flat = padded.astype(np.float32).ravel()
    fx, fy = fx.take(cells.of_pixel), fy.take(cells.of_pixel)
    upper, right = flat.take(at), flat[1:].take(at)  # shifted views, so that one index serves all four neighbours
    upper += fx * (right - upper)
    lower, right = flat[stride:].take(at), flat[stride + 1 :].take(at)
    lower += fx * (right - lower)
    lower -= upper
    lower *= fy
    return upper + lower
