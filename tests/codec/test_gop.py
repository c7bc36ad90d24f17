"""Equations 2 to 4 on small arrays worked out by hand, and as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.codec.gop import bin_costs, cut_bins, num_groups, partition, partition_within, uniform_partition
from ov2lib.errors import Ov2Error

TIMES = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
SIZES = np.array([1000, 10, 20, 30, 40])
INTRA = np.array([True, False, False, False, False])


def spans(cuts):
    return [(cut.start, cut.trigger, cut.end, cut.why) for cut in cuts]


# --- equation 2: what a bin costs -----------------------------------------------------------------------------------


def test_bins_sum_the_sizes_of_p_and_b_packets():
    np.testing.assert_array_equal(bin_costs(TIMES, SIZES, INTRA, duration=1.2), [10, 50, 40])


def test_log_cost_sums_logarithms():
    expected = [np.log(11), np.log(21) + np.log(31), np.log(41)]
    np.testing.assert_allclose(bin_costs(TIMES, SIZES, INTRA, 1.2, cost="log1p"), expected)


def test_smoothing_averages_the_bins_that_exist():
    np.testing.assert_allclose(bin_costs(TIMES, SIZES, INTRA, 1.2, smooth=1), [60 / 2, 100 / 3, 90 / 2])


def test_a_time_just_below_a_bin_edge_lies_on_it():
    cost = bin_costs(np.array([1.5 - 1e-12]), np.array([7]), np.array([False]), 2.0)
    np.testing.assert_array_equal(cost, [0, 0, 0, 7])


def test_a_video_shorter_than_a_bin_has_one_bin():
    np.testing.assert_array_equal(bin_costs(np.array([0.0, 0.04]), np.array([9, 5]), np.array([True, False]), 0.08), [5])


def test_no_packets_cost_nothing():
    nothing = np.zeros(0)
    np.testing.assert_array_equal(bin_costs(nothing, nothing, nothing.astype(bool), 2.0), np.zeros(4))


@pytest.mark.parametrize("wrong", [{"cost": "bits"}, {"smooth": -1}])
def test_unknown_costs_are_refused(wrong):
    with pytest.raises(Ov2Error, match="'bytes' or 'log1p'"):
        bin_costs(TIMES, SIZES, INTRA, 1.2, **wrong)


# --- equation 3: the trigger ----------------------------------------------------------------------------------------


def test_a_group_triggers_when_its_quota_is_spent_and_the_trigger_wins_exact_ties():
    cuts = cut_bins(np.ones(12), quota=5, min_bins=3, max_bins=12, valley=3)
    assert spans(cuts) == [(0, 4, 4, "quota"), (5, 9, 9, "quota"), (10, 11, 11, "end")]


def test_no_group_is_shorter_than_the_minimum():
    cuts = cut_bins(np.array([90.0, 1, 2, 5, 5, 5]), quota=10, min_bins=3, max_bins=12, valley=3)
    assert spans(cuts) == [(0, 2, 2, "quota"), (3, 5, 5, "quota")]


def test_no_group_is_longer_than_the_maximum():
    cuts = cut_bins(np.r_[np.zeros(28), 1.0, 1.0], quota=1, min_bins=3, max_bins=12, valley=3)
    assert spans(cuts) == [(0, 11, 11, "max"), (12, 23, 23, "max"), (24, 28, 27, "quota"), (28, 29, 29, "end")]


# --- equation 4: the valley -----------------------------------------------------------------------------------------


def test_the_cut_moves_to_the_cheapest_bin_around_the_trigger():
    cost = np.array([4.0, 4, 4, 4, 4, 3, 4, 1, 0, 4])
    cuts = cut_bins(cost, quota=20, min_bins=3, max_bins=12, valley=3)
    assert spans(cuts)[0] == (0, 4, 7, "quota")  # bin 8 is cheaper but four away
    assert cuts[1].start == 8


def test_of_equally_cheap_bins_the_nearest_is_cut_and_then_the_earlier():
    nearest = cut_bins(np.array([2.0, 2, 1, 2, 2, 1, 2, 2, 2]), quota=9, min_bins=3, max_bins=12, valley=3)
    assert spans(nearest)[0] == (0, 4, 5, "quota")
    earlier = cut_bins(np.array([2.0, 2, 1, 2, 2, 2, 1, 2, 2]), quota=9, min_bins=3, max_bins=12, valley=3)
    assert spans(earlier)[0] == (0, 4, 2, "quota")


def test_the_cut_stays_within_the_length_bounds():
    early = cut_bins(np.array([0.0, 0, 9, 9, 9, 9, 9]), quota=9, min_bins=3, max_bins=12, valley=3)
    assert early[0].end == 2  # bins 0 and 1 cost nothing, but a group has three bins
    late = cut_bins(np.array([9.0, 9, 9, 9, 0, 9]), quota=99, min_bins=3, max_bins=4, valley=3)
    assert late[0].end == 3  # bin 4 costs nothing, but a group has four bins


# --- groups in seconds ----------------------------------------------------------------------------------------------


def test_the_published_number_of_groups():
    assert [num_groups(seconds) for seconds in (0.04, 3, 16.2, 60, 3600)] == [1, 1, 2, 8, 16]


def test_quota_anchors_and_costs_of_a_partition():
    found = partition(np.r_[np.full(5, 2.0), np.full(5, 1.0)], duration=5.0, groups=2)
    assert found.quota == 7.5
    np.testing.assert_array_equal(found.edges, [0, 3.0, 5.0])  # triggered in bin 3, cut behind bin 5, the nearest cheaper one
    np.testing.assert_array_equal(found.costs, [11, 4])
    np.testing.assert_array_equal(found.anchors, [1.25, 3.75])  # the middles of bins 2 (of 0..5) and 7 (of 6..9)


def test_a_last_group_under_half_the_minimum_joins_the_one_before():
    merged = partition(np.array([10.0, 10, 10, 10, 10, 10, 11]), duration=3.2, groups=3)
    np.testing.assert_array_equal(merged.edges, [0, 1.5, 3.2])
    np.testing.assert_array_equal(merged.costs, [30, 41])
    kept = partition(np.array([10.0, 10, 10, 10, 10, 10, 11, 11]), duration=3.8, groups=3)
    np.testing.assert_array_equal(kept.edges, [0, 1.5, 3.0, 3.8])


def test_where_nothing_costs_anything_every_bin_counts_as_one():
    found = partition(np.zeros(20), duration=10.0, groups=4)
    np.testing.assert_array_equal(found.edges, [0, 2.5, 5, 7.5, 10])
    assert found.quota == 5 and not found.costs.any()


def test_a_video_without_packets_is_split_evenly():
    found = uniform_partition(np.zeros(0), duration=9.0, groups=3)
    np.testing.assert_array_equal(found.edges, [0, 3, 6, 9])
    np.testing.assert_array_equal(found.anchors, [1.5, 4.5, 7.5])
    np.testing.assert_array_equal(found.costs, [0, 0, 0])


def test_windows_own_the_bins_whose_middle_they_hold():
    found = uniform_partition(np.array([1.0, 2, 4, 8, 16, 32]), duration=3.0, groups=2)
    np.testing.assert_array_equal(found.costs, [7, 56])
    assert found.quota == 31.5


def test_a_time_belongs_to_the_group_whose_interval_holds_it():
    found = partition(np.ones(12), duration=6.0, groups=2)
    np.testing.assert_array_equal(found.edges, [0, 3, 6])
    np.testing.assert_array_equal(found.group_of(np.array([0, 2.99, 3 - 1e-12, 3.0, 5.9, 6.0])), [0, 0, 1, 1, 1, 1])


# --- properties -----------------------------------------------------------------------------------------------------

BIN_COSTS = st.lists(st.integers(0, 50), min_size=1, max_size=90).map(lambda values: np.array(values, float))
LAST_BIN = st.floats(0.01, 1.0)


def check_tiles(found, duration):
    assert found.edges[0] == 0 and found.edges[-1] == duration
    assert (np.diff(found.edges) > 0).all() and len(found.edges) == len(found) + 1
    assert ((found.anchors >= found.edges[:-1]) & (found.anchors <= found.edges[1:])).all()
    assert found.costs.sum() == pytest.approx(found.bin_cost.sum())
    times = np.linspace(0, duration, 50, endpoint=False)
    owner = found.group_of(times)
    assert (found.edges[owner] <= times + 1e-9).all() and (times < found.edges[owner + 1]).all()


def cut_by_the_book(cost, quota, min_bins, max_bins, valley):
    """Equations 3 and 4 as they are printed, without running sums."""
    start, last, cuts = 0, len(cost) - 1, []
    while start <= last:
        lengths = {i: i - start + 1 for i in range(start, last + 1)}
        triggers = [i for i, n in lengths.items() if n >= max_bins or (n >= min_bins and cost[start : i + 1].sum() >= quota)]
        if not triggers:
            return cuts + [(start, last)]
        trigger = min(triggers)
        low, high = max(start + min_bins - 1, trigger - valley), min(start + max_bins - 1, trigger + valley, last)
        ranked = sorted((cost[b], abs(b - trigger), b) for b in range(low, high + 1))
        cuts.append((start, ranked[0][2]))
        start = ranked[0][2] + 1
    return cuts


@given(BIN_COSTS, st.integers(1, 300), st.integers(1, 5), st.integers(0, 9), st.integers(0, 4))
def test_cuts_follow_the_printed_equations(cost, quota, min_bins, longer, valley):
    found = cut_bins(cost, quota, min_bins, min_bins + longer, valley)
    assert [(cut.start, cut.end) for cut in found] == cut_by_the_book(cost, quota, min_bins, min_bins + longer, valley)


@given(BIN_COSTS, LAST_BIN, st.one_of(st.none(), st.integers(1, 20)))
def test_groups_tile_time(cost, last_bin, groups):
    duration = (len(cost) - 1 + last_bin) * 0.5
    found = partition(cost, duration, groups)
    check_tiles(found, duration)
    lengths = [cut.end - cut.start + 1 for cut in found.cuts]
    assert all(3 <= length <= 12 for length in lengths[:-1]) and lengths[-1] <= 12 + 2  # a tail of 0.75 s may join


@given(BIN_COSTS, LAST_BIN, st.integers(1, 12))
def test_a_budget_of_groups_is_never_exceeded(cost, last_bin, budget):
    duration = (len(cost) - 1 + last_bin) * 0.5
    found = partition_within(cost, duration, budget)
    check_tiles(found, duration)
    assert len(found) <= budget


@given(BIN_COSTS, LAST_BIN, st.integers(1, 12))
def test_windows_are_equal(cost, last_bin, groups):
    duration = (len(cost) - 1 + last_bin) * 0.5
    found = uniform_partition(cost, duration, groups)
    check_tiles(found, duration)
    np.testing.assert_allclose(np.diff(found.edges), duration / groups)


def test_a_cost_that_is_spent_at_once_still_fits_a_budget_of_one_group():
    assert len(partition_within(np.r_[5.0, np.zeros(5)], 3.0, 1)) == 1


def test_a_long_video_stretches_the_bounds_to_meet_its_budget():
    cost = np.random.default_rng(0).integers(1, 100, 7200).astype(float)  # an hour
    found = partition_within(cost, 3600.0, 8)
    assert 6 <= len(found) <= 8 and np.diff(found.edges).max() <= 2 * 3600 / 8 + 1
