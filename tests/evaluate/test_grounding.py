"""Temporal grounding: what a span is in free text, IoU by hand and by property."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import grounding

seconds = st.integers(0, 1000).map(lambda n: n / 10)
spans = st.tuples(seconds, seconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The event happens in 10.5 - 20 seconds.", (10.5, 20.0)),
        ("from 0:10 to 1:02:03.5", (10.0, 3723.5)),
        ("0:10, then 12 - 14", (12.0, 14.0)),  # one clock time is no pair
        ("from 3 to 7.", (3.0, 7.0)),
        ("3 to 7, or 8-9", (8.0, 9.0)),  # a dash anywhere wins over "to"
        ("1.2.3 - 4", (2.3, 4.0)),
        ("5. - 6.", (5.0, 6.0)),
        ("20 - 10", (20.0, 10.0)),
        ("10 – 20", (10.0, 20.0)),  # an en dash: all numbers, two by two
        ("starts 4.5s? ends 6", (4.0, 6.0)),
        ("between -3 and -1", (3.0, 1.0)),
        ("only 7", None),
        ("never", None),
        ("", None),
    ],
)
def test_parsing_order(text, expected):
    assert grounding.parse_span(text) == expected


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ((0, 10), (5, 15), 1 / 3),
        ((0, 4), (6, 10), 0),
        ((2, 4), (0, 10), 0.2),
        ((10, 5), (5, 10), 0),
        ((3, 3), (3, 3), 0),
        ((0, math.inf), (0, 10), 0),
        ((-5, 5), (0, 5), 0.5),
    ],
)
def test_iou_by_hand(a, b, iou):
    assert grounding.temporal_iou(a, b) == pytest.approx(iou)


@given(spans, spans)
def test_iou_is_bounded_and_symmetric(a, b):
    assert 0 <= grounding.temporal_iou(a, b) == grounding.temporal_iou(b, a) <= 1


@given(spans.filter(lambda s: s[0] < s[1]))
def test_a_span_overlaps_itself_wholly(span):
    assert grounding.temporal_iou(span, span) == 1


@given(spans.filter(lambda s: s[0] < s[1]), seconds, st.integers(1, 9))
def test_iou_survives_shift_and_scale(span, shift, scale):
    other = (span[0] + 1, span[1] + 3)
    moved = [(scale * (a + shift), scale * (b + shift)) for a, b in (span, other)]
    assert grounding.temporal_iou(*moved) == pytest.approx(grounding.temporal_iou(span, other))


def test_aggregate_by_hand():
    pairs = [((0, 10), (0, 10)), ((0, 5), (0, 10)), ((0, 3), (0, 10)), (None, (0, 10))]
    expected = {"mIoU": (1 + 0.5 + 0.3) / 4, "R1@0.3": 0.75, "R1@0.5": 0.5, "R1@0.7": 0.25}
    assert grounding.aggregate(pairs) == pytest.approx(expected)
    assert grounding.aggregate(reversed(pairs)) == pytest.approx(expected)


def test_bad_truth_is_refused():
    with pytest.raises(EvaluationError, match="NaN"):
        grounding.temporal_iou((0, math.nan), (0, 1))
    with pytest.raises(EvaluationError, match="no spans"):
        grounding.aggregate([])
    with pytest.raises(EvaluationError, match="text"):
        grounding.parse_span(3)


@given(st.text(max_size=200))
def test_any_text_is_scored(text):
    assert 0 <= grounding.aggregate([(grounding.parse_span(text), (1.0, 2.0))])["mIoU"] <= 1


def test_hostile_text_costs_linear_time(assert_linear):
    assert_linear(grounding.parse_span)
