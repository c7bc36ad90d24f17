"""Reading documents, charts and scenes, and counting things: string rules of the image rows."""

import re
from collections.abc import Sequence

from ..errors import EvaluationError
from ._text import NUMBER_WORDS, require_text

ANLS_CUTOFF = 0.5  # published: similarities below it count as 0
RELAXED_CHANGE = 0.05  # published: ChartQA accepts 5 % of the true value

_COUNT_WORDS = {word: str(value) for value, word in enumerate(NUMBER_WORDS)} | {"none": "0"}
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def anls(pred: str, answers: Sequence[str] | str) -> float:
    """Average normalised Levenshtein similarity, best of the answers, in [0, 1] (rows "DocVQA", "InfoVQA").

    Similarity = 1 − distance / length, below 0.5 it is 0. Case and runs of spaces do not count in the distance. Quirk
    kept: the length is the longer of the two *raw* upper-cased strings, so padding an answer with spaces raises a
    similarity that is not perfect.

    Raises:
        EvaluationError: there is no answer to compare with.
    """
    raw, cleaned = require_text(pred), _collapse(pred)
    best = 0.0
    for answer in _answers(answers):
        truth, length = _collapse(answer), max(len(answer.upper()), len(raw.upper()))
        if abs(len(truth) - len(cleaned)) > ANLS_CUTOFF * length:
            continue  # the distance is at least the difference in length: below the cut-off, and linear for long text
        best = max(best, 1 - _levenshtein(truth, cleaned) / length if length else 1.0)
    return best if best >= ANLS_CUTOFF else 0.0


def relaxed_accuracy(pred: str, target: str) -> float:
    """1 if the answer is right, else 0 (row "ChartQA").

    Two numbers agree within 5 % of the true one, the limit included; anything else must be equal but for case. "12%"
    reads as 0.12. Quirks kept: spaces around a word count, thousands separators make a word of a number, a true value
    of zero must be written alike, and "10" does not answer "10%".
    """
    value, truth = _number(require_text(pred)), _number(require_text(target))
    if value is not None and truth:
        return float(abs(value - truth) / abs(truth) <= RELAXED_CHANGE)
    return float(pred.lower() == target.lower())


def contains_answer(pred: str, answers: Sequence[str] | str, formula: bool = False) -> float:
    """1 if any answer stands inside the prediction, else 0 (row "OCRBench", the sum over 1,000 samples, per mille).

    Case, outer spaces and line breaks do not count, full-width letters are folded. `formula=True` is the rule of its
    handwritten formulas: case counts, spaces do not. Quirk kept: a long answer that lists everything contains the truth.

    Raises:
        EvaluationError: there is no answer to compare with.
    """
    clean = _formula if formula else _fold
    text = clean(require_text(pred))
    return float(any(clean(answer) in text for answer in _answers(answers)))


def exact_count(pred: str, target: str | int, rule: str = "first_integer") -> float:
    """1 if the count is right, else 0.

    Args:
        pred: the answer.
        target: the true count.
        rule: "first_integer" (row "Pixmo_Count") compares the first run of digits, so "-5", "5.5" and "5 or 6" all count
            as 5 and "five" as nothing; "whole_answer" (row "CountBench") wants the count and nothing else, in digits or
            as a word up to twenty.

    Raises:
        EvaluationError: an unknown rule.
    """
    if rule not in ("first_integer", "whole_answer"):
        raise EvaluationError(f"rule is {rule!r}; use 'first_integer' or 'whole_answer'")
    read = _first_integer if rule == "first_integer" else _count_word
    return float(read(require_text(pred)) == read(str(target)))


def _answers(answers: Sequence[str] | str) -> Sequence[str]:
    listed = [answers] if isinstance(answers, str) else list(answers)
    if not listed:
        raise EvaluationError("there is no true answer; give at least one string")
    return [require_text(answer) for answer in listed]


def _collapse(text: str) -> str:
    return " ".join(text.lower().split())


def _levenshtein(a: str, b: str) -> int:
    if len(a) > len(b):
        a, b = b, a
    row = list(range(len(a) + 1))
    for i, there in enumerate(b, start=1):
        previous, row[0] = row[0], i
        for j, here in enumerate(a, start=1):
            previous, row[j] = row[j], previous if here == there else 1 + min(previous, row[j], row[j - 1])
    return row[-1]


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _fold(text: str) -> str:
    return text.translate(_FULL_WIDTH).lower().strip().replace("\n", " ")


def _formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def _first_integer(text: str) -> str:
    digits = re.search(r"\d+", text)
    return digits[0] if digits else text.strip()


def _count_word(text: str) -> str:
    text = text.strip().lower()
    return _COUNT_WORDS.get(text, text)
