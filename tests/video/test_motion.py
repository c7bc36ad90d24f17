"""Motion vectors: dense fields, known translations to a quarter pixel, and H.264's predictors worked out by hand."""

import numpy as np
import pytest
import zoo
from hypothesis import given
from hypothesis import strategies as st
from vector_records import RECORD, records

from ov2lib.video.decode import decode
from ov2lib.video.display import Display
from ov2lib.video.motion import (
    COLUMNS,
    NONE,
    QUARTERS,
    ROWS,
    WHOLE,
    MotionField,
    Predictor,
    free_blocks,
    median3,
    motion_field,
    packed,
)
from ov2lib.video.signals import read_signals
from ov2lib.video.source import Source


def test_the_records_are_ffmpegs(specimen):
    path = specimen("h264_p_only").path
    frames = [frame for frame in decode(Source.open(path)) if frame.vectors is not None]
    assert frames[0].vectors.dtype == RECORD


# --- known translations ---------------------------------------------------------------------------------------------


def middle(field: np.ndarray) -> np.ndarray:
    """The part of a field that no edge of the picture disturbs."""
    return field[3:-3, 3:-3].reshape(-1, 2)


def agreement(field: np.ndarray, expected) -> float:
    """Share of cells whose vector is the expected one exactly."""
    return float((middle(field) == np.array(expected, np.float32)).all(axis=1).mean())


@pytest.mark.parametrize("name", ["translation_integer", "translation_quarter", "translation_mpeg4"])
def test_a_translation_is_recovered_to_a_quarter_pixel(name, specimen):
    known = specimen(name)
    frames = list(read_signals(known.path))
    assert frames[0].motion is None and frames[0].kind == "I"
    told = [frame for frame in frames[1:] if frame.motion is not None]
    assert len(told) == zoo.FRAMES - 1
    for frame in told:
        assert frame.motion.shape == (18, 22, 2) and frame.motion_future is None
        assert agreement(frame.motion, -np.array(known.shift)) > 0.9


def test_b_frames_point_both_ways(specimen):
    """I b b P b b P: references are three frames apart, so a B frame's are one and two frames off."""
    known = specimen("translation_b_frames")
    shift, lists = np.array(known.shift), set()
    for frame in read_signals(known.path):
        if frame.kind == "P":
            assert agreement(frame.motion, -3 * shift) > 0.9 and frame.motion_future is None
        elif frame.kind == "B":
            after = frame.index % 3
            cells = {
                "past": (middle(frame.motion), -after * shift),
                "future": (middle(frame.motion_future), (3 - after) * shift),
            }
            used = {name: (vectors != 0).any(axis=1) for name, (vectors, _) in cells.items()}
            assert (used["past"] | used["future"]).mean() > 0.95
            for name, (vectors, expected) in cells.items():
                right = (vectors[used[name]] == expected).all(axis=1)
                assert right.mean() > 0.9 if len(right) else True
                lists |= {name} if len(right) else set()
    assert lists == {"past", "future"}


@pytest.mark.parametrize("name", ["hevc", "vp9", "av1", "mjpeg"])
def test_a_proxy_finds_a_translation(name, specimen):
    """To a quarter pixel for each frame between the reference and the frame, which with B frames may be several."""
    known = specimen(name)
    moved = [frame for frame in read_signals(known.path) if frame.motion is not None]
    assert len(moved) >= 10
    for frame in moved:
        motion = -np.median(frame.motion[2:-2, 2:-2], axis=(0, 1))
        apart = np.round(motion[0] / known.shift[0])
        assert 1 <= apart <= 3 and (np.abs(motion / apart - known.shift) <= 0.25).all(), (frame.index, motion)


@pytest.mark.parametrize(
    "name, shift",
    [
        ("rotated_90", (0.75, 1.25)),
        ("rotated_180", (-1.25, 0.75)),
        ("rotated_270", (-0.75, -1.25)),
        ("mirrored", (-1.25, -0.75)),
        ("upside_down", (1.25, 0.75)),
        ("transposed", (-0.75, 1.25)),
        ("cropped_all_round", (1.25, -0.75)),
    ],
)
def test_vectors_turn_with_the_picture(name, shift, specimen):
    """The coded picture moves by (1.25, -0.75) a frame; shown turned clockwise, right becomes down and up becomes right."""
    known = specimen(name)
    frames = [frame for frame in read_signals(known.path) if frame.kind == "P"]
    upright = (22, 18, 2) if known.turns % 2 else (18, 22, 2)
    assert len(frames) > 2 and all(frame.motion.shape == upright for frame in frames)
    for earlier, frame in zip([0, *(f.index for f in frames)], frames, strict=False):
        assert agreement(frame.motion, -(frame.index - earlier) * np.array(shift)) > 0.75


def turn_vectors(field: np.ndarray, turns: int) -> np.ndarray:
    return Display(field.shape[:2], turns).upright_vectors(field)


