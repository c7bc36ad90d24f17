"""What the protocols share: reading text, rows and means.

Patterns are possessive (`++`): what a model wrote may be hostile, and must cost linear time.
"""

import re
from collections.abc import Iterable, Mapping

from ..errors import EvaluationError

NUMBER = re.compile(r"\b\d++(?:\.\d++\b|\b)")  # "1.5x" reads as 1, "x15" and "15x" as nothing
NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()


def require_text(text: str) -> str:
    """The text itself, or an EvaluationError when it is anything else than a string."""
    if not isinstance(text, str):
        raise EvaluationError(f"an answer is {type(text).__name__}, not text; pass the model's output as a string")
    return text


def field(row: Mapping, name: str):
    """A field of a row, or an EvaluationError that lists the fields it has."""
    if name not in row:
        raise EvaluationError(f"a row has no field {name!r}; it has {', '.join(map(str, row)) or 'none'}")
    return row[name]


def mean(values: Iterable[float], what: str = "scores") -> float:
    """The plain mean, or an EvaluationError where there is nothing to average."""
    values = list(values)
    if not values:
        raise EvaluationError(f"no {what} to average; score at least one sample first")
    return sum(values) / len(values)


def group_means(groups: Mapping) -> dict:
    """The mean of each group of scores; an EvaluationError where there is no group."""
    if not groups:
        raise EvaluationError("no rows to average; score at least one sample first")
    return {name: mean(scores) for name, scores in groups.items()}


def first_token(text: str) -> str:
    """Everything before the first space, without final dots; a leading space leaves nothing."""
    return text.split(" ", 1)[0].rstrip(".").strip()
