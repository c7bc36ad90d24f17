"""The frames that a front end asks for come as if the whole file were decoded, however few they are."""

from functools import partial

import numpy as np
import pytest
from invariants import BEACH

from ov2lib.codec.analysis import bit_prior, candidates, on_canvas, score_motion_residual
from ov2lib.video.source import Source

SCORERS = (score_motion_residual, partial(bit_prior, grid="adaptive"))
SPECIMENS = ["h264_b_pyramid", "h264_open_gop", "h264_interlaced", "hevc_open_gop", "vp9", "av1", "mpeg4", "avi_b_frames"]


def check_sparse_as_dense(path, scorer, subsets, max_pixels=40_000):
    video = on_canvas(Source.open(path), max_pixels, 14)
    total = len(video.source.packets.frame_times)
    dense = list(candidates(video, np.arange(total), scorer, workers=1))
    assert [frame.index for frame in dense] == list(range(total))
    for number, wanted in enumerate(subsets):
        sparse = list(candidates(video, wanted, scorer, workers=1 + number % 3))
        assert [frame.index for frame in sparse] == wanted.tolist()
        for frame in sparse:
            np.testing.assert_array_equal(frame.picture, dense[frame.index].picture)
            if video.source.exported:
                np.testing.assert_array_equal(frame.scores, dense[frame.index].scores)
            else:  # a proxy is encoded of the frames that are needed: another choice, other predictions
                assert (frame.scores > 0).any() == (dense[frame.index].scores > 0).any()


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("name", SPECIMENS)
def test_on_odd_streams(name, scorer, specimen):
    known, rng = specimen(name), np.random.default_rng(0)
    several = [np.sort(rng.choice(known.frames, size, replace=False)) for size in (2, 3, 4, 6, 9)]
    check_sparse_as_dense(known.path, scorer, several + [np.array([frame]) for frame in range(known.frames)])


@pytest.mark.parametrize("scorer", SCORERS)
def test_across_key_frames_that_are_no_fresh_start(scorer):
    # half of the beach's key frames are not IDR: left-out references before them must not confuse the decoder
    check_sparse_as_dense(BEACH, scorer, [np.linspace(0, 486, size).astype(int) for size in (5, 16, 32, 57)])
