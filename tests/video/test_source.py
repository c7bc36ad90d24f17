"""A file is opened once and read as far as it can be: odd order, damage, other streams; what reaches other files is refused."""

import itertools
import struct
import threading
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import zoo
from PIL import Image

from ov2lib import tokenize_frames, tokenize_video
from ov2lib.cli import main
from ov2lib.codec.config import FRONT_ENDS
from ov2lib.errors import Ov2Error, VideoError, VideoWarning
from ov2lib.video.decode import decode
from ov2lib.video.signals import read_signals
from ov2lib.video.source import Source
from ov2lib.video.stream import FORMATS


def plain(path) -> tuple[int, int]:
    """(pictures that PyAV decodes, those it calls corrupt), going on behind packets that fail."""
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                pictures += [picture.is_corrupt for picture in stream.codec_context.decode(packet if packet.size else None)]
            except av.error.FFmpegError:
                continue
    return len(pictures), sum(pictures)


def read(path, **options) -> tuple[Source, list]:
    """The source and its frames, whatever is damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoWarning)
        source = Source.open(path, **options)
        frames = list(decode(source))
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert (np.diff(source.packets.frame_times) >= 0).all() and source.packets.frame_times[0] == 0
    return source, frames


def without(path, number: int, **options):
    """An H.264 file of 50 pictures without packet `number`."""
    count = itertools.count()
    return zoo.write(path, options=zoo.x264(**options), frames=50, keep=lambda packet: next(count) != number).path


# --- which pictures are shown, and when -----------------------------------------------------------------------------


def test_equal_times_keep_every_frame_in_order(tmp_path):
    """2000 frames a second on Matroska's clock of milliseconds."""
    known = zoo.write(tmp_path / "fast.mkv", options=zoo.x264(), pts=range(12), tick=Fraction(1, 2000))
    source, frames = read(known.path)
    assert [frame.order for frame in frames] == list(range(12))
    np.testing.assert_allclose(source.packets.frame_times, known.times, atol=6e-4)


