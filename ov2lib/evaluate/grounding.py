"""Temporal grounding: when does an event start and end? (rows "t/Charades", "t/ActivityNet", "t/QVHighlights", TimeLens)

The reported number is mIoU, the mean overlap of the first span an answer states with the first true span.
"""

import math
import re
from collections.abc import Iterable

from ..errors import EvaluationError
from ._text import NUMBER, mean, require_text

THRESHOLDS = (0.3, 0.5, 0.7)  # published: the TimeLens tasks of lmms-eval

Span = tuple[float, float]

_CLOCK = re.compile(r"\b(?:(\d{1,2}):(?=\d\d:))?(\d{1,2}):(\d{2}(?:\.\d++)?)\b")
_DASH = re.compile(r"(?<!\d)(\d++\.?+\d*+)\s*+-\s*+(\d++\.?+\d*+)")
_TO = re.compile(r"(?<!\d)(\d++\.?+\d*+)\s++to\s++(\d++\.?+\d*+)")


def parse_span(text: str) -> Span | None:
    """The first span (start, end) in seconds that an answer states, in the order it states it; None without a pair.

    The first rule that finds a pair wins:
      1. clock times ("1:02:03", "1:02.5"), taken two by two;
      2. "a - b" anywhere, else "a to b" anywhere;
      3. all plain numbers, taken two by two.

    Quirks kept: the pair is not sorted ("20 to 10" stays reversed and scores 0); only "-" is a dash, so "10 – 20" is
    read by rule 3; minus signs are lost; a date or a score ("2 - 1") before the answer is taken for it.
    """
    text = require_text(text).lower()
    clocks = _CLOCK.findall(text)
    if len(clocks) >= 2:
        first, second = (int(h or 0) * 3600 + int(m) * 60 + float(s) for h, m, s in clocks[:2])
        return first, second
    dashed = _DASH.search(text) or _TO.search(text)
    if dashed:
        return float(dashed[1]), float(dashed[2])
    numbers = NUMBER.findall(text)
    return (float(numbers[0]), float(numbers[1])) if len(numbers) >= 2 else None


def temporal_iou(a: Span, b: Span) -> float:
    """Overlap of two spans over their hull, in [0, 1]; symmetric.

    Published form: (min of ends − max of starts, at least 0) / (max of ends − min of starts). For overlapping spans the
    hull is the union. Quirk kept: a reversed span is not sorted and scores 0 against any true one; an empty hull
    scores 0, so a span of no length scores 0 even against itself.

    Raises:
        EvaluationError: a time is NaN.
    """
    if any(math.isnan(time) for time in (*a, *b)):
        raise EvaluationError(f"a span holds NaN: {tuple(a)} and {tuple(b)}; times are seconds")
    overlap = min(a[1], b[1]) - max(a[0], b[0])
    hull = max(a[1], b[1]) - min(a[0], b[0])
    return overlap / hull if 0 < overlap and hull < math.inf else 0.0


def aggregate(pairs: Iterable[tuple[Span | None, Span]]) -> dict[str, float]:
    """mIoU and R1@.3, R1@.5, R1@.7 over (predicted, true) spans, in [0, 1]; the three t/ rows print mIoU times 100.

    A prediction of None scores 0; R1@c is the share of samples with IoU ≥ c. Quirk of the published code that lies in
    its bookkeeping and not here: samples with the same video, query and span are counted once.

    Raises:
        EvaluationError: there are no pairs, or a time is NaN.
    """
    ious = [0.0 if pred is None else temporal_iou(pred, truth) for pred, truth in pairs]
    recall = {f"R1@{threshold}": mean((iou >= threshold for iou in ious), "spans") for threshold in THRESHOLDS}
    return {"mIoU": mean(ious), **recall}
