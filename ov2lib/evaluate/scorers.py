"""Which rule judges a sample: `Sample.task` names one, `Sample.truth` holds what it compares with.

By task, the truth that it takes → its metrics, the headline first:

* choice: `choices`, short answers; optionally `answer`, `rule`, `sentence`, see `score_choice` → accuracy
* caption: optionally `answer` → F1 of words, exact
* number: `number` → MRA, exact
* jump_times: `times` in seconds → mAP, AP@0.1, AP@0.2, AP@0.3
* grounding: `span`, [start, end] in seconds → mIoU, R1@0.3, R1@0.5, R1@0.7
* tracks: `size`, `times`, `objects`, `targets`, see `score_tracks` → J&F, J, F, F1

Where `answer` is not given, the sample's last message is the true one. Every metric is a fraction in [0, 1] per sample, and a
dataset's number is its plain mean over samples. Scorers take whatever a model wrote, in time linear in its length; a truth that
lacks something raises `EvaluationError`.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from ..errors import EvaluationError
from ..samples.sample import Sample
from . import choices, grounding, jumpscore, spatial, tracking
from ._text import require_text

_WORD = re.compile(r"[^\W_]++")


def score(prediction: str, sample: Sample) -> dict[str, float]:
    """The metrics of one answer, headline first.

    Raises:
        EvaluationError: no scorer has the task's name, or the truth lacks what it needs.
    """
    if sample.task not in SCORERS:
        raise EvaluationError(f"{sample.id}: task {sample.task!r} has no scorer; known are {', '.join(SCORERS)}")
    try:
        return SCORERS[sample.task](require_text(prediction), sample)
    except KeyError as error:
        raise EvaluationError(f"{sample.id}: the truth of a {sample.task} sample needs {error}") from None
    except EvaluationError as error:
        raise EvaluationError(f"{sample.id}: {error}") from error


def reference(sample: Sample) -> str:
    """The true answer in words: the sample's last message."""
    return sample.messages[-1][1]


def score_choice(prediction: str, sample: Sample) -> dict[str, float]:
    """Exact match of a short answer: case, outer spaces and a final dot do not count.

    With `rule` the choices are letters and the prediction is read by `choices.extract_letter`, as the benchmark of that rule
    does; without, the whole prediction must be the answer, or with `sentence` a sentence that ends in it (where several choices
    are such an end, the longest counts).
    """
    listed, answer = [str(choice) for choice in sample.truth["choices"]], str(sample.truth.get("answer", reference(sample)))
    if _bare(answer) not in map(_bare, listed):
        raise EvaluationError(f"the answer {answer!r} is not one of the choices {listed}")
    rule = sample.truth.get("rule")
    if rule is not None:
        said = choices.extract_letter(prediction, "".join(listed), rule)
    elif sample.truth.get("sentence"):
        ends = [choice for choice in listed if f" {_bare(prediction)}".endswith(f" {_bare(choice)}")]
        said = max(ends, key=len, default=None)
    else:
        said = prediction
    return {"accuracy": float(said is not None and _bare(said) == _bare(answer))}


def score_caption(prediction: str, sample: Sample) -> dict[str, float]:
    """F1 between the words of the prediction and of the truth, each word as often as it stands there (*assumed*: the paper
    scores captions with judge models), and whether the words are the same in the same order."""
    said, true = (_WORD.findall(text.lower()) for text in (prediction, str(sample.truth.get("answer", reference(sample)))))
    if not true:
        raise EvaluationError("the true caption holds no word")
    shared = (Counter(said) & Counter(true)).total()
    return {"F1": 2 * shared / (len(said) + len(true)), "exact": float(said == true)}


def score_number(prediction: str, sample: Sample) -> dict[str, float]:
    """Mean relative accuracy as VSI-Bench's numeric questions, and exact equality; a true 0 has no relative error, so there
    both are equality."""
    true, said = _finite([sample.truth["number"]])[0], spatial.parse_number(prediction)
    exact = float(said == true)
    return {"MRA": spatial.mean_relative_accuracy(said, true) if true else exact, "exact": exact}


def score_jump_times(prediction: str, sample: Sample) -> dict[str, float]:
    """JumpScore: mean average precision over the three tolerances, and each of them (row "JumpScore")."""
    result = jumpscore.score(prediction, json.dumps(_finite(sample.truth["times"])))
    return {"mAP": result.map, **{f"AP@{tolerance}": ap for tolerance, ap in result.ap.items()}}


