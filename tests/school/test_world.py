"""Pictures and clips of plain things: what is painted is what was asked for, in real files that come out the same."""

import av
import numpy as np
import pytest
from PIL import Image

from kit.errors import MiniError
from kit.world import world
from kit.world.world import Thing

PAIR = [Thing("disc", "red", 14, 14), Thing("cross", "blue", 42, 42)]


@pytest.mark.parametrize("shape", [*world.SHAPES, "star", "figure", "arm", "rope"])
@pytest.mark.parametrize(("x", "y"), [(28, 28), (2, 50), (-6, 70)])
def test_a_thing_changes_only_pixels_within_its_radius(shape, x, y):
    changed = (world.paint([Thing(shape, "red", x, y)], 56) != world.paint([], 56)).any(-1)
    rows, cols = np.mgrid[:56, :56] + 0.5
    assert not changed[(abs(cols - x) > 13) | (abs(rows - y) > 13)].any()
    assert changed.any() == (x > 0)


def test_a_disc_is_its_colour_in_the_middle_and_as_large_as_said():
    picture = world.paint([Thing("disc", "green", 30, 20, 9)], 56)
    assert picture[20, 30].tolist() == list(world.COLOURS["green"])
    assert (picture == world.COLOURS["green"]).all(-1).sum() == pytest.approx(np.pi * 8.5**2, rel=0.1)


def test_every_cell_of_the_ground_differs_from_its_neighbours():
    ground = world.paint([], 84).astype(float).reshape(3, 28, 3, 28, 3).mean((1, 3))
    assert np.abs(np.diff(ground, axis=0)).max(-1).min() > 10 and np.abs(np.diff(ground, axis=1)).max(-1).min() > 10


def test_later_things_hide_earlier_ones():
    behind, front = world.mask_runs([Thing("disc", "red", 28, 28, 8), Thing("disc", "blue", 28, 28, 12)], 56)
    assert behind == [] and sum(front) == 56 * 56
    one, two = world.mask_runs(PAIR, 56)
    assert sum(one[1::2]) == pytest.approx(np.pi * 144, rel=0.15) and len(two) % 2 == 1


def test_a_picture_file_holds_the_picture_and_repeats(tmp_path, monkeypatch):
    found = []
    for folder in ("a", "b"):
        monkeypatch.setenv("OV2_CACHE", str(tmp_path / folder))
        path = world.picture_file(PAIR, 84, 1)
        found.append((path.name, path.read_bytes()))
    assert found[0] == found[1]
    assert np.array_equal(np.asarray(Image.open(path)), world.paint(PAIR, 84, 1))
    assert world.picture_file(PAIR, 84, 2) != path


def test_a_clip_file_is_h264_of_the_frames_and_repeats(tmp_path, monkeypatch):
    frames = [[Thing("disc", "red", 8 + 4 * t, 28)] for t in range(10)]
    found = []
    for folder in ("a", "b"):
        monkeypatch.setenv("OV2_CACHE", str(tmp_path / folder))
        path = world.clip_file("roll", frames, 56, 5)
        found.append((path.name, path.read_bytes()))
    assert found[0] == found[1]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == "h264" and stream.average_rate == 5
    assert len(shown) == 10
    for frame, pixels in zip(frames, shown, strict=True):
        assert np.abs(pixels.astype(float) - world.paint(frame, 56)).mean() < 6


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "mini").write_text("a file")
    monkeypatch.setenv("OV2_CACHE", str(tmp_path))
    with pytest.raises(MiniError, match="OV2_CACHE"):
        world.picture_file(PAIR, 56)
