"""Any picture becomes 8-bit RGB with the right values, or one clear error."""

import io
import os
import struct
import subprocess
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps, PngImagePlugin
from transformers.image_transforms import convert_to_rgb

from ov2lib import tokenize_image
from ov2lib.errors import ImageError, Ov2Error, VideoWarning
from ov2lib.video import images
from ov2lib.video.images import MAX_PIXELS, open_image

RAMP = np.tile(np.linspace(0, 1, 256), (64, 1))  # left black, right white
COLOURS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def grey(image) -> np.ndarray:
    """The levels of a picture whose three channels are equal."""
    pixels = np.asarray(open_image(image))
    assert pixels.shape[2] == 3 and (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def tiff(values: np.ndarray, bits: int, sample_format: int = 1, photometric: int = 1, width: int = 0) -> bytes:
    """A grey little-endian TIFF by hand: Pillow writes neither 12 bits nor unsigned 32 nor inverted ones."""
    tags = [
        (256, 3, width or values.shape[1]), (257, 3, values.shape[0]), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8), (277, 3, 1), (278, 3, values.shape[0]), (279, 4, values.nbytes), (339, 3, sample_format),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    body = values.tobytes()
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def packed_12_bits(values: np.ndarray) -> np.ndarray:
    a, b = values[:, ::2].astype(np.uint16), values[:, 1::2].astype(np.uint16)
    return np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=-1).reshape(len(values), -1).astype(np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *extra: bytes, bits: int = 8, kind: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def bmp_with_palette(colours: int) -> bytes:
    """64x64 BMP of a palette; more than 256 colours are more than its pixels can name."""
    offset = 54 + 4 * colours
    palette = b"".join(bytes((level % 256, level % 256, level % 256, 0)) for level in range(colours))
    pixels = bytes(x * 4 for x in range(64)) * 64
    info = struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 8, 0, len(pixels), 2835, 2835, colours, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + info + palette + pixels


# greys of more than 8 bits


@pytest.mark.parametrize(
    ("top", "kind", "name"),
    [
        (65535, np.uint16, "grey16.png"),
        (65535, np.uint16, "grey16.tif"),
        (65535, np.uint16, "grey16.pgm"),
        (255, np.int32, "grey32.tif"),
        (65535, np.int32, "grey32.tif"),
        (2**31 - 1, np.int32, "grey32.tif"),
        (1, np.float32, "float.tif"),
        (65504, np.float32, "float.tif"),
    ],
)
def test_a_ramp_of_any_depth_stays_a_ramp(tmp_path, top, kind, name):
    picture = Image.fromarray((RAMP * top).astype(kind))
    picture.save(tmp_path / name)
    for given_as in (tmp_path / name, picture):
        np.testing.assert_allclose(grey(given_as), np.rint(255 * RAMP), atol=1)
        assert grey(given_as).mean() == pytest.approx(127.5, abs=1)


def test_greys_that_pillow_only_reads(tmp_path):
    twelve, full = np.rint(RAMP * 4095).astype(np.uint16), np.rint(RAMP * (2**32 - 1)).astype("<u4")
    for name, data, wanted in (
        ("12 bits", tiff(packed_12_bits(twelve), 12, width=256), RAMP),
        ("unsigned 32 bits", tiff(full, 32), RAMP),
        ("white is zero", tiff(np.rint(RAMP * 65535).astype("<u2"), 16, photometric=0), 1 - RAMP),
        ("signed 16 bits", tiff(np.rint(RAMP * 65535 - 32768).astype("<i2"), 16, sample_format=2), RAMP),
    ):
        (tmp_path / f"{name}.tif").write_bytes(data)
        np.testing.assert_allclose(grey(tmp_path / f"{name}.tif"), np.rint(255 * wanted), atol=1, err_msg=name)


def test_declared_ranges_are_kept_and_others_are_stretched(tmp_path):
    Image.fromarray(np.full((8, 8), 512, np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.full((8, 8), 512, np.uint16)).save(tmp_path / "dark.pgm")
    assert (grey(tmp_path / "dark.png") == 2).all() and (grey(tmp_path / "dark.pgm") == 2).all()
    half = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    assert (grey(half) == 128).all()
    assert np.unique(grey(Image.fromarray(np.array([[-40.0, 0.0, 40.0]], np.float32)))).tolist() == [0, 128, 255]
    assert (grey(Image.fromarray(np.full((8, 8), -3.0, np.float32))) == 0).all()


@settings(deadline=None)
@given(arrays.arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_no_float_is_an_error_and_order_is_kept(values):
    shown = grey(Image.fromarray(values)).ravel().astype(int)
    assert (shown[np.isnan(values).ravel()] == 0).all() and (shown[(values == np.inf).ravel()] == 255).all()
    sure = ~np.isnan(values).ravel()
    order = np.argsort(values.ravel()[sure], kind="stable")
    assert (np.diff(shown[sure][order]) >= 0).all()


def fits(values: np.ndarray, *cards: str) -> bytes:
    size = [f"BITPIX  = {8 * values.itemsize}", "NAXIS   = 2", f"NAXIS1  = {values.shape[1]}", f"NAXIS2  = {len(values)}"]
    header = "".join(card.ljust(80) for card in ("SIMPLE  =" + "T".rjust(21), *size, *cards, "END"))
    return header.ljust(2880).encode() + values.tobytes().ljust(2880, b"\0")


def test_fits_of_16_bits_are_signed_or_shifted(tmp_path):
    levels, path = np.array([[0, 257, 25700, 65535]]), tmp_path / "a.fits"
    path.write_bytes(fits((levels - 32768).astype(">i2"), "BSCALE  = 1.0", "BZERO   = 32768 / unsigned"))
    assert grey(path)[0].tolist() == [0, 1, 100, 255]
    path.write_bytes(fits(np.array([[-100, 0, 100]], ">i2")))
    assert grey(path)[0].tolist() == [0, 128, 255]
    path.write_bytes(fits(np.array([[0, 100]], ">i2"), "BSCALE  = 0.5"))
    with pytest.raises(ImageError, match="its values are scaled"):
        open_image(path)


def test_signed_tiffs_of_8_bits_are_refused_and_of_16_read(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[-100, 0, 100]], np.int8), 8, sample_format=2))
    with pytest.raises(ImageError, match="signed 8-bit"):
        open_image(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[-100, 0, 100]], "<i2"), 16, sample_format=2))
    assert grey(tmp_path / "a.tif")[0].tolist() == [0, 128, 255]


