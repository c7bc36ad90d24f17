"""What is told of every frame: in order, upright, of one shape, and the same whatever surrounds the pictures."""

import gc
import struct
import tracemalloc
from itertools import islice

import numpy as np
import pytest
import zoo

from ov2lib.geometry import canvas_size
from ov2lib.video.signals import read_signals
from ov2lib.video.source import Source, read_packets


@pytest.mark.parametrize("name", zoo.GOOD)
def test_every_frame_tells_all_it_can(name, specimen):
    known = specimen(name)
    (height, width), canvas = known.upright, canvas_size(*known.shown)
    frames = list(read_signals(known.path))
    assert [frame.index for frame in frames] == list(range(known.frames))
    np.testing.assert_allclose([frame.time for frame in frames], known.times, atol=6e-4)
    assert frames[0].kind == "I" or name == "edit_list"
    assert sum(frame.size for frame in frames) == read_packets(known.path).frame_sizes.sum()
    for frame in frames:
        assert frame.luma.shape == (height, width) and frame.luma.dtype == np.uint8 and frame.luma.std() > 10
        assert frame.kind in "IPB"
        if frame.motion is not None:
            assert frame.motion.dtype == np.float32 and frame.motion.shape[2] == 2 and np.isfinite(frame.motion).all()
        if frame.motion is not None and known.vectors and "intra" not in name.removesuffix("_refresh"):
            assert frame.motion.shape[:2] == (2 * -(-height // 16), 2 * -(-width // 16))
        if frame.motion_future is not None:
            assert frame.kind == "B" and frame.motion_future.shape == frame.motion.shape
        assert (frame.residual is None) or frame.residual.shape == canvas
        assert (frame.bits is None) or frame.bits.dtype == np.float32


@pytest.mark.parametrize("name", [name for name in zoo.GOOD if zoo.MAKERS[name].__module__ != "zoo.handmade"])
def test_frames_after_the_first_have_motion_and_residual(name, specimen):
    """But for pictures without vectors (key frames, and the last one of MPEG-2 and 4 with reordering), and for the residual of
    a picture whose references an edit list hides."""
    known = specimen(name)
    intra = name in ("h264_all_intra", "mjpeg")
    for frame in list(read_signals(known.path))[1:]:
        last = known.codec in ("mpeg4", "mpeg2video") and frame.index == known.frames - 1
        if intra or (frame.kind != "I" and not last):
            assert frame.motion is not None
            assert frame.residual is not None or (name == "edit_list" and frame.index == 2)


@pytest.mark.parametrize(
    "name, by_hand",
    [
        ("rotated_90", lambda p: np.rot90(p, 3)),
        ("rotated_180", lambda p: np.rot90(p, 2)),
        ("rotated_270", np.rot90),
        ("mirrored", np.fliplr),
        ("upside_down", np.flipud),
        ("transposed", lambda p: p.swapaxes(0, 1)),
    ],
)
def test_all_signals_turn_together(name, by_hand, specimen, tmp_path):
    """The same stream shown as it was coded, every map turned by hand."""
    turned = specimen(name)
    data = bytearray(turned.path.read_bytes())
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    (tmp_path / "straight.mp4").write_bytes(data)
    frames = list(read_signals(turned.path, size=turned.upright))
    straight = list(read_signals(tmp_path / "straight.mp4", size=zoo.SIZE))
    painted = by_hand(zoo.picture(0)).mean(axis=2)
    assert np.abs(frames[0].luma - painted).mean() < 12 < np.abs(np.rot90(frames[0].luma, 2) - painted).mean()
    for frame, coded in zip(frames, straight, strict=True):
        for signal in ("luma", "qp", "bits", "residual"):
            ours, theirs = getattr(frame, signal), getattr(coded, signal)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                np.testing.assert_array_equal(ours, by_hand(theirs))
        assert (frame.motion is None) == (coded.motion is None)
        if frame.motion is not None:
            np.testing.assert_array_equal(np.hypot(*frame.motion.T).T, by_hand(np.hypot(*coded.motion.T).T))


@pytest.mark.parametrize("other", ["mkv", "audio_before", "audio_after", "late_start_mp4", "mov"])
def test_the_container_changes_nothing_but_times(other, specimen):
    """The same pictures, coded the same way."""
    frames, others = (list(read_signals(specimen(name).path)) for name in ("late_start_mkv", other))
    for frame, same in zip(frames, others, strict=True):
        assert frame.kind == same.kind
        np.testing.assert_array_equal(frame.luma, same.luma)
        for name in ("motion", "motion_future", "qp"):
            np.testing.assert_array_equal(getattr(frame, name), getattr(same, name))


def test_the_residual_is_worked_out_when_asked_for(specimen):
    frame = list(read_signals(specimen("h264_p_only").path))[3]
    assert frame.residual is frame.residual


def test_memory_does_not_grow_with_the_video(tmp_path):
    """Python's own memory; that of decoded pictures is held by the same objects."""
    path = zoo.write(tmp_path / "long.mp4", options=zoo.x264(bframes=2, keyint=20), frames=160, size=(64, 96)).path
    list(islice(read_signals(path), 40))  # caches are filled

    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in islice(read_signals(path), count):
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(160) < 1.2 * peak(60)


# --- the file as a whole --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.GOOD)
def test_a_source_tells_what_a_file_is(name, specimen):
    known = specimen(name)
    info = Source.open(known.path)
    assert info.display.shown == known.shown
    assert info.coded == info.display.coded == known.size and info.display.aspect == known.aspect
    assert (info.display.turns, info.display.mirrored) == (known.turns, known.mirrored)
    assert info.display.interlaced == ("interlaced" in name or "fields" in name)
    assert info.display.transfer == ("PQ" if name == "hdr_pq" else "")
    assert info.codec == known.codec and len(info.packets.frame_packet) == known.frames
    assert info.has_audio == name.startswith("audio")
    exported = known.vectors and name not in ("one_frame", "h264_all_intra")
    assert info.origins["motion"] == info.origins["residual"] == ("exported" if exported else "proxy")
    assert info.origins["qp"] == ("exported" if known.vectors else "none")
    assert info.origins["bits"] == ("exported" if known.vectors else "proxy")
    assert info.packets.constant_rate == (not name.startswith("variable") and name not in ("vp8_hidden", "screen_recording"))
    assert known.start is None or info.packets.start == pytest.approx(known.start, abs=1e-3)
    assert info.packets.key.any() and len(info.packets) >= known.frames
    assert info.path == str(known.path) and info.container and info.pixel_format.startswith("yuv")
