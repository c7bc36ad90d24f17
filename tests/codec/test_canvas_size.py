"""Canvas sizes: whole blocks, within bounds, the frame's shape kept."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ov2lib.errors import Ov2Error
from ov2lib.geometry import canvas_size


@pytest.mark.parametrize(
    "frame, expected",
    [
        ((640, 360), (504, 280)),  # the beach clip, as the authors' engine sizes it
        ((360, 640), (280, 504)),
        ((1080, 1920), (280, 504)),
        ((392, 392), (392, 392)),
        ((100, 200), (112, 196)),  # rounded to the nearest multiple
        ((10, 10), (56, 56)),  # raised to the least number of pixels
        ((1, 1), (56, 56)),
        ((20, 3000), (28, 2996)),
    ],
)
def test_known_sizes(frame, expected):
    assert canvas_size(*frame) == expected


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 600_000), st.sampled_from([14, 16]))
def test_sides_are_whole_blocks_within_the_bounds(height, width, max_pixels, patch):
    block = 2 * patch
    assume(max(height, width) <= 200 * min(height, width) and max_pixels >= block * block)
    h, w = canvas_size(height, width, max_pixels, patch)
    assert h % block == w % block == 0 and h >= block and w >= block
    assert h * w <= max_pixels
    if max_pixels >= 4 * 56 * 56:
        assert h * w >= 56 * 56


@given(st.integers(100, 4000), st.integers(100, 4000))
def test_the_shape_is_kept_to_a_block(height, width):
    assume(max(height, width) <= 4 * min(height, width))
    h, w = canvas_size(height, width)
    low, high = max((h - 28) / height, (w - 28) / width), min((h + 28) / height, (w + 28) / width)
    assert low < high  # one scale explains both sides to a block


@pytest.mark.parametrize("height, width", [(10, 2001), (2001, 10), (0, 0), (0, 5)])
def test_strips_and_empty_frames_are_refused(height, width):
    with pytest.raises(Ov2Error, match=f"{width}x{height}"):
        canvas_size(height, width)


def test_bounds_that_hold_no_block_are_refused():
    assert canvas_size(300, 300, max_pixels=784) == (28, 28)
    with pytest.raises(Ov2Error, match="at least 784"):
        canvas_size(300, 300, max_pixels=783)
    with pytest.raises(Ov2Error, match="patch_size=0"):
        canvas_size(300, 300, patch_size=0)
