"""Estimated bits: close to the true ones of a real clip, summing to the packet, their ingredients worked out by hand."""

from itertools import islice

import av
import numpy as np
import pytest
import zoo
from scipy.stats import spearmanr
from vector_records import records

from ov2lib.codec.scoring import block_sums
from ov2lib.video.bits import (
    LENGTHS,
    core_transform,
    intra_texture,
    quantiser_changes,
    quantiser_step,
    residual_bits,
    vector_terms,
)
from ov2lib.video.decode import decode, link
from ov2lib.video.motion import motion_field
from ov2lib.video.residual import PaddedLuma
from ov2lib.video.signals import batch_bits, batch_motion, batches, read_signals
from ov2lib.video.source import Source

CANVAS = (504, 280)  # (height, width) of the clip's canvas, upright; the clip is coded upright


def over_blocks(bits: np.ndarray) -> np.ndarray:
    """Bits per macroblock -> sums over the canvas's blocks of 28x28 pixels; sampled at the nearest macroblock."""
    rows = (np.arange(CANVAS[0]) * bits.shape[0]) // CANVAS[0]
    cols = (np.arange(CANVAS[1]) * bits.shape[1]) // CANVAS[1]
    return block_sums(bits[rows[:, None], cols].astype(np.float32), 28)


@pytest.fixture(scope="module")
def estimates(beach):
    return [(frame.kind, frame.size, frame.bits) for frame in read_signals(beach)]


@pytest.fixture(scope="module")
def truth(beach):
    with np.load(beach.parent / "beach_macroblock_bits.npz") as golden:
        return golden["bits"][:, :, :23].astype(np.float32), golden["pict_type"]  # the last column is stride, not picture


def test_the_clip_is_the_one_with_known_bits(estimates, truth):
    bits, kinds = truth
    assert [kind for kind, _, _ in estimates] == kinds.tolist() and bits.shape[1:] == estimates[0][2].shape


@pytest.mark.parametrize("kind, at_least", [("P", 0.92), ("B", 0.89), ("I", 0.92)])
def test_estimated_bits_rank_blocks_as_the_true_ones_do(kind, at_least, estimates, truth):
    bits, kinds = truth
    found = [
        spearmanr(over_blocks(estimate).ravel(), over_blocks(bits[i]).ravel()).statistic
        for i, (_, _, estimate) in enumerate(estimates)
        if kinds[i] == kind
    ]
    assert np.mean(found) >= at_least, np.mean(found)


def test_the_truth_sums_to_nearly_the_packet(estimates, truth):
    shares = truth[0].sum(axis=(1, 2)) / [8 * size for _, size, _ in estimates]
    assert 0.9 < np.mean(shares) < 1  # headers are the rest; the estimate shares them out


def test_estimates_sum_to_the_packet(estimates):
    for _, size, bits in estimates:
        assert bits.dtype == np.float32 and bits.min() >= 0
        assert bits.sum(dtype=np.float64) == pytest.approx(8 * size, rel=1e-4)


@pytest.mark.parametrize("name", zoo.GOOD)
def test_bits_of_every_specimen_sum_to_its_packets(name, specimen):
    known = specimen(name)
    for frame in read_signals(known.path):
        if frame.bits is None:  # the last one of MPEG-2 and 4 with reordering
            assert known.codec in ("mpeg4", "mpeg2video") and frame.index == known.frames - 1
            continue
        assert np.isfinite(frame.bits).all() and frame.bits.sum(dtype=np.float64) == pytest.approx(8 * frame.size, rel=1e-4)
        if known.codec == "h264":
            assert frame.bits.shape == frame.qp.shape


def test_frames_may_be_estimated_in_any_company(specimen):
    """A batch gives what each frame alone gives."""
    path = specimen("h264_b_frames").path
    source = Source.open(path)
    frames = list(link(decode(source)))
    alone = [batch_bits([x], source, batch_motion([x], source))[0] for x in frames]
    for one, together in zip(alone, batch_bits(frames, source, batch_motion(frames, source)), strict=True):
        np.testing.assert_allclose(together, one, rtol=1e-5)
    assert [len(batch) for batch in batches(iter(frames), zoo.SIZE)] == [12]
    assert [len(batch) for batch in batches(iter(frames), (4000, 4000))] == [1] * 12  # large pictures go one by one


