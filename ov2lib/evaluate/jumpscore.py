"""JumpScore: when does each jump of a rope start? Average precision of points in time (row "JumpScore").

A sample's answer is a list of start times in seconds, its truth likewise. Events have no duration, so there is no IoU:
a prediction is right when it lies within a tolerance of a truth that no earlier prediction took.
"""

import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from ..display import Shown
from ..errors import EvaluationError
from ._text import NUMBER, mean, require_text

TOLERANCES = (0.1, 0.2, 0.3)  # published: seconds, the JumpScore task of lmms-eval

_SECONDS = re.compile(r"(?<!\d)(\d++(?:\.\d++)?)\s*+s\b")
_FENCE_OPENS = re.compile(r"```json\s*+(?=\[)")
_FENCE_CLOSES = re.compile(r"\](?=\s*+```)")
_TRAILING_COMMA = re.compile(r",\s*+\]")


@dataclass(frozen=True)
class Score(Shown):
    """Score of one sample.

    Attributes:
        map: mean of `ap` over the tolerances, in [0, 1].
        ap: average precision by tolerance in seconds.
    """

    map: float
    ap: dict[float, float]


def parse_times(text: str) -> list[float]:
    """Start times in seconds that an answer states, ascending.

    The first rule that finds a number wins:
      1. every number directly followed by optional spaces and an "s" at the end of a word;
      2. the longest bracketed list, bare or fenced as JSON, read as JSON (a trailing comma is repaired, a string may
         end in "s", nested values are skipped); when it is not JSON, the numbers inside it;
      3. every number.

    Quirks kept: one "3.5s" hides every plain number ("at 3.5s and 12" gives [3.5]); "12 s" counts but "12 seconds" does
    not, so it falls to rule 2 or 3; outside valid JSON a minus sign is lost; JSON true counts as 1. One departure: a
    list whose JSON overflows the reader (5,000 digits, 1,000 nested brackets) stops the published code and here
    falls to the numbers inside.
    """
    text = require_text(text).lower()
    times = [float(number) for number in _SECONDS.findall(text)]
    if not times:
        listed = max(_bracketed(text), key=len, default=None)
        times = _list_times(listed) if listed else []
    if not times:
        times = [float(number) for number in NUMBER.findall(text)]
    return _sorted(times)


def match(pred: Iterable[float], truth: Iterable[float], tolerance: float) -> list[int | None]:
    """For each prediction in time order, the index of the truth (in time order) that it takes, or None.

    A prediction takes the nearest truth not yet taken whose distance is at most `tolerance` seconds, the earlier one on
    ties. It is greedy: an early prediction may take the truth that a later one fits better. Quirk kept: distances are compared
    as binary numbers, so at 0.2 s 3.8 takes 3.6 and 3.4 does not; the benchmark's grid of 0.04 s hits that limit exactly.

    Raises:
        EvaluationError: the tolerance is negative or not finite.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise EvaluationError(f"tolerance is {tolerance}; give seconds, zero or more (published: 0.1, 0.2, 0.3)")
    predictions, truths = _sorted(pred), _sorted(truth)
    taken, matches = [False] * len(truths), []
    for time in predictions:
        best, best_distance = None, math.inf
        reach = tolerance + 1e-6 * (1 + abs(time))  # a little more than needed: the exact test is below
        i = bisect_left(truths, time - reach)
        while i < len(truths) and truths[i] <= time + reach:
            distance = abs(time - truths[i])
            if not taken[i] and distance <= tolerance and distance < best_distance:
                best, best_distance = i, distance
            i += 1
        if best is not None:
            taken[best] = True
        matches.append(best)
    return matches


def average_precision(pred: Iterable[float], truth: Iterable[float], tolerance: float) -> float:
    """AP = Σ_k P_k · (R_k − R_{k−1}) over the predictions in time order, without an envelope; in [0, 1].

    P_k is the share of the first k predictions that took a truth (see `match`), R_k the share of truths taken by then.
    There is no confidence, so order in time is the only order. No prediction, or no truth, gives 0. A time that is not
    a number matches nothing and counts against the side it is on.

    Raises:
        EvaluationError: the tolerance is negative or not finite.
    """
    truth = list(truth)
    hits, total = 0, 0.0
    for k, taken in enumerate(match(pred, truth, tolerance), start=1):
        if taken is not None:
            hits += 1
            total += hits / k
    return total / len(truth) if truth else 0.0


def score(prediction_text: str, truth_text: str) -> Score:
    """Score one answer against the benchmark's answer field (row "JumpScore").

    The truth is the first bracketed list of `truth_text`, strictly as JSON. An explicitly empty truth and no prediction
    score 1; any other truth without a number scores 0, whatever was predicted (published: an unreadable truth is not an
    error).
    """
    pred = parse_times(prediction_text)
    truth, explicitly_empty = _parse_truth(truth_text)
    if explicitly_empty and not pred:
        ap = dict.fromkeys(TOLERANCES, 1.0)
    else:
        ap = {tolerance: average_precision(pred, truth, tolerance) for tolerance in TOLERANCES}
    return Score(map=mean(ap.values()), ap=ap)


def aggregate(scores: Iterable[Score]) -> float:
    """Mean of `Score.map` over the samples, in [0, 1]; row "JumpScore" prints it times 100.

    Raises:
        EvaluationError: there are no scores.
    """
    return mean(item.map for item in scores)


def _sorted(times: Iterable[float]) -> list[float]:
    return sorted((float(time) for time in times), key=lambda time: (math.isnan(time), time))  # NaN has no order: last


def _bracketed(text: str) -> list[str]:
    """Every bracketed list from left to right, none inside another: a fenced one up to the bracket that ends its fence,
    a bare one up to the next closing bracket. One pass, where the obvious regular expression is quadratic."""
    fences = {opening.start(): opening.end() for opening in _FENCE_OPENS.finditer(text)}
    closings = [closing.start() for closing in _FENCE_CLOSES.finditer(text)]
    starts = sorted([*fences, *(bracket.start() for bracket in re.finditer(r"\[", text))])
    spans, end, last_bracket = [], 0, text.rfind("]")
    for start in starts:
        if start < end or start > last_bracket:
            continue
        opening = fences.get(start)
        if opening is None:
            end = text.index("]", start) + 1
            spans.append(text[start:end])
        elif closings and closings[-1] > opening:
            closing = closings[bisect_left(closings, opening)]
            spans.append(text[opening : closing + 1])
            end = text.index("```", closing) + 3
    return spans


def _load_json(text: str) -> object:
    """The JSON value, or the text itself when it is not JSON (also when it is too deep or too long for the reader)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _numbers(values: list) -> list[float]:
    times = []
    for value in values:
        try:
            times.append(float(value.replace("s", "").strip() if isinstance(value, str) else value))
        except OverflowError:
            times.append(math.inf if value > 0 else -math.inf)
        except (ValueError, TypeError):
            continue
    return times


def _list_times(listed: str) -> list[float]:
    values = _load_json(_TRAILING_COMMA.sub("]", listed))
    if isinstance(values, list):
        return _numbers(values)
    return [float(number) for number in NUMBER.findall(listed)]


def _parse_truth(text: str) -> tuple[list[float], bool]:
    listed = _bracketed(require_text(text))
    values = _load_json(listed[0] if listed else text)
    if not isinstance(values, list):
        return [], False
    return _sorted(_numbers(values)), not values
