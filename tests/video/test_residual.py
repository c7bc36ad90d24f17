"""Motion-compensated residuals: nothing where a picture only moves, everything where it changes."""

import av
import numpy as np
import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_records import records

from ov2lib.video.compensate import MovedBy, compensated_residual
from ov2lib.video.motion import motion_field
from ov2lib.video.residual import CLOSE_ENOUGH, KERNELS, PAD, TAPS, PaddedLuma, sampled_residual
from ov2lib.video.signals import read_signals

# --- whole clips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["translation_integer", "translation_quarter", "translation_b_frames", "translation_mpeg4"])
def test_a_translation_leaves_no_residual(name, specimen):
    known = specimen(name)
    frames = list(read_signals(known.path, size=known.size))
    assert frames[0].residual is None
    for earlier, frame in zip(frames, frames[1:], strict=False):
        assert frame.residual.shape == known.size and frame.residual.dtype == np.float32
        inside = np.abs(frame.residual[24:-24, 24:-24]).mean()
        difference = np.abs(frame.luma.astype(float) - earlier.luma)[24:-24, 24:-24].mean()
        assert inside < 1.5 < 6 < difference


def test_a_change_leaves_one_where_it_is(tmp_path):
    """A square that flickers on a moving texture."""
    path = tmp_path / "flicker.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=zoo.x264(crf=10))
        (stream.height, stream.width), stream.pix_fmt = zoo.SIZE, "yuv420p"
        for index in range(6):
            picture = zoo.picture(index, shift=(2.0, 0.0)).copy()
            picture[64:96, 80:112] = 40 + 120 * (index % 2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    for frame in list(read_signals(path, size=zoo.SIZE))[1:]:
        size = np.abs(frame.residual)
        square = size[68:92, 84:108].mean()
        size[56:104, 72:120] = 0
        assert square > 60 and size[24:-24, 24:-24].mean() < 2


@pytest.mark.parametrize("name", ["hevc", "vp9", "av1"])
def test_a_proxy_leaves_little(name, specimen):
    frames = list(read_signals(specimen(name).path, size=zoo.SIZE))
    for earlier, frame in zip(frames, frames[1:], strict=False):
        if frame.kind == "I":
            continue
        difference = np.abs(frame.luma.astype(float) - earlier.luma)[24:-24, 24:-24].mean()
        assert np.abs(frame.residual[24:-24, 24:-24]).mean() < 0.6 * difference


def test_residuals_come_at_the_size_asked_for(specimen):
    for name in ("mov", "rotated_90", "h264_odd_size", "vp9"):
        for frame in read_signals(specimen(name).path, size=(56, 84)):
            assert frame.residual is None if frame.kind == "I" else frame.residual.shape == (56, 84)


# --- at the size of the canvas --------------------------------------------------------------------------------------


def field(y: int, x: int, shape=(8, 10)) -> dict:
    return {"vector": np.full((*shape, 2), (x, y), np.int16), "used": np.ones(shape, bool)}


@given(x=st.integers(-20, 20), y=st.integers(-20, 20))
@settings(max_examples=30, deadline=None)
def test_whole_pixels_are_compensated_exactly(x, y):
    wide = np.random.default_rng(0).integers(0, 255, (112, 128), np.uint8)
    picture, reference = wide[24:88, 24:104], wide[24 - y : 88 - y, 24 - x : 104 - x]
    residual = compensated_residual(picture, [MovedBy(reference, **field(4 * y, 4 * x))], (64, 80))
    assert not residual[20:-20, 20:-20].any()


def test_quarter_pixels_are_interpolated():
    ramp = np.tile(np.arange(0, 160, 2, dtype=np.uint8), (64, 1))
    residual = compensated_residual(ramp, [MovedBy(ramp, **field(0, 3))], (64, 80))
    np.testing.assert_allclose(residual[:, 8:-8], -1.5)  # three quarters of a pixel to the right, 2 grey levels a pixel


def test_vectors_shrink_with_the_picture():
    """A canvas at half size: a vector of 16 source pixels is 8 of its own."""
    wide = np.random.default_rng(0).integers(0, 255, (64, 96), np.uint8)
    picture, reference = wide[:, 16:96], wide[:, 8:88]
    moved = MovedBy(reference, **field(0, 64, (16, 20)))
    assert not compensated_residual(picture, [moved], (128, 160))[:, 16:-16].any()


def test_the_reference_that_fits_wins_cell_by_cell():
    rng = np.random.default_rng(0)
    picture, noise = rng.integers(0, 255, (16, 16), np.uint8), rng.integers(0, 255, (16, 16), np.uint8)
    first, second = picture.copy(), picture.copy()
    first[:8], second[8:] = noise[:8], noise[8:]
    still = field(0, 0, (2, 2))
    assert not compensated_residual(picture, [MovedBy(first, **still), MovedBy(second, **still)], (16, 16)).any()
    unused = {**still, "used": np.array([[False, True], [True, True]])}
    left = compensated_residual(picture, [MovedBy(first, **still), MovedBy(second, **unused)], (16, 16))
    assert left[:8, :8].any() and not left[:8, 8:].any() and not left[8:].any()  # a list that a cell does not use is not tried


def test_an_intra_cell_is_compared_in_place():
    picture = np.full((16, 16), 90, np.uint8)
    nothing = {"vector": np.full((2, 2, 2), 40, np.int16), "used": np.zeros((2, 2), bool)}
    np.testing.assert_array_equal(compensated_residual(picture, [MovedBy(picture - 30, **nothing)] * 2, (16, 16)), 30)


@given(x=st.integers(-32768, 32767), y=st.integers(-32768, 32767), height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_wild_vectors_stay_in_the_picture(x, y, height, width):
    picture = np.full((height, width), 50, np.uint8)
    cells = (-(-height // 16) * 2, -(-width // 16) * 2)
    assert not compensated_residual(picture, [MovedBy(picture, **field(y, x, cells))], (height, width)).any()


# --- samples at the size of the source ------------------------------------------------------------------------------


def test_cubic_taps_sum_to_one_and_are_exact_on_parabolas():
    np.testing.assert_allclose(TAPS.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(KERNELS.sum(axis=(0, 2)), 2, atol=1e-6)  # two samples side by side
    places, phases = np.arange(-1, 3), np.arange(4) / 4
    for power in (0, 1, 2):
        np.testing.assert_allclose(TAPS @ places.astype(float) ** power, phases**power, atol=1e-6)
    assert TAPS[0].tolist() == [0, 1, 0, 0]  # at a whole pixel, that pixel


@given(height=st.integers(1, 40), width=st.integers(1, 40))
@settings(deadline=None)
def test_a_padded_picture_repeats_its_edges_and_reads_eight_at_once(height, width):
    luma = np.random.default_rng(height * 41 + width).integers(0, 255, (height, width), np.uint8)
    picture, padded = PaddedLuma(luma), np.pad(luma, PAD, mode="edge")
    assert picture.stride == padded.shape[1]
    np.testing.assert_array_equal(picture.pixels, padded.ravel())
    for at in (3, (PAD + height - 1) * picture.stride + PAD, padded.size - 8):
        assert picture.eights[[at]].view(np.uint8).tolist() == padded.ravel()[at : at + 8].tolist()
    assert picture.pixels[picture.macroblocks(0, 0)] == luma[0, 0]
    assert picture.macroblocks(2, 1) == (PAD + 32) * picture.stride + PAD + 16


def naive_sample(luma: np.ndarray, row: int, col: int, x: int, y: int) -> float:
    """One sample at (row, col) displaced by a quarter-pixel vector, tap by tap."""
    height, width = luma.shape
    total = 0.0
    for i, ty in enumerate(TAPS[y & 3]):
        for j, tx in enumerate(TAPS[x & 3]):
            r, c = row + (y >> 2) + i - 1, col + (x >> 2) + j - 1
            total += float(ty) * float(tx) * luma[min(max(r, 0), height - 1), min(max(c, 0), width - 1)]
    return total


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_samples_are_read_where_the_vector_points(data):
    """Against a loop over taps: any size, vectors that leave the picture too."""
    height, width = data.draw(st.integers(17, 50)), data.draw(st.integers(17, 50))
    x, y = (data.draw(st.integers(-60, 60)) for _ in "xy")
    rng = np.random.default_rng(height * 50 + width)
    reference, luma = (rng.integers(0, 255, (height, width), np.uint8) for _ in range(2))
    rows, cols = -(-height // 16), -(-width // 16)
    motion = motion_field([records((0, 16, 16, 16, 16, x, y))], rows, cols)
    steps = np.ones((rows, cols), np.float32)
    sampled = sampled_residual(PaddedLuma(luma), [PaddedLuma(reference)], motion, 0, steps)
    assert not sampled.steps[0].any() and not sampled.reference.any()  # intra macroblocks have none
    at = [(16 + r, 16 + c) for r0 in (0, 1) for c0 in (0, 1) for r in ((1, 5), (10, 14))[r0] for c in ((1, 5), (10, 14))[c0]]
    expected = [abs(luma[min(r, height - 1), min(c, width - 1)] - naive_sample(reference, r, c, x, y)) for r, c in at]
    inside = [r < height and c < width for r, c in at]
    np.testing.assert_allclose(sampled.steps[1, 1][inside], np.array(expected)[inside], atol=0.51)  # rounded to whole levels


def test_the_reference_that_fits_is_named():
    rng = np.random.default_rng(0)
    luma = PaddedLuma(rng.integers(0, 255, (32, 32), np.uint8))
    references = [PaddedLuma(rng.integers(0, 255, (32, 32), np.uint8)) for _ in range(2)]
    references.insert(1, luma)
    motion = motion_field([records(*((0, r, c, 16, 16, 0, 0) for r in (0, 16) for c in (0, 16)))], 2, 2)
    sampled = sampled_residual(luma, references, motion, 0, np.ones((2, 2), np.float32))
    assert (sampled.reference == 1).all() and not sampled.steps.any()


def test_later_references_are_left_alone_where_the_nearest_is_close():
    luma = np.full((16, 16), 100, np.uint8)
    motion = motion_field([records((0, 0, 0, 16, 16, 0, 0))], 1, 1)
    references = [PaddedLuma(luma - 1), PaddedLuma(luma)]
    for off, chosen in ((0.9, 0), (1.1, 1)):  # one grey level, a little less and a little more than may be
        step = np.full((1, 1), 1 / (off * CLOSE_ENOUGH), np.float32)
        sampled = sampled_residual(PaddedLuma(luma), references, motion, 0, step)
        assert sampled.reference.item() == chosen
