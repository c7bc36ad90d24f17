"""Synthetic clips: the truth they state is what their pixels show, and the same call gives the same bytes."""

import os
import tracemalloc

import av
import numpy as np
import pytest

from kit import world
from kit.errors import MiniError
from kit.world.camera import CameraCuts
from kit.world.figure import ANKLE
from kit.world.jump_rope import BEHIND, JumpRope
from kit.world.moving_shapes import COLOURS, MovingShapes
from ov2lib.errors import Ov2Error
from ov2lib.video import encode
from ov2lib.video.encode import Encoding

SCENES = (world.jump_rope, world.moving_shapes, world.camera_cuts)
TINY = {"duration": 0.48, "size": (96, 128)}


def packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [(float(p.pts * stream.time_base), p.size, p.is_keyframe) for p in container.demux(stream) if p.size]
    return np.array(sorted(found))


def kinds(path):
    with av.open(str(path)) as container:
        return "".join(".IPB"[int(frame.pict_type)] for frame in container.decode(video=0))


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", SCENES)
def test_the_same_call_gives_the_same_bytes(scene, tmp_path, monkeypatch):
    found = []
    for folder in ("a", "b"):
        monkeypatch.setenv("OV2_CACHE", str(tmp_path / folder))
        found.append(scene(**TINY).path.read_bytes())
    assert found[0] == found[1]
    assert scene(**TINY, seed=1).path.read_bytes() != found[0]


