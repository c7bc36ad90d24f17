"""From files to visual tokens: invariants on real encoded clips, budgets, determinism, arguments."""

import io
import os

import numpy as np
import pytest
from invariants import BEACH, check_codec_tokens, check_positions, digest, packed_patches, source_patches
from PIL import Image

from kit import world
from kit.studies.coverage import is_whole
from ov2lib import Ov2Error, VisualTokens, read_signals, tokenize_frames, tokenize_image, tokenize_video
from ov2lib.codec.config import FRONT_ENDS, FixedConfig, PaperConfig, ReleasedConfig
from ov2lib.codec.frontend import partition_packets, plan_groups
from ov2lib.codec.sampled import sample_indices
from ov2lib.video.encode import Encoding, encode
from ov2lib.video.source import read_packets

SMALL = {"size": (180, 320), "bframes": 2, "gop": 20}


@pytest.fixture(scope="module", params=["jump_rope", "moving_shapes", "camera_cuts"])
def clip(request):
    return getattr(world, request.param)(duration=4, **SMALL).path


@pytest.fixture(scope="module", params=FRONT_ENDS)
def beach(request):
    return tokenize_video(BEACH, request.param)


# --- invariants -----------------------------------------------------------------------------------------------------


def test_invariants_on_the_beach(beach):
    check_codec_tokens(beach)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_invariants_on_synthetic_scenes(clip, front_end):
    tokens = tokenize_video(clip, front_end, num_canvases=12)
    check_codec_tokens(tokens)
    assert len(tokens.canvases) == (12 if front_end != "released" else 4 * len(np.unique(tokens.group_ids)))


@pytest.mark.parametrize("options", [{"patch_size": 16}, {"max_pixels": 40_000}, {"beta": 0.5}, {"cost": "log1p", "smooth": 1}])
def test_invariants_with_other_settings(options):
    check_codec_tokens(tokenize_video(world.moving_shapes(duration=4, **SMALL).path, num_canvases=8, **options))


def test_groups_tile_the_beach():
    packets = read_packets(BEACH)
    for config in (PaperConfig(), FixedConfig()):
        partition = partition_packets(packets, config)
        assert partition.edges[0] == 0 and partition.edges[-1] == packets.duration
        assert (np.diff(partition.edges) > 0).all()
        plans = plan_groups(packets, partition, 32)
        owner = partition.group_of(packets.frame_times)
        for group, plan in enumerate(plans):
            assert owner[plan.anchor] == group and (owner[plan.frames] == group).all()
            assert plan.anchor not in plan.frames and (np.diff(plan.frames) > 0).all()


@pytest.mark.parametrize("front_end", ["paper", "ippp"])
def test_a_sky_that_is_dark_on_most_frames_is_packed_where_it_lights_up(front_end, tmp_path):
    """The upper 42 % are black but for a moment in each second, and nothing else changes."""
    rng = np.random.default_rng(0)
    still = np.zeros((168, 224, 3), np.uint8)
    still[70:] = rng.integers(60, 200, (7, 14, 3), dtype=np.uint8).repeat(14, 0).repeat(16, 1)

    def paint(number: int) -> np.ndarray:
        picture = still.copy()
        if number % 25 in (3, 4, 5, 6):
            picture[:70] = rng.integers(0, 256, (10, 32, 3), dtype=np.uint8).repeat(7, 0).repeat(7, 1)
        return picture

    encode(map(paint, range(100)), tmp_path / "sky.mp4", (168, 224), 25, Encoding())
    tokens = tokenize_video(tmp_path / "sky.mp4", front_end, num_canvases=8)
    packed = tokens.patch_positions.reshape(len(tokens.canvases), -1, 3)[~is_whole(tokens)].reshape(-1, 3)
    assert (packed[packed[:, 0] >= 0, 1] < 5).mean() > 0.5


def test_times_and_rate_are_the_files(beach):
    np.testing.assert_allclose(beach.frame_times, np.arange(487) / 30, atol=1e-6)
    assert beach.fps == pytest.approx(30)


# --- budgets --------------------------------------------------------------------------------------------------------


def test_the_beach_fills_its_budget_with_blocks(beach):
    assert len(beach.canvases) == 32 and beach.canvases.shape[1:] == (504, 280, 3)
    assert (beach.patch_positions >= 0).all()


@pytest.mark.parametrize("front_end", ["paper", "ippp"])
@pytest.mark.parametrize("budget", [1, 2, 3, 4, 7, 12, 30])
def test_a_budget_is_used_as_far_as_there_are_frames(front_end, budget, specimen):
    known = specimen("h264_b_frames")
    tokens = tokenize_video(known.path, front_end, num_canvases=budget)
    assert len(tokens.canvases) == min(budget, known.frames)
    check_codec_tokens(tokens)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_one_frame_is_one_canvas(front_end, specimen):
    tokens = tokenize_video(specimen("one_frame").path, front_end)
    assert len(tokens.canvases) == 1 and (tokens.patch_positions[:, 0] == 0).all()
    check_codec_tokens(tokens)


