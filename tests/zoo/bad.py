"""Files that are no video, not quite a video, or a damaged one."""

import os
import struct
from dataclasses import replace
from pathlib import Path

import av

from .kit import FPS, SIZE, Specimen, bad, picture, silence, write, x264


def _broken(path: Path, expect: str = "fails", **known) -> Specimen:
    return Specimen("", path, "", expect=expect, **known)


@bad
def missing(folder):
    """No such file."""
    return _broken(folder / "missing.mp4")


@bad
def directory(folder):
    """A folder with a video's name."""
    (folder / "folder.mp4").mkdir()
    return _broken(folder / "folder.mp4")


@bad
def empty(folder):
    """Zero bytes."""
    (folder / "empty.mp4").touch()
    return _broken(folder / "empty.mp4")


@bad
def text(folder):
    """A text file called .mp4."""
    (folder / "text.mp4").write_text("I am not a video.\n" * 200)
    return _broken(folder / "text.mp4")


@bad
def audio_only(folder):
    """Sound without pictures."""
    path = folder / "sound.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        container.mux(stream.encode(silence(1.0)))
        container.mux(stream.encode(None))
    return _broken(path)


@bad
def cut_without_index(folder):
    """Cut at half; the MP4's index stood at the end, so nothing can be read."""
    path = write(folder / "cut.mp4", options=x264(crf=5)).path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return _broken(path)


@bad
def cut_with_index(folder):
    """Cut at 60 %; the MP4's index stands in front, so the first pictures can be read."""
    whole = write(folder / "cut_front.mp4", options=x264(keyint=6, crf=5), muxer_options={"movflags": "faststart"})
    whole.path.write_bytes(whole.path.read_bytes()[: int(whole.path.stat().st_size * 0.6)])
    return _broken(whole.path, "survives")


@bad
def corrupt_middle(folder):
    """Two hundred bytes in the middle of the pictures are flipped."""
    path = write(folder / "corrupt.mp4", options=x264(keyint=6, crf=5), muxer_options={"movflags": "faststart"}).path
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 200] = bytes(255 - byte for byte in data[middle : middle + 200])
    path.write_bytes(data)
    return _broken(path, "survives")


@bad
def no_key_frame_ts(folder):
    """A transport stream joined after its only key frame, with it went the decoder's parameters."""
    return _broken(write(folder / "joined.ts", options=x264(), keep=lambda packet: not packet.is_keyframe).path)


@bad
def no_key_frame_mp4(folder):
    """An MP4 whose only key frame was dropped; the parameters are there, the first picture is not."""
    return _broken(write(folder / "headless.mp4", options=x264(), keep=lambda packet: not packet.is_keyframe).path)


@bad
def joined_late(folder):
    """A transport stream joined within its first GOP: five pictures cannot be decoded, the six from the next key frame can."""
    first = iter([False])
    whole = write(folder / "joined_late.ts", options=x264(keyint=6), keep=lambda packet: next(first, True))
    return _broken(whole.path, "survives", frames=6, times=whole.times[:6], start=None)


@bad
def size_changes(folder):
    """Two transport streams of different picture sizes, one behind the other, as broadcasts do at a programme's end."""
    parts = [write(folder / f"part_{size[0]}.ts", options=x264(), size=size).path for size in (SIZE, (96, 128))]
    path = folder / "size_changes.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return _broken(path, "survives", start=None)


@bad
def no_frames(folder):
    """A Matroska file with a video track and not a single picture."""
    path = folder / "no_frames.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        (stream.height, stream.width), stream.pix_fmt = SIZE, "yuv420p"
        container.start_encoding()
    return _broken(path, codec="mpeg4")


@bad
def cover_art(folder):
    """Sound with a still cover picture, which containers store as a video stream."""
    path = folder / "cover.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound, cover = container.add_stream("aac", rate=16000), container.add_stream("mjpeg", rate=1)
        (cover.height, cover.width), cover.pix_fmt = SIZE, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(0), "rgb24").reformat(format="yuvj420p")
        container.mux(sound.encode(silence(1.0)) + sound.encode(None))
        container.mux(cover.encode(frame) + cover.encode(None))
    return _broken(path, codec="mjpeg")


@bad
def unknown_codec(folder):
    """An MP4 whose video says it is coded in 'zzzz'."""
    path = write(folder / "zzzz.mp4", options=x264()).path
    path.write_bytes(path.read_bytes().replace(b"avc1\x00\x00\x00\x00", b"zzzz\x00\x00\x00\x00"))
    return _broken(path, codec="")


@bad
def absurd_size_avi(folder):
    """An AVI with raw pictures whose header declares 100,000 x 100,000 pixels."""
    path = write(folder / "absurd.avi", "rawvideo", frames=2).path
    data = bytearray(path.read_bytes())
    struct.pack_into("<II", data, data.index(b"strf") + 12, 100_000, 100_000)
    path.write_bytes(data)
    return _broken(path, codec="rawvideo")


@bad
def absurd_size_h264(folder):
    """A bare H.264 stream whose parameter set declares 100,000 x 100,000 pixels."""
    return _declaring(100_000, folder / "absurd.h264")


@bad
def huge_size_h264(folder):
    """A bare H.264 stream whose parameter set declares 12,000 x 12,000 pixels, which FFmpeg would still try."""
    return _declaring(12_000, folder / "huge.h264")


def _declaring(side: int, path: Path) -> Specimen:
    write(path, options=x264(), muxer="h264")
    units = path.read_bytes().split(b"\x00\x00\x00\x01")
    units = [_parameter_set(side // 16, side // 16) if unit[:1] == b"\x67" else unit for unit in units]
    path.write_bytes(b"\x00\x00\x00\x01".join(units))
    return _broken(path)


def _parameter_set(columns: int, rows: int) -> bytes:
    """An H.264 sequence parameter set (Baseline, level 5.2) for a picture of `columns` x `rows` macroblocks."""

    def golomb(value: int) -> str:  # ue(v) of the standard
        digits = f"{value + 1:b}"
        return "0" * (len(digits) - 1) + digits

    # id, log2_max_frame_num - 4, order count type 2, one reference, no gaps; size; frames only, 8x8 inference, no crop, no VUI
    fields = golomb(0) + golomb(0) + golomb(2) + golomb(1) + "0" + golomb(columns - 1) + golomb(rows - 1) + "1100"
    bits = f"{66:08b}{0:08b}{52:08b}" + fields + "1"
    bits += "0" * (-len(bits) % 8)
    return b"\x67" + int(bits, 2).to_bytes(len(bits) // 8, "big")


@bad
def no_permission(folder):
    """A good file that this user may not read (the superuser may)."""
    whole = write(folder / "secret.mp4", options=x264())
    whole.path.chmod(0)
    return replace(whole, expect="reads" if os.access(whole.path, os.R_OK) else "fails")
