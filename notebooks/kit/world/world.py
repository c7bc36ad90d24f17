"""Small pictures and short clips of plain things, painted fast enough to make thousands while a reader waits.

The model's eye is small: patches of 14 pixels, four of them a token. So a picture is two by two tokens, and things are flat,
bright on a dark ground (contrast of one sign is seen much sooner), about one token wide, and differ in outline. A warm light
from the left and a cool one from above tell every patch where in the picture it lies: attention in the encoder knows relative
places only, and a codec canvas has its blocks out of place.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ov2lib.evaluate.scorers import write_runs
from ov2lib.video.encode import Encoding

from .cache import cached, cached_bytes
from .moving_shapes import distance

CELL = 28  # pixels: one visual token, 2x2 patches of 14
SIDE = 2 * CELL  # of every picture and frame
PLACES = ("northwest", "northeast", "southwest", "southeast")  # of the four tokens, in the order the model reads them
COLOURS = {"red": (235, 60, 50), "yellow": (240, 215, 60), "blue": (70, 120, 250), "green": (60, 200, 90)}
SHAPES = ("disc", "cross", "triangle", "ring")
ENCODING = Encoding(quality=18, gop=250, bframes=0)


@dataclass(frozen=True)
class Thing:
    """Something to paint.

    Attributes:
        shape: one of `SHAPES`, "star", "figure" (a standing figure), "arm" or "rope".
        colour: one of `COLOURS`, "white" or "black".
        x, y: its middle in pixels, x to the right, y down, origin at the outer top left corner.
        radius: pixels.
    """

    shape: str
    colour: str
    x: int
    y: int
    radius: int = 12

    @property
    def name(self) -> str:
        """For example "red disc"."""
        return f"{self.colour} {self.shape}"


def _signed_distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Negative inside a shape of radius 1 at the origin."""
    if shape == "figure":
        return np.minimum(np.hypot(u, v + 0.68) - 0.32, np.maximum(np.abs(u) - 0.26, np.abs(v - 0.3) - 0.7))
    if shape == "cross":
        return np.maximum(np.minimum(np.abs(u), np.abs(v)) - 0.28, np.maximum(np.abs(u), np.abs(v)) - 1.0)
    if shape == "ring":
        return np.abs(np.hypot(u, v) - 0.78) - 0.22
    if shape == "arm":
        return np.maximum(np.abs(u) - 1.0, np.abs(v) - 0.35)
    if shape == "rope":
        return np.maximum(np.abs(u) - 1.0, np.abs(v) - 0.2)
    return distance(shape, u, v)


@lru_cache(maxsize=256)
def _stamp(shape: str, radius: int) -> np.ndarray:
    """How much of each pixel a shape covers, float32 [2r + 2, 2r + 2, 1], its middle between the middle pixels."""
    axis = (np.arange(2 * radius + 2) - radius - 0.5) / radius
    u, v = np.meshgrid(axis, axis)
    return np.clip(0.5 - radius * _signed_distance(shape, u, v), 0, 1).astype(np.float32)[..., None]


@lru_cache(maxsize=64)
def _ground(side: int, tint: int) -> np.ndarray:
    """A plain ground of one of a few greys under the two lights, float32 [side, side, 3]."""
    along = np.linspace(-1, 1, side, dtype=np.float32)
    ground = np.full((side, side, 3), 55 + 6 * tint, np.float32)
    ground[..., 0] -= 30 * along
    ground[..., 2] -= 30 * along[:, None]
    return ground


def paint(things: Sequence[Thing], side: int, tint: int = 0) -> np.ndarray:
    """A picture, uint8 [side, side, 3] RGB; later things lie in front. `tint` is -2 to 2."""
    picture = _ground(side, tint).copy()
    for thing in things:
        stamp, corner = _stamp(thing.shape, thing.radius), thing.radius + 1
        top, left = thing.y - corner, thing.x - corner
        rows, cols = slice(max(top, 0), max(top + len(stamp), 0)), slice(max(left, 0), max(left + len(stamp), 0))
        part = picture[rows, cols]
        alpha = stamp[rows.start - top :, cols.start - left :][: part.shape[0], : part.shape[1]]
        part += alpha * (np.float32(_rgb(thing.colour)) - part)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    return COLOURS.get(colour) or {"white": (255, 255, 255), "black": (5, 5, 5)}[colour]


def picture_file(things: Sequence[Thing], side: int, tint: int = 0) -> Path:
    """The picture as a PNG in the cache.

    Raises:
        MiniError: the cache folder cannot be written.
    """

    def png() -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(paint(things, side, tint)).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return cached_bytes("still", {"things": [asdict(thing) for thing in things], "side": side, "tint": tint}, ".png", png)


def clip_file(kind: str, frames: Sequence[Sequence[Thing]], side: int, fps: int, tint: int = 0) -> Path:
    """The clip as an H.264 file in the cache; `frames` lists the things of every frame, shown at index / fps seconds.

    Raises:
        MiniError: it cannot be encoded, or the cache folder cannot be written.
    """
    scene = json.dumps([[list(asdict(thing).values()) for thing in frame] for frame in frames], separators=(",", ":"))
    config = {"scene": scene, "size": (side, side), "fps": fps, "tint": tint}
    return cached(kind, config, ENCODING, lambda: iter([paint(frame, side, tint) for frame in frames]))


def mask_runs(things: Sequence[Thing], side: int) -> list[list[int]]:
    """What is seen of each thing, as run lengths in raster order, background first; [] for a thing that is hidden."""
    masks: list[np.ndarray] = []
    for thing in things:
        alone = paint([thing], side) != paint([], side)
        cover = alone.any(-1)
        masks = [mask & ~cover for mask in masks] + [cover]
    return [write_runs(mask) for mask in masks]