def score_grounding(prediction: str, sample: Sample) -> dict[str, float]:
    """Overlap of the first span stated with the true one, and whether it reaches each threshold (TimeLens rows)."""
    span = _finite(sample.truth["span"])
    if len(span) != 2 or not span[0] < span[1]:
        raise EvaluationError(f"the true span is {span}; give [start, end] in seconds, the start first")
    return grounding.aggregate([(grounding.parse_span(prediction), (span[0], span[1]))])


def score_tracks(prediction: str, sample: Sample) -> dict[str, float]:
    """Tracking with the scene's own masks in place of a segmenter.

    A point that the answer writes for a frame selects the object it lies on, whichever that is, as a perfect segmenter
    prompted with it would; the selected masks are compared with the targets' by J and F. A point on the background selects
    nothing. F1 scores the points themselves (`tracking.point_f1`), against the middle of each target's mask. A frame reads the
    answer's segment nearest in time, if it is closer than half the frames' spacing (half a second for a single frame).

    `truth` holds `size` [height, width] in pixels; `times` [T] in seconds; `objects` {name: T masks}, the visible part of
    each object of the scene as run lengths in raster order, background first ([] where it is not seen); and `targets`, the
    names asked for. J, F and F1 are means over the frames, J&F is (J + F) / 2.
    """
    # 1. The truth: masks of every object over time
    truth = sample.truth
    times, (height, width) = _finite(truth["times"]), truth["size"]
    masks = {name: [read_runs(runs, height, width) for runs in frames] for name, frames in truth["objects"].items()}
    missing = [name for name in truth["targets"] if name not in masks]
    if missing or not truth["targets"] or not times or any(len(frames) != len(times) for frames in masks.values()):
        raise EvaluationError("tracks need a mask of every object at every time, and targets among the objects")
    # 2. What the answer says at the stated time nearest to each true one
    reach = min((b - a for a, b in pairwise(times)), default=1.0) / 2
    said = tracking.parse_tracks(prediction)
    (selected, target), f1 = np.zeros((2, len(times), height, width), bool), []
    for t, time in enumerate(times):
        nearest = min(said, key=lambda stated: abs(stated - time), default=math.inf)
        written = said[nearest].values() if abs(nearest - time) <= reach else ()
        points = [(x / tracking.GRID * width, y / tracking.GRID * height) for x, y in written]
        # 3. A point selects every object that it touches; those asked for are wanted
        for frames in masks.values():
            if any(tracking.covers(point, frames[t]) for point in points):
                selected[t] |= frames[t]
        seen = [masks[name][t] for name in truth["targets"] if masks[name][t].any()]
        for mask in seen:
            target[t] |= mask
        f1.append(tracking.point_f1(points, [_middle(mask) for mask in seen], seen).f1)
    # 4. Region and contour of the selection, and F1 of the points
    result = tracking.j_and_f(selected, target)
    return {"J&F": result.j_and_f, "J": result.j, "F": result.f, "F1": sum(f1) / len(f1)}


def write_runs(mask: np.ndarray) -> list[int]:
    """A mask [H, W] as run lengths in raster order: background, object, background, …; [] for an empty mask."""
    flat = np.asarray(mask, dtype=bool).ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    return np.diff(edges, prepend=0).tolist() + [int(len(flat) - edges[-1])] if len(edges) else []


def read_runs(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """What `write_runs` wrote, bool [H, W].

    Raises:
        EvaluationError: the runs do not fill the frame.
    """
    if not len(runs):
        return np.zeros((height, width), bool)
    if min(runs) < 0 or sum(runs) != height * width:
        raise EvaluationError(f"a mask's runs cover {sum(runs)} pixels and the frame has {height * width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)


def _bare(text: str) -> str:
    return text.strip().removesuffix(".").rstrip().casefold()


def _finite(values: Sequence[float]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise EvaluationError(f"the truth {values!r} should be numbers") from None
    if not all(map(math.isfinite, numbers)):
        raise EvaluationError(f"the truth {values!r} holds a number that is not finite")
    return numbers


def _middle(mask: np.ndarray) -> tuple[float, float]:
    """The pixel (x, y) of the mask that lies nearest its centre of mass."""
    places = np.argwhere(mask)
    row, column = places[np.argmin(np.square(places - places.mean(0)).sum(1))]
    return float(column), float(row)


SCORERS: Mapping[str, Callable[[str, Sample], dict[str, float]]] = {
    "choice": score_choice, "caption": score_caption, "number": score_number, "jump_times": score_jump_times,
    "grounding": score_grounding, "tracks": score_tracks,
}  # fmt: skip
