"""The ancestor's patch-level top-K."""

import numpy as np

from kit.studies import topk


def test_a_patch_scores_half_of_motion_plus_half_of_residual():
    motion = np.tile(np.array([5.0, 1.0]), (4, 4, 1))  # a pan, which does not count
    motion[0, 0] += [3, 4]
    residual = np.zeros((8, 8))
    residual[4:, 4:] = -50
    found = topk.patch_scores(motion, residual, 8, 8, 4)
    # one of 16 vectors stands out: the 95th percentile is 5 / 4; one cell is 4 pixels; a quarter of the residual is 50
    np.testing.assert_allclose(found, [[4 / 2, 0], [0, 16 / 2]])


def test_the_first_frame_is_kept_whole_and_the_rest_is_one_choice_over_all_frames():
    scores = np.zeros((8, 2, 2), np.float32)
    scores[3] = [[1, 9], [2, 8]]
    scores[6, 1, 0] = 7
    found = topk.choose_patches(scores, kept=7 / 32)
    assert found.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [3, 0, 1], [3, 1, 1], [6, 1, 0]]


def test_at_least_the_first_frame_is_kept():
    assert len(topk.choose_patches(np.ones((2, 3, 3), np.float32), kept=0.1)) == 9


def test_patches_apart_from_their_block_are_counted():
    first = [[0, r, c] for r in range(2) for c in range(4)]
    whole = [[5, 0, 0], [5, 0, 1], [5, 1, 0], [5, 1, 1]]
    apart = [[7, 0, 1], [7, 0, 2], [8, 1, 1], [9, 1, 1]]
    assert topk.split_share(np.array(first)) == 0
    assert topk.split_share(np.array(first + whole)) == 0
    assert topk.split_share(np.array(first + whole + apart)) == 0.5
