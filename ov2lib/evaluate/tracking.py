"""Referring object tracking: text tracks to points (stage 1), prompted masks to J and F (stage 2).

The eight tracking rows. Stage 1 scores the points a model writes; its F1 is, by inference, the table's "F" column: read
as boundary F it would make J = 2·J&F − F negative for several models. Stage 2 prompts a segmenter (SAM 2.1) with the
points and scores its masks: region similarity J, boundary accuracy F, and their mean J&F.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..display import Shown
from ..errors import EvaluationError
from ._text import require_text

GRID = 1000  # published: text coordinates run from 0 to 1000 on both axes
BOUNDARY_TOLERANCE = 0.008  # published: share of the image diagonal (DAVIS), rounded up to whole pixels

Point = tuple[float, float]

_COORDS = re.compile(r"coords\s*+=\s*+['\"]([^'\"]*+)")
_SEGMENT = re.compile(r"(?:^|[\t:,;])\s?+([0-9]++(?:\.[0-9]++)?+)\s([0-9.][0-9. ]*+)(?=[\t:,;]|$)")
_POINT = re.compile(r"([0-9]++)(?:\.[0-9]++)?+ ([0-9]{1,4}+)(?:\.[0-9]++)?+ ([0-9]{1,4}+)(?:\.[0-9]++)?+")
_NEXT_POINT = re.compile(r"(?<![0-9])" + _POINT.pattern)


@dataclass(frozen=True)
class PointScore(Shown):
    """Precision, recall and F1 of the points on one frame, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class MaskScore(Shown):
    """Region similarity j, boundary accuracy f and their mean over the frames of one query, each in [0, 1]."""

    j: float
    f: float
    j_and_f: float


def parse_tracks(text: str) -> dict[float, dict[str, Point]]:
    """The tracks an answer writes: {time in seconds: {object id: (x, y)}}, times ascending.

    Reads every `<tracks coords="t id x y id x y; t id x y">label</tracks>`; x to the right, y downwards, both 0–1000 of
    the frame whatever its size. Quirks kept: decimals of coordinates and ids are dropped; a segment with any other
    character in it is skipped whole; the first point of an object at a time wins; a point beyond 1000 is dropped; tab,
    colon and comma separate segments like the semicolon. The published code also reads a second format ("time t" and a
    dictionary in percent), which this model does not write and which is not read here.
    """
    tracks: dict[float, dict[str, Point]] = {}
    for coords in _COORDS.findall(require_text(text)):
        spaced = re.sub(r"\s++", lambda run: "\t" if "\t" in run[0] else " ", coords)
        for time, points in _SEGMENT.findall(spaced):
            for name, x, y in _points(points):
                if x <= GRID and y <= GRID:
                    tracks.setdefault(float(time), {}).setdefault(name, (float(x), float(y)))
    return dict(sorted(tracks.items()))


