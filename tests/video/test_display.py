"""Pictures are shown as their file says: turned, mirrored, and with pixels of any aspect."""

import struct
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import zoo
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import VideoWarning
from ov2lib.video.decode import decode
from ov2lib.video.display import Display, orientation
from ov2lib.video.source import Source

EIGHT = list(product(range(4), (False, True)))
PICTURE = np.arange(6).reshape(2, 3)
ONE = 1 << 16
MATRICES = {  # (a, b, c, d) -> what becomes of a picture
    (1, 0, 0, 1): lambda p: p,
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),  # clockwise, as a telephone held upright records
    (-1, 0, 0, -1): lambda p: p[::-1, ::-1],
    (0, -1, 1, 0): np.rot90,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): np.transpose,
    (0, -1, -1, 0): lambda p: p[::-1, ::-1].T,
}


def matrix(a, b, c, d, scale=ONE):
    return np.array([a * scale, b * scale, 0, c * scale, d * scale, 0, 7 * ONE, 9 * ONE, 1 << 30]).astype(np.int32)


@pytest.mark.parametrize("entries", MATRICES)
def test_each_of_the_eight_matrices_does_what_it_says(entries):
    turns, mirrored, off = orientation(matrix(*entries))
    shown = Display(PICTURE.shape, turns, mirrored)
    np.testing.assert_array_equal(shown.upright(PICTURE), MATRICES[entries](PICTURE))
    assert off == 0 and shown.upright(PICTURE).shape == shown.shown


@given(st.sampled_from(list(MATRICES)), st.floats(-40, 40), st.floats(0.01, 100), st.floats(0.01, 100))
def test_slight_turns_and_scales_are_rounded_away(entries, degrees, across, down):
    a, b, c, d = entries
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))  # clockwise, after the quarter turns
    turned = np.array([[cos, -sin], [sin, cos]]) @ np.array([[a * across, c * down], [b * across, d * down]])
    turns, mirrored, off = orientation(matrix(*turned.T.ravel()))
    assert (turns, mirrored) == orientation(matrix(*entries))[:2]
    assert off == pytest.approx(-degrees, abs=0.2)


@pytest.mark.parametrize("entries", [(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 1, 1)])
def test_a_matrix_that_flattens_is_none(entries):
    assert orientation(matrix(*entries)) == orientation(None) == (0, False, 0.0)


@pytest.mark.parametrize("turns, mirrored", EIGHT)
def test_vectors_move_as_the_picture_does(turns, mirrored):
    """A bright pixel that moves right and down in the coded picture moves along its vector in the upright one."""
    shown, before, after = Display((5, 7), turns, mirrored), np.zeros((5, 7)), np.zeros((5, 7))
    before[1, 2], after[3, 3] = 1, 1
    moved = np.argwhere(shown.upright(after))[0] - np.argwhere(shown.upright(before))[0]
    field = np.zeros((5, 7, 2))
    field[1, 2] = 1, 2  # x right, y down
    row, col = np.argwhere(shown.upright(before))[0]
    assert shown.upright_vectors(field)[row, col].tolist() == moved[::-1].tolist()
    assert np.count_nonzero(shown.upright_vectors(field)) == 2


@pytest.mark.parametrize(
    "coded, aspect, turns, shown",
    [
        ((480, 720), Fraction(32, 27), 0, (480, 853)),  # a wide-screen DVD
        ((480, 720), Fraction(8, 9), 0, (480, 640)),
        ((1080, 1440), Fraction(4, 3), 1, (1920, 1080)),  # HDV, turned
        ((480, 720), Fraction(1), 3, (720, 480)),
    ],
)
def test_shown_size_is_of_square_pixels(coded, aspect, turns, shown):
    assert Display(coded, turns, aspect=aspect).shown == shown


# --- what files declare ---------------------------------------------------------------------------------------------


def test_an_absurd_aspect_is_ignored(tmp_path):
    """An MP4 whose pixels would be 1,000 times as wide as high."""
    path = zoo.write(tmp_path / "absurd.mp4", options=zoo.x264(), frames=2, aspect=Fraction(8, 9)).path
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, data.index(b"pasp") + 4, 1000, 1)
    path.write_bytes(data)
    with pytest.warns(VideoWarning, match="absurd.mp4: pixels cannot be 1000 times as wide as high"):
        assert Source.open(path).display.shown == zoo.SIZE


def test_a_picture_shown_askew_is_shown_straight(tmp_path):
    path = zoo.write(tmp_path / "askew.mov", options=zoo.x264(), frames=2, rotation=30).path
    with pytest.warns(VideoWarning, match="is shown askew by 30°; taken as 0°"):
        assert Source.open(path).display == Display(zoo.SIZE)


def test_a_key_frame_that_is_turned_another_way_is_warned_of(specimen):
    """As when a telephone is turned while it streams: the first picture counts."""
    source = Source.open(specimen("rotated_90").path)
    began_straight = replace(source, display=replace(source.display, turns=0))
    with pytest.warns(VideoWarning, match="is turned another way later; shown as it begins"):
        assert len(list(decode(began_straight))) == zoo.FRAMES
        began_straight.damage.warn()


def test_turning_is_warned_of_once_however_many_key_frames_are_turned(tmp_path):
    source = Source.open(zoo.write(tmp_path / "a.mp4", options=zoo.x264(keyint=1), rotation=90).path, damaged="refuse")
    began_straight = replace(source, display=replace(source.display, turns=0))
    with pytest.warns(VideoWarning) as caught:
        assert len(list(decode(began_straight))) == zoo.FRAMES
        began_straight.damage.warn()
    assert [str(w.message) for w in caught] == [f"{source.path}: is turned another way later; shown as it begins"]


def test_words_say_what_is_done():
    assert str(Display((4, 4))) == ""
    assert str(Display((4, 4), 1, True, Fraction(32, 27))) == "pixels of 32:27, mirrored, turned 90° counter-clockwise"
