"""Encode pictures to a real video file, one frame at a time, and keep the result in a cache on disk.

The encoders are those inside PyAV's wheels. They run on one thread and write no time stamps of day or version strings
into the container, so that the same pictures and the same `Encoding` give the same bytes on every run of one machine.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import PIL
import platformdirs

from ..errors import MiniError
from ..files import whole_path

PAINTERS = (
    "backdrop",
    "camera",
    "draw",
    "encode",
    "figure",
    "jump_rope",
    "shapes",
    "world",
)  # modules a clip's bytes depend on


class Encoder(NamedTuple):
    """An encoder in FFmpeg, its container here, its scale of quality (crf, or qscale for mpeg4) and its options."""

    name: str
    suffix: str
    quality: int  # near the encoder's own default
    worst: int
    options: dict[str, str]  # presets are chosen for speed: clips are made on the reader's machine


CODECS = {
    "h264": Encoder("libx264", ".mp4", 23, 51, {"preset": "veryfast", "refs": "1"}),
    "hevc": Encoder("libx265", ".mp4", 26, 51, {"preset": "superfast"}),
    "vp9": Encoder("libvpx-vp9", ".webm", 32, 63, {"deadline": "realtime", "cpu-used": "7", "row-mt": "0"}),
    "av1": Encoder("libsvtav1", ".mp4", 35, 63, {"preset": "10"}),
    "mpeg4": Encoder("mpeg4", ".mp4", 4, 31, {}),
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
        if self.quality is not None and not 1 <= self.quality <= CODECS[self.codec].worst:
            raise MiniError(f"quality is {self.quality}; {self.codec} goes from 1 (best) to {CODECS[self.codec].worst}")
        if self.open_gop and self.codec not in ("h264", "hevc"):
            raise MiniError(f"open_gop is for h264 and hevc; leave it out for {self.codec}")

    def options(self) -> dict[str, str]:
        """Options for the encoder, all that matters to its bytes made explicit."""
        encoder = CODECS[self.codec]
        quality = str(encoder.quality if self.quality is None else self.quality)
        frames = f"open-gop={int(self.open_gop)}:bframes={self.bframes}"
        own = {
            # mbtree's assembler depends on where its buffers happen to lie: with it, the same pictures give other bytes
            "h264": {"crf": quality, "x264-params": f"{frames}:threads=1:mbtree=0"},
            "hevc": {"crf": quality, "x265-params": f"{frames}:pools=none:frame-threads=1:log-level=none"},
            "vp9": {"crf": quality, "b": "0"},
            "av1": {"crf": quality, "svtav1-params": "lp=1"},
            "mpeg4": {"qmin": quality, "qmax": quality, "bf": str(self.bframes)},
        }
        return encoder.options | own[self.codec]


@contextmanager
def _whole(path: Path) -> Iterator[str]:
    """`whole_path` with errors in this package's words."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MiniError(
            f"cannot write to {path.parent}: {error.strerror}; set OV2_CACHE to a folder you may write to"
        ) from error
    try:
        with whole_path(path) as scratch:
            yield str(scratch)
    except (av.FFmpegError, OSError) as error:
        raise MiniError(f"cannot make {path}: {error.strerror}; free some space or try another codec") from error


def encode(frames: Iterator[np.ndarray], path: str | os.PathLike, size: tuple[int, int], fps: int, encoding: Encoding) -> None:
    """Write `frames` (uint8 [H, W, 3] RGB, `size` = (H, W), both even) to `path`; at most two are held at a time.

    The file appears whole or not at all.

    Raises:
        MiniError: this PyAV has no such encoder, the encoder refuses the configuration, or the file cannot be written.
    """
    with _whole(Path(path)) as scratch:
        _encode(frames, scratch, size, fps, encoding)


def _encode(frames: Iterator[np.ndarray], path: str, size: tuple[int, int], fps: int, encoding: Encoding) -> None:
    if encoding.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # the encoder prints its banner to stderr otherwise: errors only
    encoder = CODECS[encoding.codec].name
    try:
        av.codec.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise MiniError(f"this PyAV has no encoder {encoder}; install its wheel (pip install av)") from error
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container, ThreadPoolExecutor(1) as painter:
        stream = container.add_stream(encoder, rate=fps, options=encoding.options())
        context = stream.codec_context
        (context.height, context.width), context.pix_fmt = size, "yuv420p"
        context.thread_count, context.gop_size = 1, encoding.gop
        context.flags |= av.codec.context.Flags.bitexact
        open_encoder(context)
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


def open_encoder(context: av.VideoCodecContext) -> None:
    """Open an encoder and keep the process at its ordinary priority.

    Started by root, SVT-AV1 moves its own threads and the caller's to the head of the real-time queue (SCHED_FIFO, 99): one
    clip encoded, and everything that this process does later starves every other program.
    """
    if not hasattr(os, "sched_getscheduler"):
        context.open()
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    context.open()
    if os.sched_getscheduler(0) != policy:
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread), policy, priority)


def cache_dir() -> Path:
    """Where clips are kept: the environment variable OV2_CACHE, or the user's cache folder on this platform."""
    return Path(os.environ.get("OV2_CACHE") or platformdirs.user_cache_dir("ov2lib", appauthor=False)) / "mini"


def cached(kind: str, config: dict, encoding: Encoding, frames: Callable[[], Iterator[np.ndarray]]) -> Path:
    """Path of the encoded clip, encoding `frames()` first if it is not in the cache.

    The file name holds a digest of everything its bytes depend on: the scene's configuration (which has its "size" and
    "fps"), the encoding, the libraries' versions and the source code of the painters.
    """
    facts = {"kind": kind, "config": config, "encoding": asdict(encoding), "libraries": av.library_versions}
    path = cache_dir() / f"{kind}-{encoding.codec}-{_digest(facts)}{CODECS[encoding.codec].suffix}"
    if not path.is_file():
        encode(frames(), path, config["size"], config["fps"], encoding)
    return path


def cached_bytes(kind: str, config: dict, suffix: str, make: Callable[[], bytes]) -> Path:
    """Path of a file that holds `make()`, writing it first if it is not in the cache; named as `cached` names clips."""
    path = cache_dir() / f"{kind}-{_digest({'kind': kind, 'config': config})}{suffix}"
    if not path.is_file():
        with _whole(path) as scratch:
            Path(scratch).write_bytes(make())
    return path


def _digest(facts: dict) -> str:
    versions = {"av": av.__version__, "numpy": np.__version__, "pillow": PIL.__version__}
    facts = facts | {"source": _painters(), "versions": versions}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _painters() -> str:
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / f"{name}.py").read_bytes() for name in PAINTERS)).hexdigest()