# colours


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_every_mode_becomes_what_the_published_processor_makes_of_it(mode):
    alpha = Image.fromarray(COLOURS[..., 0])
    picture = Image.fromarray(COLOURS).convert("RGBA")
    picture.putalpha(alpha)
    steps = {"PA": ("P", "PA"), "P": ("RGB", "P"), "HSV": ("RGB", "HSV"), "YCbCr": ("RGB", "YCbCr")}
    for step in steps.get(mode, (mode,)):
        picture = (picture.convert("RGB") if step == "P" else picture).convert(step)
    np.testing.assert_array_equal(np.asarray(open_image(picture)), convert_to_rgb(picture, return_numpy=True))


@pytest.mark.parametrize("strip", [1, 60, 7 * 60, 1 << 22])
def test_strips_leave_no_seam(monkeypatch, strip):
    monkeypatch.setattr(images, "STRIP", strip)
    picture = Image.fromarray(np.dstack([COLOURS, COLOURS[..., :1]]))
    np.testing.assert_array_equal(np.asarray(open_image(picture)), convert_to_rgb(picture, return_numpy=True))


def test_transparent_pixels_lie_on_white(tmp_path):
    hidden = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    hidden.save(tmp_path / "rgba.png")
    palette = Image.new("P", (32, 32), 3)
    palette.putpalette([9] * 768)
    palette.save(tmp_path / "palette.png", transparency=3)
    (tmp_path / "key.png").write_bytes(png(32, 32, (b"\0" + bytes([7] * 96)) * 32, chunk(b"tRNS", bytes([0, 7] * 3))))
    for name in ("rgba.png", "palette.png", "key.png"):
        assert (np.asarray(open_image(tmp_path / name)) == 255).all(), name


