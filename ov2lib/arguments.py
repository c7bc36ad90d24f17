"""Arguments of the wrong kind, told in one line before any work; numbers come out as Python's own, which JSON can hold."""

import math
import operator
import reprlib
from numbers import Real

from .errors import Ov2Error


def whole_number(name: str, value: object, least: int) -> int:
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
