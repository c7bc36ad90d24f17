"""What the parsers share. Patterns are possessive (`++`): what a model wrote may be hostile, and must cost linear time."""

import re

from ..errors import EvaluationError

NUMBER = re.compile(r"\b\d++(?:\.\d++\b|\b)")  # "1.5x" reads as 1, "x15" and "15x" as nothing


def require_text(text: str) -> str:
    """The text itself, or an EvaluationError when it is anything else than a string."""
    if not isinstance(text, str):
        raise EvaluationError(f"an answer is {type(text).__name__}, not text; pass the model's output as a string")
    return text
