"""Every odd file goes through every front end, and every bad one is told as what it is."""

import warnings

import numpy as np
import pytest
import zoo
from invariants import check_codec_tokens, check_positions, packed_patches, source_patches

from ov2lib import VideoError, tokenize_frames, tokenize_video
from ov2lib.codec.config import FRONT_ENDS
from ov2lib.errors import VideoWarning
from ov2lib.video.source import Source


@pytest.mark.parametrize("name", zoo.GOOD)
def test_good_specimens_become_tokens(name, specimen):
    known = specimen(name)
    duration = Source.open(known.path).packets.duration
    for front_end in FRONT_ENDS:
        tokens = tokenize_video(known.path, front_end, num_canvases=8)
        check_codec_tokens(tokens)
        assert len(tokens.frame_times) == known.frames
        assert tokens.summary()["seconds"] == pytest.approx(duration, abs=1e-3)
        height, width = tokens.canvases.shape[1:3]
        assert (height > width) == (known.size[0] > known.size[1]) ^ (known.rotation % 180 != 0)
        assert height / width == pytest.approx(known.shown[0] / known.shown[1], rel=0.2)  # but for the rounding to blocks
    frames = tokenize_frames(known.path, num_frames=3)
    check_positions(frames)
    np.testing.assert_array_equal(packed_patches(frames), source_patches(frames))


@pytest.mark.parametrize("name", zoo.BAD)
def test_bad_specimens_are_told(name, specimen):
    known = specimen(name)
    makers = [lambda end=end: tokenize_video(known.path, end, num_canvases=4) for end in FRONT_ENDS]
    for make in makers + [lambda: tokenize_frames(known.path, num_frames=3)]:
        if known.expect == "fails":
            with pytest.raises(VideoError) as told:
                make()
            assert str(known.path) in str(told.value) and told.value.cause and told.value.remedy
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", VideoWarning)
                check_positions(make())
