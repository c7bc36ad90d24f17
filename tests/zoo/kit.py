"""What a specimen says about itself, and the one writer that makes them all."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from ov2lib.video.encode import open_encoder

SIZE, FPS, FRAMES = (144, 176), 25, 12  # (height, width); a quarter of a second costs little and is enough for three GOPs
SHIFT = (1.25, -0.75)  # pixels per frame the picture moves, x right and y down


@dataclass(frozen=True)
class Specimen:
    """What is known about a file.

    Attributes:
        name, path, what: its name, where it is, and one sentence.
        frames: how many pictures a player shows; None where damage leaves that open.
        times: their presentation times in seconds, the first at 0.
        start: presentation time of the first picture in the container; None where the muxer chooses.
        size: (height, width) of a decoded picture, before any rotation.
        cropped: (left, top) pixels of the painted picture that are coded but never shown.
        aspect: width of a pixel over its height.
        mirrored: a player must exchange left and right before turning.
        rotation: degrees counter-clockwise that a player must turn the picture by (the sign of `VideoFrame.rotation`).
        shift: (x, y) pixels per frame the whole picture moves, +x right and +y down; the texture is smooth.
        stamped: the container stores times for pictures, and right ones (bare streams have none, AVI counts packets).
        codec: FFmpeg's name of the codec.
        vectors: whether FFmpeg can export motion vectors for this codec.
        expect: "reads" (whole), "fails" (VideoError) or "survives" (some pictures, or VideoError; no crash, no hang).
    """

    name: str
    path: Path
    what: str
    frames: int | None = None
    times: tuple[float, ...] = ()
    start: float | None = 0.0
    size: tuple[int, int] = SIZE
    rotation: int = 0
    mirrored: bool = False
    cropped: tuple[int, int] = (0, 0)
    aspect: Fraction = Fraction(1)
    shift: tuple[float, float] = SHIFT
    stamped: bool = True
    codec: str = "h264"
    expect: str = "reads"

    @property
    def turns(self) -> int:
        """Quarter turns counter-clockwise, 0 to 3."""
        return self.rotation // 90 % 4

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) turned, in coded pixels."""
        return self.size[::-1] if self.turns % 2 else self.size

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) turned, in square pixels; the coded height is kept."""
        height, width = self.size[0], round(self.size[1] * self.aspect)
        return (width, height) if self.turns % 2 else (height, width)

    @property
    def vectors(self) -> bool:
        return self.codec in ("h264", "mpeg4", "mpeg2video")


MAKERS: dict[str, Callable[[Path], Specimen]] = {}
GOOD: list[str] = []
BAD: list[str] = []


def _register(shelf: list[str]):
    def keep(maker):
        MAKERS[maker.__name__] = maker
        shelf.append(maker.__name__)
        return maker

    return keep


good, bad = _register(GOOD), _register(BAD)


@lru_cache(maxsize=200)
def picture(index: int, size=SIZE, shift=SHIFT) -> np.ndarray:
    """Picture `index` of a smooth texture that moves by `shift` per frame, uint8 [H, W, 3]; exact between pixels too."""
    rng = np.random.default_rng(0)
    wave, turn, phase = 2 * np.pi / rng.uniform(9, 60, 24), rng.uniform(0, np.pi, 24), rng.uniform(0, 2 * np.pi, 24)
    across = np.outer(np.arange(size[1]) - shift[0] * index, wave * np.cos(turn)) + phase
    down = np.outer(np.arange(size[0]) - shift[1] * index, wave * np.sin(turn))
    colours = [np.sin(down) @ np.cos(across + tint).T + np.cos(down) @ np.sin(across + tint).T for tint in (0, 0.4, 0.8)]
    return np.clip(128 + 22 * np.stack(colours, -1), 0, 255).astype(np.uint8)


def write(
    path: Path, codec="libx264", options=None, frames=FRAMES, size=SIZE, shift=SHIFT, pix_fmt="yuv420p", pts=None, tick=None,
    muxer=None, muxer_options=None, audio="", interlaced=False, aspect=Fraction(1), rotation=0,
    keep: Callable = lambda packet: True,
) -> Specimen:  # fmt: skip
    """Encode `frames` moving pictures into `path`.

    Args:
        pts: presentation times in units of `tick` (seconds, a Fraction); default is every 1 / FPS from 0.
        audio: "before" or "after" adds a silent track in front of or behind the video in stream order.
        keep: which encoded packets reach the file.
    """
    tick = tick or Fraction(1, FPS)
    pts = list(range(frames)) if pts is None else pts
    with av.open(str(path), "w", format=muxer, options={"fflags": "+bitexact"} | (muxer_options or {})) as container:
        sound = container.add_stream("aac", rate=16000) if audio == "before" else None
        stream = container.add_stream(codec, rate=FPS, options=options or {})
        sound = container.add_stream("aac", rate=16000) if audio == "after" else sound
        (stream.height, stream.width), stream.pix_fmt = size, pix_fmt
        context = stream.codec_context
        context.time_base, context.thread_count = tick, 1
        context.flags |= av.codec.context.Flags.bitexact
        if interlaced:
            context.flags |= av.codec.context.Flags.interlaced_dct
        if aspect != 1:
            context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if codec == "libsvtav1":
            open_encoder(context)
        if sound:
            container.mux(sound.encode(silence(frames / FPS)))
            container.mux(sound.encode(None))
        for index, stamp in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(index, size, shift), "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = stamp, tick
            container.mux([packet for packet in stream.encode(frame) if keep(packet)])
        container.mux([packet for packet in stream.encode(None) if keep(packet)])
        name = context.codec.canonical_name
    times = tuple(float((stamp - pts[0]) * tick) for stamp in pts)
    start = float(pts[0] * tick)
    return Specimen("", path, "", len(pts), times, start, size, rotation, aspect=aspect, shift=shift, codec=name)


def silence(seconds: float) -> av.AudioFrame:
    """`seconds` of nothing, mono, 16 kHz."""
    frame = av.AudioFrame.from_ndarray(np.zeros((1, int(16000 * seconds)), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
    return frame


def x264(**params) -> dict[str, str]:
    """Options for libx264: the given parameters, no scene-cut detection, everything else fast and fixed.

    Without its macroblock tree, which in a wheel's build gives other bytes from one call to the next.
    """
    params = {"scenecut": 0, "b_adapt": 0, "bframes": 0, "keyint": 250, "mbtree": 0} | params
    text = ":".join(f"{name.replace('_', '-')}={value}" for name, value in params.items())
    return {"preset": "veryfast", "x264-params": text}
