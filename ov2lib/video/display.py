"""How coded pictures are shown: turned, mirrored, with pixels that need not be square, line by line or in other light.

A camera held upright records lying pictures and stores how they are to be turned; a DVD stores pixels that are wider than
high. Everything that is decoded here stays in coded pixels until `Display` brings it upright.
"""

import math
import warnings
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from ..errors import VideoWarning
from .headers import H264
from .scaler import side_data
from .tone import TRANSFERS

WIDEST_PIXEL = 4  # assumed: a pixel longer than 4:1 is damage (real ones end at 32:11, wide-screen pictures of 352x576)
FIELD_ORDERS = (2, 3, 4, 5)  # FFmpeg's AVFieldOrder but for unknown and progressive
CROOKED = 1.0  # published: ffmpeg's autorotate takes turns less than a degree off for quarter turns


@dataclass(frozen=True)
class Display:
    """How the pictures of one video are shown. Its methods bring upright what is on the grid of a coded picture.

    Attributes:
        coded: (height, width) of a decoded picture in pixels, after the codec's cropping.
        turns: quarter turns counter-clockwise (numpy.rot90's sense) that bring a decoded picture upright, 0 to 3.
        mirrored: left and right are exchanged before it is turned.
        aspect: width of a coded pixel over its height.
        interlaced: a picture may be two moments in time, on even and odd lines (where fields may be coded, they are assumed).
        transfer: "PQ" or "HLG" of a video of high dynamic range, else empty.
    """

    coded: tuple[int, int]
    turns: int = 0
    mirrored: bool = False
    aspect: Fraction = Fraction(1)
    interlaced: bool = False
    transfer: str = ""

    @classmethod
    def read(cls, path: object, stream: av.VideoStream, picture: av.VideoFrame) -> "Display":
        """What a stream and its first decoded picture say; `path` is for warnings of what cannot be meant."""
        # 1. The shape of a pixel: FFmpeg's guess, which trusts the container first
        context, aspect = stream.codec_context, stream.sample_aspect_ratio or Fraction(1)
        if not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
            cause = f"pixels cannot be {aspect} times as wide as high; taken as square"
            warnings.warn(f"{path}: {cause}", VideoWarning, stacklevel=2)
            aspect = Fraction(1)
        # 2. How the picture is turned and mirrored
        turns, mirrored, off = orientation(display_matrix(picture))
        if abs(off) > CROOKED:
            warnings.warn(f"{path}: is shown askew by {off:.0f}°; taken as {90 * turns}°", VideoWarning, stacklevel=2)
        # 3. Its lines and its light
        fields = context.name == "h264" and H264(context.extradata).fields is not None
        interlaced = fields or picture.interlaced_frame or context.field_order in FIELD_ORDERS
        transfer = TRANSFERS.get(picture.color_trc, "")
        return cls((picture.height, picture.width), turns, mirrored, aspect, interlaced, transfer)

    def turns_away(self, picture: av.VideoFrame) -> bool:
        """Whether a later picture is to be turned another way than the first."""
        return orientation(display_matrix(picture))[:2] != (self.turns, self.mirrored)

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) of a picture as shown, upright and of square pixels (as players do, its coded height is kept)."""
        return self.upright_size((self.coded[0], max(1, round(self.coded[1] * self.aspect))))

    def upright_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) upright of what has this size as coded, and the other way round."""
        return size[::-1] if self.turns % 2 else size

    def upright(self, grid: np.ndarray) -> np.ndarray:
        """A picture or map [rows, cols, ...] as shown; contiguous."""
        return np.ascontiguousarray(np.rot90(grid[:, ::-1] if self.mirrored else grid, self.turns))

    def upright_vectors(self, field: np.ndarray) -> np.ndarray:
        """A field [rows, cols, 2] of (x, y) as shown: its cells move, and its vectors turn and mirror with them.

        Lengths stay those of coded pixels, whatever their aspect.
        """
        x, y = field[..., 0], field[..., 1]
        x = -x if self.mirrored else x
        for _ in range(self.turns):
            x, y = y, -x
        return self.upright(np.stack([x, y], axis=-1))

    def __str__(self) -> str:
        """What is done to a coded picture, in words; empty if nothing."""
        steps = [
            f"pixels of {self.aspect.numerator}:{self.aspect.denominator}" if self.aspect != 1 else "",
            "mirrored" if self.mirrored else "",
            f"turned {90 * self.turns}° counter-clockwise" if self.turns else "",
        ]
        return ", ".join(step for step in steps if step)


def display_matrix(picture: av.VideoFrame) -> np.ndarray | None:
    """int32 [9], the display matrix of a decoded picture, whether its file or its bitstream holds it; None without one."""
    data = side_data(picture).get("DISPLAYMATRIX")
    return None if data is None or data.buffer_size < 36 else np.frombuffer(data, np.int32, 9)


def orientation(matrix: np.ndarray | None) -> tuple[int, bool, float]:
    """The nearest of the eight orientations, as (turns, mirrored) of `Display`, and by how many degrees it is off.

    matrix: FFmpeg's nine numbers a, b, u, c, d, v, x, y, w; a picture's point (x right, y down) goes to (ax + cy, bx + dy).
    A matrix that stretches does nothing more than one that does not, and one that flattens nothing at all.
    """
    if matrix is None:
        return 0, False, 0.0
    # 1. Where the axes go, and whether they change sides
    a, b, _, c, d = (int(value) for value in matrix[:5])
    across, down = math.hypot(a, b), math.hypot(c, d)
    if a * d == b * c:
        return 0, False, 0.0
    mirrored = a * d < b * c
    a, b, c, d = a / across, b / across, c / down, d / down
    a, b = (-a, -b) if mirrored else (a, b)
    # 2. The rotation that is left
    degrees = -math.degrees(math.atan2(b - c, a + d))
    turns = round(degrees / 90)
    return turns % 4, mirrored, degrees - 90 * turns
