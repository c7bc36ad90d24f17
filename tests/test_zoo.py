"""The zoo's specimens are what they claim, checked with PyAV alone."""

import av
import numpy as np
import pytest
import zoo


def decoded(path, **options):
    limit = {"max_pixels": "1000000"}  # without it FFmpeg allocates whatever size a damaged file declares, on opening already
    with av.open(str(path), options=limit) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.options = limit | {"flags": "+unaligned"} | options  # to crop to the pixel
        return list(container.decode(stream))


@pytest.mark.parametrize("name", zoo.GOOD)
def test_good_specimens_decode_to_what_they_claim(name, specimen):
    known = specimen(name)
    frames = decoded(known.path)
    assert len(frames) == known.frames == len(known.times)
    assert (frames[0].height, frames[0].width) == known.size
    if not known.mirrored:  # of a mirrored picture FFmpeg's angle says little
        assert frames[0].rotation == known.rotation
    if known.stamped:
        times = np.array([float(frame.pts * frame.time_base) for frame in frames])
        np.testing.assert_allclose(times - times[0], known.times, atol=6e-4)  # Matroska counts milliseconds
        assert known.start is None or times[0] == pytest.approx(known.start)


@pytest.mark.parametrize("name", [name for name in zoo.GOOD if name not in ("h264_interlaced", "edit_list", "vp8_hidden")])
def test_pictures_come_in_order_and_look_as_painted(name, specimen):
    known = specimen(name)
    for index, frame in enumerate(decoded(known.path)):
        left, top = known.cropped
        size = (known.size[0] + top, known.size[1] + left)
        painted, *others = (zoo.picture(n, size, known.shift)[top:, left:].astype(float) for n in (index, index - 1, index + 1))
        errors = [np.abs(painted - other).mean() for other in others]
        assert np.abs(frame.to_ndarray(format="rgb24") - painted).mean() < min(errors)


@pytest.mark.parametrize("name, kinds", [("h264_p_only", {1, 2}), ("h264_b_frames", {1, 2, 3}), ("mpeg4", {1, 2, 3})])
def test_frame_kinds(name, kinds, specimen):
    assert {int(frame.pict_type) for frame in decoded(specimen(name).path)} == kinds


def test_av1_has_packets_that_only_show_an_earlier_picture(specimen):
    with av.open(str(specimen("av1").path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert len(sizes) == zoo.FRAMES and min(sizes) < 16


@pytest.mark.parametrize("name", [name for name in zoo.GOOD if name.startswith("translation")])
def test_translations_are_what_the_encoder_finds(name, specimen):
    known = specimen(name)
    found = []
    for frame in decoded(known.path, flags2="+export_mvs"):
        side = frame.side_data.get("MOTION_VECTORS")
        if side is not None and int(frame.pict_type) == 2:
            vectors = side.to_ndarray()
            found.append([np.median(vectors[axis] / vectors["motion_scale"]) for axis in ("motion_x", "motion_y")])
    apart = 3 if name == "translation_b_frames" else 1
    assert len(found) == (known.frames - 1) // apart
    np.testing.assert_array_equal(found, np.tile(-apart * np.array(known.shift), (len(found), 1)))


@pytest.mark.parametrize("name", zoo.BAD)
def test_bad_specimens_do_not_read_whole(name, specimen):
    known = specimen(name)
    try:
        pictures = decoded(known.path)
    except (av.FFmpegError, OSError, IndexError, AttributeError):  # what PyAV raises, which a reader must explain
        return
    assert known.expect != "fails" or len(pictures) < 2


def test_names_are_unique_and_explained(tmp_path):
    assert len(set(zoo.GOOD + zoo.BAD)) == len(zoo.GOOD) + len(zoo.BAD) == len(zoo.MAKERS)
    assert all(maker.__doc__ for maker in zoo.MAKERS.values())
    assert zoo.make("text", tmp_path).what == "A text file called .mp4."
