"""One small healthy file of each container and codec, and of each still-image format: what the fuzzer mutates.

`VIDEOS` and `IMAGES` map a name ("avi mpeg4") to a function that writes the file into a folder and returns its path.
"""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .kit import picture, write, x264

SIZE = (64, 96)  # (height, width): as small as every encoder allows
FRAMES = 8  # one GOP of six and the beginning of another
B_FRAMES, P_FRAMES = {"bf": "2", "g": "6"}, {"g": "6"}
H264 = x264(bframes=2, keyint=6)
HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1:bframes=2:keyint=6:scenecut=0"}
VPX = {"deadline": "realtime", "cpu-used": "8", "g": "6"}
AV1 = {"preset": "12", "svtav1-params": "lp=1", "g": "6"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}

VIDEOS: dict[str, Callable[[Path], Path]] = {}
IMAGES: dict[str, Callable[[Path], Path]] = {}


def _video(container: str, codec: str, options: dict | None = None, encoder: str = "", name: str = "", **settings) -> None:
    """List a pair; `container` is the file's ending, `encoder` FFmpeg's name where it is not the codec's."""
    name = name or f"{container} {codec}"

    def make(folder: Path) -> Path:
        os.environ.setdefault("SVT_LOG", "1")  # no banner on stderr
        path = folder / f"{name.replace(' ', '_')}.{container}"
        return write(path, encoder or codec, options, **{"size": SIZE, "frames": FRAMES} | settings).path

    VIDEOS[name] = make


for ending in ("mp4", "mkv", "ts", "flv", "asf", "mxf"):
    _video(ending, "h264", H264, "libx264")
_video("mp4", "h264", x264(keyint=6), "libx264", "mp4 h264 fragments", muxer_options=FRAGMENTS)
_video("mp4", "h264", H264 | {"preset": "medium"}, "libx264", "mp4 h264 444", pix_fmt="yuv444p", size=(63, 97))
_video("mp4", "hevc", HEVC, "libx265")
_video("mp4", "av1", AV1, "libsvtav1")
_video("webm", "av1", AV1, "libsvtav1")
_video("webm", "vp8", VPX, "libvpx")
_video("webm", "vp9", VPX, "libvpx-vp9")
_video("ogv", "vp8", VPX, "libvpx", muxer="ogg")
for ending in ("avi", "mp4", "mkv"):
    _video(ending, "mpeg4", B_FRAMES)
_video("3gp", "h263", P_FRAMES, size=(96, 128))
_video("avi", "msmpeg4v2", P_FRAMES)
_video("avi", "msmpeg4v3", P_FRAMES, "msmpeg4")
_video("wmv", "wmv1", P_FRAMES)
_video("asf", "wmv2", P_FRAMES)
_video("rm", "rv10", P_FRAMES)
_video("rm", "rv20", P_FRAMES)
_video("flv", "flv1", P_FRAMES, "flv")
_video("swf", "flv1", P_FRAMES, "flv")
_video("mpg", "mpeg1video", B_FRAMES)
for ending in ("mpg", "vob", "ts", "mxf"):
    _video(ending, "mpeg2video", B_FRAMES)
_video("mov", "mjpeg", pix_fmt="yuvj420p")
_video("avi", "mjpeg", pix_fmt="yuvj420p")
_video("mov", "prores", encoder="prores_ks", pix_fmt="yuv422p10le")
_video("mov", "svq1", pix_fmt="yuv410p")
_video("mov", "qtrle", pix_fmt="rgb24")
_video("avi", "huffyuv", pix_fmt="yuv422p")
_video("avi", "utvideo")
_video("avi", "rawvideo")
_video("nut", "ffv1")
_video("nut", "snow", P_FRAMES)
_video("y4m", "rawvideo")
_video("h264", "h264", H264, "libx264", "bare h264", muxer="h264")
_video("hevc", "hevc", HEVC, "libx265", "bare hevc", muxer="hevc")
_video("m4v", "mpeg4", B_FRAMES, name="bare mpeg4")
_video("obu", "av1", AV1, "libsvtav1", "bare av1")
for codec, encoder, options in (("vp8", "libvpx", VPX), ("vp9", "libvpx-vp9", VPX), ("av1", "libsvtav1", AV1)):
    _video("ivf", codec, options, encoder)
_video("gif", "gif", pix_fmt="rgb8")
_video("apng", "apng", pix_fmt="rgb24")


def _image(name: str, mode: str = "RGB", pictures: int = 1, **settings) -> None:
    """List an image format; the first word of `name` is the file's ending, `pictures` more than one make an animation."""
    ending = name.split()[0]

    def make(folder: Path) -> Path:
        path = folder / f"still_{name.replace(' ', '_')}.{ending}"
        first, *rest = [Image.fromarray(picture(index, SIZE)).convert(mode) for index in range(pictures)]
        first.save(path, **settings | ({"save_all": True, "append_images": rest} if rest else {}))
        return path

    IMAGES[name] = make


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"  # orientation: turned
    return exif


_image("png")
_image("png palette", "P", transparency=3)
_image("png alpha", "LA", exif=_exif())
_image("png grey16", "I;16")
_image("jpg", exif=_exif(), icc_profile=bytes(200))
_image("jpg progressive", "L", progressive=True)
_image("jpg cmyk", "CMYK")
_image("gif", "P", interlace=1)
_image("gif animated", "P", pictures=4, duration=40)
_image("bmp")
_image("bmp palette", "P")
_image("tiff", compression="tiff_lzw", exif=_exif())
_image("tiff raw")
_image("tiff jpeg", compression="jpeg")
_image("tiff float", "F")
_image("webp", exif=_exif())
_image("webp lossless", "RGBA", lossless=True)
_image("webp animated", pictures=4, duration=40)
_image("avif")
_image("avif animated", pictures=3, duration=40)
_image("ico", "RGBA", sizes=[(16, 16), (32, 32)])
_image("tga", rle=True)
_image("dds")
_image("ppm")
_image("pcx", "P")
_image("sgi")
_image("jp2")
_image("qoi")
_image("xbm", "1")


def _psd(folder: Path) -> Path:
    """A Photoshop file, raw, which Pillow reads and does not write."""
    height, width = SIZE
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3) + bytes(12) + struct.pack(">H", 0)
    path = folder / "still_psd.psd"
    path.write_bytes(head + np.ascontiguousarray(picture(0, SIZE).transpose(2, 0, 1)).tobytes())
    return path


IMAGES["psd"] = _psd