def test_a_gif_with_a_comment_behind_its_last_picture(tmp_path):
    path = zoo.write(tmp_path / "a.gif", "gif", frames=6, pix_fmt="rgb8").path
    path.write_bytes(path.read_bytes()[:-1] + b"\x21\xfe\x05hello\x00\x3b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_signals(path))) == 6


@pytest.mark.parametrize("codec, suffix", [("mpeg4", "mp4"), ("h263", "3gp")])
def test_a_key_flag_on_every_packet_is_not_believed(codec, suffix, tmp_path):
    """The stream is joined late: its first seven pictures are predicted from one that is gone."""
    whole, path = zoo.write(tmp_path / f"whole.{suffix}", codec, {"g": "10"}, frames=30).path, tmp_path / f"flags.{suffix}"
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in [p for p in source.demux(video=0) if p.size][3:]:
            packet.stream, packet.is_keyframe = stream, True
            container.mux(packet)
    listed, frames = read(path)
    assert listed.packets.kind[:8].tolist() == list("PPPPPPPI") and np.flatnonzero(listed.packets.key).tolist() == [7, 17]
    _, originals = read(whole)
    assert len(frames) == 20
    np.testing.assert_array_equal([f.luma for f in frames], [f.luma for f in originals[10:]])


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_intra_refresh_joined_late(suffix, tmp_path):
    path = without(tmp_path / f"late.{suffix}", 0, intra_refresh=1, keyint=10)
    _, frames = read(path)
    assert len(frames) == plain(path)[0] > 0


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_a_size_that_changes_is_scaled_to_the_first(codec, tmp_path):
    options, path = {"deadline": "realtime", "cpu-used": "8"}, tmp_path / "resized.mkv"
    sizes = [zoo.SIZE, (96, 128), zoo.SIZE]
    parts = [zoo.write(tmp_path / f"{i}.mkv", codec, options, size=size).path for i, size in enumerate(sizes)]
    with av.open(str(parts[0])) as template, av.open(str(path), "w") as container:
        stream, time = container.add_stream_from_template(template.streams.video[0]), itertools.count(0, 40)
        for part in parts:
            with av.open(str(part)) as source:
                for packet in (p for p in source.demux(video=0) if p.size):
                    packet.stream, packet.pts = stream, next(time)
                    packet.dts = packet.pts
                    container.mux(packet)
    _, frames = read(path)
    assert len(frames) == 36 and {frame.luma.shape for frame in frames} == {zoo.SIZE}
    small = np.asarray(Image.fromarray(zoo.picture(3, sizes[1])).resize(zoo.SIZE[::-1], Image.Resampling.BILINEAR))
    assert np.abs(frames[15].luma - small.mean(axis=2)).mean() < 15
    assert main(["inspect", str(path)]) == 0
    for front_end in FRONT_ENDS:
        assert len(tokenize_video(path, front_end, 4).frame_times) == 36


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix, options", [("flv", {"bframes": 2}), ("ts", {"bframes": 2}), ("ts", {})])
@pytest.mark.parametrize("sixteenth", [1, 5, 8, 11, 15])
def test_a_recording_cut_anywhere_gives_what_a_plain_decode_gives(suffix, options, sixteenth, tmp_path):
    whole = zoo.write(tmp_path / f"whole.{suffix}", options=zoo.x264(keyint=25, **options), frames=50).path.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: len(whole) * sixteenth // 16])
    expected = plain(path)[0]
    if expected:
        assert len(read(path)[1]) == expected
    else:  # not even the first picture is whole
        with pytest.raises(VideoError):
            Source.open(path)


@pytest.mark.parametrize("sixteenth", [2, 7, 12])
def test_a_lost_packet_costs_no_other_frame(sixteenth, tmp_path):
    path = zoo.write(tmp_path / "lost.ts", options=zoo.x264(bframes=2, keyint=10), frames=50).path
    data = path.read_bytes()
    at = len(data) // 188 * sixteenth // 16 * 188
    path.write_bytes(data[:at] + data[at + 188 :])
    assert len(read(path)[1]) == plain(path)[0] >= 48


@pytest.mark.parametrize("number", [0, 10])
def test_a_lost_key_frame_costs_the_frames_up_to_the_next(number, tmp_path):
    path = without(tmp_path / "headless.mp4", number, keyint=10)
    source, frames = read(path)
    assert len(frames) == plain(path)[0] == (40 if number == 0 else 41)
    for front_end in FRONT_ENDS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VideoWarning)
            tokens = tokenize_video(path, front_end, 8)
        shown = tokens.patch_positions[:, 0]
        assert set(shown[shown >= 0]) <= {frame.index for frame in frames}


def joined(folder):
    """Two transport streams of 20 pictures, one behind the other."""
    parts = [zoo.write(folder / f"{i}.ts", options=zoo.x264(), frames=20).path.read_bytes() for i in range(2)]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(parts))
    return path


def hole(folder):
    """200 pictures, twenty a GOP; the bytes of number 112 are overwritten."""
    path = zoo.write(folder / "hole.mp4", options=zoo.x264(keyint=20), frames=200).path
    with av.open(str(path)) as container:
        lost = [packet for packet in container.demux(video=0) if packet.size][112]
    data = bytearray(path.read_bytes())
    data[lost.pos + 12 : lost.pos + lost.size] = bytes([255]) * (lost.size - 12)
    path.write_bytes(data)
    return path


def test_joined_recordings_follow_each_other(tmp_path):
    path = joined(tmp_path)
    with pytest.warns(VideoWarning, match="jump back near 0.76 s") as told:
        frames = list(read_signals(path))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(40) / zoo.FPS, atol=1e-3)
    assert len(told) == 1


def test_a_damaged_picture_is_shown_nowhere(tmp_path):
    path = hole(tmp_path)
    source, frames = read(path)
    assert {f.index for f in frames if not f.damaged} == set(range(200)) - {112} and len(source.packets.frame_times) == 200
    for front_end in FRONT_ENDS:
        with pytest.warns(VideoWarning, match=r"1 damaged frame, the first near 4.48 s") as told:
            tokens = tokenize_video(path, front_end, 64, workers=2)
        assert len(told) == 1 and 112 not in tokens.patch_positions[:, 0]
    with pytest.warns(VideoWarning, match="4.48 s"):
        assert len(tokenize_frames(path, num_frames=200).canvases) == 199


