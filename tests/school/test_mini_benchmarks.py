"""The mini benchmarks: the questions asked for, truths that score one, constants that do not."""

import pytest

from kit.errors import MiniError
from kit.school.benchmarks import BENCHMARKS, benchmark
from ov2lib.evaluate.scorers import reference, score


@pytest.mark.parametrize("name", BENCHMARKS)
def test_as_many_as_asked_of_one_kind_and_the_truth_scores_one(name):
    samples = benchmark(name, 6, seed=3)
    assert len({sample.id for sample in samples}) == 6
    assert {(sample.task, sample.truth["kind"]) for sample in samples} == {BENCHMARKS[name]}
    for sample in samples:
        assert next(iter(score(reference(sample), sample).values())) > (0.8 if sample.task == "tracks" else 0.999)
        assert "-test-" in sample.id


def test_the_truth_of_one_clip_is_not_that_of_another():
    samples = benchmark("tracking-mini", 6, seed=3)
    shared = [score(reference(a), b)["J&F"] for a, b in zip(samples, samples[1:], strict=False)]
    assert sum(shared) / len(shared) < 0.6


@pytest.mark.parametrize(("name", "samples"), [("JumpScore", 3), ("JumpScore-mini", 0)])
def test_another_name_or_none_at_all_is_refused(name, samples):
    with pytest.raises(MiniError, match="give 1 or more of JumpScore-mini"):
        benchmark(name, samples)
