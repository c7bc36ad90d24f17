"""What each ingredient of the bit estimate is worth against true bits (shown in notebook 02).

`video.bits` adds its terms up as it goes, for speed. Here they are kept apart, so that any of them can be left out; with
all of them switched on the two agree, which a test makes sure of.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ov2lib.codec.scoring import resize_and_sum
from ov2lib.errors import VideoError
from ov2lib.geometry import canvas_size
from ov2lib.video import bits as estimate
from ov2lib.video.decode import Linked, decode, link
from ov2lib.video.motion import COLUMNS, NONE, QUARTERS, ROWS, MotionField, Predictor, free_blocks, motion_field
from ov2lib.video.residual import sampled_residual
from ov2lib.video.signals import batches
from ov2lib.video.source import Source

STEPS = 1024.0  # per bit: blocks are compared in whole steps, whose sums are exact, so that equal blocks tie
INGREDIENTS = ("quantiser", "free", "shape", "difference", "residual", "texture")


@dataclass(frozen=True, eq=False)
class Terms:
    """One frame's terms, maps [mb_rows, mb_cols] in bits before scaling.

    Attributes:
        index, kind, size: of the frame (display order; "I", "P" or "B"; bytes).
        luma: uint8 [H, W].
        inter, free: bool, predicted by a vector; predicted by one that costs nothing.
        quantiser: a quantiser that differs from the macroblock before. shape: how the macroblock is split. difference: its
            vectors minus their prediction. residual: coefficients of a P frame. reference: index of its reference.
            texture: coefficients of an intra macroblock.
    """

    index: int
    kind: str
    size: int
    luma: np.ndarray
    inter: np.ndarray
    free: np.ndarray
    quantiser: np.ndarray
    shape: np.ndarray
    difference: np.ndarray
    residual: np.ndarray
    reference: np.ndarray
    texture: np.ndarray

    def bits(self, on: Collection[str] = INGREDIENTS) -> np.ndarray:
        """The estimate from the ingredients named in `on`, float32, scaled so that the frame sums to its packet."""
        coded = self.inter & ~self.free if "free" in on else self.inter
        each = np.full(coded.shape, 4.6 if self.kind == "B" else 2.4)
        each += self.shape * ("shape" in on) + self.difference * ("difference" in on) + self.reference * ("residual" in on)
        total = coded * each + self.quantiser * ("quantiser" in on) + self.residual * ("residual" in on)
        total[~self.inter] = 22
        total += self.texture * ("texture" in on)
        return (total * (8 * self.size / max(total.sum(), 1e-9))).astype(np.float32)


def read_terms(path: str) -> Iterator[Terms]:
    """The terms of every frame of an H.264 file, in display order.

    Raises:
        VideoError: the file cannot be read as video, or is not H.264.
    """
    source = Source.open(path)
    if source.codec != "h264":
        raise VideoError(path, f"is {source.codec}, whose terms are not known here", "re-encode it to H.264")
    for batch in batches(link(decode(source)), source.coded):
        yield from _batch_terms(batch)


def _batch_terms(batch: Sequence[Linked]) -> Iterator[Terms]:
    motion = motion_field([linked.frame.vectors for linked in batch], *batch[0].frame.qp.shape)
    difference, count, free = _vector_parts(motion, estimate.colocated_vectors(batch, motion))
    halves, quarters = (motion.split == ROWS) | (motion.split == COLUMNS), motion.split == QUARTERS
    for i, linked in enumerate(batch):
        frame, step, none = linked.frame, estimate.quantiser_step(linked.frame.qp), np.zeros(free.shape[1:], np.float32)
        texture, residual, reference, inter = none.copy(), none, none, motion.split[i] != NONE
        texture[~inter] = 3.4 * estimate.intra_texture(frame.padded, ~inter, step)
        if frame.kind == "P" and linked.past:
            references = [past.padded for past in linked.past]
            sampled = sampled_residual(frame.padded, references, motion, i, step)
            residual = estimate.residual_bits(sampled.steps)
            reference = estimate.REFERENCE_BITS.take(sampled.reference)
        weights = (27, 1.0, 0.0, 7.3, 9.0) if frame.kind == "B" else (9, 0.7, 3.6, 2.5, 1.0)
        yield Terms(
            frame.index, frame.kind, frame.size, frame.luma, inter, free[i],
            quantiser=weights[0] * estimate.quantiser_changes(frame.qp[None])[0],
            shape=weights[2] * count[i] + weights[3] * halves[i] + weights[4] * quarters[i],
            difference=weights[1] * difference[i], residual=residual, reference=reference, texture=texture,
        )  # fmt: skip


def _vector_parts(motion: MotionField, colocated: Sequence[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per macroblock [n, mb_rows, mb_cols]: bits of vector differences, vectors, and whether they are free."""
    v, predictor = motion.vectors, Predictor(motion)
    around = predictor.neighbours(v.frame, v.list, v.row, v.col, 1 + v.wide)
    predicted = predictor.partition(v, around)
    free = free_blocks(motion, predictor, around, predicted, colocated)
    cost = estimate.VECTOR_BITS.take(np.abs(v.value.astype(np.int32) - predicted), mode="clip").sum(axis=1)
    macroblock = np.ravel_multi_index((v.frame, v.row >> 1, v.col >> 1), motion.split.shape)
    sums = (np.bincount(macroblock, weights, motion.split.size) for weights in (cost, None))
    difference, count = (s.reshape(motion.split.shape).astype(np.float32) for s in sums)
    return difference, count, free


def rank_agreement(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of one shape, ties at their average rank; NaN where either is constant."""
    a, b = (_ranks(x.ravel()) for x in (estimate, truth))
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def top_overlap(estimate: np.ndarray, truth: np.ndarray, share: float = 0.25) -> float:
    """Share of the truth's highest blocks (`share` of all) that are also among the estimate's; ties by raster order."""
    count = max(1, round(share * truth.size))
    best = (set(np.argsort(-x.ravel(), kind="stable")[:count].tolist()) for x in (estimate, truth))
    return len(set.intersection(*best)) / count


def study(path: str, truth: np.ndarray, block: int = 28) -> list[dict]:
    """Rank agreement with true bits, frame by frame, of the estimate, of its variants and of the plain frame difference.

    Args:
        path: an H.264 file.
        truth: true bits per macroblock in display order, [frames, mb_rows, at least mb_cols].
        block: pixels on a block's side, on the default canvas.

    Returns:
        rows with frame, kind, variant ("all", "without ...", "only ...", "frame difference"), agreement (Spearman; 0 where the
        variant says the same of every block).
    """
    rows, before = [], None
    for terms in read_terms(path):
        size = (*canvas_size(*terms.luma.shape), block)
        luma = terms.luma.astype(np.float32)
        maps = {"all": terms.bits()}
        for name in INGREDIENTS:
            maps[f"without {name}"] = terms.bits([other for other in INGREDIENTS if other != name])
            maps[f"only {name}"] = terms.bits([name])
        if before is not None:
            maps["frame difference"] = np.abs(luma - before)
        true = resize_and_sum(truth[terms.index, :, : terms.inter.shape[1]], *size)
        for variant, values in maps.items():
            blocks = resize_and_sum(np.rint(values.astype(np.float64) * STEPS), *size)
            agreement = rank_agreement(blocks, true) if np.ptp(blocks) else 0.0
            rows.append({"frame": terms.index, "kind": terms.kind, "variant": variant, "agreement": agreement})
        before = luma
    return rows
