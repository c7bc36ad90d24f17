"""Bootstrap intervals: seeded, bounded, as wide as theory says, by clip and not by question."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import EvaluationError
from ov2lib.evaluate.intervals import Interval, bootstrap

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@given(SCORES)
def test_the_mean_lies_between_the_ends_and_all_within_the_scores(scores):
    one = bootstrap(scores, range(len(scores)), resamples=200)
    slack = 1e-12
    assert one.value == pytest.approx(np.mean(scores))
    assert min(scores) - slack <= one.low <= one.high <= max(scores) + slack


@given(SCORES, st.floats(0.1, 3))
def test_scaled_scores_give_scaled_intervals(scores, factor):
    one, other = (bootstrap([s * f for s in scores], range(len(scores)), resamples=100) for f in (1, factor))
    assert other.low == pytest.approx(one.low * factor, abs=1e-9)
    assert other.high == pytest.approx(one.high * factor, abs=1e-9)


def test_half_right_has_the_width_of_a_coin():
    scores = [0.0, 1.0] * 200
    one = bootstrap(scores, range(400))
    width = 1.96 * math.sqrt(0.25 / 400)
    assert one.high - one.value == pytest.approx(width, rel=0.1)
    assert one.value - one.low == pytest.approx(width, rel=0.1)


def test_questions_on_one_clip_are_worth_one_clip():
    scores = np.repeat([0.0, 1.0] * 20, 10)  # ten questions a clip, all right or all wrong
    apart, together = bootstrap(scores, range(400)), bootstrap(scores, np.repeat(range(40), 10))
    few = bootstrap([0.0, 1.0] * 20, range(40))
    assert together.high - together.low == pytest.approx(few.high - few.low, rel=0.05)
    assert together.high - together.low > 2.5 * (apart.high - apart.low)


def test_clips_weigh_by_their_questions():
    assert bootstrap([1, 1, 1, 0], ["a", "a", "a", "b"]).value == 0.75


def test_same_seed_same_interval():
    scores = np.random.default_rng(0).uniform(size=50)
    assert bootstrap(scores, range(50), seed=4) == bootstrap(scores, range(50), seed=4)
    assert bootstrap(scores, range(50), seed=4) != bootstrap(scores, range(50), seed=5)


def test_one_clip_says_nothing_of_others():
    assert bootstrap([0.2, 0.4], ["a", "a"]) == Interval(pytest.approx(0.3), None, None)
    assert str(Interval(0.5, None, None)) == "0.50"
    assert str(Interval(0.5, 0.4, 0.6)) == "0.50 (0.40 to 0.60)"


@pytest.mark.parametrize(("scores", "clips"), [([], []), ([1.0], ["a", "b"])])
def test_scores_and_clips_must_agree(scores, clips):
    with pytest.raises(EvaluationError, match="one score per sample"):
        bootstrap(scores, clips)
