"""Encode pictures to a real video file, one frame at a time, and keep the result in a cache on disk.

The encoders are those inside PyAV's wheels. They run on one thread and write no time stamps of day or version strings
into the container, so that the same pictures and the same `Encoding` give the same bytes on every run of one machine.
"""

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL
import platformdirs

from ..errors import MiniError

PAINTERS = ("backdrop", "camera", "draw", "encode", "figure", "jump_rope", "shapes")  # modules a clip's bytes depend on

# codec -> (encoder, container suffix, default quality, options). Quality is the encoder's own scale (crf, or qscale for
# mpeg4); the defaults are near each encoder's own. Presets are chosen for speed: clips are made on the reader's machine.
CODECS = {
    "h264": ("libx264", ".mp4", 23, {"preset": "veryfast", "refs": "1"}),
    "hevc": ("libx265", ".mp4", 26, {"preset": "superfast"}),
    "vp9": ("libvpx-vp9", ".webm", 32, {"deadline": "realtime", "cpu-used": "7", "row-mt": "0"}),
    "av1": ("libsvtav1", ".mp4", 35, {"preset": "10"}),
    "mpeg4": ("mpeg4", ".mp4", 4, {}),
}


@dataclass(frozen=True)
class Encoding:
    """How a clip is compressed.

    Attributes:
        codec: "h264", "hevc", "vp9", "av1" or "mpeg4".
        quality: constant rate factor (quantiser scale for mpeg4), lower is better; None takes the codec's default.
        gop: frames from one key frame to the next at most.
        bframes: B-frames in a row at most (h264, hevc and mpeg4; vp9 and av1 have none).
        open_gop: let leading B-frames refer across a key frame (h264 and hevc).
    """

    codec: str = "h264"
    quality: int | None = None
    gop: int = 50
    bframes: int = 2
    open_gop: bool = False

    def __post_init__(self):
        if self.codec not in CODECS:
            raise MiniError(f"codec {self.codec!r} is not known; use one of {', '.join(CODECS)}")
        if self.gop < 1 or not 0 <= self.bframes <= 16:
            raise MiniError(
                f"gop {self.gop}, bframes {self.bframes}: a gop has at least 1 frame, and 0 to 16 B-frames in a row"
            )
        if self.open_gop and self.codec not in ("h264", "hevc"):
            raise MiniError(f"open_gop is for h264 and hevc; leave it out for {self.codec}")

    @property
    def encoder(self) -> str:
        """Name of the encoder in FFmpeg."""
        return CODECS[self.codec][0]

    @property
    def suffix(self) -> str:
        """File name suffix of the container used for this codec."""
        return CODECS[self.codec][1]

    def options(self) -> dict[str, str]:
        """The encoder's own options, all of them explicit."""
        options = dict(CODECS[self.codec][3])
        quality = str(CODECS[self.codec][2] if self.quality is None else self.quality)
        opened = int(self.open_gop)
        if self.codec == "h264":
            options |= {"crf": quality, "x264-params": f"open-gop={opened}:bframes={self.bframes}:threads=1"}
        elif self.codec == "hevc":
            params = f"open-gop={opened}:bframes={self.bframes}:keyint={self.gop}:pools=none:frame-threads=1:log-level=none"
            options |= {"crf": quality, "x265-params": params}
        elif self.codec == "av1":
            options |= {"crf": quality, "svtav1-params": "lp=1"}
        elif self.codec == "vp9":
            options |= {"crf": quality, "b": "0"}
        else:
            options |= {"qmin": quality, "qmax": quality, "bf": str(self.bframes)}
        return options


def encode(frames: Iterator[np.ndarray], path: str | os.PathLike, size: tuple[int, int], fps: int, encoding: Encoding) -> None:
    """Write `frames` (uint8 [H, W, 3] RGB, `size` = (H, W), both even) to `path`; at most two are held at a time.

    The file appears whole or not at all.

    Raises:
        MiniError: this PyAV has no such encoder, the encoder refuses the configuration, or the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise MiniError(
            f"cannot write to {path.parent}: {error.strerror}; set OV2_CACHE to a folder you may write to"
        ) from error
    try:
        _encode(frames, scratch, size, fps, encoding)
        os.replace(scratch, path)
    except (av.FFmpegError, OSError) as error:
        raise MiniError(f"cannot encode {path}: {error.strerror}; free some space or try another codec") from error
    finally:
        Path(scratch).unlink(missing_ok=True)


def _encode(frames: Iterator[np.ndarray], path: str, size: tuple[int, int], fps: int, encoding: Encoding) -> None:
    if encoding.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # the encoder prints its banner to stderr otherwise: errors only
    try:
        av.codec.Codec(encoding.encoder, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise MiniError(f"this PyAV has no encoder {encoding.encoder}; install its wheel (pip install av)") from error
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container, ThreadPoolExecutor(1) as painter:
        stream = container.add_stream(encoding.encoder, rate=fps, options=encoding.options())
        context = stream.codec_context
        (context.height, context.width), context.pix_fmt = size, "yuv420p"
        context.thread_count, context.gop_size = 1, encoding.gop
        context.flags |= av.codec.context.Flags.bitexact
        reformatter = av.video.reformatter.VideoReformatter()
        upcoming = painter.submit(next, frames, None)  # the next picture is painted while this one is encoded
        for index in itertools.count():
            if (pixels := upcoming.result()) is None:
                break
            upcoming = painter.submit(next, frames, None)
            frame = reformatter.reformat(av.VideoFrame.from_ndarray(pixels, "rgb24"), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cache_dir() -> Path:
    """Where clips are kept: the environment variable OV2_CACHE, or the user's cache folder on this platform."""
    return Path(os.environ.get("OV2_CACHE") or platformdirs.user_cache_dir("ov2lib", appauthor=False)) / "mini"


def cached(kind: str, config: dict, encoding: Encoding, frames: Callable[[], Iterator[np.ndarray]]) -> Path:
    """Path of the encoded clip, encoding `frames()` first if it is not in the cache.

    The file name holds a digest of everything its bytes depend on: the scene's configuration (which has its "size" and
    "fps"), the encoding, the libraries' versions and the source code of the painters.
    """
    here = Path(__file__).parent
    source = hashlib.sha256(b"".join((here / f"{name}.py").read_bytes() for name in PAINTERS))
    versions = {"av": av.__version__, "numpy": np.__version__, "pillow": PIL.__version__} | av.library_versions
    facts = {"kind": kind, "config": config, "encoding": asdict(encoding), "source": source.hexdigest(), "versions": versions}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / f"{kind}-{encoding.codec}-{digest}{encoding.suffix}"
    if not path.is_file():
        encode(frames(), path, config["size"], config["fps"], encoding)
    return path
