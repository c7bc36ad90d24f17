"""The ancestor's patch-level top-K."""

import numpy as np
import pytest

from kit.studies import topk
from ov2lib.errors import Ov2Error


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


def test_on_a_file(specimen):
    known = specimen("h264_b_frames")
    found = topk.top_patches(known.path, num_frames=8, kept=0.25)
    assert found.frames.tolist() == [int(t) for t in np.linspace(0, known.frames - 1, 8)]
    rows, cols = found.scores.shape[1:]
    assert found.pictures.shape == (8, rows * 14, cols * 14, 3)
    assert len(found.positions) == 2 * rows * cols
    later = found.positions[rows * cols :]
    assert (later[:, 0] > 0).all() and np.isin(later[:, 0], found.frames).all()
    chosen = np.zeros(found.scores.shape, bool)
    chosen[np.searchsorted(found.frames, found.positions[:, 0]), found.positions[:, 1], found.positions[:, 2]] = True
    assert found.scores[1:][chosen[1:]].min() >= found.scores[1:][~chosen[1:]].max()


@pytest.mark.parametrize("wrong", [{"kept": 0}, {"kept": 1.5}, {"num_frames": 0}])
def test_senseless_arguments_are_refused(wrong, specimen):
    with pytest.raises(Ov2Error, match=str(next(iter(wrong.values())))):
        topk.top_patches(specimen("one_frame").path, **wrong)
