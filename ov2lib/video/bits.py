"""Bits per macroblock of an H.264 frame, estimated from what stock FFmpeg exports.

True macroblock bits need a patched decoder. What a stock one exports (vectors, quantisers, pictures) predicts them well:
Spearman .94 on P and .91 on B frames over 28x28 blocks of the clip in tests/data (notebook 02 has the ablation). The
weights are *assumed*: fitted on three x264 clips, where cross-clip refits differed by at most .01. The estimate is
scaled so that a frame's macroblocks sum to its packet.

Ingredients: a quantiser that changes in raster order proves coded residual (FFmpeg carries it through skipped blocks);
vectors that equal their prediction are free; the others cost by their difference; uncovered macroblocks are intra and cost
by their own texture; P frames add the sampled motion-compensated residual.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .decode import Linked
from .motion import COLUMNS, NONE, QUARTERS, ROWS, MotionField, Predictor, free_blocks, motion_field
from .residual import PaddedLuma, sampled_residual

DEAD_ZONE = 0.15  # assumed (fitted): residual below this share of a quantiser step is rounding and deblocking
CODED = 0.25  # assumed (fitted): residual above this share of a quantiser step is a coded coefficient
INTRA_BLOCKS = ((0, 1), (1, 3), (2, 0), (3, 2))  # assumed: the 4 of 16 4x4 blocks that stand for a macroblock
# a logarithm's last digit depends on the processor: it is read from tables, where rounding to float32 has removed that digit
LOG2 = np.log2(1 + np.arange(4096)).astype(np.float32)  # log2(1 + n)
REFERENCE_BITS = np.float32(0.8) * LOG2[:16]  # bits of a reference's index
VECTOR_BITS = 2 * LOG2  # bits of a vector difference, per component


def quantiser_step(qp: np.ndarray, codec: str = "h264") -> np.ndarray:
    """Width of a quantiser step, float32: 2^((QP - 4) / 6) in H.264, 2·QP in MPEG-4 Part 2."""
    return (np.exp2((qp - 4) / 6) if codec == "h264" else 2.0 * np.maximum(qp, 1)).astype(np.float32)


def estimate_bits(batch: Sequence[Linked], motion: MotionField, codec: str = "h264") -> np.ndarray:
    """Estimated bits float32 [n, mb_rows, mb_cols]; each frame sums to 8 times its packet's bytes.

    Args:
        batch: frames of one size, with quantisers, linked to their references. Larger batches cost less per frame.
        motion: their vectors.
        codec: "h264" or "mpeg4", for the meaning of the quantiser.
    """
    # 1. Vectors, and quantisers that change
    own = [linked.frame for linked in batch]
    terms = vector_terms(motion, colocated_vectors(batch, motion))
    qp = np.stack([f.qp for f in own])
    step, changed = quantiser_step(qp, codec), quantiser_changes(qp)
    is_b = np.array([f.kind == "B" for f in own])[:, None, None]
    bits = np.where(is_b, terms.b_bits, terms.p_bits) + np.where(is_b, np.float32(27), np.float32(9)) * changed
    # 2. Residual of P frames, texture of intra macroblocks
    for i, linked in enumerate(batch):
        if linked.frame.kind == "P" and linked.past:
            sampled = sampled_residual(linked.frame.padded, [past.padded for past in linked.past], motion, i, step[i])
            bits[i] += residual_bits(sampled.steps) + REFERENCE_BITS.take(sampled.reference) * terms.coded[i]
        intra = motion.split[i] == NONE
        if intra.any():
            bits[i][intra] = 22 + 3.4 * intra_texture(linked.frame.padded, intra, step[i])
    # 3. Scaled to the packet; where all macroblocks are free, its bytes are spread evenly
    bits[~bits.any(axis=(1, 2))] = 1
    scale = np.array([8 * f.size for f in own], np.float32) / bits.sum(axis=(1, 2))
    return bits * scale[:, None, None]


def colocated_vectors(batch: Sequence[Linked], motion: MotionField) -> list[np.ndarray | None]:
    """Per frame of a batch, the list-0 field int16 [R, C, 2] of the reference that follows it; None where none does."""
    fields = {linked.frame.index: motion.vector[i, 0] for i, linked in enumerate(batch)}
    others = {f.index: f for f in (x.following for x in batch) if f is not None and f.index not in fields}
    if others:
        more = motion_field([f.vectors for f in others.values()], *motion.split.shape[1:])
        fields |= dict(zip(others, more.vector[:, 0], strict=True))
    return [None if x.following is None else fields[x.following.index] for x in batch]


@dataclass(frozen=True, eq=False)
class VectorTerms:
    """Vector bits per macroblock, float32 [n, mb_rows, mb_cols], as a P and as a B frame; `coded`: inter and not free."""

    p_bits: np.ndarray
    b_bits: np.ndarray
    coded: np.ndarray


def vector_terms(motion: MotionField, colocated: Sequence[np.ndarray | None]) -> VectorTerms:
    """What the vectors and the partition of each macroblock cost."""
    # 1. Each vector's difference from its prediction
    v, shape = motion.vectors, motion.split.shape
    predictor = Predictor(motion)
    around = predictor.neighbours(v.frame, v.list, v.row, v.col, 1 + v.wide)
    predicted = predictor.partition(v, around)
    free = free_blocks(motion, predictor, around, predicted, colocated)
    cost = VECTOR_BITS.take(np.abs(v.value.astype(np.int32) - predicted), mode="clip")
    # 2. Summed over macroblocks, with what their partition costs
    macroblock = (v.frame * shape[1] + (v.row >> 1)) * shape[2] + (v.col >> 1)
    sums = (np.bincount(macroblock, weight, motion.split.size) for weight in (cost[:, 0] + cost[:, 1], None))
    cost, count = (s.reshape(shape).astype(np.float32) for s in sums)
    coded = (motion.split != NONE) & ~free
    halves, quarters = (motion.split == ROWS) | (motion.split == COLUMNS), motion.split == QUARTERS
    p_bits = coded * (2.4 + 0.7 * cost + 3.6 * count + 2.5 * halves + 1.0 * quarters)
    b_bits = coded * (4.6 + 1.0 * cost + 7.3 * halves + 9.0 * quarters)
    return VectorTerms(p_bits.astype(np.float32), b_bits.astype(np.float32), coded)


def quantiser_changes(qp: np.ndarray) -> np.ndarray:
    """bool [n, mb_rows, mb_cols]: the quantiser differs from the macroblock before it in raster order."""
    flat = qp.reshape(len(qp), -1)
    return np.diff(flat, axis=1, prepend=flat[:, :1]).reshape(qp.shape) != 0


def residual_bits(steps: np.ndarray) -> np.ndarray:
    """Bits of residual samples given in quantiser steps, float32 [mb_rows, mb_cols, 16] -> [mb_rows, mb_cols]."""
    bits = 2.0 * np.maximum(steps - np.float32(DEAD_ZONE), 0) + np.float32(0.6) * (steps > CODED)
    return 16 * bits.sum(axis=-1)


def core_transform(blocks: np.ndarray) -> np.ndarray:
    """H.264's 4x4 transform of blocks [4, 4, ...] (rows, columns), int16: unscaled, so exact."""
    for axis in (0, 1):
        a, b, c, d = np.moveaxis(blocks.astype(np.int16, copy=False), axis, 0)
        outer, inner, far, near = a + d, b + c, a - d, b - c
        blocks = np.empty(blocks.shape, np.int16)
        rows = np.moveaxis(blocks, axis, 0)
        rows[0], rows[1], rows[2], rows[3] = outer + inner, 2 * far + near, outer - inner, far - 2 * near
    return blocks


LENGTHS = np.sqrt(np.outer([4, 10, 4, 10], [4, 10, 4, 10])).astype(np.float32)  # of the transform's 16 basis functions


def intra_texture(luma: PaddedLuma, mask: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Texture of the macroblocks in `mask`: `.62·4·Σ log2(1 + round(|c| / step))` over the AC of four of their 4x4 blocks."""
    first, inside = luma.macroblocks(*np.nonzero(mask)), np.arange(4)
    blocks = [first + 4 * (row * luma.stride + col) for row, col in INTRA_BLOCKS]
    offsets = luma.stride * inside[:, None] + inside
    coefficients = core_transform(luma.pixels.take(offsets[:, :, None, None] + blocks))
    levels = np.rint(np.abs(coefficients) / (LENGTHS[:, :, None, None] * step[mask])).astype(np.intp)
    levels[0, 0] = 0  # intra prediction removes the mean
    return 0.62 * 4 * LOG2.take(levels, mode="clip").sum(axis=(0, 1, 2))
