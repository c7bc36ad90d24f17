"""A logarithm that is the same bytes on every processor; numpy's own differs in its last digit from one to the next."""

import numpy as np

KNOTS = 2048  # straight lines between this many knots are within 1e-7 of the curve
LOG2 = np.log2(np.linspace(0.5, 1, KNOTS + 1)).astype(np.float32).astype(np.float64)  # rounded: the last digit is gone
LN_2 = 0.6931471805599453


def log1p(values: np.ndarray) -> np.ndarray:
    """ln(1 + values), values of at least 0, float64 and within 1e-7: additions and products alone, in a fixed order."""
    mantissa, exponent = np.frexp(1.0 + np.asarray(values, np.float64))
    place = mantissa * (2 * KNOTS) - KNOTS
    knot = place.astype(np.intp)
    low = LOG2[knot]
    return LN_2 * (exponent + (low + (place - knot) * (LOG2[knot + 1] - low)))
