"""Frames not worth packing, letterbox bars, and pictures kept for later."""

import errno

import numpy as np
import pytest

from ov2lib.codec import picture_store
from ov2lib.codec.pictures import are_good, inside_bars
from ov2lib.errors import Ov2Error


def flat(colour, size=(112, 112)):
    return np.full((*size, 3), colour, np.uint8)


def textured(size=(112, 112), low=0, high=256):
    return np.random.default_rng(0).integers(low, high, (*size, 3), dtype=np.uint8)


# --- good and bad frames --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("picture", [textured(), textured(low=60, high=90), flat(0) + textured(high=60)])
def test_pictures_with_content_are_good(picture):
    assert are_good([flat(0), picture]).tolist() == [False, True]


@pytest.mark.parametrize(
    "picture",
    [flat(0), textured(high=12), flat(128), flat([200, 30, 90]), flat(128) + textured(high=6)],
    ids=["black", "nearly black", "grey", "one colour", "one colour with noise"],
)
def test_black_and_flat_pictures_are_bad(picture):
    assert are_good([textured(), picture]).tolist() == [True, False]


def test_the_green_of_a_failed_decode_is_bad_from_35_percent_on():
    picture = textured()
    picture[:48] = [0, 200, 0]  # 6 of the 14 rows looked at, 43 %
    assert are_good([textured(), picture]).tolist() == [True, False]
    picture = textured()
    picture[:32] = [0, 200, 0]  # 4 of 14, 29 %
    assert are_good([flat(0), picture]).tolist() == [False, True]


# --- bars -----------------------------------------------------------------------------------------------------------


def test_blocks_wholly_within_bars_are_masked():
    picture = textured((168, 112), low=100)
    picture[:40], picture[-28:] = 0, 10
    expected = np.ones((6, 4), bool)
    expected[[0, -1]] = False  # the upper bar ends within the second row of blocks
    np.testing.assert_array_equal(inside_bars([picture], 28), expected)


def test_bars_may_stand_at_the_sides():
    picture = textured((56, 168), low=100)
    picture[:, -57:] = 0
    np.testing.assert_array_equal(inside_bars([picture], 28)[0], [True, True, True, True, False, False])


def test_a_picture_dark_all_over_or_for_the_most_part_has_no_bars():
    assert inside_bars([flat(5)], 28).all()
    picture = textured(low=100)
    picture[:60] = 0  # 54 % of the height
    assert inside_bars([picture], 28).all()


def test_what_is_dark_in_one_picture_alone_is_no_bar():
    night, flash = textured((168, 112), low=100), textured((168, 112), low=100)
    night[:56] = flash[:28] = 0
    expected = np.ones((6, 4), bool)
    expected[0] = False
    for pictures in ([night, flash], [flash, night], [night, flash, flat(2, (168, 112))]):
        np.testing.assert_array_equal(inside_bars(pictures, 28), expected)


def test_a_dark_stripe_inside_is_no_bar():
    picture = textured(low=100)
    picture[28:56] = 0
    assert inside_bars([picture], 28).all()


# --- pictures kept for later ----------------------------------------------------------------------------------------


def test_pictures_come_back_from_memory_and_from_disk():
    pictures = [textured((6, 8)) // (i + 1) for i in range(7)]
    with picture_store.PictureStore(limit=3 * pictures[0].nbytes) as kept:
        for i, picture in enumerate(pictures[:6]):
            kept.append(picture)
            np.testing.assert_array_equal(kept.read(0, i + 1), pictures[: i + 1])
        kept.append(pictures[6])  # after a read in the middle of the file
        for start in range(7):
            for end in range(start + 1, 8):
                np.testing.assert_array_equal(kept.read(start, end), pictures[start:end])
        assert kept.read(3, 3) == []


def test_turned_pictures_are_stored_as_they_look():
    picture = np.rot90(textured((6, 8)))
    with picture_store.PictureStore(limit=0) as kept:
        kept.append(picture)
        np.testing.assert_array_equal(kept.read(0, 1)[0], picture)


def test_a_full_disk_is_told_with_its_remedy(monkeypatch):
    def refuse():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(picture_store.tempfile, "TemporaryFile", refuse)
    with picture_store.PictureStore(limit=0) as kept, pytest.raises(Ov2Error, match="No space left.*TMPDIR"):
        kept.append(flat(0))