def test_four_quarter_turns_are_none():
    field = np.random.default_rng(0).normal(size=(5, 7, 2))
    np.testing.assert_array_equal(turn_vectors(turn_vectors(field, 1), 3), field)
    np.testing.assert_array_equal(turn_vectors(turn_vectors(field, 1), 1), turn_vectors(field, 2))


def test_a_vector_to_the_right_turns_upwards():
    field = np.zeros((2, 3, 2))
    field[0, 2] = 5, 1  # right and a little down, at the top right
    turned = turn_vectors(field, 1)  # counter-clockwise: the top right comes to the top left
    assert turned.shape == (3, 2, 2) and turned[0, 0].tolist() == [1, -5]


# --- dense fields ---------------------------------------------------------------------------------------------------


def test_a_dense_field_by_hand():
    """One macroblock of each shape, two macroblocks high and three wide; the last is intra."""
    blocks = [
        (0, 0, 0, 16, 16, 4, -8),
        (0, 0, 16, 8, 16, 1, 0), (0, 8, 16, 8, 16, 2, 0),
        (0, 0, 32, 16, 8, 0, 3), (0, 0, 40, 16, 8, 0, 4),
        (0, 16, 0, 8, 8, 5, 5), (0, 16, 8, 8, 8, 6, 6), (0, 24, 0, 8, 8, 7, 7), (0, 24, 8, 8, 8, 8, 8),
        (1, 16, 16, 16, 16, 9, 9),
    ]  # fmt: skip
    motion = motion_field([records(*blocks), None], 2, 3)
    past, future = motion.vector[0]
    assert past[..., 0].tolist() == [[4, 4, 1, 1, 0, 0], [4, 4, 2, 2, 0, 0], [5, 6, 0, 0, 0, 0], [7, 8, 0, 0, 0, 0]]
    assert past[:2, 4:, 1].tolist() == [[3, 4], [3, 4]] and (past[:2, :2, 1] == -8).all()
    assert (future[2:, 2:4] == 9).all() and motion.used[0, 1].sum() == 4
    assert motion.split[0].tolist() == [[WHOLE, ROWS, COLUMNS], [QUARTERS, WHOLE, NONE]]
    assert motion.bidirectional.tolist() == [True, False]
    assert not motion.used[1].any() and not motion.vector[1].any() and (motion.split[1] == NONE).all()


def test_half_pixels_become_quarter_pixels():
    assert motion_field([records((0, 0, 0, 16, 16, 3, -1), scale=2)], 1, 1).vector[0, 0, 0, 0].tolist() == [6, -2]


def test_records_outside_the_picture_are_left_out():
    blocks = [(0, 0, 0, 16, 16, 1, 1), (0, 16, 0, 16, 16, 9, 9), (0, 0, 16, 16, 16, 9, 9), (0, -16, 0, 16, 16, 9, 9)]
    motion = motion_field([records(*blocks)], 1, 1)
    assert len(motion.vectors.frame) == 1 and (motion.vector[0, 0] == 1).all()


def test_the_unused_half_of_a_split_b_block_is_dropped():
    """FFmpeg exports both lists of a split block; the unused one reads (0, 0) while the other moves."""
    blocks = [(0, 0, 0, 8, 16, 5, 0), (1, 0, 0, 8, 16, 0, 0), (0, 8, 0, 8, 16, 0, 0), (1, 8, 0, 8, 16, 0, 0)]
    motion = motion_field([records(*blocks)], 1, 1)
    assert motion.used[0, :, :, 0].tolist() == [[True, True], [False, True]]  # both lists still in the second half
    assert len(motion.vectors.frame) == 3


def test_a_batch_is_the_same_as_its_frames_alone(specimen):
    path = specimen("h264_b_frames").path
    frames = [frame.vectors for frame in decode(Source.open(path))]
    together = motion_field(frames, 9, 11)
    for i, vectors in enumerate(frames):
        alone = motion_field([vectors], 9, 11)
        for name in ("vector", "used", "split", "bidirectional"):
            np.testing.assert_array_equal(getattr(together, name)[i], getattr(alone, name)[0])


def test_no_vectors_at_all():
    motion = motion_field([None, None], 2, 3)
    assert motion.vector.shape == (2, 2, 4, 6, 2) and not motion.used.any() and not len(motion.vectors.frame)


# --- predictors -----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-500, 500), min_size=3, max_size=3))
def test_median_of_three(values):
    assert median3(*(np.array([v]) for v in values)) == sorted(values)[1]


