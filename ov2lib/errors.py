"""Errors that name the cause and the remedy, and checks of numbers that users pass.

Every error a user can cause derives from `Ov2Error`; the command line prints its message on one line and exits with status 2.
"""

import math
import operator
import os
import reprlib
import traceback
from numbers import Real
from typing import Any


class Ov2Error(ValueError):
    """Base of every error that bad input can cause."""


def describe(error: Exception) -> str:
    """What a list of failures says of an error: our message, or the type, message and place of any other exception."""
    if isinstance(error, Ov2Error):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({os.path.basename(frame.filename)}, line {frame.lineno})" for frame in last)
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def install_hint(extra: str) -> str:
    """How to install an optional part of the library, which is on no package index yet.

    Args:
        extra: of pyproject.toml, such as "model".
    """
    return f"run: pip install '.[{extra}]' in a clone of the project"


class MediaError(Ov2Error):
    """A file that cannot be read as what it should be: its message names file, cause and remedy.

    Args:
        path: the file (or folder) that was asked for.
        cause: what is wrong with it, in plain words.
        remedy: what the user can do about it.
    """

    def __init__(self, path: object, cause: str, remedy: str):
        self.path, self.cause, self.remedy = str(path), cause, remedy
        super().__init__(f"{path}: {cause}; {remedy}")

    def __reduce__(self):
        return type(self), (self.path, self.cause, self.remedy)


class VideoError(MediaError):
    """A file that cannot be read as video."""


class ImageError(MediaError):
    """A picture that cannot be read."""


class VideoWarning(UserWarning):
    """Something wrong with a video or picture that reading it survived, or a choice that its user should know of."""


class TokensError(Ov2Error):
    """Visual tokens that contradict themselves, or a saved folder that is incomplete."""


class ModelError(Ov2Error):
    """A checkpoint, configuration, prompt or model input that does not fit together."""


class EvaluationError(Ov2Error):
    """Truth, masks, settings or result files that cannot be scored; what a model wrote never raises it."""


class ReportedError(Ov2Error):
    """A reported table, row or column that this package does not hold."""


class TrainingError(Ov2Error):
    """A sample, stage, checkpoint or run that cannot be trained as asked."""


def whole_number(name: str, value: Any, least: int) -> int:
    """An integer of any library as Python's.

    Raises:
        Ov2Error: another kind (text, 8.0, True, None), or less than `least`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise Ov2Error(f"{name}={reprlib.repr(value)}; must be at least {least}, a whole number")
    return number


def real_number(name: str, value: object, positive: bool = False) -> float:
    """A real number of any library as Python's float, 0 or more; or above 0.

    Raises:
        Ov2Error: another kind, negative, infinite or not a number.
    """
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise Ov2Error(f"{name}={reprlib.repr(value)}; must be a number {'above 0' if positive else 'of at least 0'}")
    return number
