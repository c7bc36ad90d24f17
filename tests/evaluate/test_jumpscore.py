"""JumpScore: the published vectors, each parsing rule, and the properties of the metric."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import jumpscore
from ov2lib.evaluate.jumpscore import TOLERANCES

times = st.lists(st.integers(0, 600).map(lambda n: n / 100), max_size=12)


@pytest.mark.parametrize(
    ("pred", "truth", "ap"),
    [
        ([1.05, 2.15, 3.25], [1, 2, 3], (1 / 3, 2 / 3, 1)),
        ([0.5, 1, 2, 3], [1, 2, 3], (0.638889, 0.638889, 0.638889)),
        ([1, 2], [1, 2, 3], (2 / 3, 2 / 3, 2 / 3)),
        ([1, 1.05], [1], (1, 1, 1)),
        ([1.15, 1.25], [1.0, 1.2], (0.5, 0.5, 1)),
        ([], [1], (0, 0, 0)),
        ([1], [], (0, 0, 0)),
    ],
)
def test_published_vectors(pred, truth, ap):
    assert [jumpscore.average_precision(pred, truth, t) for t in TOLERANCES] == pytest.approx(ap, abs=1e-6)
    scored = jumpscore.score(json.dumps(pred), json.dumps(truth))
    assert scored.ap == pytest.approx(dict(zip(TOLERANCES, ap, strict=True)), abs=1e-6)
    assert scored.map == pytest.approx(sum(ap) / 3, abs=1e-6)


def test_the_limit_itself_is_left_to_binary_rounding():
    assert jumpscore.match([3.8], [3.6], 0.2) == [0]
    assert jumpscore.match([3.4], [3.6], 0.2) == [None]


def test_greedy_matching_is_worked_by_hand():
    # 1.15 takes 1.2 (0.05 away, nearer than 1.0); 1.25 then has only 1.0, 0.25 away: within 0.3, not within 0.2
    assert jumpscore.match([1.15, 1.25], [1.0, 1.2], 0.2) == [1, None]
    assert jumpscore.match([1.25, 1.15], [1.2, 1.0], 0.3) == [1, 0]
    assert jumpscore.match([2], [1.75, 2.25], 0.3) == [0]  # a tie: the earlier truth


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 3.5s and 12", [3.5]),
        ("2 s, then 1.25  s.", [1.25, 2.0]),
        ("starts at 12 seconds and 13 seconds", [12.0, 13.0]),
        ("[3, 1, 2]", [1.0, 2.0, 3.0]),
        ('```json\n["1.5 s", "0.5s", 2,]\n```', [0.5, 1.5]),  # rule 1 sees the two with an s first
        ('```json\n["1.5", 2,]\n```', [1.5, 2.0]),
        ("[1] or rather [2, 3] or [4]", [2.0, 3.0]),
        ("[1, 2] and [3, 4]", [1.0, 2.0]),  # equally long: the first
        ("```json [1] and [2, 3] ``` [9,9,9]", [1.0, 2.0, 3.0]),  # a fence runs to the bracket that ends it
        ("[-1.5, 2]", [-1.5, 2.0]),
        ("-1.5 2", [1.5, 2.0]),
        ("[1.0 2.0]", [1.0, 2.0]),
        ("[[1, 2]]", [1.0, 2.0]),  # cut at the first closing bracket, so not JSON: the numbers inside
        ("[] 4 5", [4.0, 5.0]),
        ("[true, null, 2]", [1.0, 2.0]),
        ("[x] 7", [7.0]),
        ("frame12 x1.5y 3", [3.0]),
        ("no jump", []),
        ("", []),
        ("١٫٥ ٣s", [3.0]),
        ("[1e400, 2]", [2.0, math.inf]),
    ],
)
def test_parsing_rules(text, expected):
    assert jumpscore.parse_times(text) == expected


@pytest.mark.parametrize(
    ("truth", "pred", "expected"),
    [
        ("[]", "none", 1.0),
        ("```json\n[]\n```", "", 1.0),
        ("[]", "[1]", 0.0),
        ("", "none", 0.0),
        ("{}", "none", 0.0),
        ("[x", "1", 0),
    ],
)
def test_empty_and_unreadable_truth(truth, pred, expected):
    assert jumpscore.score(pred, truth).map == expected
    assert set(jumpscore.score(pred, truth).ap) == set(TOLERANCES)


def test_truth_is_strict_json_of_the_first_list():
    assert jumpscore.score("[1]", 'jumps: ["1.0s"] [5]').map == 1.0
    assert jumpscore.score("[1]", "[1,]").map == 0.0


def test_json_that_overflows_the_reader_falls_to_its_numbers():
    digits = "7" * 5000
    assert jumpscore.parse_times(f"[{digits}, 2]") == [2.0, math.inf]
    assert jumpscore.parse_times("[" * 5000 + "1, 2]") == [1.0, 2.0]


@given(times, times)
def test_bounds_and_order_does_not_matter(pred, truth):
    values = [jumpscore.average_precision(pred, truth, t) for t in TOLERANCES]
    assert all(0 <= value <= 1 for value in values)
    assert values == [jumpscore.average_precision(pred[::-1], truth[::-1], t) for t in TOLERANCES]


@given(times.filter(bool))
def test_perfect_prediction_scores_one(truth):
    assert jumpscore.score(str(truth), str(truth)).map == pytest.approx(1)


@given(times, times, st.sampled_from(TOLERANCES))
def test_matching_equals_the_plain_double_loop(pred, truth, tolerance):
    pred, truth = sorted(pred), sorted(truth)
    free, expected = dict(enumerate(truth)), []
    for time in pred:
        near = [i for i, t in free.items() if abs(time - t) <= tolerance]
        expected.append(min(near, key=lambda i: (abs(time - truth[i]), i), default=None))
        free.pop(expected[-1], None)
    assert jumpscore.match(pred, truth, tolerance) == expected


@given(st.text(alphabet='[]`json 12.5,s"-\n', max_size=40))
def test_longest_list_equals_the_plain_expression(text):
    # the rule as one regular expression: quadratic, and right
    plain = re.compile(r"```json\s*(?P<fenced>\[.*?\])\s*```|(?P<bare>\[.*?\])", re.DOTALL)
    assert jumpscore._bracketed(text) == [found["fenced"] or found["bare"] for found in plain.finditer(text)]


@given(st.text(max_size=200))
def test_any_text_is_scored(text):
    assert 0 <= jumpscore.score(text, "[1.0, 2.0]").map <= 1
    assert 0 <= jumpscore.score("[1.0, 2.0]", text).map <= 1


def test_hostile_text_costs_linear_time(assert_linear):
    assert_linear(lambda text: jumpscore.score(text, "[1.0, 2.0, 3.0]"))


def test_nan_matches_nothing():
    assert jumpscore.average_precision([math.nan, 1.0], [1.0], 0.1) == 1.0
    assert jumpscore.average_precision([1.0], [1.0, math.nan], 0.1) == 0.5
    assert jumpscore.average_precision([math.inf], [1.0], 0.1) == 0.0


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_a_tolerance_must_be_seconds(tolerance):
    with pytest.raises(EvaluationError, match="tolerance"):
        jumpscore.average_precision([1], [1], tolerance)


def test_aggregate_is_the_mean_and_refuses_nothing():
    scores = [jumpscore.score("[1]", "[1]"), jumpscore.score("[9]", "[1]")]
    assert jumpscore.aggregate(scores) == jumpscore.aggregate(scores[::-1]) == 0.5
    with pytest.raises(EvaluationError, match="no scores"):
        jumpscore.aggregate([])
    with pytest.raises(EvaluationError, match="NoneType"):
        jumpscore.parse_times(None)
