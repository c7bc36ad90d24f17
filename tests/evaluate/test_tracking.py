"""Tracking: text tracks, point F1 by hand, J and F against a direct implementation pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import tracking

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
pairs = sizes.flatmap(lambda size: st.tuples(arrays(bool, size), arrays(bool, size)))


def slow_edge(mask):
    """Boundary pixels straight from the definition, one pixel at a time."""
    height, width = mask.shape
    return {
        (y, x)
        for y in range(height)
        for x in range(width)
        for b, a in [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        if b < height and a < width and mask[b, a] != mask[y, x]
    }


def slow_f(a, b, radius):
    """Boundary F straight from the definition: every boundary pixel looks for a partner within the radius."""
    edge_a, edge_b = slow_edge(a), slow_edge(b)
    if not edge_a or not edge_b:
        return float(not edge_a and not edge_b)

    def share(edge, other):
        near = [any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in other) for y, x in edge]
        return sum(near) / len(near)

    p, r = share(edge_a, edge_b), share(edge_b, edge_a)
    return 2 * p * r / (p + r) if p + r else 0.0


def slow_j(a, b):
    union = [bool(p or q) for p, q in zip(a.flat, b.flat, strict=True)]
    return sum(bool(p and q) for p, q in zip(a.flat, b.flat, strict=True)) / sum(union) if any(union) else 1.0


@given(pairs, st.integers(1, 4))
@settings(max_examples=200)
def test_j_and_f_equal_the_direct_implementation(masks, radius):
    a, b = masks
    assert tracking.jaccard(a, b) == pytest.approx(slow_j(a, b))
    assert tracking.boundary_f(a, b, radius) == pytest.approx(slow_f(a, b, radius))
    frames_a, frames_b = np.stack([a, b]), np.stack([b, b])
    radius = math.ceil(0.008 * math.hypot(*a.shape))
    j, f = (slow_j(a, b) + 1) / 2, (slow_f(a, b, radius) + 1) / 2
    scored = tracking.j_and_f(frames_a, frames_b)
    assert (scored.j, scored.f, scored.j_and_f) == pytest.approx((j, f, (j + f) / 2))


@given(pairs)
def test_masks_score_within_bounds_symmetrically_and_one_with_themselves(masks):
    a, b = masks
    for measure in (tracking.jaccard, tracking.boundary_f):
        assert 0 <= measure(a, b) <= 1
        assert measure(a, b) == pytest.approx(measure(b, a))
        assert measure(a, a) == 1


def test_boundary_tolerance_by_hand():
    a = np.zeros((12, 12), dtype=bool)
    a[4:8, 4:8] = True  # boundary: the ring from row and column 3 to 7
    b = np.roll(a, 2, axis=1)
    # shifted by two columns: at one pixel the two side columns (5 pixels each) find nothing but at the corners' rows
    assert tracking.boundary_f(a, b, 2) == 1.0
    assert tracking.boundary_f(a, b, 1) == pytest.approx(slow_f(a, b, 1))
    assert 0 < tracking.boundary_f(a, b, 1) < 1
    assert tracking.boundary_f(a, b) == tracking.boundary_f(a, b, 1)  # 0.008 x 17 pixels, rounded up


def test_an_object_has_no_boundary_at_the_edge_of_the_image():
    full, empty = np.ones((5, 5), dtype=bool), np.zeros((5, 5), dtype=bool)
    assert tracking.boundary_f(full, empty) == 1.0
    assert tracking.jaccard(full, empty) == 0.0


def test_empty_masks():
    empty, dot = np.zeros((5, 5), dtype=bool), np.zeros((5, 5), dtype=bool)
    dot[2, 2] = True
    assert tracking.j_and_f(empty[None], empty[None]) == tracking.MaskScore(1.0, 1.0, 1.0)
    assert tracking.j_and_f(empty[None], dot[None]) == tracking.MaskScore(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tracking.jaccard(np.zeros((2, 3)), np.zeros((3, 2))), r"\(2, 3\) and \(3, 2\)"),
        (lambda: tracking.boundary_f(np.zeros(3), np.zeros(3)), r"\[H, W\]"),
        (lambda: tracking.j_and_f(np.zeros((2, 3)), np.zeros((2, 3))), r"\[T, H, W\]"),
        (lambda: tracking.j_and_f(np.zeros((0, 2, 3)), np.zeros((0, 2, 3))), "no frames"),
        (lambda: tracking.boundary_f(np.zeros((2, 2)), np.zeros((2, 2)), 0), "tolerance"),
        (lambda: tracking.boundary_f(np.zeros((2, 2)), np.zeros((2, 2)), math.nan), "tolerance"),
        (lambda: tracking.point_f1([(0, 0)], [(0, 0)], [np.zeros((2, 2)), np.zeros((3, 3))]), "one size"),
        (lambda: tracking.point_f1([(0, 0)], [(math.nan, 0)], [np.zeros((2, 2))]), "not finite"),
        (lambda: tracking.parse_tracks(b"x"), "not text"),
    ],
)
def test_bad_truth_is_refused(call, message):
    with pytest.raises(EvaluationError, match=message):
        call()


@pytest.mark.parametrize(
    ("text", "tracks"),
    [
        (
            '<tracks coords="0.5 0 10 20 1 30 40; 0.0 0 11 21">two cats</tracks>',
            {0.0: {"0": (11, 21)}, 0.5: {"0": (10, 20), "1": (30, 40)}},
        ),
        ("coords='1 0 10.9 20.9'", {1.0: {"0": (10, 20)}}),
        ('coords="1 0 10 20', {1.0: {"0": (10, 20)}}),  # cut off by the token limit
        ('coords="1 0 10 20; 2 0 10 20 x; 3 0 1 2"', {1.0: {"0": (10, 20)}, 3.0: {"0": (1, 2)}}),
        ('coords="1 0 10 20 0 30 40"', {1.0: {"0": (10, 20)}}),
        ('coords="1 0 1001 20 1 1000 1000"', {1.0: {"1": (1000, 1000)}}),
        ('coords="1 0 10 20, 2 0 30 40: 3 0 5 6"', {1.0: {"0": (10, 20)}, 2.0: {"0": (30, 40)}, 3.0: {"0": (5, 6)}}),
        ('coords="1\t0 10 20"', {1.0: {"0": (10, 20)}}),
        ('coords="1 0 10"', {}),
        ('coords="-1 0 10 20"', {}),
        ("no tracks", {}),
        ("", {}),
    ],
)
def test_text_tracks(text, tracks):
    assert tracking.parse_tracks(text) == tracks
    assert list(tracking.parse_tracks(text)) == sorted(tracks)


ids = st.integers(0, 30).map(str)
spots = st.tuples(st.integers(0, 1000), st.integers(0, 1000))
written = st.dictionaries(st.integers(0, 99).map(lambda n: n / 2), st.dictionaries(ids, spots, min_size=1), min_size=1)


@given(written)
def test_what_is_written_is_read_back(tracks):
    segments = [f"{t} " + " ".join(f"{i} {x} {y}" for i, (x, y) in points.items()) for t, points in tracks.items()]
    text = f'<tracks coords="{"; ".join(segments)}">it</tracks>'
    assert tracking.parse_tracks(text) == tracks


@given(st.text(max_size=100))
def test_any_text_is_read(text):
    tracks = tracking.parse_tracks(f'coords="{text}"')
    assert all(0 <= c <= 1000 for points in tracks.values() for point in points.values() for c in point)


def masks_at(*places):
    masks = np.zeros((len(places), 10, 10), dtype=bool)
    for mask, (x, y) in zip(masks, places, strict=True):
        mask[y, x] = True
    return list(masks)


def test_point_f1_by_hand():
    masks = masks_at((1, 1), (8, 8))
    truth = [(1, 1), (8, 8)]
    assert tracking.point_f1(truth[::-1], truth, masks) == tracking.PointScore(1.0, 1.0, 1.0)  # ids do not matter
    assert tracking.point_f1([(1.4, 0.6)], truth, masks) == pytest.approx(tracking.PointScore(1.0, 0.5, 2 / 3))
    scored = tracking.point_f1([(1, 1), (8, 8), (5, 5)], truth, masks)
    assert (scored.precision, scored.recall, scored.f1) == pytest.approx((2 / 3, 1.0, 0.8))
    assert tracking.point_f1([(0.5, 1.5)], [(0, 2)], masks_at((0, 2))).f1 == 1.0  # halves round to even
    assert tracking.point_f1([(math.nan, 0), (1, 1)], truth[:1], masks[:1]).precision == 0.5
    assert tracking.point_f1([(99, -5)], truth[:1], masks[:1]).f1 == 0.0


def test_point_f1_without_points():
    masks = masks_at((1, 1))
    assert tracking.point_f1([], [], masks).f1 == 1.0
    assert tracking.point_f1([(1, 1)], [], masks).f1 == 0.0
    assert tracking.point_f1([], [(1, 1)], masks).f1 == 0.0
    assert tracking.point_f1([(1, 1)], [(1, 1)], []).f1 == 0.0


def test_a_hidden_object_shifts_the_masks():
    # published quirk: object 0 is not visible, so the only true point is held against object 0's mask
    masks = masks_at((1, 1), (8, 8))
    masks[0][:] = False
    assert tracking.point_f1([(8, 8)], [(8, 8)], masks).f1 == 0.0


points = st.lists(st.tuples(st.floats(-2, 12), st.floats(-2, 12)), max_size=5)


@given(points, points, st.permutations(range(5)))
def test_point_scores_are_bounded_and_order_free(pred, truth, order):
    masks = [np.ones((10, 10), dtype=bool)] * len(truth)
    scored = tracking.point_f1(pred, truth, masks)
    assert 0 <= scored.f1 <= 1 and 0 <= scored.precision <= 1 and 0 <= scored.recall <= 1
    shuffled = [pred[i] for i in order if i < len(pred)]
    if len(truth) >= len(pred):  # every prediction is paired, with masks that are all alike
        assert tracking.point_f1(shuffled, truth, masks).f1 == pytest.approx(scored.f1)


def test_hostile_text_costs_linear_time(assert_linear):
    fragments = ["1", "1 ", "\t", "1\t", "1 2 3 ", ";1 0 5 5", "1.", "1 1.1.", "coords='", "coords  "]
    assert_linear(lambda text: tracking.parse_tracks(f'coords="{text}'), fragments)
