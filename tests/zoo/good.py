"""Videos that must read whole, however odd."""

import os
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from .kit import FPS, FRAMES, SIZE, Specimen, good, write, x264

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
def h264_intra_refresh(folder):
    """H.264 that renews a column at a time: its later key frames are only points where recovery begins."""
    return write(folder / "intra_refresh.mp4", options=x264(intra_refresh=1, keyint=6))


@good
def h264_all_intra(folder):
    """H.264 of key frames only: quantisers but no vectors."""
    return write(folder / "all_intra.mp4", options=x264(keyint=1))


@good
def h264_10_bit(folder):
    """H.264 High 10: ten bits a sample."""
    return write(folder / "10_bit.mp4", options=x264(bframes=2), pix_fmt="yuv420p10le")


@good
def hdr_pq(folder):
    """H.264 High 10 tagged as high dynamic range: PQ, BT.2020."""
    tags = x264(bframes=2, colorprim="bt2020", transfer="smpte2084", colormatrix="bt2020nc")
    return write(folder / "hdr.mp4", options=tags, pix_fmt="yuv420p10le")


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
def hevc_open_gop(folder):
    """HEVC with open GOPs."""
    params = "log-level=none:pools=none:frame-threads=1:bframes=2:b-adapt=0:keyint=6:min-keyint=6:scenecut=0:open-gop=1"
    return write(folder / "hevc_open_gop.mp4", "libx265", {"preset": "ultrafast", "x265-params": params}, frames=18)


@good
def vp9_odd_size(folder):
    """VP9 4:2:0 in WebM, 175 pixels wide and 143 high."""
    return write(folder / "vp9_odd.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, size=(143, 175))


@good
def vp9_segments(folder):
    """VP9 whose decoder exports quantisers in units of its own, since pictures are cut into segments."""
    return write(folder / "segments.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "aq-mode": "3", "b": "200k"})


@good
def vp8_hidden(folder):
    """VP8 in WebM whose fifth picture is hidden: later ones refer to it, but it is never shown."""
    whole = write(folder / "plain.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"})
    path, hidden = folder / "hidden.webm", 4
    with av.open(str(whole.path)) as source, av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            data = bytearray(bytes(packet))
            data[0] &= ~(16 if number == hidden else 0)  # the bit show_frame of the frame tag
            copy = av.Packet(bytes(data))
            copy.stream, copy.pts, copy.dts, copy.time_base = stream, packet.pts, packet.dts, packet.time_base
            copy.is_keyframe = packet.is_keyframe
            container.mux(copy)
    return replace(whole, path=path, frames=FRAMES - 1, times=whole.times[:hidden] + whole.times[hidden + 1 :])


@good
def av1(folder):
    """AV1 in MP4: some packets hold several pictures of which one is shown, others only say "show that one now"."""
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
def avi_b_frames(folder):
    """MPEG-4 Part 2 with B-frames in AVI: order and times follow from the decoder alone."""
    return replace(write(folder / "b_frames.avi", "mpeg4", {"bf": "2", "g": "6"}), start=None)


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
    return replace(write(folder / "raw.h264", options=x264(keyint=6), muxer="h264"), start=None, stamped=False)


@good
def raw_h264_b_frames(folder):
    """A bare H.264 stream with B-frames: only a decoder knows in which order its pictures are shown."""
    whole = write(folder / "raw_b.h264", options=x264(bframes=2, keyint=6), muxer="h264")
    return replace(whole, start=None, stamped=False)


@good
def raw_hevc(folder):
    """A bare HEVC stream with B-frames."""
    params = "log-level=none:pools=none:frame-threads=1:bframes=2:keyint=6:scenecut=0"
    whole = write(folder / "raw.hevc", "libx265", {"preset": "ultrafast", "x265-params": params}, muxer="hevc")
    return replace(whole, start=None, stamped=False)


@good
def avi_h264_b_frames(folder):
    """H.264 with B-frames in AVI: what passes for presentation times follows decode order, and is wrong."""
    return replace(write(folder / "h264.avi", options=x264(bframes=2, keyint=6)), start=None, stamped=False)


@good
def flv(folder):
    """H.264 with B-frames in FLV, whose first picture stands at the decoder's delay."""
    return replace(write(folder / "b_frames.flv", options=x264(bframes=2, keyint=6)), start=None)


@good
def mpeg2_program_stream(folder):
    """MPEG-2 with B-frames in a program stream, which cannot be searched precisely."""
    return replace(write(folder / "b_frames.mpg", "mpeg2video", {"bf": "2", "g": "6"}), start=None)


@good
def mpeg2_interlaced(folder):
    """MPEG-2 with interlaced coding, as on a DVD."""
    return replace(write(folder / "interlaced.mpg", "mpeg2video", {"bf": "2", "g": "6"}, interlaced=True), start=None)


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
def screen_recording(folder):
    """20 pictures a second for a moment, then one in 5 seconds, as a screen recorder writes them."""
    pts = [*range(0, 600, 50), *range(5000, 30000, 5000)]
    return write(folder / "screen.mp4", options=x264(), frames=len(pts), pts=pts, tick=Fraction(1, 1000))


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


def _turned(folder: Path, degrees: int, a: int, b: int, c: int, d: int, x: int, y: int, mirrored=False) -> Specimen:
    """Patch the track header's matrix; FFmpeg counts rotation counter-clockwise, the matrix acts on (x, y down)."""
    whole = write(folder / f"turned_{degrees}_{mirrored}.mp4", options=x264(bframes=2))
    data = bytearray(whole.path.read_bytes())
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30]
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *matrix)
    whole.path.write_bytes(data)
    return replace(whole, rotation=degrees, mirrored=mirrored)


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
def mirrored(folder):
    """Shown with left and right exchanged, as a front camera stores it."""
    return _turned(folder, 0, -1, 0, 0, 1, SIZE[1], 0, mirrored=True)


