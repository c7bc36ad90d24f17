"""Small files that once went wrong, each with what is right: frames, times, pictures. Self-made; the zoo makes their kinds."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from ov2lib import read_signals, tokenize_frames, tokenize_image, tokenize_video
from ov2lib.codec.config import FRONT_ENDS
from ov2lib.errors import VideoWarning
from ov2lib.model.prompt import source_seconds
from ov2lib.video.source import Source

FAULTS = Path(__file__).parent / "data" / "faults"
FRAMES = {
    "packed_two_b.avi": 25,  # two B pictures in a packet, as XviD packs them (UCF-101, HMDB-51)
    "h264_b.asf": 24,  # B pictures whose time stamps follow decode order
    "hevc_radl_first.mkv": 31,  # leading pictures that can be decoded
    "one_damaged_picture.mp4": 200,
    "two_ts_joined.ts": 40,  # the continuity counter restarts
    "equal_times_2000fps.mkv": 12,  # more frames than ticks of the clock
    "trailing_comment.gif": 6,
    "thumb_first.mkv": 30,  # the film, not the picture before it
    "hostile_header.mp4": 75,
}


def quiet(function, *args, **options):
    """What a function returns, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoWarning)
        return function(*args, **options)


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_is_there_in_order_from_zero(name):
    times = quiet(Source.open, FAULTS / name).packets.frame_times
    assert len(times) == FRAMES[name] and times[0] == 0 and (np.diff(times) >= 0).all()


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_every_front_end_reads_it(name, front_end):
    tokens = quiet(tokenize_video, FAULTS / name, front_end, num_canvases=4)
    assert len(tokens.frame_times) == FRAMES[name] and tokens.patch_positions[:, 0].max() < FRAMES[name]


@pytest.mark.parametrize("name", FRAMES)
def test_signals_and_sampled_frames_read_it(name):
    assert [frame.index for frame in quiet(lambda: list(read_signals(FAULTS / name)))] == list(range(FRAMES[name]))
    assert 1 <= len(quiet(tokenize_frames, FAULTS / name, num_frames=4).canvases) <= 4


def test_damage_is_named_once():
    with pytest.warns(VideoWarning, match="one_damaged_picture") as caught:
        list(read_signals(FAULTS / "one_damaged_picture.mp4"))
    assert len(caught) == 1


@pytest.mark.parametrize("name, shift", [("mirror_h.mp4", (-1, 1)), ("mirror_v.mp4", (1, -1))])
def test_a_mirrored_picture_and_its_vectors(name, shift):
    display = Source.open(FAULTS / name).display
    grid = np.arange(6).reshape(2, 3)
    assert display.upright(grid).tolist() == grid[:: shift[1], :: shift[0]].tolist()
    assert display.upright_vectors(np.ones((1, 1, 2), np.float32)).tolist() == [[list(map(float, shift))]]


def test_quantisers_of_a_cropped_picture_do_not_slant():
    frames = [frame.qp for frame in read_signals(FAULTS / "crop_right32.mp4") if frame.qp is not None]
    assert frames and np.mean([qp.std(axis=0).mean() for qp in frames]) < 0.5  # read with the wrong stride: about 16


def test_time_tags_of_a_screen_recording_are_presentation_times():
    tokens = tokenize_video(FAULTS / "vfr_screen.mp4", num_canvases=8)
    assert np.abs(source_seconds(tokens) - tokens.frame_times).max() <= 0.05
    assert tokens.frame_times[-1] == pytest.approx(60, abs=5.1)


def test_a_16_bit_ramp_keeps_its_levels():
    assert tokenize_image(FAULTS / "grey16.png").canvases.mean() == pytest.approx(127, abs=2)


@pytest.mark.filterwarnings("ignore::ov2lib.errors.VideoWarning")
@pytest.mark.parametrize("name", ["bad_exif.png", "oversize_palette.bmp"])
def test_odd_pictures_are_read(name):
    assert len(tokenize_image(FAULTS / name).canvases) == 1