def test_bits_point_to_where_things_happen(tmp_path):
    """A noisy square on a still picture: nearly all bits of a P frame are there."""
    rng, path = np.random.default_rng(0), tmp_path / "square.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=zoo.x264())
        (stream.height, stream.width), stream.pix_fmt = zoo.SIZE, "yuv420p"
        for _ in range(6):
            picture = zoo.picture(0).copy()
            picture[64:112, 80:128] = rng.integers(0, 255, (48, 48, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    for frame in list(read_signals(path))[1:]:
        assert frame.bits[4:7, 5:8].sum() > 0.8 * frame.bits.sum()


# --- ingredients by hand --------------------------------------------------------------------------------------------


def test_quantiser_steps_double_every_six():
    np.testing.assert_allclose(quantiser_step(np.array([4, 10, 16, 28])), [1, 2, 4, 16])
    np.testing.assert_allclose(quantiser_step(np.array([1, 2, 31]), "mpeg4"), [2, 4, 62])


def test_a_quantiser_that_changes_in_raster_order():
    changed = quantiser_changes(np.array([[[20, 20, 21], [21, 20, 20]], [[30, 30, 30], [30, 30, 31]]]))
    assert changed[0].tolist() == [[False, False, True], [False, True, False]]
    assert changed[1].tolist() == [[False, False, False], [False, False, True]]  # frames do not carry on from each other


def test_residual_bits_have_a_dead_zone():
    steps = np.zeros((1, 4, 16), np.float32)
    steps[0, 1, 0], steps[0, 2, 0], steps[0, 3, :] = 0.15, 0.2, 1.15
    bits = residual_bits(steps)[0]
    np.testing.assert_allclose(bits, [0, 0, 16 * 2 * 0.05, 16 * 16 * (2 * 1 + 0.6)], rtol=1e-5, atol=1e-5)


def test_the_transform_is_orthonormal_once_scaled():
    basis = core_transform(np.eye(16).reshape(4, 4, 16)) / LENGTHS[:, :, None]
    np.testing.assert_allclose(basis.reshape(16, 16) @ basis.reshape(16, 16).T, np.eye(16), atol=1e-6)
    assert np.ptp(basis[0, 0]) == 0 and np.abs(basis.sum(axis=-1).ravel()[1:]).max() < 1e-6  # the first is the mean


def test_intra_texture_by_hand():
    """Flat: nothing. One coefficient of 3 steps in each of the four 4x4 blocks: .62 · 4 · 4 · log2(1 + 3)."""
    luma = np.full((16, 32), 100, np.uint8)
    wave = np.tile(np.sign([1, 1, -1, -1]), (16, 4))  # along a row it is (2, 1, -1, -2) / √10 and (1, -2, 2, -1) / √10
    luma[:, 16:] += (10 * wave).astype(np.int8).view(np.uint8)
    across = 10 * 2 * np.array([(2 + 1) * 2, (1 - 2) * 2]) / np.sqrt(10)  # the two odd basis functions, times √4 / 2 · 2
    levels = np.rint(np.abs(across) / 4)
    expected = 0.62 * 4 * 4 * np.log2(1 + levels).sum()
    texture = intra_texture(PaddedLuma(luma), np.array([[True, True]]), np.full((1, 2), 4, np.float32))
    np.testing.assert_allclose(texture, [0, expected], rtol=1e-5)
    second = intra_texture(PaddedLuma(luma), np.array([[False, True]]), np.full((1, 2), 4, np.float32))
    np.testing.assert_array_equal(second, texture[1:])


def test_vector_terms_by_hand():
    """A single row. First: 16x16 with vector (4, 0), nothing to predict from. Second: the same, predicted. Third: intra."""
    motion = motion_field([records((0, 0, 0, 16, 16, 4, 0), (0, 0, 16, 16, 16, 4, 0))], 1, 3)
    terms = vector_terms(motion, [None])
    assert terms.coded.tolist() == [[[True, True, False]]]  # in the first row a skipped block stands still
    first = 2 * np.log2(1 + 4)
    np.testing.assert_allclose(terms.p_bits[0, 0], [2.4 + 0.7 * first + 3.6, 2.4 + 3.6, 0], rtol=1e-6)
    np.testing.assert_allclose(terms.b_bits[0, 0], [4.6 + first, 4.6, 0], rtol=1e-6)


def test_split_blocks_cost_more():
    rows = motion_field([records((0, 0, 0, 8, 16, 4, 0), (0, 8, 0, 8, 16, 4, 0))], 1, 1)
    first = 2 * np.log2(1 + 4)  # the lower half is predicted from the upper one
    terms = vector_terms(rows, [None])
    np.testing.assert_allclose(terms.p_bits[0, 0, 0], 2.4 + 0.7 * first + 2 * 3.6 + 2.5, rtol=1e-6)
    np.testing.assert_allclose(terms.b_bits[0, 0, 0], 4.6 + first + 7.3, rtol=1e-6)
    still = motion_field([records((0, 0, 0, 16, 16, 0, 0))], 1, 1)
    assert vector_terms(still, [None]).p_bits.item() == 0  # skipped


def test_estimates_come_while_streaming(beach):
    """The first frames arrive before the file is read to its end, in display order."""
    assert [frame.index for frame in islice(read_signals(beach), 3)] == [0, 1, 2]
