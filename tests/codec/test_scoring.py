"""Robust scales, resizes and sums, by hand and against plain numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ov2lib.codec import scoring

FLOATS = st.floats(0, 1000, width=32)
COUNTS = np.arange(101.0)  # its 95th percentile is 95


@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), elements=FLOATS), st.floats(0, 100)
)
def test_percentiles_are_numpys(values, q):
    expected = np.percentile(values.astype(np.float64), q, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(scoring.percentile(values, q, axes=2), expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(scoring.percentile(values[0], q), expected[0, 0, 0], rtol=1e-5, atol=1e-3)


def test_the_residual_is_clipped_at_its_95th_percentile():
    np.testing.assert_allclose(scoring.normalize_residual(-COUNTS), np.minimum(COUNTS / 95, 1), rtol=1e-6)


def test_the_residuals_zero_may_be_128():
    bytes_ = np.array([[128, 118], [148, 128]], np.uint8)
    np.testing.assert_array_equal(scoring.normalize_residual(bytes_, zero=128), scoring.normalize_residual(bytes_ - 128.0))


def test_a_residual_under_one_grey_level_is_not_blown_up():
    residual = np.array([0.0, 0.25, -0.5, 0.5])
    np.testing.assert_array_equal(scoring.normalize_residual(residual), np.abs(residual))


def test_motion_is_the_length_of_the_vector_in_pixels():
    vectors = COUNTS[:, None] * [0.6, -0.8]
    np.testing.assert_allclose(scoring.normalize_motion(vectors), np.minimum(COUNTS / 95, 1), rtol=1e-5)


def test_no_motion_scores_nothing():
    assert not scoring.normalize_motion(np.zeros((4, 5, 2))).any()


def test_global_motion_can_be_subtracted():
    pan = np.tile(np.array([3.0, -2.0]), (6, 6, 1))
    assert scoring.normalize_motion(pan).min() == 1
    pan[2, 3] += [4, 0]
    moving = scoring.normalize_motion(pan, subtract_median=True)
    assert moving[2, 3] == 1 and np.count_nonzero(moving) == 1


def test_nearest_resize_takes_the_cell_that_holds_a_pixels_corner():
    grid = np.array([[1, 2, 3], [4, 5, 6]])
    expected = [[1, 1, 2, 3], [1, 1, 2, 3], [4, 4, 5, 6], [4, 4, 5, 6]]
    np.testing.assert_array_equal(scoring.resize_nearest(grid, 4, 4), expected)


def test_block_sums():
    pixels = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(scoring.block_sums(pixels, 2), [[10, 18], [42, 50]])
    np.testing.assert_array_equal(scoring.block_sums(np.stack([pixels, pixels * 2]), 4), [[[120]], [[240]]])


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 6),
)  # fmt: skip
def test_a_block_is_the_sum_of_its_resized_pixels(grid, rows, cols, block):
    height, width = rows * block, cols * block
    expected = scoring.block_sums(scoring.resize_nearest(grid, height, width).astype(float), block)
    np.testing.assert_allclose(scoring.resize_and_sum(grid, height, width, block), expected, rtol=1e-6)


def test_a_block_is_the_sum_of_its_four_patches():
    grid = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    patches = scoring.resize_and_sum(grid, 56, 84, 14)
    np.testing.assert_allclose(scoring.block_sums(patches, 2), scoring.resize_and_sum(grid, 56, 84, 28), rtol=1e-5)


def test_the_prior_is_logarithmic_and_clipped_at_the_99th_percentile():
    bits = np.expm1(COUNTS / 10).reshape(1, 101)
    np.testing.assert_allclose(scoring.bit_cost_prior(bits), np.minimum(COUNTS / 99, 1)[None], rtol=1e-5)


def test_the_prior_is_scaled_frame_by_frame_and_nothing_stays_nothing():
    maps = np.stack([np.zeros((3, 4)), np.full((3, 4), 5.0), np.full((3, 4), 900.0)])
    np.testing.assert_array_equal(scoring.bit_cost_prior(maps).mean(axis=(1, 2)), [0, 1, 1])


def test_the_prior_is_added_at_its_weight():
    score, prior = np.array([1.0, 2.0], np.float32), np.array([4.0, 8.0], np.float32)
    np.testing.assert_array_equal(scoring.fuse(score, prior, 0.5), [3, 6])
    assert scoring.fuse(score, prior, 0) is score
