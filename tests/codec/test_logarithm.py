"""A logarithm of tables: near numpy's, and its tables hold no digit that a processor could change."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.codec.logarithm import KNOTS, LOG2, log1p
from ov2lib.video import bits


@given(st.floats(0, 1e9))
def test_it_is_numpys(value):
    assert log1p(value) == pytest.approx(np.log1p(value), rel=1e-5, abs=1e-7)


def test_it_rises_from_zero():
    values = log1p(np.arange(100_000) / 64)
    assert values[0] == 0 and (np.diff(values) > 0).all()


def exact(numbers) -> np.ndarray:
    """log2 of fractions (top, bottom), correctly rounded to float32, whatever the processor."""
    with localcontext(prec=40):
        return np.array([np.float32(float((Decimal(a) / Decimal(b)).ln() / Decimal(2).ln())) for a, b in numbers])


def test_tables_are_the_exact_values_rounded():
    np.testing.assert_array_equal(LOG2, exact((KNOTS + k, 2 * KNOTS) for k in range(KNOTS + 1)))
    np.testing.assert_array_equal(bits.LOG2, exact((1 + n, 1) for n in range(4096)))


def test_quantiser_steps_are_the_exact_values_rounded():
    qp = np.arange(-12, 64)
    with localcontext(prec=40):
        steps = [np.float32(float((Decimal(2).ln() * (k - 4) / 6).exp())) for k in qp.tolist()]
    np.testing.assert_array_equal(bits.quantiser_step(qp), steps)
