"""The mix: what an epoch draws from each source, and the front end of a video."""

import os
import subprocess
import sys
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ov2lib.train.bins import MixSampler
from ov2lib.train.mixture import choose_backend

RATIO = {"codec": 0.5, "frames": 0.375, "image": 0.125}
SIZES = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40)), min_size=1, max_size=4)


def epoch(sampler: MixSampler, number: int) -> list[int]:
    sampler.set_epoch(number)
    return list(sampler)


@given(SIZES, st.integers(0, 3), st.integers(0, 9))
def test_an_epoch_draws_as_many_bins_of_each_source_as_asked(sizes, number, seed):
    bins, draws = zip(*sizes, strict=True)
    sampler = MixSampler(bins, draws, seed)
    numbers = epoch(sampler, number)
    owner = [source for source, size in enumerate(bins) for _ in range(size)]
    counts = Counter(owner[index] for index in numbers)
    assert len(numbers) == len(sampler) and [counts[source] for source in range(len(bins))] == list(draws)


@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 9))
def test_every_bin_is_drawn_before_any_is_drawn_again(size, draws, seed):
    sampler = MixSampler([size], [draws], seed)
    counts: Counter = Counter()
    for number in range(4):
        counts.update(epoch(sampler, number))
    assert max(counts.values()) - min(counts[index] for index in range(size)) <= 1


def test_epochs_and_seeds_have_orders_of_their_own_that_repeat():
    sampler = MixSampler([30, 30], [30, 15])
    assert epoch(sampler, 1) == epoch(MixSampler([30, 30], [30, 15]), 1) != epoch(sampler, 0)
    assert epoch(sampler, 0) != epoch(MixSampler([30, 30], [30, 15], seed=1), 0)
    assert sorted(epoch(sampler, 0)[:45]) != epoch(sampler, 0)[:45], "sources are not drawn one after another"


def test_backends_come_in_the_ratio_of_the_two():
    chosen = Counter(choose_backend(f"clip-{number}", RATIO) for number in range(10_000))
    assert chosen.keys() == {"codec", "frames"}
    assert abs(chosen["codec"] / 10_000 - 0.5 / 0.875) < 0.02


def test_backends_need_no_common_state():
    """Another process, with other hashes of strings, chooses the same."""
    code = f"from ov2lib.train.mixture import choose_backend as c; print(*[c(str(n), {RATIO}, 5) for n in range(64)])"
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