@pytest.mark.parametrize("codec", encode.CODECS)
def test_every_codec_on_demand(codec, tmp_path, monkeypatch):
    found = []
    for folder in ("a", "b"):
        monkeypatch.setenv("OV2_CACHE", str(tmp_path / folder))
        clip = world.jump_rope(**TINY, codec=codec)
        found.append(clip.path.read_bytes())
    assert found[0] == found[1]
    with av.open(str(clip.path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
    assert len(frames) == clip.num_frames == 12
    painted = JumpRope(**TINY, seed=0, fps=25, noise=2.0).frame(6).astype(float)
    assert np.abs(frames[6] - painted).mean() < 8


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling policies")
def test_encoding_leaves_the_process_at_its_priority(tmp_path):
    before = os.sched_getscheduler(0)  # SVT-AV1 raises it where root calls
    frames = iter([np.full((64, 96, 3), 20 * i, np.uint8) for i in range(3)])
    encode.encode(frames, tmp_path / "clip.mp4", (64, 96), 25, Encoding("av1"))
    assert os.sched_getscheduler(0) == before


def test_a_second_call_reads_the_cache():
    first = world.moving_shapes(**TINY)
    before = first.path.stat()
    second = world.moving_shapes(**TINY)
    after = second.path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert second.event_times == first.event_times and second.config == first.config
    assert world.moving_shapes(**TINY, quality=30).path != first.path


def test_encoding_options_reach_the_stream():
    clip = world.camera_cuts(**TINY, gop=6, bframes=0)
    assert kinds(clip.path) == "IPPPPP" * 2
    for codec in ("h264", "hevc"):
        closed = world.moving_shapes(duration=1, size=(96, 128), codec=codec, gop=12, bframes=2)
        opened = world.moving_shapes(duration=1, size=(96, 128), codec=codec, gop=12, bframes=2, open_gop=True)
        assert "B" in kinds(closed.path) and "BI" not in kinds(closed.path)
        assert "BI" in kinds(opened.path)
    assert world.moving_shapes(**TINY, quality=40).path.stat().st_size < world.moving_shapes(**TINY).path.stat().st_size


def test_encoding_holds_few_frames_at_a_time(tmp_path):
    size, count = (240, 320), 60
    pictures = (np.full((*size, 3), index, np.uint8) for index in range(count))
    tracemalloc.start()
    try:
        encode.encode(pictures, tmp_path / "grey.mp4", size, 25, Encoding())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * size[0] * size[1] * 3


def test_an_interrupted_encoding_leaves_nothing(tmp_path):
    def failing():
        yield np.zeros((96, 128, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode.encode(failing(), tmp_path / "clip.mp4", (96, 128), 25, Encoding())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, cause",
    [
        ({"duration": 0}, "duration"),
        ({"duration": float("nan")}, "duration"),
        ({"seed": -1}, "seed"),
        ({"size": (97, 128)}, "even"),
        ({"size": (32, 32)}, "64"),
        ({"size": (360,)}, "height, width"),
        ({"fps": 29.97}, "whole number"),
        ({"noise": 9}, "noise"),
        ({"codec": "h266"}, "one of h264"),
        ({"gop": 0}, "gop"),
        ({"bframes": -1}, "bframes"),
        ({"codec": "vp9", "open_gop": True}, "open_gop"),
        ({"quality": 99}, "quality"),
        ({"colour": "red"}, "'colour'"),
    ],
)
def test_bad_arguments_are_named(arguments, cause):
    with pytest.raises(Ov2Error, match=cause):
        world.jump_rope(**arguments)


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OV2_CACHE", str(tmp_path / "file"))
    with pytest.raises(MiniError, match="OV2_CACHE"):
        world.jump_rope(**TINY)


# --- jump rope ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=range(4))
def skipping(request):
    return JumpRope(duration=12.0, seed=request.param, size=(180, 320), fps=25, noise=0.0)


def test_each_jump_starts_behind_the_legs_and_clears_the_rope(skipping):
    starts, air = skipping.starts, skipping.air
    assert len(starts) == len(air) >= 6
    assert (starts < air[:, 0]).all() and (np.diff(starts) > 0.3).all()
    np.testing.assert_allclose(np.mod(skipping.angle(starts), 2 * np.pi), BEHIND, atol=0.02)
    feet = np.minimum(*(skipping.figure.joints[f"{side} ankle"][:, 1] for side in ("left", "right"))) - ANKLE
    assert (feet > -1e-6).all()
    for takeoff, landing in air:
        middle = round((takeoff + landing) / 2 * skipping.fps)
        near = np.arange(middle - 1, middle + 2)
        rope = skipping.rope(near)[:, 0, 40]  # its middle
        under = near[np.abs(rope[:, 2]) < 0.25]
        assert len(under) and (feet[under] > 0.03).all()


def test_the_shirt_rises_when_the_truth_says_in_the_air():
    scene = JumpRope(duration=8.0, seed=0, size=(180, 320), fps=25, noise=0.0)
    rows = []
    for picture in scene.frames():
        part = picture[:120].astype(int)
        red = (part[..., 0] > 170) & (part[..., 1] < 110) & (part[..., 2] < 110)
        rows.append(np.flatnonzero(red.any(1)).min())
    rows, times = np.array(rows), np.arange(scene.num_frames) / scene.fps
    airborne = np.zeros(len(times), bool)
    for takeoff, landing in scene.air:
        within = (times >= takeoff - 0.1) & (times <= landing + 0.1)
        peak = times[within][rows[within] == rows[within].min()].mean()
        assert peak == pytest.approx((takeoff + landing) / 2, abs=0.06)
        airborne |= (times > takeoff + 0.08) & (times < landing - 0.08)
    assert rows[airborne].max() < np.median(rows[~airborne])


def test_jumps_cost_bits_and_so_do_distractions():
    clip = world.jump_rope()
    times, sizes, keys = packets(clip.path).T
    names = {name for name, _, _ in clip.spans}
    assert {"skip", "rest", "wave", "turn", "passer-by", "air"} <= names
    cost = {}
    for name in ("skip", "rest", "wave", "turn"):
        spans = [(start, end) for other, start, end in clip.spans if other == name]
        inside = np.any([(times >= start) & (times < end) for start, end in spans], axis=0)
        cost[name] = sizes[inside & (keys == 0)].mean()
    assert cost["skip"] > 2 * cost["rest"]
    assert cost["wave"] > 1.2 * cost["rest"] and cost["turn"] > 1.2 * cost["rest"]


def test_figure_and_rope_are_inside_their_boxes(skipping):
    box = skipping.boxes["figure"][0]
    left, right = min(box[0], skipping.boxes["rope"][0, 0]), max(box[2], skipping.boxes["rope"][0, 2])
    bare = skipping.plate.astype(int)
    moved = np.abs(skipping.frame(0).astype(int) - bare).max(-1) > 40
    cols = np.flatnonzero(moved[: int(box[3]) - 20].any(0))
    assert left - 2 <= cols.min() <= left + 4 and right - 4 <= cols.max() <= right + 2
    assert abs(np.flatnonzero(moved.any(1)).min() - box[1]) <= 3


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_tracks_and_visibility_match_the_pixels(seed):
    scene = MovingShapes(duration=6.0, seed=seed, size=(180, 320), fps=5, noise=0.0)
    hues = {name: np.array(COLOURS[name.split()[0]], float) for name in scene.names}
    hues = {name: hue / hue.sum() for name, hue in hues.items()}
    whole = 0
    for index in range(scene.num_frames):
        picture = scene.frame(index).astype(float)
        share = picture / picture.sum(-1, keepdims=True)
        for name, hue in hues.items():
            rows, cols = np.nonzero(np.abs(share - hue).max(-1) < 0.03)
            visible, box = scene.visible[name][index], scene.boxes[name][index]
            if visible > 0.995:
                seen = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
                np.testing.assert_allclose(seen, box, atol=3)  # a star's tips are thin
                whole += 1
            assert visible > 0.02 or len(rows) < 12
    assert whole > 10


def test_hidden_spans_are_events():
    clip = world.moving_shapes(duration=8.0, size=(96, 128))
    assert set(clip.event_times) == {start for _, start, _ in clip.spans if start > 0}
    assert all(track.boxes.shape == (clip.num_frames, 4) for track in clip.tracks.values())
    assert all(((track.visible >= 0) & (track.visible <= 1)).all() for track in clip.tracks.values())
    box = clip.tracks[next(iter(clip.tracks))]
    np.testing.assert_allclose(box.centres[:, 0], box.boxes[:, [0, 2]].mean(1))


# --- camera ---------------------------------------------------------------------------------------------------------


def test_the_background_moves_as_stated_and_cuts_are_cuts():
    scene = CameraCuts(duration=9.0, seed=0, size=(96, 160), fps=10, noise=0.0)
    pictures = [picture[50:].astype(float) for picture in scene.frames()]  # below the balloon
    cuts = set(np.rint(scene.cuts * scene.fps).astype(int))
    assert len(cuts) >= 2
    for index in range(1, scene.num_frames):
        before, after = pictures[index - 1], pictures[index]
        dx, dy = scene.motion[index]
        assert np.isnan(dx) == (index in cuts)
        if index in cuts:
            assert np.abs(after - before).mean() > 10
            continue
        shift = {
            step: np.abs(after[4:-4, 30:-30] - np.roll(before, (round(dy), step), (0, 1))[4:-4, 30:-30]).mean()
            for step in range(-25, 26)
        }
        assert abs(min(shift, key=shift.get) - dx) <= 0.75


def test_the_balloon_moves_against_the_background():
    clip = world.camera_cuts(**TINY | {"duration": 2.0}, seed=1)
    assert clip.camera.shape == (clip.num_frames, 2) and np.isnan(clip.camera[0]).all()
    own = np.diff(clip.tracks["balloon"].centres, axis=0) - clip.camera[1:]
    assert np.nanmax(np.abs(own)) > 0.1
