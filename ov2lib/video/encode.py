"""Encode pictures to a real video file, one frame at a time.

The encoders are those inside PyAV's wheels. They run on one thread and write no time stamps of day or version strings
into the container, so that the same pictures and the same `Encoding` give the same bytes on every run of one machine.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from ..errors import Ov2Error
from ..files import whole_path


class Encoder(NamedTuple):
    """An encoder in FFmpeg, its container here, its scale of quality (crf, or qscale for mpeg4) and its options."""

    name: str
    suffix: str
    quality: int  # near the encoder's own default
    worst: int
    options: dict[str, str]  # with places for what an `Encoding` says, all that matters to the bytes made explicit


FRAMES = "open-gop={open_gop:d}:bframes={bframes}"
# presets are chosen for speed: clips are made on the reader's machine. x264's mbtree depends on where its buffers happen to
# lie: with it, the same pictures give other bytes
X264 = {"preset": "veryfast", "refs": "1", "crf": "{quality}", "x264-params": f"{FRAMES}:threads=1:mbtree=0"}
X265 = {"preset": "superfast", "crf": "{quality}", "x265-params": f"{FRAMES}:pools=none:frame-threads=1:log-level=none"}
VPX = {"deadline": "realtime", "cpu-used": "7", "row-mt": "0", "crf": "{quality}", "b": "0"}
CODECS = {
    "h264": Encoder("libx264", ".mp4", 23, 51, X264),
    "hevc": Encoder("libx265", ".mp4", 26, 51, X265),
    "vp9": Encoder("libvpx-vp9", ".webm", 32, 63, VPX),
    "av1": Encoder("libsvtav1", ".mp4", 35, 63, {"preset": "10", "crf": "{quality}", "svtav1-params": "lp=1"}),
    "mpeg4": Encoder("mpeg4", ".mp4", 4, 31, {"qmin": "{quality}", "qmax": "{quality}", "bf": "{bframes}"}),
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
            raise Ov2Error(f"codec {self.codec!r} is not known; use one of {', '.join(CODECS)}")
        worst = CODECS[self.codec].worst
        if self.gop < 1 or not 0 <= self.bframes <= 16:
            raise Ov2Error(f"gop {self.gop}, bframes {self.bframes}: a gop has at least 1 frame, and 0 to 16 B-frames in a row")
        if self.quality is not None and not 1 <= self.quality <= worst:
            raise Ov2Error(f"quality is {self.quality}; {self.codec} goes from 1 (best) to {worst}")
        if self.open_gop and self.codec not in ("h264", "hevc"):
            raise Ov2Error(f"open_gop is for h264 and hevc; leave it out for {self.codec}")

    def options(self) -> dict[str, str]:
        """Options for the encoder."""
        encoder = CODECS[self.codec]
        own = asdict(self) | ({"quality": encoder.quality} if self.quality is None else {})
        return {name: value.format(**own) for name, value in encoder.options.items()}


def encode(frames: Iterator[np.ndarray], path: str | os.PathLike, size: tuple[int, int], fps: int, encoding: Encoding) -> None:
    """Write `frames` (uint8 [H, W, 3] RGB, `size` = (H, W), both even) to `path`; at most two are held at a time.

    The file appears whole or not at all.

    Raises:
        Ov2Error: this PyAV has no such encoder, the encoder refuses the configuration, or the file cannot be written.
    """
    try:
        with whole_path(Path(path)) as scratch:
            _encode(frames, str(scratch), size, fps, encoding)
    except (av.FFmpegError, OSError) as error:
        raise Ov2Error(f"cannot make {path}: {error.strerror}; free some space or try another codec") from error


def _encode(frames: Iterator[np.ndarray], path: str, size: tuple[int, int], fps: int, encoding: Encoding) -> None:
    if encoding.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # the encoder prints its banner to stderr otherwise: errors only
    # 1. Is there such an encoder?
    encoder = CODECS[encoding.codec].name
    try:
        av.codec.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise Ov2Error(f"this PyAV has no encoder {encoder}; install its wheel (pip install av)") from error
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container, ThreadPoolExecutor(1) as painter:
        # 2. Set it up
        stream = container.add_stream(encoder, rate=fps, options=encoding.options())
        context = stream.codec_context
        (context.height, context.width), context.pix_fmt = size, "yuv420p"
        context.thread_count, context.gop_size = 1, encoding.gop
        context.flags |= av.codec.context.Flags.bitexact
        open_encoder(context)
        # 3. Encode each picture while the next one is painted
        reformatter, index = av.video.reformatter.VideoReformatter(), 0
        upcoming = painter.submit(next, frames, None)
        while (pixels := upcoming.result()) is not None:
            upcoming = painter.submit(next, frames, None)
            frame = reformatter.reformat(av.VideoFrame.from_ndarray(pixels, "rgb24"), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
            index += 1
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
