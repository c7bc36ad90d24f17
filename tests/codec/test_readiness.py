"""The released selection's pieces, by hand; the chain as a whole is held against the authors' in test_released_golden."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.codec import released
from ov2lib.codec.frontend import select_released

# --- candidate frames -----------------------------------------------------------------------------------------------


def candidates(frames, count, keys=()):
    return released.candidate_frames(frames, count, np.array(keys, np.int64)).tolist()


def test_candidates_are_uniform_and_rounded_down():
    assert candidates(10, 4) == [0, 3, 6, 9]
    assert candidates(11, 4) == [0, 3, 6, 10]
    assert candidates(3, 8) == [0, 1, 2]
    assert released.candidate_frames(10, 4, None).tolist() == [0, 3, 6, 9]


def test_a_sample_on_a_key_frame_moves_one_on_then_one_back_then_two():
    assert candidates(11, 6, [0, 4]) == [1, 2, 5, 6, 8, 10]
    assert candidates(11, 6, [4, 5]) == [0, 2, 3, 6, 8, 10]
    assert candidates(21, 3, [9, 10, 11]) == [0, 12, 20]
    assert candidates(11, 6, [10]) == [0, 2, 4, 6, 8, 9]


def test_a_sample_amid_key_frames_stays():
    assert candidates(21, 3, range(6, 15)) == [0, 10, 20]


def test_places_lost_to_duplicates_are_refilled_near_the_chosen_and_then_near_the_middle():
    # 0 1 2 3 5 6 7 9 are uniform; 0 moves onto 1; of the free 4 and 8, both beside a chosen one, 4 is nearer the middle
    assert candidates(10, 8, [0]) == [1, 2, 3, 4, 5, 6, 7, 9]


def test_key_frames_are_taken_only_where_nothing_else_is_left():
    assert candidates(5, 5, [0, 3]) == [0, 1, 2, 3, 4]


@given(st.integers(1, 80), st.integers(1, 80), st.integers(2, 9), st.integers(0, 8))
def test_there_are_as_many_candidates_as_asked_for(frames, count, every, first):
    keys = np.arange(first, frames, every)
    found = released.candidate_frames(frames, count, keys)
    assert len(found) == min(count, frames) and (np.diff(found) > 0).all()
    assert found.min() >= 0 and found.max() < frames
    if count <= frames - len(keys):
        assert not np.isin(found, keys).any()


# --- the grids of the authors' engine -------------------------------------------------------------------------------


def test_h264_maps_carry_an_unused_column_on_the_right():
    found = released.engine_grid(np.ones((2, 3), np.float32), "h264", (32, 48), (16, 16))
    np.testing.assert_array_equal(found, [[1, 1, 1, 0], [1, 1, 1, 0]])


def test_hevc_and_vp9_maps_hold_units_of_64_pixels():
    bits = np.ones((8, 10), np.float32)  # cells of 16 x 16 pixels
    np.testing.assert_array_equal(released.engine_grid(bits, "hevc", (128, 160), (16, 16)), [[16, 16, 8], [16, 16, 8]])
    coarse = np.ones((2, 3), np.float32)  # cells of 100 x 100 pixels hold more than a unit, and stay
    np.testing.assert_array_equal(released.engine_grid(coarse, "vp9", (200, 300), (100, 100)), coarse)


def test_maps_of_a_picture_that_fills_its_last_cells_in_part():
    """360 pixels of 23 macroblocks, as they lie: the middle of the last one, at 360, is still in the last unit."""
    bits = np.ones((1, 23), np.float32)
    np.testing.assert_array_equal(released.engine_grid(bits, "hevc", (16, 360), (16, 16)), [[4, 4, 4, 4, 4, 3]])


# --- threshold and groups -------------------------------------------------------------------------------------------


def test_the_threshold_is_the_mean_over_windows_of_32_their_first_frames_left_out():
    scores = np.ones((36, 2), np.float32)
    scores[[0, 32]] = 100  # first frames
    scores[[5, 33], 1] = [9, 4]
    assert released.readiness_threshold(scores, 3) == ((9 + 1 + 1) + (4 + 1 + 1)) / 2


def test_a_window_under_four_frames_does_not_count():
    scores = np.ones((35, 1), np.float32)
    scores[33] = 50
    assert released.readiness_threshold(scores, 2) == 2
    assert released.readiness_threshold(scores[:3], 2) == 0


def test_equal_scores_go_to_the_lower_index():
    assert released.top_blocks(np.array([[5, 7, 7], [7, 1, 9]]), 3).tolist() == [1, 2, 5]
    assert released.top_blocks(np.array([3, 1]), 5).tolist() == [0, 1]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 30))
def test_top_blocks_are_a_stable_sort(values, budget):
    scores = np.array(values, np.float32)
    expected = np.sort(np.argsort(-scores, kind="stable")[:budget])
    np.testing.assert_array_equal(released.top_blocks(scores, budget), expected)


def peaks(frames, at, height=5.0):
    scores = np.ones((frames, 1), np.float32)
    scores[list(at)] = height
    return scores


def bounds(groups):
    return [(group.start, group.end, group.stop) for group in groups]


def test_a_ready_group_stops_when_growing_pays_less_than_a_twentieth():
    scores = peaks(9, [1, 4, 7])  # three blocks touch all three time bins at the first end already; end 9 gains nothing
    assert bounds(released.build_groups(scores, 3, threshold=15)) == [(0, 9, "gain")]


def growing(frames):
    """Best three blocks at ends 8, 9, 10 and 11: 45, 48 (+6.7 %), 52 (+8.3 %), 52, in all three time bins each time."""
    scores = peaks(frames, [1, 4], height=20)
    scores[7:10, 0] = [5, 8, 12]
    return scores


def test_a_ready_group_grows_while_growing_pays():
    assert bounds(released.build_groups(growing(14), 3, threshold=45)) == [(0, 11, "gain")]


def test_a_ready_group_that_reaches_the_limit_ends_there():
    assert bounds(released.build_groups(growing(10), 3, threshold=45)) == [(0, 10, "ready")]


def test_the_last_accepted_end_counts():
    scores = peaks(14, [1, 4, 7])
    scores[8:11, 0] = [7, 9, 9]  # from end 10 on the best blocks touch two time bins or one
    assert bounds(released.build_groups(scores, 3, threshold=1)) == [(0, 9, "ready")]


def test_blocks_must_touch_every_time_bin():
    early = peaks(12, [1, 2, 3])
    assert bounds(released.build_groups(early, 3, threshold=1)) == [(0, 12, "limit")]


def test_a_group_that_is_never_ready_takes_the_maximum():
    found = released.build_groups(np.ones((30, 1), np.float32), 3, threshold=99, max_frames=16)
    assert bounds(found) == [(0, 16, "limit"), (16, 30, "limit")]


def test_a_tail_under_eight_frames_is_dropped():
    found = released.build_groups(np.ones((23, 1), np.float32), 3, threshold=99, max_frames=16)
    assert bounds(found) == [(0, 16, "limit")]


@given(st.integers(0, 90), st.integers(1, 3), st.integers(8, 40), st.integers(0, 60), st.integers(0, 99))
def test_groups_follow_each_other(frames, blocks, longest, threshold, seed):
    scores = np.random.default_rng(seed).integers(0, 9, (frames, blocks)).astype(np.float32)
    found = released.build_groups(scores, 3 * blocks, threshold, longest)
    ends = [0] + [group.end for group in found]
    assert [group.start for group in found] == ends[:-1]
    assert all(8 <= group.end - group.start <= longest for group in found)
    assert frames - ends[-1] < 8
    assert all(group.top_sum == released.top_sum(scores[group.start : group.end], 3 * blocks) for group in found)


# --- blocks of a group ----------------------------------------------------------------------------------------------


def test_the_first_good_frame_stays_whole_and_bad_frames_give_nothing():
    scores = np.array([[9, 9], [8, 8], [7, 1], [2, 6], [9, 9]], np.float32)
    good = np.array([False, True, True, True, False])
    anchor, blocks = released.select_blocks(scores, 2, good)
    assert anchor == 1 and blocks.tolist() == [[2, 0], [3, 1]]


def test_a_group_of_bad_frames_keeps_its_first_frame_only():
    anchor, blocks = released.select_blocks(np.ones((3, 2), np.float32), 2, np.zeros(3, bool))
    assert anchor == 0 and blocks.shape == (0, 2)


def test_a_video_too_short_for_a_group_is_one():
    selection = select_released(np.ones((3, 4), np.float32), np.ones(3, bool))
    (group, anchor, blocks), = selection  # fmt: skip
    assert (group.start, group.end, anchor) == (0, 3, 0) and len(blocks) == 8