@pytest.mark.parametrize(
    ("bits", "key", "row", "shown"),
    [
        (1, [0], bytes([0b01000000]), [255, 255]),
        (2, [1], bytes([0b01100000]), [255, 170]),
        (4, [1], bytes([0x12]), [255, 34]),
        (8, [0], bytes([0, 200]), [255, 200]),
        (16, [257], struct.pack(">2H", 257, 514), [255, 2]),
        (16, [0x1234] * 3, struct.pack(">6H", *[0x1234] * 3, *[0xEE00] * 3), [255, 0xEE]),
    ],
)
def test_one_transparent_value_of_any_depth_is_white(tmp_path, bits, key, row, shown):
    transparent = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    (tmp_path / "key.png").write_bytes(png(2, 1, b"\0" + row, transparent, bits=bits, kind=0 if len(key) == 1 else 2))
    assert grey(tmp_path / "key.png")[0].tolist() == shown
    with Image.open(tmp_path / "key.png") as picture:
        assert [grey(picture)[0].tolist() for _ in range(2)] == [shown, shown]


def test_a_palette_longer_than_its_pixels_can_name_is_cut(tmp_path):
    for colours in (256, 257, 300, 1000):
        (tmp_path / "palette.bmp").write_bytes(bmp_with_palette(colours))
        assert grey(tmp_path / "palette.bmp")[0].tolist() == [x * 4 for x in range(64)]


# orientation and animation


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_stand_upright(tmp_path, turn):
    tags = Image.Exif()
    tags[0x0112] = turn
    Image.fromarray(COLOURS).save(tmp_path / "turned.png", exif=tags)
    with Image.open(tmp_path / "turned.png") as picture:
        wanted = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "turned.png")), wanted)


def test_a_tiff_is_turned_once(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "turned.tif", tiffinfo={274: 6})
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "turned.tif")), np.rot90(COLOURS, -1))


UPRIGHT = {  # orientation in Exif 2.3: from the rows and columns of the file to those of the picture
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "F", "RGB", "RGBA", "CMYK"])
def test_a_tiff_of_any_kind_is_turned_once(tmp_path, mode, compression):
    """Pillow maps uncompressed files, with the sides of a turned one exchanged."""
    stored, path = np.where(COLOURS[..., 0] < 128, 0, 255).astype(np.uint8), tmp_path / "turned.tif"
    picture = Image.fromarray(stored)
    if mode in ("I;16", "F"):
        picture = Image.fromarray(stored.astype(np.uint16) * 257 if mode == "I;16" else (stored / 255).astype(np.float32))
    elif mode != "L":
        picture = picture.convert("RGB").convert(mode)
    for turn, upright in UPRIGHT.items():
        picture.save(path, tiffinfo={274: turn}, **({"compression": compression} if compression else {}))
        np.testing.assert_array_equal(grey(path), upright(stored), str(turn))
        with Image.open(path) as lazy:
            np.testing.assert_array_equal(grey(lazy), upright(stored), str(turn))


def test_damaged_exif_data_cost_the_orientation_and_not_the_picture(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in COLOURS)
    exif = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n      20\nno hexadecimal number\n"))
    (tmp_path / "bad.png").write_bytes(png(60, 40, rows, exif))
    with pytest.warns(VideoWarning, match="bad.png: damaged Exif data .*; its orientation is ignored"):
        picture = open_image(tmp_path / "bad.png")
    np.testing.assert_array_equal(np.asarray(picture), COLOURS)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_an_animation_the_first_picture_is_taken_and_it_is_said(tmp_path, suffix):
    first, second = Image.new("RGB", (32, 32), "white"), Image.new("RGB", (32, 32), "black")
    first.save(tmp_path / f"moving.{suffix}", save_all=True, append_images=[second], duration=100)
    with pytest.warns(VideoWarning, match="an animation; its first picture is used"):
        picture = open_image(tmp_path / f"moving.{suffix}")
    assert (np.asarray(picture) > 250).all()


