"""Any picture that a user hands over, as 8-bit RGB.

- Transparent pixels lie on white, as in transformers' `convert_to_rgb`, which the published image processor calls. Where one
  colour of 16 bits a channel is transparent, the upper 8 bits decide.
- Greys of more than 8 bits are mapped linearly, lowest value to black, highest to white. 16-bit pictures use the range of their
  bits, floats 0 to 1. Integers of 32 bits use the first of 0–255 and 0–65,535 that holds all their values. Where a value lies
  outside, the range is that of the picture's own values. NaN becomes black, infinity white.
- A photograph is turned as its Exif data say; damaged Exif data are warned of and ignored.
- Of an animation the first picture is taken, with a warning; of a file with several pages, the first.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import ImageError, VideoWarning

# assumed: what people hand over. Not EPS, which Pillow gives to Ghostscript to run. TGA has no signature, so it comes last.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "DIB", "DDS", "FITS", "ICNS", "ICO", "PCX",
    "PSD", "QOI", "SGI", "SUN", "XBM", "XPM", "TGA",
)  # fmt: skip
MAX_PIXELS = 120_000_000  # assumed: phones take 108 million; the picture and its RGB copy stay under 1 GiB
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # a second picture in other formats is a page, a preview or a gain map
FITS_HEADER = 1 << 20  # assumed: bytes of a FITS file that are searched for the scale of its values
STRIP = 1 << 22  # pixels converted at a time, which bounds the memory

_T = Image.Transpose
_TURNS = {  # published: orientation in Exif 2.3
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM,
    5: _T.TRANSPOSE, 6: _T.ROTATE_270, 7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags


def open_image(source: str | os.PathLike | Image.Image | np.ndarray) -> Image.Image:
    """One picture as an RGB image, turned upright; the module's text says how other kinds become RGB.

    Args:
        source: a file, a PIL image, or uint8 [H, W, 3] RGB.

    Raises:
        ImageError: no such file, not a picture, damaged, cut short, or of more than `MAX_PIXELS` pixels; an array of another
            kind.
    """
    # 1. An array is a picture already
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise ImageError("the image", f"it is {source.dtype} {source.shape}", "expected uint8 [H, W, 3]")
        return Image.fromarray(source)
    if not isinstance(source, (str, os.PathLike, Image.Image)):
        raise ImageError("the image", f"it is a {type(source).__name__}", "pass a path, a PIL image or an array")
    # 2. Open and decode; whatever Pillow raises is told in one line
    name = "the image" if isinstance(source, Image.Image) else os.fspath(source)
    try:
        with _opened(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(name, f"has {image.width}x{image.height} pixels", f"shrink it to {MAX_PIXELS} or fewer")
            return _decoded(name, image)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(name, "no such file", "check the path") from error
    except UnidentifiedImageError as error:
        raise ImageError(name, "cannot be read as an image (of no known format)", "save it as PNG or JPEG") from error
    except Exception as error:  # Pillow's decoders raise whatever the damage leads them to, MemoryError included
        why = f"{type(error).__name__}: {error}"
        raise ImageError(name, f"cannot be read as an image ({why})", "check the file, or save it anew as PNG") from error


def _opened(source: str | os.PathLike | Image.Image):
    if isinstance(source, Image.Image):
        return nullcontext(source)
    if os.path.exists(source) and not os.path.isfile(source):  # a pipe would wait for ever
        raise ImageError(source, "cannot be read as an image (it is a folder or a device)", "name a file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is MAX_PIXELS
        return Image.open(source, formats=FORMATS)


def _decoded(name: str, image: Image.Image) -> Image.Image:
    # 1. What Pillow reads otherwise than it is meant; its decoders forget some of it
    if image.format in ANIMATED and _is_animated(image):
        warnings.warn(f"{name}: an animation; its first picture is used", VideoWarning, stacklevel=4)
    if image.palette and image.palette.rawmode:  # some BMP files declare more colours than 8 bits can name
        size = 256 * len(image.palette.rawmode.partition(";")[0])
        image.palette.palette = image.palette.palette[:size]
    scale = _key_scale(image)
    zero = _fits_zero(name, image) if image.format == "FITS" and image.tile else None
    if image.format == "TIFF":
        _check_signs(name, image)
        image.filename = ""  # without a name Pillow maps no file, which it does with the sides of a turned one exchanged
    # 2. Decode
    image.load()
    if scale:
        image.info["transparency"] = scale(image.info["transparency"])
    # 3. To RGB, and upright
    turn = _TURNS.get(_orientation(name, image))
    picture = _rgb(image if zero is None else _shifted(image, zero))
    return picture if turn is None else picture.transpose(turn)


def _key_scale(image: Image.Image) -> Callable | None:
    """From the transparent value in a PNG file to that of the pixels, which Pillow stretches or cuts to 8 bits."""
    if image.format != "PNG" or not image.tile or "transparency" not in image.info:
        return None
    return {
        "L;2": lambda key: 85 * (key & 3),
        "L;4": lambda key: 17 * (key & 15),
        "RGB;16B": lambda key: tuple(value >> 8 for value in key),  # Pillow has no lower bytes to compare
    }.get(image.tile[0].args)


def _fits_zero(name: str, image: Image.Image) -> int | None:
    """What is added to the values of a FITS file, None where Pillow reads them as they are.

    16-bit values are signed, and unsigned ones are written less 32,768; Pillow takes both for unsigned.
    """
    image.fp.seek(0)
    header = image.fp.read(min(image.tile[0].offset, FITS_HEADER))
    cards = [header[start : start + 80].decode("latin-1") for start in range(0, len(header), 80)]
    values = {card[:8].strip(): card[9:].partition("/")[0].strip().replace("D", "E") for card in cards if card[8:9] == "="}
    scale, zero = float(values.get("BSCALE", 1)), float(values.get("BZERO", 0))
    deep = image.mode == "I;16"
    if scale != 1 or zero not in ((0, 32768) if deep else (0,)):
        raise ImageError(name, f"its values are scaled (BSCALE {scale:g}, BZERO {zero:g})", "save it as a 16-bit PNG")
    return int(zero) if deep else None


def _shifted(image: Image.Image, zero: int) -> Image.Image:
    values = np.asarray(image)
    return Image.fromarray(values ^ 0x8000 if zero else values.view(np.int16).astype(np.int32))


def _check_signs(name: str, image: Image.Image) -> None:
    """Refuse signed samples of 8 bits, which Pillow takes for unsigned."""
    if 2 in image.tag_v2.get(_SAMPLE_FORMAT, ()) and max(image.tag_v2.get(_BITS, (1,))) <= 8:
        raise ImageError(name, "its samples are signed 8-bit numbers", "save it with unsigned ones")


def is_animation(path: str | os.PathLike) -> bool:
    """Whether a picture file holds several pictures to be shown one after the other; False where it cannot be read."""
    try:
        with _opened(path) as image:
            return image.format in ANIMATED and _is_animated(image)
    except Exception:  # whoever reads its pictures says what is wrong
        return False


def _is_animated(image: Image.Image) -> bool:
    try:
        return image.is_animated
    except Exception:  # the second picture is damaged; the first may be whole
        return False


def _orientation(name: str, image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # Pillow raises many kinds on damaged metadata; the picture is whole
        why = f"{type(error).__name__}: {error}"
        warnings.warn(f"{name}: damaged Exif data ({why}); its orientation is ignored", VideoWarning, stacklevel=5)
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    # 1. Of greys deeper than 8 bits, the range
    deep = image.mode.startswith(("I", "F"))
    low, high = _value_range(image) if deep else (0, 255)
    # 2. Strip by strip: levels of 8 bits, and white behind what is transparent
    picture = Image.new("RGB", image.size)
    for box, strip in _strips(image):
        if deep:
            values = _values(image, strip)
            levels = _levels(values, low, high)
            if strip.has_transparency_data:
                levels[values == strip.info["transparency"]] = 255
            strip = Image.fromarray(levels)
        elif strip.has_transparency_data:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
        picture.paste(strip.convert("RGB"), box)
    return picture


def _strips(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], Image.Image]]:
    rows = max(STRIP // max(image.width, 1), 1)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield box, image.crop(box)


def _values(image: Image.Image, strip: Image.Image) -> np.ndarray:
    values = np.asarray(strip)
    unsigned = image.format == "TIFF" and image.mode == "I" and image.tag_v2.get(_SAMPLE_FORMAT, (1,)) == (1,)
    return values.view(np.uint32) if unsigned and image.tag_v2.get(_BITS) == (32,) else values


def _value_range(image: Image.Image) -> tuple[float, float]:
    """The values that become black and white."""
    tags = image.tag_v2 if image.format == "TIFF" else {}
    if image.mode.startswith("I;16"):
        low, high = 0, 2 ** tags.get(_BITS, (16,))[0] - 1
    else:
        finite = [values[np.isfinite(values)] for values in (_values(image, strip) for _, strip in _strips(image))]
        least = min((float(values.min()) for values in finite if values.size), default=0.0)
        most = max((float(values.max()) for values in finite if values.size), default=0.0)
        usual = {"F": (1,), "I": (65535,) if image.format == "PPM" else (255, 65535)}[image.mode]
        low, high = next(((0, top) for top in usual if 0 <= least and most <= top), (least, most))
    return (high, low) if tags.get(_PHOTOMETRIC) == 0 else (low, high)  # TIFF's 0: white is zero


def _levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (values.astype(np.float64) - low) / ((high - low) or 1) * 255
    return np.nan_to_num(np.clip(np.rint(scaled), 0, 255)).astype(np.uint8)
