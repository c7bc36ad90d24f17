"""Scaled pictures have the right colours, whatever range, matrix, transfer or lines they were coded with."""

import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
import zoo

from ov2lib.video.decode import decode
from ov2lib.video.scaler import Scaler, deinterlaced, plane
from ov2lib.video.source import Source
from ov2lib.video.tone import to_sdr

HEIGHT, WIDTH = 96, 128
BT709, BT601, LIMITED, FULL = 1, 5, 1, 2  # FFmpeg's numbers


def coded(pixels: np.ndarray, colorspace: int, color_range: int, pix_fmt="yuv420p") -> av.VideoFrame:
    """A picture in YUV, tagged as it was converted."""
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    frame = frame.reformat(format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range)
    frame.colorspace, frame.color_range, frame.pts, frame.time_base = colorspace, color_range, 0, Fraction(1, 25)
    return frame


# --- colour ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "nv12", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize("colorspace", [BT709, BT601])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_range_and_matrix_are_honoured(pix_fmt, colorspace, color_range):
    """As PyAV converts the whole picture; a wrong matrix is off by 8 levels and more here, a wrong range by 10."""
    if pix_fmt == "yuvj420p":
        color_range = FULL
    rgb = np.full((HEIGHT, WIDTH, 3), (200, 60, 40), np.uint8)
    rgb[:, WIDTH // 2 :] = 30, 90, 160
    picture = coded(rgb, colorspace, color_range, pix_fmt)
    for size in ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2)):
        small = Scaler(*size).rgb(picture).astype(int)
        whole = picture.to_ndarray(format="rgb24")[:: HEIGHT // size[0], :: WIDTH // size[1]]
        away = np.abs(np.arange(size[1]) - size[1] // 2) > 4  # from the edge between the colours
        assert np.abs(small - whole)[:, away].max() <= 5
        assert np.abs(small[0, [0, -1]] - rgb[0, [0, -1]]).max() <= 5


def test_a_common_picture_is_what_a_plain_conversion_gives():
    picture = coded(zoo.picture(0, (HEIGHT, WIDTH)), BT709, LIMITED)
    np.testing.assert_array_equal(Scaler(HEIGHT, WIDTH).rgb(picture), picture.to_ndarray(format="rgb24"))


# --- interlaced -----------------------------------------------------------------------------------------------------


def moving_bar(at: float) -> np.ndarray:
    """uint8 [H, W, 3]: a slanted bar over a fine texture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    gray = 128 + 40 * np.sin(x / 9) * np.sin(y / 7) + 30 * np.sin(x / 2.7 + y / 3.1)
    gray = np.where(np.abs(x - at - 0.3 * y) < 8, 230, gray)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def test_deinterlacing_takes_the_comb_out_and_keeps_what_rests():
    first, second = moving_bar(30), moving_bar(44)
    woven = first.copy()
    woven[1::2] = second[1::2]
    comb, rest, truth = (coded(pixels, BT601, LIMITED) for pixels in (woven, first, first))
    wrong = np.abs(plane(comb).astype(int) - plane(truth)).mean()
    assert np.abs(plane(deinterlaced(comb)).astype(int) - plane(truth)).mean() < wrong / 3
    assert np.abs(plane(deinterlaced(rest)).astype(int) - plane(truth)).mean() < wrong / 30


@pytest.mark.parametrize("height, width", [(2, 64), (64, 2), (1, 1), (3, 3)])
def test_pictures_too_small_to_deinterlace_come_as_they_are(height, width):
    picture = coded(np.full((height, width, 3), 90, np.uint8), BT601, LIMITED, "yuv444p")
    np.testing.assert_array_equal(plane(deinterlaced(picture)), plane(picture))


def test_only_interlaced_videos_are_deinterlaced_and_only_their_pictures(specimen):
    path = specimen("h264_interlaced").path
    picture = next(iter(decode(Source.open(path)))).picture
    plain, other = Scaler(*zoo.SIZE), Scaler(*zoo.SIZE, interlaced=True)
    assert (plain.rgb(picture) != other.rgb(picture)).any()
    np.testing.assert_array_equal(plain.gray(picture), other.gray(picture))


def test_a_picture_is_deinterlaced_by_itself(tmp_path):
    """Whatever was decoded before it: a part gives what the whole gives."""
    options = zoo.x264(bframes=2, keyint=6, interlaced=1)
    path = zoo.write(tmp_path / "interlaced.mp4", options=options, interlaced=True, frames=18).path
    source, scaler = Source.open(path), Scaler(64, 64, interlaced=True)
    whole = {frame.index: scaler.rgb(frame.picture) for frame in decode(source)}
    start = int(np.flatnonzero(source.packets.clean)[-1])
    part = {frame.index: Scaler(64, 64, interlaced=True).rgb(frame.picture) for frame in decode(source, start)}
    assert 0 < len(part) < len(whole)
    for index, picture in part.items():
        np.testing.assert_array_equal(picture, whole[index])


# --- high dynamic range ---------------------------------------------------------------------------------------------


def grays(transfer: str) -> np.ndarray:
    """int [256], what becomes of the grey of each code value."""
    shown = to_sdr(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2), transfer)
    assert (shown == shown[..., :1]).all()  # grey stays grey
    return shown[0, :, 0].astype(int)


@pytest.mark.parametrize("transfer, white, peak", [("PQ", 148, 192), ("HLG", 191, 255)])
def test_white_paper_is_bright_and_the_peak_is_white(transfer, white, peak):
    """203 cd/m² is code value .581 of PQ and .75 of HLG (BT.2408), 1,000 cd/m² is .752 and 1."""
    shown = grays(transfer)
    assert shown[0] == 0 and shown[peak] == 255 and 225 <= shown[white] <= 235
    assert (np.diff(shown) >= 0).all()


def test_tables_are_the_same_everywhere():
    rng = np.random.default_rng(0).integers(0, 256, (336, 448, 3)).astype(np.uint8)
    assert [zlib.crc32(to_sdr(rng, transfer)) for transfer in ("PQ", "HLG")] == [0x3C9FA02C, 0x96A881A5]


def test_colours_of_the_wider_gamut_become_those_of_the_narrower():
    """A red of BT.2020 lies outside BT.709: as red as can be, and nothing wraps round."""
    rgb = np.zeros((1, 3, 3), np.uint8)
    rgb[0, range(3), range(3)] = 140
    shown = to_sdr(rgb, "PQ")[0]
    assert (shown.argmax(axis=1) == [0, 1, 2]).all() and (np.sort(shown, axis=1)[:, :2] <= 60).all()


def test_a_picture_tagged_pq_is_mapped(specimen):
    known = specimen("hdr_pq")
    picture = next(iter(decode(Source.open(known.path)))).picture
    shown = Scaler(*zoo.SIZE).rgb(picture)
    picture.color_trc = 1  # BT.709
    np.testing.assert_array_equal(shown, to_sdr(Scaler(*zoo.SIZE).rgb(picture), "PQ"))
