"""Mixing: shares, order and endings of streams, and the front end of a video."""

import itertools
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import TrainingError
from ov2lib.samples.sample import Sample
from ov2lib.train.mixing import choose_backend, mix

RATIO = {"codec": 0.5, "frames": 0.375, "image": 0.125}


def stream(name, count=None):
    numbers = itertools.count() if count is None else range(count)
    return (Sample(f"{name}/{number}", (("user", "?"), ("assistant", "!"))) for number in numbers)


def names(samples):
    return Counter(sample.id.split("/")[0] for sample in samples)


def test_shares_follow_the_weights():
    counts = Counter()
    weights = {"a": 5.0, "b": 3.0, "c": 2.0}
    given = names(itertools.islice(mix({name: stream(name) for name in "abc"}, weights, seed=3, counts=counts), 20_000))
    assert counts == given
    for name, weight in weights.items():
        share = weight / 10
        assert abs(given[name] / 20_000 - share) < 4 * (share * (1 - share) / 20_000) ** 0.5  # four standard errors


def test_shares_hold_at_any_place_not_only_in_sum():
    given = [sample.id[0] for sample in itertools.islice(mix({"a": stream("a"), "b": stream("b")}, {"a": 1, "b": 1}), 10_000)]
    quarters = [given[start : start + 2500].count("a") / 2500 for start in range(0, 10_000, 2500)]
    assert all(abs(share - 0.5) < 0.04 for share in quarters)
    assert 0.45 < sum(x != y for x, y in itertools.pairwise(given)) / 10_000 < 0.55  # draws do not depend on the one before


def test_a_stream_that_ends_leaves_the_ratio_of_the_others():
    streams = {"a": stream("a"), "b": stream("b", 100), "c": stream("c")}
    samples = list(itertools.islice(mix(streams, {"a": 3, "b": 5, "c": 1}, seed=1), 12_000))
    after = names(samples[1000:])
    assert names(samples)["b"] == 100 and after["b"] == 0
    assert abs(after["a"] / sum(after.values()) - 0.75) < 0.02


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 30)), st.integers(0, 99))
def test_every_sample_comes_once_and_streams_keep_their_order(sizes, seed):
    ids = [sample.id for sample in mix({n: stream(n, k) for n, k in sizes.items()}, dict.fromkeys(sizes, 1.0), seed)]
    assert sorted(ids) == sorted(f"{name}/{number}" for name, size in sizes.items() for number in range(size))
    for name, size in sizes.items():
        assert [i for i in ids if i.startswith(name)] == [f"{name}/{number}" for number in range(size)]


def test_the_order_does_not_depend_on_restarts_or_on_the_order_of_names():
    def mixed(order="abc"):
        weights = {name: {"a": 5.0, "b": 3.0, "c": 2.0}[name] for name in order}
        return (sample.id for sample in mix({name: stream(name, 300) for name in order}, weights, seed=7))

    once = list(mixed())
    pieces = [list(itertools.islice(mixed(), start, start + 90)) for start in range(0, 900, 90)]
    random.seed(0)  # nobody else's random state matters
    assert [name for piece in pieces for name in piece] == once == list(mixed("cab"))


def test_the_seed_gives_another_order():
    first, second = ([s.id for s in mix({"a": stream("a", 50), "b": stream("b", 50)}, {"a": 1, "b": 1}, k)] for k in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1}, "'b' has no weight"),
        ({"a": 1, "b": 1, "c": 1}, "'c' has no stream"),
        ({"a": 1, "b": 0}, "the weight of 'b' is 0"),
        ({"a": -1.0, "b": 1}, "the weight of 'a' is -1.0"),
        ({"a": 1, "b": float("nan")}, "the weight of 'b' is nan"),
    ],
)
def test_bad_weights_are_named_before_the_first_sample(weights, message):
    with pytest.raises(TrainingError, match=message):
        mix({"a": stream("a"), "b": stream("b")}, weights)


def test_backends_come_in_the_ratio_of_the_two():
    chosen = Counter(choose_backend(f"clip-{number}", RATIO) for number in range(10_000))
    assert chosen.keys() == {"codec", "frames"}
    assert abs(chosen["codec"] / 10_000 - 0.5 / 0.875) < 0.02


def test_backends_need_no_common_state():
    """Another process, with other hashes of strings, chooses the same."""
    code = f"from ov2lib.train.mixing import choose_backend as c; print(*[c(str(n), {RATIO}, 5) for n in range(64)])"
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert told.split() == [choose_backend(str(number), RATIO, 5) for number in range(64)]
    assert told.split() != [choose_backend(str(number), RATIO, 6) for number in range(64)]


@given(st.text(), st.floats(0.01, 0.98), st.floats(0, 0.5))
def test_a_larger_share_moves_samples_one_way(name, share, more):
    lower, higher = share, min(share + more, 1.0)
    if choose_backend(name, {"codec": lower, "frames": 1 - lower}) == "codec":
        assert choose_backend(name, {"codec": higher, "frames": 1 - higher}) == "codec"


def test_one_backend_alone():
    assert {choose_backend(str(n), {"frames": 1.0, "image": 0.2}) for n in range(50)} == {"frames"}
    assert {choose_backend(str(n), {"codec": 0.1}) for n in range(50)} == {"codec"}


@pytest.mark.parametrize("ratio", [{}, {"image": 1.0}, {"codec": -0.1, "frames": 1.0}, {"codec": 0.5, "audio": 0.5}])
def test_bad_ratios_are_shown(ratio):
    with pytest.raises(TrainingError, match="the input ratio is"):
        choose_backend("a", ratio)
