"""Spatial understanding: distances and counts by relative error, points by mask, traces by distance.

Rows "VSI-Bench" and "ReVSI" (video), "CrossPoint" and "TraceSpatial-3D" (spatial).
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import EvaluationError
from ._text import NUMBER_WORDS, field, first_token, group_means, mean, require_text

# published: the ten confidence levels of VSI-Bench, compared as |p - t| / t <= 1 - c in this floating-point form
CONFIDENCES = np.linspace(0.5, 0.95, 10)
MASK_THRESHOLD = 128  # published: CrossPoint-Bench, a grey level above it is inside
TRACE_DISTANCE = 0.20  # published: metres, TraceSpatial-3D, start and end
TRACE_COLLISION = 0.20  # published: TraceSpatial-3D, share of a step in collision that fails the trace

# published: question types; the ending of a type is left out in the task it counts for
_ENDING = re.compile("(_forward|_backward)?_(easy|medium|hard|closest|farthest|single|multiple)$")
_VSI_CHOICE = (
    "object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard", "object_rel_distance",
    "route_planning", "obj_appearance_order",
)  # fmt: skip
_VSI_NUMBER = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
_REVSI_CHOICE = (
    "object_rel_direction_forward_easy", "object_rel_direction_backward_easy", "object_rel_direction_forward_hard",
    "object_rel_direction_backward_hard", "object_rel_distance_closest", "object_rel_distance_farthest", "route_planning",
)  # fmt: skip
_REVSI_NUMBER = (
    "object_counting_single", "object_counting_multiple", "object_abs_distance", "object_size_estimation",
    "room_size_estimation_single", "room_size_estimation_multiple",
)  # fmt: skip

_DIGITS = re.compile(r"-?\d++(?:\.\d++)?")
_WORDS = {word: value for value, word in enumerate(NUMBER_WORDS)} | {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
    "thousand": 1000,
}  # fmt: skip


def mean_relative_accuracy(pred: float | None, target: float) -> float:
    """MRA = mean over c in {.50, .55, …, .95} of `[|pred − target| / target ≤ 1 − c]`, in [0, 1].

    The numeric questions of rows "VSI-Bench" and "ReVSI". No number (None) or NaN scores 0.

    Raises:
        EvaluationError: the target is not a finite number above zero.
    """
    if not (math.isfinite(target) and target > 0):
        raise EvaluationError(f"the true value is {target}; relative accuracy needs a finite number above zero")
    if pred is None:
        return 0.0
    return float(np.mean(abs(pred - target) / target <= 1 - CONFIDENCES))


def parse_number(text: str) -> float | None:
    """The first number of an answer, in digits or in English words ("twenty-one", "three hundred and two"), or None.

    Whichever of the two stands first wins: "one apple, room 2" is 1. Numeric questions of row "VSI-Bench".
    """
    text = require_text(text).lower()
    digits = _DIGITS.search(text)
    start, words = None, []
    for word in re.finditer(r"[a-z]++", text):
        if word[0] in _WORDS:
            start = word.start() if start is None else start
            words.append(word[0])
        elif start is not None and word[0] != "and":
            break
    if digits and (start is None or digits.start() < start):
        return float(digits[0])
    return float(_spoken(words)) if words else None


def vsi_bench(rows: Iterable[Mapping]) -> dict[str, float]:
    """Score per task and "overall", the plain mean of the tasks, in [0, 1] (row "VSI-Bench").

    Args:
        rows: one mapping a question, with the dataset's `question_type` and `ground_truth`, and the answer under
            `prediction`.

    Choice questions compare the answer's first token with the letter, numeric ones take `mean_relative_accuracy` of
    `parse_number`. The three levels of object_rel_direction are averaged first, so there are eight tasks; a task (or
    level) with no row is left out of the mean. Quirk kept: the first token ends only at a space, so a
    leading space or "A\\nbecause" is wrong.

    Raises:
        EvaluationError: no rows, a missing field, an unknown question type, a true value that is no positive number.
    """
    return _task_scores(rows, _VSI_CHOICE, _VSI_NUMBER, parse_number, str)


def revsi(rows: Iterable[Mapping]) -> dict[str, float]:
    """Score per task and "overall", in [0, 1] (row "ReVSI"); rows as in `vsi_bench`, with ReVSI's question types.

    Seven tasks. The answer is stripped before its first token is taken; a numeric question reads that token alone as
    a number, so "about 3" and "three" score 0 here.
    """
    return _task_scores(rows, _REVSI_CHOICE, _REVSI_NUMBER, lambda text: _number(first_token(text.strip())), str.strip)


def point_in_mask(point: Sequence[float], mask: np.ndarray, size: tuple[int, int], coordinates: str = "relative_1000") -> bool:
    """Whether a pointed place lies in a mask (row "CrossPoint", coordinate questions; the score is the hit rate).

    Args:
        point: (x, y); x to the right, y downwards, from the top left.
        mask: [H, W], grey levels (inside: above 128) or booleans.
        size: (width, height) of the image the mask belongs to, in pixels.
        coordinates: "relative_1000" (0–1000), "relative_1" (0–1) or "absolute" (pixels).

    The pixel is the point truncated towards zero, so 1000 of 1000 lies outside and −0.5 counts as 0 (published). A
    point that is not finite misses.

    Raises:
        EvaluationError: an unknown kind of coordinates, or a mask that has not the image's size.
    """
    scale = {"relative_1000": 1000, "relative_1": 1}.get(coordinates)
    if scale is None and coordinates != "absolute":
        raise EvaluationError(f"coordinates are {coordinates!r}; use 'relative_1000', 'relative_1' or 'absolute'")
    width, height = size
    mask = np.asarray(mask)
    if mask.shape != (height, width):
        raise EvaluationError(f"the mask is {mask.shape} but the image {height}x{width}; resize the mask to the image")
    x, y = (point[0] / scale * width, point[1] / scale * height) if scale else point
    if not (math.isfinite(x) and math.isfinite(y)):
        return False
    column, row = int(x), int(y)
    inside = mask if mask.dtype == bool else mask > MASK_THRESHOLD
    return 0 <= column < width and 0 <= row < height and bool(inside[row, column])


def trace_success(start_distance: float, end_distance: float, collision_shares: Iterable[float]) -> bool:
    """Whether a 3-D trace succeeds (row "TraceSpatial-3D" is the share over 100 samples).

    Start and end closer than 0.20 m to the true ones, and the share in collision never above 0.20. NaN fails.
    """
    collides = any(not share <= TRACE_COLLISION for share in collision_shares)
    return start_distance < TRACE_DISTANCE and end_distance < TRACE_DISTANCE and not collides


def _spoken(words: list[str]) -> int:
    total, current = 0, 0
    for word in words:
        if word == "hundred":
            current = max(current, 1) * 100
        elif word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        else:
            current += _WORDS[word]
    return total + current


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _task_scores(rows, choice_types, number_types, read_number, clean) -> dict[str, float]:
    # 1. Score each row by its type
    by_type = defaultdict(list)
    for row in rows:
        kind, truth, text = field(row, "question_type"), field(row, "ground_truth"), require_text(field(row, "prediction"))
        if kind in choice_types:
            by_type[kind].append(float(first_token(clean(text)).lower() == str(truth).lower()))
        elif kind not in number_types:
            raise EvaluationError(f"unknown question_type {kind!r}; known are {', '.join(sorted(choice_types + number_types))}")
        elif (true := _number(truth)) is None:
            raise EvaluationError(f"the true value {truth!r} is no number; a numeric question needs one")
        else:
            by_type[kind].append(mean_relative_accuracy(read_number(text), true))
    # 2. Average within types, over the types of a task, over tasks
    by_task = defaultdict(list)
    for kind, score in group_means(by_type).items():
        by_task[_ENDING.sub("", kind)].append(score)
    tasks = group_means(dict(sorted(by_task.items())))
    return tasks | {"overall": mean(tasks.values())}