@given(st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_two_components_are_compared_as_one_number(vector):
    pair = np.array([vector, (0, 0)], np.int16)
    assert (packed(pair)[0] == packed(pair)[1]) == (vector == (0, 0))


def predictions(motion: MotionField) -> dict[tuple[int, int], list[int]]:
    """Predicted vector of every partition of a single frame, by the place (row, col) of its first cell."""
    v, predictor = motion.vectors, Predictor(motion)
    predicted = predictor.partition(v, predictor.neighbours(v.frame, v.list, v.row, v.col, 1 + v.wide))
    return {(int(r), int(c)): p for r, c, p in zip(v.row, v.col, predicted.tolist(), strict=True)}


def test_median_prediction_by_hand():
    """Four macroblocks: left (4, 0), above (8, 4), above right missing, so above left (0, 8) counts: median (4, 4)."""
    blocks = [(0, 0, 0, 16, 16, 0, 8), (0, 0, 16, 16, 16, 8, 4), (0, 16, 0, 16, 16, 4, 0), (0, 16, 16, 16, 16, 1, 1)]
    predicted = predictions(motion_field([records(*blocks)], 2, 2))
    assert predicted == {(0, 0): [0, 0], (0, 2): [0, 8], (2, 0): [0, 4], (2, 2): [4, 4]}
    # (0, 0): nothing around. (0, 2): only the left one. (2, 0): missing, hence (0, 0); above (0, 8); above right (8, 4)


def test_median_prediction_takes_above_right_where_it_is_decoded():
    blocks = [(0, 0, x, 16, 16, x, 0) for x in (0, 16, 32)] + [(0, 16, x, 16, 16, 40, 0) for x in (0, 16)]
    predicted = predictions(motion_field([records(*blocks)], 2, 3))
    assert predicted[2, 2] == [32, 0]  # median of left 40, above 16, above right 32
    assert predicted[2, 0] == [0, 0]  # left missing 0, above 0, above right 16


def test_directional_prediction_by_hand():
    """16x8: the upper half takes the one above, the lower the one on the left. 8x16: left, and above right."""
    around = [(0, 0, 0, 16, 16, 1, 0), (0, 0, 16, 16, 16, 2, 0), (0, 0, 32, 16, 16, 3, 0), (0, 16, 0, 16, 16, 4, 0)]
    rows = records(*around, (0, 16, 16, 8, 16, 9, 0), (0, 24, 16, 8, 16, 9, 0))
    predicted = predictions(motion_field([rows], 2, 3))
    assert (predicted[2, 2], predicted[3, 2]) == ([2, 0], [4, 0])
    columns = records(*around, (0, 16, 16, 16, 8, 9, 0), (0, 16, 24, 16, 8, 9, 0))
    predicted = predictions(motion_field([columns], 2, 3))
    assert (predicted[2, 2], predicted[2, 3]) == ([4, 0], [3, 0])


def free(blocks, rows=2, cols=3, colocated=None) -> list[list[bool]]:
    motion = motion_field([records(*blocks)], rows, cols)
    v, predictor = motion.vectors, Predictor(motion)
    around = predictor.neighbours(v.frame, v.list, v.row, v.col, 1 + v.wide)
    return free_blocks(motion, predictor, around, predictor.partition(v, around), [colocated])[0].tolist()


def test_p_skip_by_hand():
    moving = [(0, row, col, 16, 16, 4, 4) for row in (0, 16) for col in (0, 16, 32)]
    edge, inner = [False, False, False], [False, True, True]
    assert free(moving) == [edge, inner]  # at the upper and left edge a skipped block stands still
    still = [(0, row, col, 16, 16, 0, 0) for row in (0, 16) for col in (0, 16, 32)]
    assert free(still) == [[True] * 3] * 2
    mixed = [*moving[:4], (0, 16, 16, 8, 16, 4, 4), (0, 24, 16, 8, 16, 4, 4), moving[5]]
    assert free(mixed)[1] == [False, False, True]  # a split block is never skipped
    beside_still = [*moving[:3], (0, 16, 0, 16, 16, 0, 0), (0, 16, 16, 16, 16, 0, 0), moving[5]]
    assert free(beside_still)[1][1]  # its left neighbour stands still, so its prediction is zero


def test_spatial_direct_by_hand():
    """A block in both lists that equals the median of its neighbours, list by list, costs nothing."""
    moving = [(number, row, col, 16, 16, 4 - 8 * number, 2) for number in (0, 1) for row in (0, 16) for col in (0, 16, 32)]
    found = free(moving)
    assert found[1] == [True, True, True] and found[0][1:] == [True, True] and not found[0][0]
    differs = [(n, r, c, h, w, x + 4 * (n == 1 and (r, c) == (16, 16)), y) for n, r, c, h, w, x, y in moving]
    assert free(differs)[1][1] is False
    alone = [b for b in moving if b[:3] != (1, 16, 16)]  # one list is missing though its neighbours use it
    assert free(alone)[1][1] is False


def test_temporal_direct_by_hand():
    """mv0 - mv1 equals the colocated vector of the next reference; here it explains more blocks than spatial direct."""
    rng = np.random.default_rng(3)
    colocated = np.repeat(np.repeat(rng.integers(2, 30, (2, 3, 2)) * 4, 2, axis=0), 2, axis=1).astype(np.int16)
    blocks = []
    for row in (0, 1):
        for col in (0, 1, 2):
            x, y = (int(v) // 2 for v in colocated[2 * row, 2 * col])
            blocks += [(0, 16 * row, 16 * col, 16, 16, x, y), (1, 16 * row, 16 * col, 16, 16, -x, -y)]
    assert free(blocks, colocated=colocated) == [[True] * 3] * 2
    assert sum(map(sum, free(blocks))) == 0
