"""The prompt's text against texts written by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cases import strip

from ov2lib import ModelError
from ov2lib.model.prompt import expand, places, runs, time_tag, visual_text

S, E, P = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"


def test_image():
    image = dataclasses.replace(strip([[0, 0, 0]]), kind="image")
    assert visual_text(image) == f"{S}{P}{P}{P}{E}"


def test_frames_as_written_at_inference():
    frames = strip([[0, 0], [7, 7], [13, 13]], kind="frames", fps=10.0)
    assert visual_text(frames) == (f"<0.0 seconds>{S}{P}{P}{E}<0.7 seconds>{S}{P}{P}{E}<1.3 seconds>{S}{P}{P}{E}")


def test_frames_as_written_in_training():
    frames = strip([[0, 0], [7, 7], [13, 13]], kind="frames", fps=10.0)
    assert visual_text(frames, "training") == (
        f"<0.0 seconds>{S}{P}{P}{E}\n<0.7 seconds>{S}{P}{P}{E}\n<1.3 seconds>{S}{P}{P}{E}\n"
    )


def test_one_frame_shown_twice_is_two_frames_at_inference_and_one_run_in_training():
    frames = strip([[4, 4], [4, 4]], kind="frames")
    assert visual_text(frames) == f"<0.4 seconds>{S}{P}{P}{E}" * 2
    assert visual_text(frames, "training") == f"<0.4 seconds>{S}{P * 4}{E}\n"


def test_codec_with_uneven_runs_over_canvas_borders_and_padding():
    codec = strip([[3, 3, 3], [1 + 3, 5, 5], [5, 9, -1]], fps=30.0)
    assert visual_text(codec) == (
        f"<0.1 seconds>{S}{P * 3}{E}\n<0.1 seconds>{S}{P}{E}\n<0.2 seconds>{S}{P * 3}{E}\n<0.3 seconds>{S}{P}{E}\n"
    )
    assert runs(codec) == [(3, 3), (4, 1), (5, 3), (9, 1)]


def test_two_decimals_as_for_jumpscore():
    assert visual_text(strip([[0, 7]], fps=30.0), decimals=2) == f"<0.00 seconds>{S}{P}{E}\n<0.23 seconds>{S}{P}{E}\n"


@pytest.mark.parametrize(("seconds", "tag"), [(0, "<0.0 seconds>"), (0.25, "<0.2 seconds>"), (59.96, "<60.0 seconds>")])
def test_time_tag_rounds_as_python_does(seconds, tag):
    assert time_tag(seconds) == tag


def test_a_merged_token_takes_the_time_of_its_first_patch():
    tokens = strip([[2, 6]])
    mixed = tokens.patch_positions.copy()
    mixed[1, 0] = mixed[4, 0] = mixed[5, 0] = 9  # the other three patches of the first block, in raster order
    assert runs(dataclasses.replace(tokens, patch_positions=mixed)) == [(2, 1), (6, 1)]


def test_a_block_is_padding_when_its_first_patch_is():
    tokens = strip([[2, 6, 7]])
    holes = tokens.patch_positions.copy()
    holes[2] = -1  # first patch of the second block
    holes[5] = -1  # another patch of the third block
    assert runs(dataclasses.replace(tokens, patch_positions=holes)) == [(2, 1), (7, 1)]


def test_time_never_runs_backwards():
    with pytest.raises(ModelError, match="merged token 4 is of frame 2, the one before of frame 5; place blocks in"):
        visual_text(strip([[1, 1, 5], [5, 2, 2]]))


def test_fps_must_be_positive():
    with pytest.raises(ModelError, match="fps is 0"):
        visual_text(strip([[1]], fps=1.0).__class__(**{**vars(strip([[1]])), "fps": 0.0}))


@given(st.lists(st.integers(0, 5), min_size=2, max_size=24).filter(lambda x: len(x) % 2 == 0), st.integers(0, 2))
def test_runs_cover_every_token_once_in_order(frames, padding):
    frames = sorted(frames) + [-1] * (2 * padding)
    found = runs(strip([frames[: len(frames) // 2], frames[len(frames) // 2 :]]))
    spelled = [t for t, count in found for _ in range(count)]
    assert spelled == [t for t in frames if t >= 0]
    assert (np.diff([t for t, _ in found]) > 0).all()


def test_places_and_their_expansion_in_mixed_text():
    text = f"a{S}{P}{E}b{S} <|video_pad|>\n{E}c{P}"
    assert places(text) == ["image", "video", "image"]
    grown, spans = expand(text, iter([f"{S}{P * 2}{E}", "<V>", f"{S}{P * 3}{E}"]))
    assert grown == f"a{S}{P * 2}{E}b<V>c{P * 3}"
    for span in spans:
        assert text[slice(*span["span"])] == span["text"] and grown[slice(*span["new_span"])] == span["replacement"]