def test_the_number_of_threads_changes_nothing_in_a_damaged_file(tmp_path):
    path = hole(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoWarning)
        one, three = (tokenize_video(path, workers=workers) for workers in (1, 3))
    np.testing.assert_array_equal(one.canvases, three.canvases)
    np.testing.assert_array_equal(one.patch_positions, three.patch_positions)


@pytest.mark.parametrize("make", [joined, hole])
def test_damage_is_refused_where_asked_for(make, tmp_path, capsys):
    path = make(tmp_path)
    for use in (read_signals, tokenize_video, tokenize_frames):
        with pytest.raises(VideoError) as told:
            list(use(path, damaged="refuse")) if use is read_signals else use(path, damaged="refuse")
        assert "ffmpeg -i" in told.value.remedy or "again" in told.value.remedy
    assert main(["tokenize", str(path), "--out", str(tmp_path / "out"), "--damaged", "refuse"]) == 2
    assert not (tmp_path / "out").exists() and capsys.readouterr().err.count("\n") == 1
    assert main(["tokenize", str(path), "--out", str(tmp_path / "out"), "--canvases", "4"]) == 0
    assert capsys.readouterr().err.startswith("ov2: warning: ")


@pytest.mark.parametrize("matrix", ["YCgCo", "bt2020c", "bt709"])
def test_colours_that_the_scaler_does_not_know_are_read(matrix, tmp_path):
    path = zoo.write(tmp_path / "a.mp4", options=zoo.x264(colormatrix=matrix)).path
    assert len(tokenize_frames(path, num_frames=4).canvases) == 4
    assert tokenize_video(path, num_canvases=4).canvases.std() > 0


def test_another_policy_is_no_policy(specimen):
    with pytest.raises(Ov2Error, match="skip, refuse"):
        Source.open(specimen("h264_p_only").path, damaged="mend")


@pytest.mark.parametrize("make", [joined, hole])
def test_the_remedy_helps(make, tmp_path):
    """What `ffmpeg -i IN ... OUT.mp4` does, done by hand: all that decodes is encoded again, at even times."""
    path, out = make(tmp_path), tmp_path / "mended.mp4"
    with av.open(str(path)) as source, av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=zoo.FPS)
        (stream.height, stream.width), stream.pix_fmt = zoo.SIZE, "yuv420p"
        for number, picture in enumerate(source.decode(video=0)):
            picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, zoo.FPS), 0
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    source = Source.open(out, damaged="refuse")
    assert len(list(decode(source))) == plain(path)[0]


def test_every_start_knows_the_version_of_x264(tmp_path):
    """The first packet alone names it, and of 4:4:4 from before 151 decoders expect another syntax.

    Today's encoder does not write that, so that claiming to be an old one makes key frames of a whole decode fail; a part
    fails alike only if it knows the version too.
    """
    path = zoo.write(tmp_path / "old.mkv", options=zoo.x264(keyint=6), pix_fmt="yuv444p", frames=18).path
    data = path.read_bytes()
    at = data.index(b"x264 - core ") + 12
    path.write_bytes(data[:at] + b"142" + data[at + 3 :])
    source, frames = read(path)
    assert [frame.index for frame in frames if frame.damaged] == [6, 12]
    for start in (6, 12):
        assert next(decode(source, start)).damaged


# --- streams and formats --------------------------------------------------------------------------------------------


@pytest.fixture
def two_streams(tmp_path):
    """A one-picture thumbnail, 96x80, and then the film."""
    path = tmp_path / "thumb.mkv"
    with av.open(str(path), "w") as container:
        thumb, film = container.add_stream("mjpeg", rate=1), container.add_stream("libx264", rate=zoo.FPS, options=zoo.x264())
        (thumb.height, thumb.width), thumb.pix_fmt = (80, 96), "yuvj420p"
        (film.height, film.width), film.pix_fmt = zoo.SIZE, "yuv420p"
        picture = av.VideoFrame.from_ndarray(zoo.picture(0, (80, 96)), "rgb24").reformat(format="yuvj420p")
        container.mux(thumb.encode(picture) + thumb.encode(None))
        for index in range(zoo.FRAMES):
            container.mux(film.encode(av.VideoFrame.from_ndarray(zoo.picture(index), "rgb24").reformat(format="yuv420p")))
        container.mux(film.encode(None))
    return path


