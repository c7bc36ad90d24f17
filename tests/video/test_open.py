"""Files that cannot be read say so: which file, why, and what to do; whatever is in them, nothing crashes or hangs."""

import gc
import os
import shutil
import threading
import time
import warnings

import av
import numpy as np
import pytest
import zoo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ov2lib.codec.sampled import tokenize_frames
from ov2lib.errors import VideoError, VideoWarning
from ov2lib.video.headers import header_reader
from ov2lib.video.listing import COLUMNS, MAX_SECONDS, _row
from ov2lib.video.signals import read_signals
from ov2lib.video.source import Source, read_packets


def frames_of(path, damaged="refuse") -> list[int]:
    return [frame.index for frame in read_signals(path, damaged=damaged)]


def survived(path) -> tuple[list[int], str]:
    """Indices of the frames that the damaged file gives, and the one warning, if any."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        indices = frames_of(path, "skip")
    assert len(told) <= 1 and all(w.category is VideoWarning and str(path) in str(w.message) for w in told)
    return indices, "".join(str(w.message) for w in told)


CAUSES = {
    "missing": "no such file",
    "directory": "not a regular file",
    "empty": "empty",
    "text": "cannot be read as video",
    "audio_only": "no video stream",
    "cut_without_index": "cannot be read as video",
    "cut_with_index": "truncated",
    "no_key_frame_ts": "frame size is unknown",
    "no_key_frame_mp4": "no key frame",
    "no_frames": "cannot be read as video",
    "cover_art": "no video stream",
    "unknown_codec": "codec is unknown",
    "absurd_size_avi": "frame size is unknown or impossible",
    "absurd_size_h264": "frame size is unknown or impossible",
    "huge_size_h264": "declares 12000x12000 frames",
    "size_changes": "damaged",
}


@pytest.mark.parametrize("name, cause", CAUSES.items())
@pytest.mark.parametrize("read", [lambda path: Source.open(path, damaged="refuse"), frames_of])
def test_bad_files_name_file_cause_and_remedy(name, cause, read, specimen):
    path = specimen(name).path
    with pytest.raises(VideoError) as caught:
        read(path)
    error = caught.value
    assert cause in error.cause and error.remedy and error.path == str(path)
    assert str(error) == f"{path}: {error.cause}; {error.remedy}" and "\n" not in str(error)


@pytest.mark.parametrize("name", [name for name in zoo.BAD if name not in CAUSES])
def test_files_that_survive_give_whole_frames_or_an_error(name, specimen):
    known = specimen(name)
    if known.expect == "fails":
        with pytest.raises(VideoError):
            frames_of(known.path)
        return
    indices, _ = survived(known.path)
    assert indices == list(range(known.frames or len(indices))) and indices


@pytest.mark.parametrize("name, frames, told", [
    ("cut_with_index", 6, "truncated at packet 6"),
    ("size_changes", 2 * zoo.FRAMES, "jump back near 0.44 s"),
    ("corrupt_middle", zoo.FRAMES, ""),
])  # fmt: skip
def test_damage_is_survived_and_told_once(name, frames, told, specimen):
    indices, warning = survived(specimen(name).path)
    assert indices == list(range(frames)) and told in warning


def test_an_unreadable_file_is_refused(specimen, tmp_path, monkeypatch):
    path = shutil.copy(specimen("h264_p_only").path, tmp_path)
    monkeypatch.setattr(os, "access", lambda *args: False)  # the superuser may read everything
    with pytest.raises(VideoError, match="permission"):
        read_packets(path)


@pytest.mark.parametrize("name", ["take:two.mp4", "http:x.mp4", "100%d.mp4", "a b'\"é.mp4", "-i.mp4", b"\xff.mp4"])
def test_any_file_name_will_do(name, specimen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(specimen("h264_p_only").path, name)
    assert len(read_packets(name)) == zoo.FRAMES


def test_a_damaged_tag_is_no_reason_to_refuse(specimen, tmp_path):
    """PyAV would raise UnicodeDecodeError."""
    data = specimen("h264_p_only").path.read_bytes()
    (tmp_path / "tag.mp4").write_bytes(data.replace(b"VideoHandler", b"Video\xff\xfe\xfddler"))
    assert len(read_packets(tmp_path / "tag.mp4")) == zoo.FRAMES


def test_huge_frames_are_refused_quickly_and_without_memory(specimen):
    """FFmpeg would decode one 12000 x 12000 picture while it opens the file."""
    path, before = specimen("huge_size_h264").path, time.process_time()
    with pytest.raises(VideoError, match="scale it down"):
        read_packets(path)
    assert time.process_time() - before < 1


@pytest.mark.parametrize("name, suffix", [("mpegts", "ts"), ("mkv", "mkv"), ("vp9", "webm"), ("raw_h264_b_frames", "h264")])
@pytest.mark.parametrize("share", [0.35, 0.6, 0.85])
def test_streams_cut_short_give_the_frames_they_hold_or_say_that_they_are_cut(name, suffix, share, specimen, tmp_path):
    """Recorders stop in the middle; what a stream holds whole may be read, in order and from the first frame on."""
    data = specimen(name).path.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    try:
        indices = frames_of(path)
    except VideoError as error:
        assert any(word in error.cause for word in ("damaged", "truncated", "cannot be"))
    else:
        assert 0 < len(indices) < zoo.FRAMES and indices == list(range(len(indices)))


def test_a_recording_glued_to_another_follows_it(tmp_path):
    """Its times start over, so that they no longer say which picture comes after which."""
    part = zoo.write(tmp_path / "part.flv", options=zoo.x264(keyint=25), frames=100).path.read_bytes()
    (tmp_path / "glued.flv").write_bytes(part + part[13:])  # without the second header
    with pytest.raises(VideoError, match="jump back near 3.96 s"):
        frames_of(tmp_path / "glued.flv")
    assert survived(tmp_path / "glued.flv")[0] == list(range(200))
    with pytest.warns(VideoWarning, match="jump back near 3.96 s"):
        frames = list(read_signals(tmp_path / "glued.flv"))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(200) / zoo.FPS, atol=1e-3)


def test_a_jump_of_over_a_week_is_taken_out(tmp_path):
    """As where a camera's clock is set while it records."""
    stamps = [*range(6), *range(2 * zoo.FPS * MAX_SECONDS, 2 * zoo.FPS * MAX_SECONDS + 6)]
    path = zoo.write(tmp_path / "weeks.mkv", options=zoo.x264(), pts=stamps).path
    assert survived(path)[0] == list(range(12)) and "jump ahead by 1209600 s near 0.20 s" in survived(path)[1]
    np.testing.assert_allclose(read_packets(path).frame_times, np.arange(12) / zoo.FPS, atol=2e-3)
    with pytest.raises(VideoError, match="jump ahead"):
        frames_of(path)