def test_released_candidates_follow_the_target(specimen):
    tokens = tokenize_video(specimen("h264_open_gop").path, "released", num_canvases=4, avoid_keyframes=False)
    assert tokens.config["candidates"] == list(range(18))
    assert tokenize_video(BEACH, "released", num_canvases=4).config["candidates"][-1] == 486


# --- the same input gives the same bytes ----------------------------------------------------------------------------


def test_ten_runs_on_the_beach_give_the_same_bytes():
    assert len({digest(tokenize_video(BEACH, workers=1 + run % 2)) for run in range(10)}) == 1


@pytest.mark.parametrize("front_end", ["ippp", "released"])
def test_other_front_ends_on_the_beach_do_not_depend_on_workers(front_end):
    assert len({digest(tokenize_video(BEACH, front_end, workers=workers)) for workers in (1, 2, 2)}) == 1


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_ten_runs_with_b_frames_give_the_same_bytes(front_end):
    path = world.camera_cuts(duration=4, **SMALL).path
    assert len({digest(tokenize_video(path, front_end, 12, workers=1 + run % 2)) for run in range(10)}) == 1


@pytest.mark.parametrize(
    "codec", ["h264_open_gop", "hevc", "hevc_open_gop", "vp9", "av1", "mpeg4", "avi_b_frames", "mjpeg", "mpeg2_program_stream"]
)
def test_tokens_of_no_codec_depend_on_workers(codec, specimen):
    path = specimen(codec).path
    for front_end in FRONT_ENDS:
        assert len({digest(tokenize_video(path, front_end, 8, workers=workers)) for workers in (1, 2, 3)}) == 1


# --- frames and images ----------------------------------------------------------------------------------------------


def test_sampled_frames_are_whole_and_four_to_a_group():
    tokens = tokenize_frames(BEACH, num_frames=6)
    t = tokens.patch_positions[:, 0].reshape(6, -1)
    np.testing.assert_array_equal(t, np.tile([[0], [97], [194], [292], [389], [486]], t.shape[1]))
    assert tokens.group_ids.tolist() == [0, 0, 0, 0, 1, 1]
    check_positions(tokens)
    np.testing.assert_array_equal(packed_patches(tokens), source_patches(tokens))


def test_the_published_sampling_rule():
    assert [len(sample_indices(9999, seconds)) for seconds in (9.9, 10, 29, 30, 999)] == [8, 16, 16, 384, 384]
    assert sample_indices(10, 2.0, fps=2).tolist() == [0, 3, 6, 9]
    assert len(sample_indices(99_999, 9999.0, fps=1)) == 384
    assert sample_indices(3, 1.0, num_frames=8).tolist() == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"num_frames": 0}, {"fps": -1.0}, {"patch_size": 0}])
def test_senseless_sampling_is_refused(wrong):
    with pytest.raises(Ov2Error, match=next(iter(wrong))):
        tokenize_frames(BEACH, **wrong)


def test_an_image_is_one_canvas(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    for image in (pixels, Image.fromarray(pixels), tmp_path / "picture.png"):
        tokens = tokenize_image(image)
        np.testing.assert_array_equal(tokens.canvases[0], pixels)
        assert tokens.kind == "image" and tokens.grid_thw.tolist() == [[1, 4, 6]]
        assert tokens.patch_positions[-1].tolist() == [0, 3, 5]


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6  # turn clockwise to show
    Image.new("RGB", (84, 56)).save(tmp_path / "turned.jpg", exif=tags)
    assert tokenize_image(tmp_path / "turned.jpg").canvases.shape == (1, 84, 56, 3)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 0, 3), np.uint8)])
def test_arrays_that_are_no_picture_are_refused(image):
    with pytest.raises(Ov2Error):
        tokenize_image(image)


def test_files_that_are_no_picture_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    for path, cause in (
        (tmp_path / "none.png", "no such file"),
        (tmp_path / "text.png", "cannot be read"),
        (tmp_path, "cannot"),
    ):
        with pytest.raises(Ov2Error, match=cause):
            tokenize_image(path)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"front_end": "best"},
        {"num_canvases": 0},
        {"front_end": "released", "num_canvases": 3},
        {"max_pixels": 100},
        {"patch_size": 0},
        {"cost": "joules"},
        {"smooth": -1},
        {"beta": -1.0},
        {"attenuation": -0.1},
        {"front_end": "released", "max_group_frames": 7},
    ],
)
def test_senseless_arguments_are_refused(wrong, specimen):
    with pytest.raises(Ov2Error, match=next(reversed(wrong))):
        tokenize_video(specimen("one_frame").path, **wrong)