def test_the_film_is_taken_and_not_its_thumbnail(two_streams, capsys):
    assert Source.open(two_streams).stream == 1
    assert len(list(read_signals(two_streams))) == len(tokenize_frames(two_streams, 12).canvases) == zoo.FRAMES
    assert len(list(read_signals(two_streams, stream=0))) == len(tokenize_frames(two_streams, stream=0).canvases) == 1
    assert main(["inspect", str(two_streams), "--stream", "0"]) == 0
    told = capsys.readouterr().out
    assert "0: video, mjpeg, 96x80 (read)" in told and "1: video, h264, 176x144\n" in told


@pytest.mark.parametrize("number", [2, -1])
def test_a_stream_that_is_not_there_is_refused(two_streams, number):
    with pytest.raises(VideoError, match="choose among 0, 1"):
        Source.open(two_streams, number)


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npart.ts\n#EXT-X-ENDLIST\n",
    "live": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npart.ts\n",
    "ffconcat": "ffconcat version 1.0\nfile part.ts\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 1234 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("suffix", [None, "mp4"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_are_not_followed(kind, suffix, tmp_path):
    zoo.write(tmp_path / "part.ts", options=zoo.x264())
    path = tmp_path / f"list.{suffix or kind.replace('live', 'm3u8')}"
    path.write_text(PLAYLISTS[kind])
    with pytest.raises(VideoError, match="cannot be read as video"):
        Source.open(path)


def test_a_name_like_a_pattern_reads_no_other_file(tmp_path):
    for name in ("img%03d.png", "img001.png", "img002.png"):
        Image.fromarray(zoo.picture(0)).save(tmp_path / name)
    with pytest.raises(VideoError, match="tokenize_image"):
        Source.open(tmp_path / "img%03d.png")


@pytest.mark.parametrize("address", ["https://example.com/a.mp4", "rtsp://example.com/live"])
def test_addresses_are_refused(address):
    with pytest.raises(VideoError, match="download it first"):
        Source.open(address)


def test_an_animated_webp_is_called_one(tmp_path):
    pictures = [Image.fromarray(zoo.picture(index)) for index in range(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:])
    with pytest.raises(VideoError, match="animated WebP"):
        Source.open(tmp_path / "a.webp")


def test_no_format_refers_to_other_files():
    reaching = {"hls", "concat", "concatf", "dash", "imf", "image2", "image2pipe", "sdp", "rtsp", "rtp", "sap", "mlv", "vobsub"}
    assert reaching.isdisjoint(FORMATS) and not {"lavfi", "x11grab", "v4l2", "webm_dash_manifest", "data"} & set(FORMATS)


def test_an_absurd_frame_number_is_no_overflow(tmp_path):
    """A parameter set that gives frame numbers more bits than any integer has."""
    path = zoo.write(tmp_path / "plain.h264", options=zoo.x264(), muxer="h264").path
    bits = f"{77:08b}{0:08b}{30:08b}" + zoo.handmade.golomb(0) + zoo.handmade.golomb(1 << 20) + zoo.handmade.golomb(2)
    bits += zoo.handmade.golomb(1) + "0" + zoo.handmade.golomb(10) + zoo.handmade.golomb(8) + "00"
    path.write_bytes(path.read_bytes() + zoo.handmade.nal_unit(0x67, bits) + struct.pack(">IB", 1, 0x41) + b"\xff" * 60)
    assert len(read(path)[1]) >= zoo.FRAMES


# --- progress, names, threads ---------------------------------------------------------------------------------------


def test_reading_reports_how_far_it_is(specimen):
    told = []
    path = specimen("h264_b_frames").path
    Source.open(path, progress=lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert told[-1] == (size, size) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_path_of_bytes_is_saved_as_text(specimen, tmp_path):
    tokens = tokenize_video(str(specimen("h264_p_only").path).encode(), num_canvases=4)
    assert tokens.source == str(specimen("h264_p_only").path)
    tokens.save(tmp_path / "saved")


def test_the_configuration_names_the_codec_and_not_its_decoder(specimen):
    assert tokenize_video(specimen("av1").path, num_canvases=4).config["codec"] == "av1"


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_no_thread_outlives_an_error_of_the_caller(front_end, beach):
    before = set(threading.enumerate())

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as told:
        tokenize_video(beach, front_end, workers=3, progress=stop)
    assert set(threading.enumerate()) == before, told