def test_times_that_span_weeks_are_refused(tmp_path):
    stamps = [*range(10), 2 * zoo.FPS * MAX_SECONDS, 4 * zoo.FPS * MAX_SECONDS]
    path = zoo.write(tmp_path / "weeks.mkv", options=zoo.x264(), pts=stamps).path
    with pytest.raises(VideoError, match="span more than 168 hours"):
        read_packets(path)


@pytest.mark.parametrize("ending", ["avi", "mkv"])
def test_frames_before_the_first_key_frame_are_counted(ending, tmp_path):
    """MPEG-4 that was cut in the middle of a group: its decoder makes grey pictures of them and calls them good."""
    whole = zoo.write(tmp_path / "whole.mkv", codec="mpeg4", options={"g": "6", "sc_threshold": "1000000000"}).path
    path = tmp_path / f"cut.{ending}"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][2:]:
            packet.stream = stream
            target.mux(packet)
    indices, warning = survived(path)
    assert indices == list(range(zoo.FRAMES - 6))
    assert "4 frames before the first key frame cannot be decoded rightly and are left out, the first near 0.00 s" in warning
    with pytest.raises(VideoError, match="4 frames before the first key frame"):
        frames_of(path)


def test_a_format_that_flags_no_key_frame_starts_at_its_first_packet(tmp_path):
    path = zoo.write(tmp_path / "a.swf", codec="flv1").path
    with av.open(str(path)) as container:
        assert not any(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert frames_of(path) == list(range(zoo.FRAMES))
    assert np.flatnonzero(read_packets(path).key).tolist() == [0]


def test_joined_gifs_give_all_their_pictures(tmp_path):
    """The second one's first picture is flagged as a key frame, but the decoder cannot start there."""
    data = zoo.write(tmp_path / "a.gif", codec="gif", pix_fmt="rgb8").path.read_bytes()
    (tmp_path / "two.gif").write_bytes(2 * data)
    source = Source.open(tmp_path / "two.gif", damaged="refuse")
    assert len(source.packets.frame_times) == 2 * zoo.FRAMES and source.packets.clean.sum() == 1
    tokens = tokenize_frames(source, num_frames=2 * zoo.FRAMES)
    assert len(tokens.canvases) == 2 * zoo.FRAMES


def test_a_key_frame_is_a_reference_whatever_stands_before_it(tmp_path):
    """Where recordings of two codecs are joined, one packet holds the last picture of one and the first of the other."""
    h264 = zoo.write(tmp_path / "a.h264", options=zoo.x264(), frames=2, muxer="h264").path.read_bytes()
    unit = h264[h264.rfind(b"\0\0\1") + 3 :]
    read = header_reader("hevc", None)
    assert not read(memoryview(b"\0\0\1\1" + unit[1:])).reference  # an H.264 slice looks like an HEVC picture not referred to
    packet = av.Packet(b"\0\0\1\1" + unit[1:])
    packet.is_keyframe = True
    row = dict(zip(COLUMNS, _row(packet, read(memoryview(packet))), strict=True))
    assert row["key"] and row["reference"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_still_images_named_as_videos_are_refused(kind, tmp_path):
    path = tmp_path / "still.mp4"
    Image.fromarray(zoo.picture(0, zoo.SIZE)).save(path, kind)
    with pytest.raises(VideoError, match="is a still image, not a video; use tokenize_image"):
        read_packets(path)


@pytest.mark.parametrize(
    "ending, codec, pix_fmt", [("apng", "apng", "rgb24"), ("gif", "gif", "rgb8"), ("mjpeg", "mjpeg", "yuvj420p")]
)
def test_moving_images_are_videos(ending, codec, pix_fmt, tmp_path):
    path = zoo.write(tmp_path / f"moving.{ending}", codec=codec, pix_fmt=pix_fmt).path
    assert frames_of(path) == list(range(zoo.FRAMES))


def test_a_frame_size_that_changes_is_scaled_to_the_first(tmp_path):
    """Two bare streams of different sizes, one behind the other."""
    parts = [zoo.write(tmp_path / f"{s[0]}.h264", options=zoo.x264(), size=s, muxer="h264").path for s in (zoo.SIZE, (96, 128))]
    (tmp_path / "both.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(read_signals(tmp_path / "both.h264"))
    assert len(frames) == 2 * zoo.FRAMES and {frame.luma.shape for frame in frames} == {zoo.SIZE}
    assert all(frame.qp is None and frame.motion is None for frame in frames[zoo.FRAMES :])
    small = Image.fromarray(zoo.picture(0, (96, 128))).resize(zoo.SIZE[::-1], Image.Resampling.BILINEAR)
    assert np.abs(frames[zoo.FRAMES].luma - np.asarray(small).mean(axis=2)).mean() < 12


@pytest.mark.parametrize("filler", [0, 255])
def test_a_hole_is_told_with_its_place(filler, specimen, tmp_path):
    """The sixth picture's bytes are overwritten; FFmpeg conceals what it can, and says so."""
    source = specimen("h264_p_only").path
    with av.open(str(source)) as container:
        lost = [packet for packet in container.demux(video=0) if packet.size][5]
    data = bytearray(source.read_bytes())
    data[lost.pos + 8 : lost.pos + lost.size] = bytes([filler]) * (lost.size - 8)  # behind its length and slice header
    (tmp_path / "hole.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"damaged near 0\.20 s"):
        frames_of(tmp_path / "hole.mp4")
    with pytest.warns(VideoWarning, match=r"1 damaged frame, the first near 0\.20 s"):
        frames = list(read_signals(tmp_path / "hole.mp4"))
    assert [frame.index for frame in frames if not frame.damaged] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_leaving_early_closes_the_file(specimen):
    opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    frames = read_signals(specimen("h264_b_frames").path)
    next(frames)
    frames.close()
    gc.collect()
    if opened is not None:
        assert len(os.listdir("/proc/self/fd")) <= opened


def test_nothing_is_printed(specimen, capfd):
    """FFmpeg's own lines are off by default in PyAV, and nothing here turns them on."""
    for name in ("text", "cut_with_index", "corrupt_middle"):
        try:
            frames_of(specimen(name).path)
        except VideoError:
            pass
    assert capfd.readouterr() == ("", "")


SMALL = {}


def small(kind: str, folder) -> bytes:
    if kind not in SMALL:
        options = zoo.x264(bframes=2, keyint=6, crf=40)
        SMALL[kind] = zoo.write(folder / f"small.{kind}", options=options, frames=8, size=(32, 48)).path.read_bytes()
    return SMALL[kind]


@settings(max_examples=60, deadline=20_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["mp4", "mkv", "ts", "avi"]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=8),
    share=st.floats(0.02, 1),
)
def test_damage_of_any_kind_gives_frames_or_a_video_error(kind, flips, share, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    data = bytearray(small(kind, folder))
    for place, change in flips:
        data[int(place * len(data))] ^= change
    path = folder / f"damaged_{threading.get_ident()}.{kind}"
    path.write_bytes(data[: max(1, int(len(data) * share))])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VideoWarning)
            frames = list(read_signals(path))
    except VideoError as error:
        assert str(path) in str(error)
    else:
        indices = [frame.index for frame in frames]
        assert indices == sorted(set(indices))
        assert all(np.isfinite(frame.time) for frame in frames)
