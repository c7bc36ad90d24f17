"""Bins and length pools: what a partition must keep, how full bins get, and how little a length pool pads."""

import bisect

import numpy as np
import pytest
from accelerate.data_loader import prepare_data_loader
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ov2lib.errors import TrainingError
from ov2lib.train.bins import LengthPoolSampler, plan_bins, utilisation

LENGTHS = st.lists(st.integers(1, 64), max_size=120)


def realistic_lengths(samples: int, capacity: int, per_bin: float, seed: int = 0) -> np.ndarray:
    """Log-normal lengths (assumed: a spread of 1.0 in log tokens, at least 16 tokens), cut at the capacity.

    Their mean puts about `per_bin` samples into a bin; 10 at 4096 and 9.2 at 8192 are published.
    """
    mean = 0.96 * capacity / per_bin  # what is cut at the capacity lowers the mean by about as much as this leaves out
    drawn = np.random.default_rng(seed).lognormal(np.log(mean) - 0.5, 1.0, samples)
    return np.clip(drawn, 16, capacity).astype(int)


def naive_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """Room left in each bin of best-fit decreasing, by looking at every bin for every sample."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fits = [(room, place) for place, room in enumerate(rooms) if room >= length]
        if fits:
            rooms[min(fits)[1]] -= length
        else:
            rooms.append(capacity - length)
    return sorted(rooms)


@given(LENGTHS)
def test_bins_hold_every_sample_once_and_never_overflow(lengths):
    bins = plan_bins(lengths, 64)
    assert sorted(index for members in bins for index in members) == list(range(len(lengths)))
    assert all(members and sum(lengths[index] for index in members) <= 64 for members in bins)


@given(LENGTHS)
def test_bins_are_those_of_plain_best_fit_decreasing(lengths):
    rooms = [64 - sum(lengths[index] for index in members) for members in plan_bins(lengths, 64)]
    assert sorted(rooms) == naive_best_fit(lengths, 64)


def test_the_fullest_bin_that_fits_is_chosen():
    assert plan_bins([6, 5, 4, 5], 10) == [[0, 2], [1, 3]]
    assert plan_bins([7, 6, 3, 1], 10) == [[0, 2], [1, 3]]


def test_equal_input_gives_equal_bins_and_ties_go_by_index():
    assert plan_bins([5, 5, 5, 5], 10) == [[0, 1], [2, 3]]
    lengths = realistic_lengths(2000, 4096, 10)
    assert plan_bins(lengths, 4096) == plan_bins(lengths.tolist(), 4096)


@pytest.mark.parametrize(("capacity", "per_bin"), [(4096, 10), (8192, 9.2)])
def test_realistic_lengths_fill_bins_to_99_percent(capacity, per_bin):
    lengths = realistic_lengths(20_000, capacity, per_bin)
    bins = plan_bins(lengths, capacity)
    assert abs(len(lengths) / len(bins) - per_bin) < 0.6
    assert utilisation(bins, lengths, capacity) >= 0.99


def test_work_grows_like_n_log_n(monkeypatch):
    """Counted, not timed: a bisection per sample, in a list of distinct rooms that stays short however many bins there are."""
    sizes = []

    def bisect_left(rooms, length):
        sizes.append(len(rooms))
        return bisect.bisect_left(rooms, length)

    monkeypatch.setattr("ov2lib.train.bins.bisect_left", bisect_left)
    lengths = np.random.default_rng(0).integers(1, 257, 30_000)
    assert len(plan_bins(lengths, 256)) > 14_000
    assert len(sizes) == 30_000 and max(sizes) <= 256


def test_samples_that_are_too_long_are_named():
    with pytest.raises(TrainingError, match=r"longer than a bin of 8: samples 1 \(9 tokens\), 3 \(12 tokens\); cut"):
        plan_bins([8, 9, 1, 12], 8)
    with pytest.raises(TrainingError, match="and 3 more"):
        plan_bins([9] * 8, 8)


def test_empty_samples_are_named():
    with pytest.raises(TrainingError, match="sample 1 has 0 tokens"):
        plan_bins([3, 0], 8)


def test_utilisation_by_hand():
    assert utilisation([[0, 1], [2]], [4, 4, 2], 8) == pytest.approx(10 / 16)
    assert utilisation([], [], 8) == 0


@given(LENGTHS, st.integers(1, 7), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_holds_every_sample_once(lengths, batch, batches_a_pool, epoch):
    sampler = LengthPoolSampler(lengths, batch, pool=batch * batches_a_pool, seed=1)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths))) and len(sampler) == len(lengths)


def test_batches_are_of_like_length():
    lengths = realistic_lengths(4003, 4096, 10)
    sampler = LengthPoolSampler(lengths, 8, pool=1000)
    batches = list(DataLoader(lengths, sampler=sampler, batch_size=8))
    assert [len(batch) for batch in batches] == [8] * 500 + [3]
    padded = sum(int(batch.max()) * len(batch) for batch in batches)
    plain = np.random.default_rng(0).permutation(lengths)[:4000].reshape(-1, 8)
    assert padded < 1.1 * lengths.sum()
    assert plain.max(1).sum() * 8 > 1.8 * plain.sum()


def test_batches_come_in_no_order_of_length():
    lengths = np.arange(1, 2001)
    first = lengths[list(LengthPoolSampler(lengths, 10, pool=2000))].reshape(-1, 10)[:, 0]
    assert abs(np.corrcoef(first, np.arange(len(first)))[0, 1]) < 0.2


def test_epochs_and_seeds_differ_and_repeat():
    def order(seed, epoch):
        sampler = LengthPoolSampler(range(1, 101), 4, pool=20, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert order(0, 0) != order(0, 1) != order(1, 1)


def test_accelerate_moves_it_to_the_next_epoch():
    loader = DataLoader(range(24), sampler=LengthPoolSampler(range(1, 25), 4, pool=8), batch_size=4)
    loader = prepare_data_loader(loader, num_processes=1, process_index=0)
    epochs = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        epochs.append([batch.tolist() for batch in loader])
    assert epochs[0] != epochs[1] and all(sorted(sum(batches, [])) == list(range(24)) for batches in epochs)


def test_a_pool_must_be_whole_batches():
    with pytest.raises(TrainingError, match="a pool of 10 is no multiple of the batch, 4"):
        LengthPoolSampler([1, 2], 4, pool=10)
