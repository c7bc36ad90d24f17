"""Spatial scores: the MRA vectors, VSI-Bench and ReVSI means by hand, points in masks, traces."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import spatial

positive = st.floats(0.01, 1e6)


@pytest.mark.parametrize(
    ("pred", "mra"), [(9, 0.9), (9.5, 1.0), (5, 0.1), (15, 0.1), (4.9, 0), (10, 1), (None, 0), (math.nan, 0)]
)
def test_published_mra_vectors(pred, mra):
    assert spatial.mean_relative_accuracy(pred, 10) == pytest.approx(mra)


@given(positive, positive)
def test_mra_is_a_multiple_of_a_tenth_and_falls_with_the_error(pred, target):
    value = spatial.mean_relative_accuracy(pred, target)
    assert 0 <= value <= 1 and value * 10 == pytest.approx(round(value * 10))
    assert spatial.mean_relative_accuracy(target, target) == 1
    assert spatial.mean_relative_accuracy(pred + abs(pred - target), target) <= 1 if pred > target else value >= 0


@pytest.mark.parametrize("target", [0, -3, math.nan, math.inf])
def test_mra_needs_a_positive_target(target):
    with pytest.raises(EvaluationError, match="above zero"):
        spatial.mean_relative_accuracy(1, target)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("There are 3.5 m", 3.5),
        ("-2", -2),
        ("Three boxes.", 3),
        ("one apple, room 2", 1),
        ("room 2, one apple", 2),
        ("twenty-one", 21),
        ("three hundred and twenty-one thousand and five", 321005),
        ("hundred", 100),
        ("two or three", 2),
        ("many", None),
        ("", None),
    ],
)
def test_numbers_in_digits_and_words(text, number):
    assert spatial.parse_number(text) == number


def row(kind, truth, prediction):
    return {"question_type": kind, "ground_truth": truth, "prediction": prediction}


def test_vsi_bench_by_hand():
    rows = [
        row("object_rel_direction_easy", "A", "A"),
        row("object_rel_direction_easy", "A", "a."),
        row("object_rel_direction_medium", "B", "C"),
        row("object_rel_direction_hard", "B", "B because"),
        row("object_counting", "10", "nine"),
        row("room_size_estimation", 10.0, "15 square metres"),
        row("route_planning", "C", " C"),  # a leading space: no first token
    ]
    scores = spatial.vsi_bench(rows)
    assert scores == pytest.approx(
        {
            "object_rel_direction": 2 / 3,  # (1 + 0 + 1) / 3, not 3 of 4
            "object_counting": 0.9,
            "room_size_estimation": 0.1,
            "route_planning": 0.0,
            "overall": (2 / 3 + 0.9 + 0.1 + 0) / 4,
        }
    )
    assert spatial.vsi_bench(rows[::-1]) == pytest.approx(scores)


def test_revsi_by_hand():
    rows = [
        row("object_counting_single", 4, "4 chairs"),
        row("object_counting_single", 4, "four"),
        row("object_counting_multiple", 10, " 9"),
        row("object_rel_distance_closest", "A", " A. The sofa"),
    ]
    scores = spatial.revsi(rows)
    assert scores == pytest.approx({"object_counting": (0.5 + 0.9) / 2, "object_rel_distance": 1, "overall": (0.7 + 1) / 2})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([row("object_colour", "A", "A")], "object_colour"),
        ([{"question_type": "route_planning", "prediction": "A"}], "ground_truth"),
        ([row("object_counting", "four", "4")], "no number"),
        ([row("object_counting", 0, "4")], "above zero"),
        ([row("route_planning", "A", None)], "not text"),
    ],
)
def test_bad_rows_are_refused(rows, message):
    with pytest.raises(EvaluationError, match=message):
        spatial.vsi_bench(rows)


def test_point_in_mask_by_hand():
    mask = np.zeros((4, 8), dtype=np.uint8)
    mask[1, 5] = 129
    mask[2, 5] = 128  # not above the threshold
    size = (8, 4)
    assert spatial.point_in_mask((5.9, 1.9), mask, size, "absolute")
    assert spatial.point_in_mask((5 / 8, 1 / 4), mask, size, "relative_1")
    assert spatial.point_in_mask((749, 499), mask, size)
    assert not spatial.point_in_mask((750, 499), mask, size)
    assert not spatial.point_in_mask((5, 2), mask, size, "absolute")
    assert spatial.point_in_mask((5, 1), mask > 128, size, "absolute")


@pytest.mark.parametrize("point", [(8, 1), (-1, 1), (5, 4), (math.nan, 1), (math.inf, 1), (1e308, 1)])
def test_points_outside_miss(point):
    assert not spatial.point_in_mask(point, np.full((4, 8), 255, dtype=np.uint8), (8, 4), "absolute")


def test_a_point_just_left_of_the_image_counts_as_its_first_column():
    assert spatial.point_in_mask((-0.5, 0), np.ones((4, 8), dtype=bool), (8, 4), "absolute")


def test_masks_and_coordinates_must_fit():
    mask = np.zeros((4, 8))
    with pytest.raises(EvaluationError, match="resize the mask"):
        spatial.point_in_mask((1, 1), mask, (4, 8))
    with pytest.raises(EvaluationError, match="relative_100'"):
        spatial.point_in_mask((1, 1), mask, (8, 4), "relative_100")


@pytest.mark.parametrize(
    ("start", "end", "shares", "success"),
    [
        (0.19, 0.19, [0, 0.2], True),
        (0.20, 0.1, [], False),
        (0.1, 0.20, [], False),
        (0.1, 0.1, [0.1, 0.21], False),
        (math.nan, 0.1, [], False),
        (0.1, 0.1, [math.nan], False),
    ],
)
def test_trace_success(start, end, shares, success):
    assert spatial.trace_success(start, end, shares) is success


def test_hostile_text_costs_linear_time(assert_linear):
    assert_linear(spatial.parse_number)
    assert_linear(lambda text: spatial.revsi([row("route_planning", "A", text)]))
