"""Motion vectors as dense fields, and the H.264 vector predictors that tell free blocks from coded ones.

FFmpeg exports one record per vector. Here a batch of frames becomes arrays on the grid of 8x8 cells, the finest partition
that is exported. Conventions, as in FFmpeg: a vector points from a block to where it was predicted from, source minus
destination, +x right and +y down, here always in quarter pixels. Content that moves right by d pixels has x = -4d.
List 0 holds `source < 0` (past references), list 1 `source > 0` (future ones).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NO_RECORDS = np.zeros(0, [(name, np.int32) for name in "source w h dst_x dst_y motion_x motion_y motion_scale".split()])
QUARTER = 4  # units per pixel; MPEG-4's half pixels are doubled
NONE, WHOLE, ROWS, COLUMNS, QUARTERS = range(5)  # how a macroblock is split: intra, 16x16, 16x8, 8x16, 8x8


@dataclass(frozen=True, eq=False)
class Vectors:
    """All vectors of a batch, one entry each: frame f, list (0/1), cell (row, col), size in cells, value (x, y)."""

    frame: np.ndarray
    list: np.ndarray
    row: np.ndarray
    col: np.ndarray
    wide: np.ndarray  # bool: 16 pixels across, not 8
    tall: np.ndarray  # bool: 16 pixels down
    value: np.ndarray  # int16 [n, 2]


@dataclass(frozen=True, eq=False)
class MotionField:
    """Dense vectors of n frames on 8x8 cells (R = 2·mb_rows, C = 2·mb_cols).

    Attributes:
        vector: int16 [n, 2, R, C, 2], list 0 and list 1, (x, y) in quarter pixels; 0 where `used` is False.
        used: bool [n, 2, R, C], the cell is predicted from this list.
        split: uint8 [n, mb_rows, mb_cols], one of NONE (intra), WHOLE, ROWS, COLUMNS, QUARTERS.
        bidirectional: bool [n], some vector is of list 1 (a B frame).
        vectors: the same as a list, unused halves of split B blocks left out.
    """

    vector: np.ndarray
    used: np.ndarray
    split: np.ndarray
    bidirectional: np.ndarray
    vectors: Vectors


def motion_field(records: Sequence[np.ndarray | None], mb_rows: int, mb_cols: int) -> MotionField:
    """Dense fields from FFmpeg's vector records, one structured array (or None for a frame without vectors) per frame.

    Records that point outside the coded picture are left out.
    """
    # 1. All records in one array; joined as bytes, since joining records costs more
    n, rows, cols = len(records), 2 * mb_rows, 2 * mb_cols
    tables = [NO_RECORDS if r is None else r for r in records]
    frame = np.repeat(np.arange(n), [len(r) for r in tables])
    filled = [r for r in tables if len(r)] or [NO_RECORDS]
    v = np.concatenate([r.view(np.uint8) for r in filled]).view(filled[0].dtype)
    # 2. Cells, sizes and values in quarter pixels
    wide, tall = v["w"] > 8, v["h"] > 8
    col = (v["dst_x"] - (v["w"] >> 1)).astype(np.intp) >> 3
    row = (v["dst_y"] - (v["h"] >> 1)).astype(np.intp) >> 3
    future = v["source"] > 0
    value = np.stack([v["motion_x"], v["motion_y"]], axis=1).astype(np.int16)
    value *= QUARTER // max([1, *v["motion_scale"][:1].tolist()])
    inside = (col >= 0) & (row >= 0) & (col + wide < cols) & (row + tall < rows)
    vectors = Vectors(frame, future.astype(np.intp), row, col, wide, tall, value)
    if not inside.all():
        vectors = _keep(vectors, inside)
    bidirectional = np.zeros(n, dtype=bool)
    bidirectional[frame[future]] = True
    # 3. The same on the grid
    field = np.zeros((n, 2, rows, cols, 2), np.int16)
    used = np.zeros((n, 2, rows, cols), bool)
    _fill(field, used, vectors, True)
    unused = _unused_halves(field, used, vectors, bidirectional)
    if unused.any():
        _fill(field, used, _keep(vectors, unused), False)
        vectors = _keep(vectors, ~unused)
    # 4. How each macroblock is split
    split = np.zeros((n, mb_rows, mb_cols), np.uint8)
    kinds = np.array([QUARTERS, ROWS, COLUMNS, WHOLE], np.uint8)
    split[vectors.frame, vectors.row >> 1, vectors.col >> 1] = kinds[vectors.wide + 2 * vectors.tall]
    return MotionField(field, used, split, bidirectional, vectors)


def _keep(vectors: Vectors, mask: np.ndarray) -> Vectors:
    return Vectors(*(getattr(vectors, name)[mask] for name in Vectors.__dataclass_fields__))


def _fill(field: np.ndarray, used: np.ndarray, vectors: Vectors, known: bool) -> None:
    """Write each vector into the cells that it covers, and `known` into the same cells of `used`."""
    _, _, rows, cols = used.shape
    first = ((vectors.frame * 2 + vectors.list) * rows + vectors.row) * cols + vectors.col
    flat, value = field.view(np.int32).reshape(-1), packed(vectors.value)
    flat[first], used.reshape(-1)[first] = value, known
    for mask, offset in ((vectors.wide, 1), (vectors.tall, cols), (vectors.wide & vectors.tall, cols + 1)):
        index = first[mask] + offset
        flat[index], used.reshape(-1)[index] = value[mask], known


def _unused_halves(field: np.ndarray, used: np.ndarray, vectors: Vectors, bidirectional: np.ndarray) -> np.ndarray:
    """FFmpeg exports split B blocks in both lists; the one that is not used reads (0, 0) while the other moves."""
    suspect = np.flatnonzero(bidirectional[vectors.frame] & ~(vectors.wide & vectors.tall) & (packed(vectors.value) == 0))
    at = vectors.frame[suspect], 1 - vectors.list[suspect], vectors.row[suspect], vectors.col[suspect]
    unused = np.zeros(len(vectors.frame), dtype=bool)
    unused[suspect[used[at] & (packed(field)[at] != 0)]] = True
    return unused


def packed(vectors: np.ndarray) -> np.ndarray:
    """View int16 [..., 2] as int32 [...]: two components compared, moved and tested for zero as one number."""
    return np.ascontiguousarray(vectors).view(np.int32)[..., 0]


def median3(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Element-wise median of three."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


class Predictor:
    """H.264 median prediction of vectors from their left, above and above-right neighbours (8.4.1.3 of the standard).

    The reference index is not exported, so "same reference" is taken as "same list".
    """

    def __init__(self, motion: MotionField):
        n, _, rows, cols = motion.used.shape
        self.rows, self.cols, self.stride = rows, cols, cols + 3
        padded = np.zeros((n, 2, rows + 1, self.stride, 2), np.int16)
        padded[:, :, 1:, 1 : cols + 1] = motion.vector
        self._known = np.zeros((n, 2, rows + 1, self.stride), bool)
        self._known[:, :, 1:, 1 : cols + 1] = motion.used
        self._value = packed(padded)

    def neighbours(self, frame, lists, row, col, width):
        """Values int16 [n, 2] and validity [n] of neighbours A (left), B (above), C (above right, else above left)."""
        here = ((frame * 2 + lists) * (self.rows + 1) + row + 1) * self.stride + col + 1
        later = (row & 1 == 1) & ((col + width) & 1 == 0)  # lies in a macroblock that is decoded after this one
        missing = (row == 0) | (col + width >= self.cols) | later
        above = here - self.stride
        corner = above + np.where(missing, -1, width)
        value, known = self._value.reshape(-1), self._known.reshape(-1)
        return [(value[i].view(np.int16).reshape(-1, 2), known[i]) for i in (here - 1, above, corner)]

    def around_macroblocks(self, frames: np.ndarray):
        """The same for the macroblocks of some frames as if unsplit, in both lists: [frames, 2, mb_rows, mb_cols(, 2)]."""

        def around(cells: np.ndarray) -> tuple[np.ndarray, ...]:
            left, upper = cells[frames, :, 1::2, : self.cols : 2], cells[frames, :, :-1:2]
            corner = upper[..., 3::2].copy()
            corner[..., -1] = upper[..., self.cols - 2]
            return left, upper[..., 1 : self.cols : 2], corner

        values = (np.ascontiguousarray(v)[..., None].view(np.int16) for v in around(self._value))
        return list(zip(values, around(self._known), strict=True))

    @staticmethod
    def median(neighbours) -> np.ndarray:
        """The median; with just one neighbour of the same list, that one."""
        (a, has_a), (b, has_b), (c, has_c) = neighbours
        out = median3(a, b, c)
        single = np.nonzero(has_a.astype(np.int8) + has_b + has_c == 1)
        out[single] = a[single] + b[single] + c[single]  # the absent ones are zero
        return out

    def partition(self, vectors: Vectors, neighbours) -> np.ndarray:
        """Predicted value int16 [n, 2] of each vector, with the directional rules of 16x8 and 8x16 partitions."""
        (a, has_a), (b, has_b), (c, has_c) = neighbours
        out = self.median(neighbours)
        rows, columns = vectors.wide & ~vectors.tall, vectors.tall & ~vectors.wide
        second_row, second_col = vectors.row & 1 == 1, vectors.col & 1 == 1
        for mask, value, known in (
            (rows & ~second_row, b, has_b),
            (rows & second_row, a, has_a),
            (columns & ~second_col, a, has_a),
            (columns & second_col, c, has_c),
        ):
            index = np.flatnonzero(mask & known)
            out[index] = value[index]
        return out


def free_blocks(motion: MotionField, predictor: Predictor, neighbours, predicted: np.ndarray, colocated) -> np.ndarray:
    """bool [n, mb_rows, mb_cols]: macroblocks whose vectors cost nothing: P-skip, and B direct.

    Args:
        motion: the batch.
        predictor, neighbours, predicted: what `Predictor` says of the batch's vectors.
        colocated: per frame, the list-0 field int16 [R, C, 2] of the next reference frame, or None (used by B frames).
    """
    # 1. P-skip: an unsplit macroblock whose vector is the predicted one, or zero beside one at rest
    v, free = motion.vectors, np.zeros(motion.split.shape, dtype=bool)
    (a, has_a), (b, has_b), _ = neighbours
    still = (v.col == 0) | (v.row == 0) | (has_a & (packed(a) == 0)) | (has_b & (packed(b) == 0))
    skip = np.where(still, 0, packed(predicted))
    is_skip = v.wide & v.tall & ~motion.bidirectional[v.frame] & (skip == packed(v.value))
    free[v.frame[is_skip], v.row[is_skip] >> 1, v.col[is_skip] >> 1] = True
    # 2. B direct, in the one of its two modes that explains more of the frame
    b_frames = np.flatnonzero(motion.bidirectional)
    if len(b_frames):
        spatial = _spatial_direct(motion, predictor, b_frames)
        temporal = _temporal_direct(motion, b_frames, [colocated[i] for i in b_frames])
        better = temporal.sum(axis=(1, 2)) > spatial.sum(axis=(1, 2))
        free[b_frames] = np.where(better[:, None, None], temporal, spatial)
    return free


def _all_four(cells: np.ndarray) -> np.ndarray:
    """bool [..., R, C] -> [..., R/2, C/2]: true where all four cells of a macroblock are."""
    rows = cells[..., ::2, :] & cells[..., 1::2, :]
    return rows[..., ::2] & rows[..., 1::2]


def _spatial_direct(motion: MotionField, predictor: Predictor, frames: np.ndarray) -> np.ndarray:
    around = predictor.around_macroblocks(frames)
    listed = around[0][1] | around[1][1] | around[2][1]
    listed |= ~(listed[:, :1] | listed[:, 1:])  # no neighbour uses either list: both are used, with zero
    predicted = packed(predictor.median(around))
    value, used = packed(motion.vector)[frames], motion.used[frames]
    target = predicted.repeat(2, axis=2).repeat(2, axis=3)
    fits = _all_four(((value == target) | (value == 0)) & used)
    absent = _all_four(~used)
    ok = np.where(listed, fits, absent)
    return ok[:, 0] & ok[:, 1] & (motion.split[frames] != NONE)


def _temporal_direct(motion: MotionField, frames: np.ndarray, colocated: list) -> np.ndarray:
    still, used = np.zeros(motion.vector.shape[2:], np.int16), motion.used[frames]
    target = np.stack([still if field is None else field for field in colocated])
    difference = motion.vector[frames, 0] - motion.vector[frames, 1]
    return _all_four((packed(difference) == packed(target)) & used[:, 0] & used[:, 1])
