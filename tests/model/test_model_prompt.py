"""The prompt's text against texts written by hand."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cases import strip

import ov2lib
from ov2lib import ModelError
from ov2lib.errors import VideoWarning
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


UNEVEN = dataclasses.replace(strip([[0, 1, 2, 3]]), frame_times=np.array([0.0, 0.05, 0.1, 40.26]), fps=4 / 45.26)


def test_times_are_when_a_frame_is_shown():
    shown = f"<0.0 seconds>{S}{P}{E}\n<0.1 seconds>{S}{P}{E}\n<0.1 seconds>{S}{P}{E}\n<40.3 seconds>{S}{P}{E}\n"
    assert visual_text(UNEVEN) == visual_text(UNEVEN, timestamps="presentation") == shown


def test_the_published_rule_is_there_by_name_and_says_how_far_off_it_is():
    with pytest.warns(VideoWarning, match=r"published time tags are up to 22\.5 s off"):
        text = visual_text(UNEVEN, timestamps="published")
    assert [part.split(" ")[0] for part in text.split("<")[1::4]] == ["0.0", "11.3", "22.6", "33.9"]


@given(
    st.sampled_from([10, 24, 25, 30, 30000 / 1001, 60, 120]), st.integers(1, 4000), st.sampled_from([None, 1000]),
    st.sampled_from([1, 2]),
)  # fmt: skip
def test_both_rules_write_the_same_for_a_constant_rate_in_any_container(rate, count, clock, decimals):
    """Times of Matroska and FLV are whole milliseconds, and so is the duration that the average rate is measured by."""
    times = np.arange(count + 1) / rate if clock is None else np.round(np.arange(count + 1) / rate * clock) / clock
    tokens = dataclasses.replace(
        strip([[*range(0, count, max(1, count // 50))]]), frame_times=times[:-1], fps=count / times[-1]
    )
    assert visual_text(tokens, decimals=decimals) == visual_text(tokens, decimals=decimals, timestamps="published")


@pytest.mark.parametrize("name", ["h264_p_only", "mkv", "flv", "avi_b_frames", "mpegts", "raw_h264", "vp9"])
def test_both_rules_write_the_same_for_constant_rate_files(name, specimen):
    tokens = ov2lib.tokenize_frames(specimen(name).path, num_frames=6)
    assert visual_text(tokens, decimals=2) == visual_text(tokens, decimals=2, timestamps="published")


@pytest.mark.parametrize("name", ["screen_recording", "variable_frame_rate_mkv", "variable_frame_rate_mp4"])
def test_tags_of_a_variable_rate_file_are_its_presentation_times(name, specimen):
    file = specimen(name)
    for tokens in (ov2lib.tokenize_video(file.path), ov2lib.tokenize_frames(file.path, num_frames=8)):
        tags = [float(tag) for tag in re.findall(r"<([\d.]+) seconds>", visual_text(tokens, "training", decimals=2))]
        assert tags == pytest.approx([file.times[t] for t, _ in runs(tokens)], abs=0.006)
    with pytest.warns(VideoWarning, match="s off; use timestamps='presentation'"):
        visual_text(tokens, timestamps="published")


def test_an_unknown_rule_and_a_frame_without_a_time_are_refused():
    with pytest.raises(ModelError, match="use 'presentation' or 'published'"):
        visual_text(UNEVEN, timestamps="dts")
    with pytest.raises(ModelError, match="is of source frame 3 and frame_times has 2"):
        visual_text(dataclasses.replace(UNEVEN, frame_times=np.zeros(2)))


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