def point_f1(pred: Sequence[Point], truth_points: Sequence[Point], masks: Sequence[np.ndarray]) -> PointScore:
    """Precision, recall and F1 of one frame's points (rows "… (F)", by inference; a query averages its true frames).

    Predicted and true points are paired one to one so that the total distance is least (Hungarian); a pair is right
    when the predicted point, rounded to a pixel, lies in the mask at the true point's place in the list. Precision is
    over predictions, recall over masks.

    Args:
        pred, truth_points: (x, y) in pixels, x to the right, y downwards.
        masks: [H, W] each, one per object of the query, in the order of the true points.

    Quirks kept: an object without a true point on this frame still counts in recall, and shifts the masks against the
    points that follow it; halves round to even. No true point: 1 if nothing was predicted, else 0. A predicted point
    that is not finite counts as a wrong prediction.

    Raises:
        EvaluationError: masks that are not all [H, W] of one size, or a true point that is not finite.
    """
    shapes = {np.shape(mask) for mask in masks}
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise EvaluationError(f"masks have shapes {sorted(shapes)}; give one [H, W] mask per object, all of one size")
    if not np.isfinite(np.asarray(truth_points, dtype=float)).all():
        raise EvaluationError("a true point is not finite; points are (x, y) in pixels")
    if not len(truth_points):
        return PointScore(*[float(not len(pred))] * 3)
    if not len(pred):
        return PointScore(0.0, 0.0, 0.0)
    places = [point for point in pred if all(math.isfinite(c) for c in point)]
    right = sum(c < len(masks) and covers(places[r], masks[c]) for r, c in _pairs(places, truth_points))
    precision, recall = right / len(pred), right / len(masks) if len(masks) else 0.0
    return PointScore(precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """J of two masks [H, W]: area of the intersection over area of the union; 1 when both are empty. Symmetric.

    Raises:
        EvaluationError: the masks are not [H, W] or differ in size.
    """
    a, b = _masks(a, b, dimensions=2)
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def boundary_f(a: np.ndarray, b: np.ndarray, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """F of two masks [H, W]: F1 of their boundaries, matched within a disk; symmetric, 1 when neither has a boundary.

    A pixel lies on the boundary when it differs from its right, lower or lower-right neighbour (published; an object
    has no boundary where it meets the image's edge). A boundary pixel is matched when the other boundary comes within
    `tolerance` of it: a share of the diagonal below 1, rounded up to pixels, or pixels from 1 on.

    Raises:
        EvaluationError: the masks are not [H, W] or differ in size, or the tolerance is not above zero.
    """
    a, b = _masks(a, b, dimensions=2)
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise EvaluationError(f"tolerance is {tolerance}; give a share of the diagonal (published: 0.008) or pixels")
    radius = tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*a.shape))
    edge_a, edge_b = _boundary(a), _boundary(b)
    if not edge_a.any() or not edge_b.any():
        return float(not edge_a.any() and not edge_b.any())
    precision = np.mean(_distance(edge_b)[edge_a] <= radius)
    recall = np.mean(_distance(edge_a)[edge_b] <= radius)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def j_and_f(pred_masks: np.ndarray, true_masks: np.ndarray) -> MaskScore:
    """J, F and (J + F) / 2 of one query, each the mean over its frames (rows "… (J&F)"; the table averages queries).

    Args:
        pred_masks, true_masks: [T, H, W]; all objects of a query are united into one mask per frame (published).

    Raises:
        EvaluationError: the shapes differ, or there is no frame.
    """
    pred, true = _masks(pred_masks, true_masks, dimensions=3)
    if not len(pred):
        raise EvaluationError("no frames to score; give masks [T, H, W] with T of at least 1")
    j = float(np.mean([jaccard(p, t) for p, t in zip(pred, true, strict=True)]))
    f = float(np.mean([boundary_f(p, t) for p, t in zip(pred, true, strict=True)]))
    return MaskScore(j, f, (j + f) / 2)


def _points(text: str) -> list[tuple[str, int, int]]:
    points, end = [], 0
    while hit := _POINT.match(text, end) or _NEXT_POINT.search(text, end):
        points.append((hit[1], int(hit[2]), int(hit[3])))
        end = hit.end()
    return points


def _pairs(pred: Sequence[Point], truth: Sequence[Point]):
    from scipy.optimize import linear_sum_assignment

    if not len(pred):
        return ()
    offsets = np.asarray(pred, dtype=float)[:, None] - np.asarray(truth, dtype=float)[None]
    return zip(*linear_sum_assignment(np.hypot(offsets[..., 0], offsets[..., 1])), strict=True)


def covers(point: Point, mask: np.ndarray) -> bool:
    """Whether a point (x, y), rounded to a pixel, lies in a mask [H, W]."""
    column, row = round(point[0]), round(point[1])
    height, width = np.shape(mask)
    return 0 <= column < width and 0 <= row < height and bool(mask[row][column])


def _masks(a: np.ndarray, b: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != dimensions:
        form = "[H, W]" if dimensions == 2 else "[T, H, W]"
        raise EvaluationError(f"masks have shapes {a.shape} and {b.shape}; give two of the same {form}")
    return a != 0, b != 0


def _boundary(mask: np.ndarray) -> np.ndarray:
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _distance(edge: np.ndarray) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~edge)
