"""A camera that pans over landscapes, with hard cuts between shots: a known global motion and known cut times."""

from collections.abc import Iterator
from functools import cached_property, lru_cache

import numpy as np

from . import backdrop, draw

WIDER, TALLER = 2.2, 1.25  # size of a landscape over the size of the picture
# camera moves: (name, speed right, speed down), in picture widths per second
MOVES = (
    ("still", 0.0, 0.0),
    ("slow pan right", 0.05, 0.0),
    ("fast pan left", -0.22, 0.0),
    ("diagonal pan", 0.08, 0.02),
    ("pan left", -0.1, 0.0),
)
BALLOONS = ((222, 84, 72), (246, 196, 84), (88, 142, 200), (240, 234, 222))
FINE = 4  # the camera moves in quarters of a pixel, so that its motion is known exactly


class CameraCuts:
    """The scene: shots of two to four seconds over different landscapes; a balloon drifts through each.

    Args:
        duration, seed, size, fps, noise: as in `kit.world.clips.camera_cuts`.

    Attributes:
        num_frames: number of pictures.
        cuts: [C] seconds, time of the first picture of every shot but the first.
        shots: [(camera move, start, end)] in seconds.
        origin: [T, 2] x, y of the picture's top left corner in the shot's landscape, pixels.
        motion: [T, 2] how far the still background moved since the picture before, x and y in pixels (+x right, +y down);
            NaN on the first picture of a shot.
        boxes: {"balloon": [T, 4]} x0, y0, x1, y1 in pixels.
    """

    def __init__(self, duration: float, seed: int, size: tuple[int, int], fps: int, noise: float):
        self.size, self.fps, self.seed, self.noise = size, fps, seed, noise
        self.num_frames = max(1, round(duration * fps))
        # 1. Shots of two to four seconds, each with a camera move and a balloon
        rng = np.random.default_rng([seed, 5])
        moves, self.places = rng.permutation(len(MOVES)), rng.permutation(len(backdrop.PLACES))
        self.shots, origins, balloons, lengths = [], [], [], []
        while (first := sum(lengths)) < self.num_frames:
            name, *speed = MOVES[moves[len(self.shots) % len(MOVES)]]
            lengths.append(min(round(rng.uniform(2.0, 4.0) * fps), self.num_frames - first))
            into = np.arange(lengths[-1])[:, None] / fps
            origins.append(self._pan(into, np.array(speed)))
            balloons.append(self._drift(into, origins[-1], rng))
            self.shots.append((name, first / fps, (first + lengths[-1]) / fps))
        # 2. By frame: its shot, where the camera looks, and how the picture moves; unknown at a cut
        self.shot_of, self.origin = np.repeat(np.arange(len(lengths)), lengths), np.concatenate(origins)
        starts = np.cumsum([0, *lengths[:-1]])
        self.motion, self.cuts = -np.diff(self.origin, axis=0, prepend=np.nan), starts[1:] / fps
        self.motion[starts] = np.nan
        # 3. Boxes of the balloon, by frame
        self.balloon = np.concatenate(balloons)
        x, y, radius = self.balloon.T
        self.boxes = {"balloon": np.stack([x - radius, y - 1.08 * radius, x + radius, y + 1.9 * radius], -1)}
        self.landscape = lru_cache(maxsize=1)(self._paint_landscape)

    def _pan(self, into: np.ndarray, speed: np.ndarray) -> np.ndarray:
        """[F, 2] origin of the picture at `into` ([F, 1] seconds) in its landscape, on a quarter-pixel grid."""
        height, width = self.size
        room = np.array([(WIDER - 1) * width, (TALLER - 1) * height]) - 2
        travel = np.clip(speed * width * into, -room, room)
        return np.floor(FINE * (np.where(speed < 0, room, 0) + travel)) / FINE

    def _drift(self, into: np.ndarray, origin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[F, 3] x, y and radius of the balloon in the picture; it follows half of the camera and drifts by itself."""
        height, width = self.size
        start = np.array([width, height]) * rng.uniform((0.25, 0.2), (0.75, 0.4))
        own = np.array([width, height]) * rng.uniform((-0.06, -0.05), (0.06, -0.02))
        place = start + own * into - 0.5 * (origin - origin.mean(0))
        return np.hstack([place, np.full((len(into), 1), height * rng.uniform(0.06, 0.11))])

    def _paint_landscape(self, shot: int) -> np.ndarray:
        height, width = self.size
        place = int(self.places[shot % len(self.places)])
        return backdrop.landscape(int(height * TALLER), int(width * WIDER), place, self.seed + 10 * shot)

    @cached_property
    def grain(self) -> draw.Grain:
        """The camera's noise."""
        return draw.Grain(self.size, self.noise, self.seed)

    def frame(self, index: int) -> np.ndarray:
        """Picture `index`, uint8 [H, W, 3] RGB. Cheapest in order: a shot's landscape is painted when it begins."""
        canvas = draw.crop(self.landscape(int(self.shot_of[index])), self.origin[index], self.size, FINE)
        x, y, r = self.balloon[index]
        colours = np.roll(BALLOONS, self.shot_of[index], axis=0)
        for side in (-1, 1):
            rope, basket = (x + 0.54 * side * r, y + 0.8 * r), (x + 0.18 * side * r, y + 1.6 * r)
            draw.capsule(canvas, rope, basket, 0.02 * r, 0.02 * r, (70, 60, 54))
        draw.capsule(canvas, (x - 0.12 * r, y + 1.72 * r), (x + 0.12 * r, y + 1.72 * r), 0.17 * r, 0.17 * r, (136, 96, 62))
        draw.capsule(canvas, (x, y + 0.7 * r), (x, y + 0.9 * r), 0.5 * r, 0.3 * r, colours[0])
        for share, colour in zip((1.0, 0.66, 0.3), colours, strict=False):
            draw.ellipse(canvas, (x, y), (share * r, 1.08 * r), colour, light=0.12)
        self.grain.add(canvas, index)
        return canvas

    def frames(self) -> Iterator[np.ndarray]:
        """All pictures in order, one at a time."""
        return map(self.frame, range(self.num_frames))
