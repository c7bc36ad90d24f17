"""Tiny videos of every awkward kind, made by PyAV when a test asks for one.

    specimen = zoo.make("h264_b_frames", tmp_path)
    specimen.path, specimen.frames, specimen.times, specimen.shift ...

`GOOD` lists the names that must read whole, `BAD` those that must fail with a clear error or read in part; each name's
docstring says what it is. What a specimen claims follows from how it was written, never from reading it back.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

SIZE, FPS, FRAMES = (144, 176), 25, 12  # (height, width); a quarter of a second costs little and is enough for three GOPs
SHIFT = (1.25, -0.75)  # pixels per frame the picture moves, x right and y down


@dataclass(frozen=True)
class Specimen:
    """What is known about a file.

    Attributes:
        name, path, what: its name, where it is, and one sentence.
        frames: how many pictures a player shows; None where damage leaves that open.
        times: their presentation times in seconds, the first at 0.
        start: presentation time of the first picture in the container; None where the muxer chooses.
        size: (height, width) of a decoded picture, before any rotation.
        rotation: degrees counter-clockwise that a player must turn the picture by (the sign of `VideoFrame.rotation`).
        shift: (x, y) pixels per frame the whole picture moves, +x right and +y down; the texture is smooth.
        codec: FFmpeg's name of the codec.
        vectors: whether FFmpeg can export motion vectors for this codec.
        expect: "reads" (whole), "fails" (VideoError) or "survives" (some pictures, or VideoError; no crash, no hang).
    """

    name: str
    path: Path
    what: str
    frames: int | None = None
    times: tuple[float, ...] = ()
    start: float | None = 0.0
    size: tuple[int, int] = SIZE
    rotation: int = 0
    shift: tuple[float, float] = SHIFT
    codec: str = "h264"
    expect: str = "reads"

    @property
    def vectors(self) -> bool:
        return self.codec in ("h264", "mpeg4")


MAKERS: dict[str, Callable[[Path], Specimen]] = {}
GOOD: list[str] = []
BAD: list[str] = []


def make(name: str, folder: str | os.PathLike) -> Specimen:
    """Write the specimen `name` into `folder` and say what is known about it."""
    specimen = MAKERS[name](Path(folder))
    return replace(specimen, name=name, what=" ".join((MAKERS[name].__doc__ or specimen.what).split()))


def _register(shelf: list[str]):
    def keep(maker):
        MAKERS[maker.__name__] = maker
        shelf.append(maker.__name__)
        return maker

    return keep


good, bad = _register(GOOD), _register(BAD)


# --- pictures and the one writer everything goes through ------------------------------------------------------------


@lru_cache(maxsize=200)
def picture(index: int, size=SIZE, shift=SHIFT) -> np.ndarray:
    """Picture `index` of a smooth texture that moves by `shift` per frame, uint8 [H, W, 3]; exact between pixels too."""
    rng = np.random.default_rng(0)
    wave, turn, phase = 2 * np.pi / rng.uniform(9, 60, 24), rng.uniform(0, np.pi, 24), rng.uniform(0, 2 * np.pi, 24)
    across = np.outer(np.arange(size[1]) - shift[0] * index, wave * np.cos(turn)) + phase
    down = np.outer(np.arange(size[0]) - shift[1] * index, wave * np.sin(turn))
    colours = [np.sin(down) @ np.cos(across + tint).T + np.cos(down) @ np.sin(across + tint).T for tint in (0, 0.4, 0.8)]
    return np.clip(128 + 22 * np.stack(colours, -1), 0, 255).astype(np.uint8)


def write(
    path: Path, codec="libx264", options=None, frames=FRAMES, size=SIZE, shift=SHIFT, pix_fmt="yuv420p", pts=None, tick=None,
    muxer=None, muxer_options=None, audio="", interlaced=False, keep: Callable = lambda packet: True,
) -> Specimen:  # fmt: skip
    """Encode `frames` moving pictures into `path`.

    Args:
        pts: presentation times in units of `tick` (seconds, a Fraction); default is every 1 / FPS from 0.
        audio: "before" or "after" adds a silent track in front of or behind the video in stream order.
        keep: which encoded packets reach the file.
    """
    tick = tick or Fraction(1, FPS)
    pts = list(range(frames)) if pts is None else pts
    with av.open(str(path), "w", format=muxer, options={"fflags": "+bitexact"} | (muxer_options or {})) as container:
        sound = container.add_stream("aac", rate=16000) if audio == "before" else None
        stream = container.add_stream(codec, rate=FPS, options=options or {})
        sound = container.add_stream("aac", rate=16000) if audio == "after" else sound
        (stream.height, stream.width), stream.pix_fmt = size, pix_fmt
        context = stream.codec_context
        context.time_base, context.thread_count = tick, 1
        context.flags |= av.codec.context.Flags.bitexact
        if interlaced:
            context.flags |= av.codec.context.Flags.interlaced_dct
        if sound:
            container.mux(sound.encode(_silence(frames / FPS)))
            container.mux(sound.encode(None))
        for index, stamp in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(index, size, shift), "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = stamp, tick
            container.mux([packet for packet in stream.encode(frame) if keep(packet)])
        container.mux([packet for packet in stream.encode(None) if keep(packet)])
        name = context.codec.canonical_name
    times = tuple(float((stamp - pts[0]) * tick) for stamp in pts)
    return Specimen("", path, "", len(pts), times, float(pts[0] * tick), size, 0, shift, name)


def _silence(seconds: float) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, int(16000 * seconds)), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
    return frame


def x264(**params) -> dict[str, str]:
    """Options for libx264: the given parameters, no scene-cut detection, everything else fast and fixed."""
    params = {"scenecut": 0, "b_adapt": 0, "bframes": 0, "keyint": 250} | params
    text = ":".join(f"{name.replace('_', '-')}={value}" for name, value in params.items())
    return {"preset": "veryfast", "x264-params": text}


# --- H.264, one feature at a time -----------------------------------------------------------------------------------


@good
def h264_p_only(folder):
    """H.264 in MP4, one key frame, then P-frames only."""
    return write(folder / "p_only.mp4", options=x264())


@good
def h264_b_frames(folder):
    """H.264 in MP4 with two B-frames between references, a key frame every 6 frames."""
    return write(folder / "b_frames.mp4", options=x264(bframes=2, keyint=6))


@good
def h264_b_pyramid(folder):
    """H.264 with three B-frames in a row, the middle one a reference."""
    return write(folder / "b_pyramid.mp4", options=x264(bframes=3, b_pyramid="normal"))


@good
def h264_open_gop(folder):
    """H.264 with open GOPs: B-frames before a key frame in display order refer across it."""
    return write(folder / "open_gop.mp4", options=x264(bframes=2, keyint=6, open_gop=1), frames=18)


@good
def h264_constant_qp(folder):
    """H.264 at a constant quantiser: I 25, P 28, B 30 (x264's usual ratios)."""
    return write(folder / "constant_qp.mp4", options=x264(bframes=2, qp=28))


@good
def h264_slices(folder):
    """H.264 with four slices in every picture."""
    return write(folder / "slices.mp4", options=x264(slices=4))


@good
def h264_10_bit(folder):
    """H.264 High 10: ten bits a sample."""
    return write(folder / "10_bit.mp4", options=x264(bframes=2), pix_fmt="yuv420p10le")


@good
def h264_interlaced(folder):
    """H.264 with interlaced coding, top field first."""
    return write(folder / "interlaced.mp4", options=x264(interlaced=1), interlaced=True)


@good
def h264_odd_size(folder):
    """H.264 4:4:4, 175 pixels wide and 143 high: no multiple of anything."""
    return write(folder / "odd.mp4", options=x264(), size=(143, 175), pix_fmt="yuv444p")


@good
def h264_cropped(folder):
    """H.264, 174x142 within macroblocks of 176x144: the decoder crops."""
    return write(folder / "cropped.mp4", options=x264(bframes=2), size=(142, 174))


# --- known translations, for motion vectors to a quarter pixel ------------------------------------------------------

SEARCH = {"ref": 1, "subme": 9, "me": "umh", "weightp": 0, "crf": 10, "aq_mode": 0}


@good
def translation_integer(folder):
    """A translation by (3, -2) pixels per frame, P-frames only, one reference, careful motion search."""
    return write(folder / "integer.mp4", options=x264(**SEARCH), shift=(3.0, -2.0))


@good
def translation_quarter(folder):
    """A translation by (1.25, -0.75) pixels per frame, P-frames only, one reference, careful motion search."""
    return write(folder / "quarter.mp4", options=x264(**SEARCH))


@good
def translation_b_frames(folder):
    """A translation by (1.25, -0.75) pixels per frame, careful motion search: I b b P b b P ..., B-frames never referred to.

    So a P-frame's reference is 3 frames back, and a B-frame's are the I- or P-frames on either side, 1 and 2 frames off.
    """
    options = x264(bframes=2, b_pyramid="none", weightb=0, **SEARCH)
    return write(folder / "quarter_b.mp4", options=options, frames=13)


@good
def translation_mpeg4(folder):
    """A translation by (2, -1) pixels per frame, MPEG-4 Part 2, P-frames only."""
    options = {"qmin": "2", "qmax": "2", "g": "250", "motion_est": "epzs"}
    return write(folder / "mpeg4_shift.mp4", "mpeg4", options, shift=(2.0, -1.0))


# --- other codecs and containers ------------------------------------------------------------------------------------


@good
def hevc(folder):
    """HEVC in MP4 with B-frames."""
    params = "log-level=none:pools=none:frame-threads=1:bframes=2:keyint=6:scenecut=0"
    return write(folder / "hevc.mp4", "libx265", {"preset": "ultrafast", "x265-params": params})


@good
def vp9(folder):
    """VP9 in WebM."""
    return write(folder / "vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "6"})


@good
def vp9_odd_size(folder):
    """VP9 4:2:0 in WebM, 175 pixels wide and 143 high."""
    return write(folder / "vp9_odd.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, size=(143, 175))


@good
def av1(folder):
    """AV1 in MP4."""
    os.environ.setdefault("SVT_LOG", "1")  # no banner on stderr
    return write(folder / "av1.mp4", "libsvtav1", {"preset": "10", "svtav1-params": "lp=1", "g": "6"})


@good
def mpeg4(folder):
    """MPEG-4 Part 2 in MP4 with B-frames."""
    return write(folder / "mpeg4.mp4", "mpeg4", {"bf": "2", "g": "6"})


@good
def mjpeg(folder):
    """Motion JPEG in MOV: every picture stands alone, there is no motion."""
    return write(folder / "mjpeg.mov", "mjpeg", pix_fmt="yuvj420p")


@good
def mov(folder):
    """H.264 with B-frames in QuickTime MOV."""
    return write(folder / "b_frames.mov", options=x264(bframes=2))


@good
def mkv(folder):
    """H.264 with B-frames in Matroska, times rounded to milliseconds."""
    return write(folder / "b_frames.mkv", options=x264(bframes=2))


@good
def avi(folder):
    """MPEG-4 Part 2 in AVI, which stores no presentation times."""
    return write(folder / "mpeg4.avi", "mpeg4", {"g": "6"})


@good
def mpegts(folder):
    """H.264 with B-frames in an MPEG transport stream, whose clock starts where the muxer likes."""
    return replace(write(folder / "b_frames.ts", options=x264(bframes=2, keyint=6)), start=None)


@good
def fragmented_mp4(folder):
    """H.264 in fragmented MP4: the header knows neither frames nor duration."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    return write(folder / "fragmented.mp4", options=x264(keyint=6), muxer_options=options)


@good
def raw_h264(folder):
    """A bare H.264 stream: no container, no times; 25 pictures a second is FFmpeg's assumption too."""
    return replace(write(folder / "raw.h264", options=x264(), muxer="h264"), start=None)


@good
def no_duration(folder):
    """H.264 in Matroska as a live recorder leaves it: no duration, no index."""
    return write(folder / "live.mkv", options=x264(keyint=6), muxer_options={"live": "1"})


# --- time, orientation, company, length -----------------------------------------------------------------------------

UNEVEN = [0, 40, 80, 200, 240, 520, 530, 540, 900, 940, 1000, 1500]  # milliseconds


@good
def variable_frame_rate_mkv(folder):
    """Uneven presentation times in Matroska, with B-frames."""
    return write(folder / "uneven.mkv", options=x264(bframes=2), pts=UNEVEN, tick=Fraction(1, 1000))


@good
def variable_frame_rate_mp4(folder):
    """Uneven presentation times in MP4, with B-frames."""
    return write(folder / "uneven.mp4", options=x264(bframes=2), pts=UNEVEN, tick=Fraction(1, 1000))


@good
def late_start_mkv(folder):
    """The first picture is shown at 3 s; Matroska."""
    return write(folder / "late.mkv", options=x264(bframes=2), pts=range(75, 75 + FRAMES))


@good
def late_start_mp4(folder):
    """The first picture is shown at 3 s; MP4 with an empty edit."""
    return write(folder / "late.mp4", options=x264(bframes=2), pts=range(75, 75 + FRAMES))


@good
def edit_list(folder):
    """An MP4 whose edit list starts at the fifth picture: four are decoded but never shown."""
    whole = write(folder / "edit.mp4", options=x264(bframes=2))
    data, skip = bytearray(whole.path.read_bytes()), 4
    at = data.index(b"elst")
    length, begin = struct.unpack_from(">II", data, at + 12)
    scale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]  # ticks a second of the track
    struct.pack_into(">II", data, at + 12, length - 1000 * skip // FPS, begin + scale * skip // FPS)
    whole.path.write_bytes(data)
    return replace(whole, frames=FRAMES - skip, times=whole.times[:-skip])


def _turned(folder: Path, degrees: int, a: int, b: int, c: int, d: int, x: int, y: int) -> Specimen:
    """Patch the track header's matrix; FFmpeg counts rotation counter-clockwise, the matrix acts on (x, y down)."""
    whole = write(folder / f"turned_{degrees}.mp4", options=x264(bframes=2))
    data = bytearray(whole.path.read_bytes())
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30]
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *matrix)
    whole.path.write_bytes(data)
    return replace(whole, rotation=degrees)


@good
def rotated_90(folder):
    """Shown turned by 90 degrees clockwise, as a telephone held upright records."""
    return _turned(folder, -90, 0, 1, -1, 0, SIZE[0], 0)


@good
def rotated_180(folder):
    """Shown upside down."""
    return _turned(folder, -180, -1, 0, 0, -1, SIZE[1], SIZE[0])


@good
def rotated_270(folder):
    """Shown turned by 90 degrees counter-clockwise."""
    return _turned(folder, 90, 0, -1, 1, 0, 0, SIZE[1])


@good
def audio_before(folder):
    """A silent track is stream 0, the video is stream 1."""
    return write(folder / "sound_first.mp4", options=x264(bframes=2), audio="before")


@good
def audio_after(folder):
    """The video is stream 0, a silent track stream 1."""
    return write(folder / "sound_last.mkv", options=x264(bframes=2), audio="after")


@good
def one_frame(folder):
    """A single picture."""
    return write(folder / "one.mp4", options=x264(), frames=1)


@good
def short(folder):
    """Five pictures, 0.2 s: shorter than a bin of bit cost."""
    return write(folder / "short.mp4", options=x264(bframes=2), frames=5)


# --- bad input ------------------------------------------------------------------------------------------------------


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
        container.mux(stream.encode(_silence(1.0)))
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
        container.mux(sound.encode(_silence(1.0)) + sound.encode(None))
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
    path = write(folder / "absurd.h264", options=x264(), muxer="h264").path
    units = path.read_bytes().split(b"\x00\x00\x00\x01")
    units = [_parameter_set(100_000 // 16, 100_000 // 16) if unit[:1] == b"\x67" else unit for unit in units]
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
