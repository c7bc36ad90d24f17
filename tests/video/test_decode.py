"""Decoded frames: the same on every run and from every start, in order, and linked to the right references."""

import hashlib

import av
import numpy as np
import pytest
import zoo

from ov2lib.video import decode as decoding
from ov2lib.video.decode import PAST, Linked, decode, link
from ov2lib.video.signals import linked_frames, read_signals
from ov2lib.video.source import Source


def digest(*arrays) -> str:
    text = hashlib.sha256()
    for array in arrays:
        text.update(b"none" if array is None else repr((array.shape, array.dtype)).encode() + array.tobytes())
    return text.hexdigest()


def signature(frame) -> tuple:
    """What a frame is; vectors field by field, since the records have padding of no meaning."""
    vectors = () if frame.vectors is None else [frame.vectors[name] for name in frame.vectors.dtype.names]
    return frame.index, frame.kind, frame.size, frame.time, digest(frame.luma, frame.qp, *vectors)


@pytest.mark.parametrize("clip", ["beach", "h264_b_pyramid"])
def test_ten_runs_give_identical_bytes(clip, beach, specimen):
    path, count = (beach, 40) if clip == "beach" else (specimen(clip).path, zoo.FRAMES)

    def run():
        frames = (frame for frame, _ in zip(read_signals(path), range(count), strict=False))
        return [digest(f.luma, f.motion, f.motion_future, f.qp, f.bits) for f in frames]

    first = run()
    assert len(first) == count and all(run() == first for _ in range(9))


@pytest.fixture(scope="module")
def open_pyramid(tmp_path_factory):
    """H.264 in open GOPs, some of their leading pictures references."""
    options = zoo.x264(bframes=3, b_pyramid="normal", keyint=8, open_gop=1)
    return zoo.write(tmp_path_factory.mktemp("pyramid") / "clip.mp4", options=options, frames=24).path


@pytest.mark.parametrize("name", [*zoo.GOOD, "open_pyramid"])
def test_from_every_clean_packet_on_frames_are_those_of_the_whole(name, specimen, open_pyramid):
    """The same frames and references, in every container, whatever way it is searched; without leading pictures."""
    source = Source.open(open_pyramid if name == "open_pyramid" else specimen(name).path)
    packets, whole = source.packets, {x.frame.index: x for x in link(decode(source))}
    assert list(whole) == list(range(len(packets.frame_packet)))
    for segment, start in enumerate(np.flatnonzero(packets.clean).tolist()):
        part = list(link(decode(source, start)))
        assert [x.frame.index for x in part] == np.flatnonzero(packets.segment[packets.frame_packet] >= segment).tolist()
        for linked in part:
            known = whole[linked.frame.index]
            assert signature(linked.frame) == signature(known.frame)
            assert [f.index for f in linked.past] == [f.index for f in known.past]
            assert (linked.following and linked.following.index) == (known.following and known.following.index)


@pytest.mark.parametrize("suffix, opened", [("mp4", 1), ("mkv", 1), ("avi", 1), ("ts", 2), ("mpg", 3)])
def test_a_late_part_is_found_in_long_files(suffix, opened, tmp_path, monkeypatch):
    """Matroska is searched by presentation time, transport streams by decode time; program streams are read from the top."""
    from ov2lib.video import decode as module

    codec, options = ("libx264", zoo.x264(bframes=2, keyint=10))
    if suffix == "mpg":
        codec, options = "mpeg2video", {"bf": "2", "g": "10", "flags": "+cgop", "sc_threshold": "1000000000"}
    path = zoo.write(tmp_path / f"long.{suffix}", codec, options, frames=100).path
    source, calls = Source.open(path), []
    packets = source.packets
    original = module.open_video
    monkeypatch.setattr(module, "open_video", lambda *args: calls.append(args) or original(*args))
    start = int(np.flatnonzero(packets.clean)[-1])
    part = [frame.index for frame in decode(source, start)]
    assert part == sorted(set(packets.frame[start:])) and len(calls) == opened


def test_only_what_is_fed_is_decoded(specimen):
    path = specimen("h264_b_frames").path
    source = Source.open(path)
    packets = source.packets
    kept = [frame.index for frame in decode(source, feed=packets.reference)]
    assert kept == sorted(packets.frame[packets.reference])


def test_deep_luma_is_its_upper_eight_bits(specimen):
    deep, plain = (next(decode(Source.open(specimen(n).path))) for n in ("h264_10_bit", "h264_constant_qp"))
    assert deep.luma.dtype == np.uint8 and deep.luma.shape == zoo.SIZE
    assert np.abs(deep.luma.astype(int) - plain.luma).mean() < 4  # the same picture, coded twice


def test_quantisers_are_those_asked_for(specimen, tmp_path):
    known = {"I": 25, "P": 28, "B": 30}
    for pix_fmt, lowest in (("yuv420p", 0), ("yuv420p10le", -12)):  # x264 counts from the lowest one
        options = zoo.x264(bframes=2, b_pyramid="none", qp=28 - lowest)
        path = zoo.write(tmp_path / f"{pix_fmt}.mp4", options=options, pix_fmt=pix_fmt).path
        for frame in decode(Source.open(path)):
            assert (frame.qp == known[frame.kind]).all() and frame.qp.shape == (9, 11)
    path = specimen("translation_mpeg4").path
    assert all((frame.qp == 2).all() for frame in decode(Source.open(path)) if frame.index < zoo.FRAMES - 1)


