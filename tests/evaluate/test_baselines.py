"""Baselines without a model: what they must find where the truth is planted, and what they refuse."""

import numpy as np
import pytest

from kit.school.baselines import BurstRule, fit_bursts, fit_constant, pace, permuted, refine_constant, time_tags, within_reach
from ov2lib import VisualTokens
from ov2lib.errors import EvaluationError
from ov2lib.evaluate.scorers import reference, score
from ov2lib.samples.sample import Sample


def jumps(number: int, times) -> Sample:
    times = [round(float(time), 2) for time in times]
    return Sample(f"j{number}", (("user", "When?"), ("assistant", str(times))), (), "jump_times", {"times": times})


def colour(number: int, answer: str, kind: str = "colour") -> Sample:
    truth = {"choices": ["red", "blue", "green"], "kind": kind}
    return Sample(f"{kind}{number}", (("user", "?"), ("assistant", answer)), (), "choice", truth)


def test_constant_is_the_most_frequent_choice_of_its_kind():
    train = [colour(n, "red" if n < 6 else "blue") for n in range(10)] + [colour(n, "green", "hat") for n in range(3)]
    constant = fit_constant(train)
    assert constant(colour(99, "blue")) == "red"
    assert constant(colour(99, "red", "hat")) == "green"
    with pytest.raises(EvaluationError, match="no question of kind choice/shoe"):
        constant(colour(0, "red", "shoe"))


def test_constant_list_finds_the_common_pace():
    rng = np.random.default_rng(0)
    clips = [jumps(n, np.arange(0.8, 12, 0.8) + rng.uniform(-0.15, 0.15)) for n in range(60)]
    constant = fit_constant(clips[:40])
    scores = [score(constant(one), one)["mAP"] for one in clips[40:]]
    assert np.mean(scores) > 0.6
    worse = [score("[1, 5, 9]", one)["mAP"] for one in clips[40:]]
    assert np.mean(scores) > np.mean(worse)


def test_a_list_at_a_pace_beats_every_true_answer_where_lengths_differ():
    clips = [jumps(n, np.arange(0.5, 3 + n, 0.5)) for n in range(12)]
    assert fit_constant(clips, candidates=1)(clips[0]) != reference(clips[0])


def test_refined_constants_find_what_no_true_answer_holds():
    spans = [(1.5, 4.0), (2.0, 3.0), (0.5, 3.0), (1.5, 2.5)]  # the best, 1.5 to 3, is none of them
    clips = (
        [
            Sample(f"g{n}", (("user", "When?"), ("assistant", f"{a:g} to {b:g}")), (), "grounding", {"span": [a, b]})
            for n, (a, b) in enumerate(spans)
        ]
        + [jumps(n, [1.0, 2.0 + 0.2 * n]) for n in range(4)]
        + [colour(n, "red") for n in range(3)]
    )
    plain = fit_constant(clips)
    refined = refine_constant(plain, clips)
    for task in ("grounding", "jump_times"):
        before, after = (
            sum(next(iter(score(constant(one), one).values())) for one in clips if one.task == task)
            for constant in (plain, refined)
        )
        assert after > before
    assert refined(clips[0]) == "1.50 to 3.00" and refined(clips[-1]) == plain(clips[-1]) == "red"
    assert refine_constant(refined, clips) == refined  # no single step helps any more


def test_pace_and_reach_by_hand():
    assert pace(0.5, 2.0) == "[0.5, 1, 1.5, 2]"
    assert pace(0.5, 1.2, phase=0.5) == "[0.25, 0.75]"
    assert within_reach([1.0, 1.1], 4.0, 0.2) == pytest.approx(0.5 / 4, abs=1e-3)  # 0.8 to 1.3
    assert within_reach([], 4.0, 0.2) == 0


def test_permuted_uses_every_answer_once_and_never_the_own():
    samples = [colour(n, "red blue green red".split()[n]) for n in range(4)] + [jumps(n, [n, n + 0.5]) for n in range(5)]
    dealt = permuted(samples, seed=1)
    for task in ("choice", "jump_times"):
        own = [one for one in samples if one.task == task]
        assert sorted(dealt(one) for one in own) == sorted(map(reference, own))
    assert all(dealt(one) != reference(one) for one in samples if one.task == "jump_times")
    assert [permuted(samples, 1)(one) for one in samples] == [dealt(one) for one in samples]
    with pytest.raises(EvaluationError, match="not among"):
        dealt(colour(9, "red"))
    with pytest.raises(EvaluationError, match="one sample of jump_times alone"):
        permuted(samples[:5])


def test_bursts_by_hand():
    tags = [(0.1, 4), (0.2, 4), (0.5, 1), (0.6, 2), (1.4, 9), (2.0, 1), (2.2, 1)]
    assert BurstRule(gap=0.2).bursts(tags) == [(0.1, 0.2), (0.5, 0.6), (1.4, 1.4), (2.0, 2.2)]
    assert BurstRule(gap=0.2).starts(tags) == [0.1, 1.4]
    assert BurstRule(gap=0.2, every=2, first=1, shift=-0.6).starts(tags) == [0.0, 1.4]
    assert BurstRule(gap=0.2).answer(tags) == "[0.1, 1.4]"
    assert BurstRule().bursts([]) == [] and BurstRule().answer([]) == "[]"


def test_fitted_bursts_find_the_planted_rule():
    rng = np.random.default_rng(2)
    clips, tags = [], {}
    for n in range(30):
        starts = np.cumsum(rng.uniform(0.5, 1.1, 10)) + 0.5
        clips.append(jumps(n, starts[::2] + 0.1))
        tags[f"j{n}"] = [(float(start + step), 3) for start in starts for step in (0, 0.05, 0.1)]
    rule = fit_bursts(clips[:20], lambda one: tags[one.id])
    assert (rule.every, rule.first, rule.shift) == (2, 0, 0.1)
    assert np.mean([score(rule.answer(tags[one.id]), one)["mAP"] for one in clips[20:]]) == 1
    with pytest.raises(EvaluationError, match="no samples of task"):
        fit_bursts([colour(0, "red")], lambda one: [])


def test_time_tags_are_those_of_the_prompt():
    t = np.repeat([2, 2, 7, -1], 4)
    positions = np.stack([t, np.where(t < 0, -1, 0), np.where(t < 0, -1, 0)], -1)
    tokens = VisualTokens(
        np.zeros((1, 28, 112, 3), np.uint8), np.empty((16, 3), np.int64), np.zeros(1, np.int64), 30.0, np.arange(9) / 30
    )
    tokens.patch_positions[tokens.merge_order] = positions
    assert time_tags(tokens) == [(0.1, 2), (0.2, 1)]
    assert time_tags(tokens, decimals=2) == [(0.07, 2), (0.23, 1)]