def test_the_first_page_is_taken_without_a_word(tmp_path):
    Image.new("RGB", (32, 32), "white").save(tmp_path / "a.tif", save_all=True, append_images=[Image.new("RGB", (32, 32))])
    assert (np.asarray(open_image(tmp_path / "a.tif")) == 255).all()


# what cannot be read


def test_no_damage_is_a_traceback(tmp_path):
    """Every format that Pillow writes here, cut short and with bytes changed: read, or one line."""
    rng, path = np.random.default_rng(1), tmp_path / "damaged"
    counts = {"read": 0, "refused": 0}
    for kind in "BMP DDS GIF ICNS ICO JPEG JPEG2000 PCX PNG PPM QOI SGI TGA TIFF WEBP".split():
        whole = io.BytesIO()
        Image.fromarray(COLOURS[:32, :32]).save(whole, kind)
        for number in range(12):
            data = bytearray(whole.getvalue())
            if number % 3 == 0:
                data = data[: rng.integers(len(data))]
            for place in rng.integers(0, min(len(data), 300) or 1, number % 3 * 4) if data else ():
                data[place] = rng.integers(256)
            path.write_bytes(data)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow's remarks on what it survived
                    picture = open_image(path)
            except ImageError as error:
                assert "\n" not in str(error) and str(error).startswith(str(path))
                counts["refused"] += 1
            else:
                assert picture.mode == "RGB"
                counts["read"] += 1
    assert min(counts.values()) > 20


@pytest.mark.parametrize(
    "error",
    [
        ValueError, RuntimeError, SyntaxError, NotImplementedError, struct.error, EOFError, OverflowError, ZeroDivisionError,
        MemoryError, RecursionError, IndexError, KeyError, Image.DecompressionBombError,
    ],
)  # fmt: skip
def test_whatever_pillow_raises_becomes_one_error_that_names_it(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error("odd")

    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(ImageError, match=rf"a.png: cannot be read as an image \({error.__name__}: .*odd"):
        open_image(tmp_path / "a.png")


def test_an_interruption_goes_through(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_image(tmp_path / "a.png")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda *_: pytest.fail("decoded"))
    for width, height in ((MAX_PIXELS // 10_000 + 1, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)):
        (tmp_path / "bomb.png").write_bytes(png(width, height, bytes(100)))
        with pytest.raises(ImageError, match="bomb.png: .*pixels"):
            open_image(tmp_path / "bomb.png")


def test_no_picture_is_given_to_another_program(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("ran a program"))
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(ImageError, match="no known format"):
        open_image(tmp_path / "a.eps")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="a folder or a device"):
        open_image(tmp_path / "pipe.png")


@pytest.mark.parametrize("source", [None, 7, ["a.png"], "nul\0.png", "\ud800.png", "x" * 5000, ""])
def test_what_is_no_path_is_one_error(source):
    with pytest.raises(ImageError):
        open_image(source)


def test_a_bad_picture_is_our_error_for_tokenize_image_too(tmp_path):
    (tmp_path / "a.bmp").write_bytes(bmp_with_palette(256)[:500])
    with pytest.raises(Ov2Error, match="a.bmp: cannot be read as an image"):
        tokenize_image(tmp_path / "a.bmp")
    (tmp_path / "b.bmp").write_bytes(bmp_with_palette(300))
    assert tokenize_image(tmp_path / "b.bmp").canvases.mean() == pytest.approx(126, abs=1)


@pytest.mark.parametrize(
    "options",
    [
        {"min_pixels": 10**12, "max_pixels": 10**13}, {"min_pixels": 10**300, "max_pixels": 10**301}, {"max_pixels": "a"},
        {"max_pixels": float("nan")}, {"max_pixels": -1}, {"min_pixels": None}, {"patch_size": 0},
    ],
)  # fmt: skip
def test_canvases_that_cannot_be_are_refused(options):
    with pytest.raises(Ov2Error, match="lower min_pixels|(max_pixels|min_pixels|patch_size)=.*must be"):
        tokenize_image(COLOURS, **options)