@good
def upside_down(folder):
    """Shown with top and bottom exchanged: mirrored and turned by 180 degrees."""
    return _turned(folder, 180, 1, 0, 0, -1, 0, SIZE[0], mirrored=True)


@good
def transposed(folder):
    """Shown with rows and columns exchanged: mirrored and turned by 90 degrees counter-clockwise."""
    return _turned(folder, 90, 0, 1, 1, 0, 0, 0, mirrored=True)


@good
def turned_mkv(folder):
    """A quarter turn clockwise, as Matroska stores it."""
    return write(folder / "turned.mkv", options=x264(bframes=2), rotation=-90)


def filtered(source: Path, target: Path, bitstream_filter: str) -> Path:
    """Copy a file through a bitstream filter."""
    with av.open(str(source)) as whole, av.open(str(target), "w", options={"fflags": "+bitexact"}) as copy:
        stream = copy.add_stream_from_template(whole.streams.video[0])
        changed = av.bitstream.BitStreamFilterContext(bitstream_filter, whole.streams.video[0], stream)
        for packet in whole.demux(video=0):
            for copied in changed.filter(packet if packet.size else None):
                copied.stream = stream
                copy.mux(copied)
    return target


@good
def turned_by_message(folder):
    """A quarter turn counter-clockwise that the bitstream itself asks for."""
    whole = write(folder / "straight.mp4", options=x264(bframes=2))
    message = "h264_metadata=display_orientation=insert:rotate=90"
    return replace(whole, path=filtered(whole.path, folder / "message.mp4", message), rotation=90)


def _cropped(folder: Path, left=0, top=0, right=0, bottom=0) -> Specimen:
    """The coded picture is larger; a bitstream filter writes the cropping into the parameter set."""
    size = (SIZE[0] + top + bottom, SIZE[1] + left + right)
    whole = write(folder / "whole.mp4", options=x264(bframes=2), size=size)
    sides = f"h264_metadata=crop_left={left}:crop_top={top}:crop_right={right}:crop_bottom={bottom}"
    return replace(whole, path=filtered(whole.path, folder / "cropped.mp4", sides), size=SIZE, cropped=(left, top))


@good
def cropped_right(folder):
    """H.264 that cuts 32 columns off its right side."""
    return _cropped(folder, right=32)


@good
def cropped_all_round(folder):
    """H.264 that cuts macroblocks off on all sides, 32 columns on the left and 16 rows at the top."""
    return _cropped(folder, left=32, top=16, right=48, bottom=32)


@good
def cropped_askew(folder):
    """H.264 that cuts through macroblocks at the left and at the top."""
    return _cropped(folder, left=28, top=6, right=4, bottom=10)


@good
def anamorphic(folder):
    """Pixels wider than high, as on a wide-screen DVD: 32:27, said by the codec alone."""
    return replace(write(folder / "anamorphic.ts", options=x264(bframes=2), aspect=Fraction(32, 27)), start=None)


@good
def anamorphic_container(folder):
    """The codec says 8:9, the container 4:3: the container counts."""
    whole = write(folder / "anamorphic.mp4", options=x264(bframes=2), aspect=Fraction(8, 9))
    data = bytearray(whole.path.read_bytes())
    struct.pack_into(">II", data, data.index(b"pasp") + 4, 4, 3)
    whole.path.write_bytes(data)
    return replace(whole, aspect=Fraction(4, 3))


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