KINDS = {  # argument: values of the wrong kind or out of range
    **dict.fromkeys(
        ("num_canvases", "max_pixels", "patch_size", "smooth", "max_group_frames"), (1.5, np.float64(8), "8", None)
    ),
    **dict.fromkeys(("beta", "attenuation", "peak"), ("1", float("nan"), float("inf"), None, 1j)),
    "workers": (1.5, "2", 0, -1),
    "avoid_keyframes": ("no",),
    "cost": (None, []),
    "foo": (1,),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in KINDS.items() for value in values])
def test_arguments_of_another_kind_are_named_before_reading(name, value):
    front_end = "released" if name in RELEASED_OPTIONS else "paper"
    with pytest.raises(Ov2Error, match=f"^{name}( is no option|=.*; (must be|use))"):
        tokenize_video("none.mp4", front_end, **{name: value})


def test_an_option_that_would_do_nothing_is_refused():
    for name in sorted(RELEASED_OPTIONS):
        with pytest.raises(Ov2Error, match=f"^{name} is no option of the paper front end; it takes num_canvases"):
            tokenize_video("none.mp4", **{name: getattr(ReleasedConfig(), name)})
    with pytest.raises(Ov2Error, match="^beta is no option of the released front end"):
        tokenize_video("none.mp4", "released", beta=0.5)


RELEASED_OPTIONS = vars(ReleasedConfig()).keys() - vars(PaperConfig()).keys()
FRAME_KINDS = {
    **dict.fromkeys(("num_frames", "max_pixels", "patch_size", "min_pixels"), (1.5, "8", float("nan"), -1, True)),
    "fps": ("1", float("nan"), float("inf"), 0),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in FRAME_KINDS.items() for value in values])
def test_frame_arguments_of_another_kind_are_named_before_reading(name, value):
    with pytest.raises(Ov2Error, match=f"^{name}=.*; must be"):
        tokenize_frames("none.mp4", **{name: value})
    if name not in ("num_frames", "fps"):
        with pytest.raises(Ov2Error, match=f"^{name}=.*; must be"):
            tokenize_image("none.png", **{name: value})


@pytest.mark.parametrize("path", [None, 5, [], "", "a\0b", io.BytesIO()])
@pytest.mark.parametrize("read", [tokenize_video, tokenize_frames, lambda path: next(read_signals(path))])
def test_what_is_no_path_is_refused(read, path):
    with pytest.raises(Ov2Error, match="is no path"):
        read(path)


@pytest.mark.parametrize("size", [5, (100,), (0, 0), (10**6, 10**6), "ab", (28.0, 28), (28, 28, 3)])
def test_a_senseless_size_of_residuals_is_refused(size):
    with pytest.raises(Ov2Error, match="size.*; must be"):
        next(read_signals("none.mp4", size=size))


def test_numbers_of_numpy_give_what_pythons_do(specimen, tmp_path):
    path = os.fsencode(specimen("h264_b_frames").path)
    tokens = tokenize_video(
        path, num_canvases=np.int64(4), max_pixels=np.int32(4000), patch_size=np.uint8(14), beta=np.float32(0)
    )
    assert digest(tokens) == digest(tokenize_video(os.fsdecode(path), num_canvases=4, max_pixels=4000))
    for frames in (tokenize_frames(path, np.int64(2)), tokenize_frames(path, fps=np.float32(2)), tokens):
        assert digest(VisualTokens.load(frames.save(tmp_path / "tokens"))) == digest(frames)


def test_progress_counts_to_the_end(specimen):
    calls = []
    tokenize_video(specimen("h264_b_frames").path, progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == list(range(1, calls[0][1] + 1))


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_the_configuration_is_dumped_beside_the_result(front_end, specimen, tmp_path):
    own = {"grid": "sub"} if front_end == "released" else {"beta": 0.25}
    tokens = tokenize_video(specimen("h264_b_frames").path, front_end, num_canvases=6, **own)
    loaded = VisualTokens.load(tokens.save(tmp_path / "tokens"))
    assert digest(loaded) == digest(tokens)
    assert loaded.config.items() >= {"front_end": front_end, "num_canvases": 6, "codec": "h264", **own}.items()


def test_a_rate_takes_as_many_frames_as_the_video_is_long_up_to_a_cap():
    counts = [len(sample_indices(25 * seconds, float(seconds), 60, 1.0)) for seconds in (5, 16, 60, 90)]
    assert counts == [5, 16, 60, 60]
