"""Equations 5 and 6: attenuation, allocation over time, the choice of blocks, and where they lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ov2lib.codec import packing
from ov2lib.codec.frontend import share_canvases

# --- equation 5: attenuated scores and frame weights ----------------------------------------------------------------


def test_a_score_counts_less_the_more_its_frame_has_given():
    found = packing.attenuate(np.array([[4.0, 9, 1], [5, 5, 6]]))
    root = np.sqrt([1, 1.35, 1.7])
    np.testing.assert_allclose(found, [[4 / root[1], 9, 1 / root[2]], [5 / root[1], 5 / root[2], 6]])


def test_without_attenuation_scores_stay():
    scores = np.array([[4.0, 9, 1]])
    np.testing.assert_array_equal(packing.attenuate(scores, attenuation=0), scores)


def test_a_frames_weight_is_its_sum_and_a_share_of_its_peak():
    np.testing.assert_allclose(packing.frame_weights(np.array([[1.0, 2, 3], [0, 0, 0]])), [6 + 0.35 * 3, 1e-6])


def test_allocation_is_the_cumulative_share():
    np.testing.assert_allclose(packing.cumulative_share(np.array([1.0, 1, 2, 4])), [0.125, 0.25, 0.5, 1])


def test_frames_feed_the_canvas_whose_interval_holds_their_share():
    np.testing.assert_array_equal(packing.interval_of(np.array([0.25, 0.5, 0.75, 1]), 2), [0, 1, 1, 1])
    np.testing.assert_array_equal(packing.interval_of(np.array([1 / 3, 2 / 3, 1]), 3), [1, 2, 2])
    np.testing.assert_array_equal(packing.interval_of(packing.cumulative_share(np.full(10, 0.1)), 10), [*range(1, 10), 9])


# --- equation 6: the choice of blocks -------------------------------------------------------------------------------


def test_each_canvas_draws_the_best_blocks_of_its_interval():
    scores = np.array([[3.0, 2, 1], [1, 2, 3], [4, 1, 1], [0, 0, 6]])  # four frames of weight 6: F = .25 .5 .75 1
    first, second = packing.choose_blocks(scores, canvases=2, capacity=2, peak=0)
    np.testing.assert_array_equal(first, [0, 1])  # of frame 0, though its scores are small
    np.testing.assert_array_equal(second, [6, 11])


def test_too_few_blocks_draw_on_the_intervals_beside_and_no_block_is_used_twice():
    scores = np.array([[3.0, 2, 1], [1, 2, 3], [4, 1, 1], [0, 0, 6]])
    first, second = packing.choose_blocks(scores, canvases=2, capacity=5, peak=0)
    np.testing.assert_array_equal(first, [0, 1, 2, 6, 11])
    np.testing.assert_array_equal(second, [3, 4, 5, 7, 8])


def test_where_the_intervals_beside_are_empty_too_the_whole_group_is_drawn_on():
    scores = np.array([[9.0, 9], [1, 2]])  # F = 18/21 and 1: all in the last of three intervals
    first, second, third = packing.choose_blocks(scores, canvases=3, capacity=1, peak=0)
    assert [first.tolist(), second.tolist(), third.tolist()] == [[0], [1], [3]]


def test_the_intervals_beside_come_before_the_whole_group():
    scores = np.array([[2.0, 1], [2, 1], [8, 8], [9, 9]])  # F = 3/40, 6/40, 22/40, 1
    shares = packing.cumulative_share(packing.frame_weights(scores, 0))
    np.testing.assert_array_equal(packing.interval_of(shares, 3), [0, 0, 1, 2])
    first, _, _ = packing.choose_blocks(scores, canvases=3, capacity=5, peak=0)
    np.testing.assert_array_equal(first, [0, 1, 2, 3, 4])  # frame 2 (8) though frame 3 (9) is better


def test_equal_scores_go_to_the_earlier_frame_and_then_in_raster_order():
    (found,) = packing.choose_blocks(np.ones((3, 4)), canvases=1, capacity=5)
    np.testing.assert_array_equal(found, [0, 1, 2, 3, 4])


def test_unusable_blocks_are_never_taken():
    scores = np.array([[9.0, 1, 2], [9, 3, 4]])
    (found,) = packing.choose_blocks(scores, 1, 6, usable=np.array([False, True, True]))
    np.testing.assert_array_equal(found, [1, 2, 4, 5])


# --- around the anchor ----------------------------------------------------------------------------------------------


def test_a_canvas_is_left_out_unless_it_is_filled_beyond_half():
    assert [packing.canvases_filled(n, 4) for n in range(9)] == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert [packing.canvases_filled(n, 5) for n in range(9)] == [0, 0, 0, 1, 1, 1, 1, 1, 2]
    assert packing.canvases_filled(7, 1) == 7


def test_canvases_are_split_at_the_anchor_by_weight():
    scores = np.ones((4, 6))
    chosen, before = packing.arrange(scores, before_anchor=1, canvases=4, capacity=3)
    assert before == 1 and [c.min() // 6 for c in chosen] == [0, 1, 1, 2]


def test_one_side_that_cannot_be_filled_gives_its_canvases_to_the_other():
    chosen, before = packing.arrange(np.r_[np.full((1, 4), 9.0), np.ones((5, 4))], before_anchor=1, canvases=4, capacity=4)
    assert before == 1 and len(chosen) == 4


def test_nothing_to_arrange():
    assert packing.arrange(np.zeros((0, 6)), 0, 3, 6) == ([], 0)
    assert packing.arrange(np.ones((1, 6)), 0, 3, 6, usable=np.arange(6) < 3) == ([], 0)


GROUPS = st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))


@given(GROUPS, st.data())
def test_arranged_canvases_keep_time_and_use_each_block_once(group, data):
    frames, blocks, canvases, capacity, seed = group
    before_anchor = data.draw(st.integers(0, frames))
    rng = np.random.default_rng(seed)
    scores = packing.attenuate(rng.integers(0, 4, (frames, blocks)).astype(float))
    usable = rng.random(blocks) < 0.8
    chosen, before = packing.arrange(scores, before_anchor, canvases, capacity, usable)
    room = [packing.canvases_filled(n * int(usable.sum()), capacity) for n in (before_anchor, frames - before_anchor)]
    assert len(chosen) == min(canvases, sum(room))
    assert all(2 * len(c) > capacity >= len(c) for c in chosen)
    stream = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    assert (np.diff(stream) > 0).all()  # (frame, block) ascends, so no block comes twice
    assert usable[stream % blocks].all()
    assert all((c // blocks < before_anchor).all() for c in chosen[:before])
    assert all((c // blocks >= before_anchor).all() for c in chosen[before:])


# --- placing --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 99), st.data())
def test_placed_blocks_can_be_read_back_from_their_source(frames, rows, cols, patch, seed, data):
    rng = np.random.default_rng(seed)
    pictures = rng.integers(1, 256, (frames, rows * 2 * patch, cols * 2 * patch, 3), dtype=np.uint8)
    times = np.sort(rng.choice(100, frames, replace=False))
    count = data.draw(st.integers(0, min(rows * cols, frames * rows * cols)))
    chosen = np.sort(rng.choice(frames * rows * cols, count, replace=False))
    canvas, positions = packing.place_blocks(list(pictures), times, chosen, patch)
    assert positions.dtype == np.int64 and canvas.shape == pictures[0].shape
    for row, col in np.ndindex(rows * 2, cols * 2):
        tile = canvas[row * patch : (row + 1) * patch, col * patch : (col + 1) * patch]
        t, source_row, source_col = positions[row, col]
        if t < 0:
            assert source_row == source_col == -1 and not tile.any()
        else:
            source = pictures[np.searchsorted(times, t)]
            there = slice(source_row * patch, (source_row + 1) * patch), slice(source_col * patch, (source_col + 1) * patch)
            np.testing.assert_array_equal(tile, source[there])
    placed = positions[::2, ::2].reshape(-1, 3)
    keys = placed[:count] @ [10_000, 100, 1]
    assert (np.diff(keys) > 0).all() and (placed[count:] == -1).all()


def test_a_whole_frame_lists_its_own_patches():
    positions = packing.whole_frame(7, 28, 56, 14)
    np.testing.assert_array_equal(positions[1, 3], [7, 1, 3])
    assert positions.shape == (2, 4, 3)


# --- canvases among groups ------------------------------------------------------------------------------------------

PLENTY = np.array([99, 99])


@pytest.mark.parametrize(
    "costs, budget, shares",
    [
        ([1, 3], 8, [3, 3]),
        ([1, 3], 10, [3, 5]),  # 1/4 against 3/4, then 1/4 against 3/5
        ([0, 0], 12, [5, 5]),
        ([5, 1], 5, [2, 1]),  # under four canvases a group, the cheaper one gives first
        ([5, 1], 2, [0, 0]),
    ],
)
def test_what_is_left_of_the_budget_follows_the_cost(costs, budget, shares):
    np.testing.assert_array_equal(share_canvases(np.array(costs, float), PLENTY, budget), shares)


def test_a_group_gets_no_more_canvases_than_it_has_frames():
    np.testing.assert_array_equal(share_canvases(np.array([9.0, 1]), np.array([1, 4]), 32), [1, 4])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8), st.integers(0, 40))
def test_the_budget_is_used_and_never_exceeded(groups, extra):
    costs, frames = np.array(groups, float).T
    shares = share_canvases(costs, frames.astype(int), len(groups) + extra)
    assert shares.sum() == min(extra, frames.sum()) and (shares <= frames).all() and (shares >= 0).all()