@pytest.mark.parametrize("name", zoo.GOOD)
def test_quantisers_cover_the_picture_or_are_unknown(name, specimen):
    known = specimen(name)
    for frame in decode(Source.open(known.path)):
        height, width = frame.luma.shape
        assert (height, width) == known.size
        if known.codec == "h264" or (known.codec == "mpeg4" and frame.index < known.frames - 1):
            assert frame.qp.shape == (-(-height // 16), -(-width // 16))
            assert 0 <= frame.qp.min() and frame.qp.max() <= {"h264": 51, "mpeg4": 31}[known.codec]
        if known.codec in ("hevc", "vp8", "vp9", "av1"):
            assert frame.qp is None  # VP9 exports numbers in units of its own


@pytest.mark.parametrize("name", [name for name in zoo.GOOD if name.startswith("cropped")])
def test_cropping_changes_only_what_is_seen(name, specimen):
    """Pictures, quantisers and vectors of the whole coded picture (which the specimen was made of), but for what is cut off."""
    known = specimen(name)
    (height, width), (left, top) = known.size, known.cropped
    col, row = left // 16, top // 16
    whole, cropped = (list(decode(Source.open(path))) for path in (known.path.with_name("whole.mp4"), known.path))
    for ours, theirs in zip(cropped, whole, strict=True):
        np.testing.assert_array_equal(ours.luma, theirs.luma[top : top + height, left : left + width])
        np.testing.assert_array_equal(ours.qp, theirs.qp[row : row + 9, col : col + 11])
        assert (ours.vectors is None) == (theirs.vectors is None)
        if ours.vectors is not None:
            for axis, first in (("x", col), ("y", row)):
                for end in ("src", "dst"):
                    np.testing.assert_array_equal(ours.vectors[f"{end}_{axis}"], theirs.vectors[f"{end}_{axis}"] - 16 * first)
                np.testing.assert_array_equal(ours.vectors[f"motion_{axis}"], theirs.vectors[f"motion_{axis}"])


def test_all_intra_streams_have_no_vectors(specimen):
    for name, expected in [("h264_all_intra", False), ("one_frame", False), ("h264_p_only", True), ("hevc", False)]:
        known = specimen(name)
        assert (Source.open(known.path).origins["motion"] == "exported") == expected


@pytest.mark.parametrize("name", zoo.GOOD)
def test_a_source_knows_how_it_is_shown(name, specimen):
    known = specimen(name)
    display = Source.open(known.path).display
    assert (display.turns, display.mirrored, display.shown) == (known.turns, known.mirrored, known.shown)


def linked(path) -> list[Linked]:
    source = Source.open(path)
    return list(link(decode(source)))


def test_p_frames_look_back_and_b_frames_both_ways(specimen):
    frames = linked(specimen("translation_b_frames").path)  # I b b P b b P b b P b b P
    assert [x.frame.index for x in frames] == list(range(13))
    for x in frames:
        back = [f.index for f in x.past]
        if x.frame.kind == "B":
            assert back[0] == x.frame.index // 3 * 3 and x.following.index == back[0] + 3
        else:
            assert back == list(range(x.frame.index - 3, -1, -3))[:PAST] and x.following is None


def test_no_reference_reaches_over_a_clean_key_frame(specimen):
    frames = linked(specimen("h264_b_frames").path)  # key frames 0 and 6
    for x in frames:
        others = [*x.past, *([x.following] if x.following else [])]
        assert {f.index // 6 for f in others} <= {x.frame.index // 6}
    assert frames[6].past == ()


def test_references_were_decoded_before(specimen):
    for name in ("h264_b_pyramid", "h264_open_gop", "mpeg4"):
        for x in linked(specimen(name).path):
            assert all(f.order < x.frame.order and f.index < x.frame.index for f in x.past)
            assert x.following is None or (x.following.is_reference and x.following.index > x.frame.index)


@pytest.mark.parametrize("name", ["h264_p_only", "vp9"])
def test_fewer_large_pictures_are_held(name, specimen, monkeypatch):
    """Where one picture fills what may be held, a frame keeps the reference before it, and the proxy holds none back."""
    known = specimen(name)
    monkeypatch.setattr(decoding, "HELD_BYTES", 1)
    source = Source.open(known.path)
    linked = list(linked_frames(source, decode(source)))
    assert [x.frame.index for x in linked] == list(range(known.frames))
    assert [len(x.past) for x in linked] == [int(not x.frame.restart) for x in linked]


def test_pictures_held_at_a_time():
    assert decoding.room_for(2160, 3840, av.VideoFormat("yuv420p")) == 16
    assert decoding.room_for(8000, 8000, av.VideoFormat("bgra")) == 1
