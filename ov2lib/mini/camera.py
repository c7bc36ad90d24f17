"""A camera that pans over landscapes, with hard cuts between shots: a known global motion and known cut times."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from . import backdrop, draw

MARGIN = 0.25  # share of the picture's height that a landscape is larger than the picture, up and down together
WIDE = 2.2  # width of a landscape over the picture's width
# camera moves: (name, speed right, speed down), in picture widths per second
MOVES = (
    ("still", 0.0, 0.0),
    ("slow pan right", 0.05, 0.0),
    ("fast pan left", -0.22, 0.0),
    ("diagonal pan", 0.08, 0.02),
    ("pan left", -0.1, 0.0),
)
BALLOONS = ((222, 84, 72), (246, 196, 84), (88, 142, 200), (240, 234, 222))


class CameraCuts:
    """The scene: shots of two to four seconds over different landscapes; a balloon drifts through each.

    Args:
        duration, seed, size, fps, noise: as in `ov2lib.mini.scenes.camera_cuts`.

    Attributes:
        num_frames: number of pictures.
        cuts: [C] seconds, time of the first picture of every shot but the first.
        shots: [(camera move, start, end)] in seconds.
        motion: [T, 2] how far the still background moved since the picture before, x and y in pixels (+x right, +y down);
            NaN on the first picture of a shot.
        boxes: {"balloon": [T, 4]} x0, y0, x1, y1 in pixels.
    """

    def __init__(self, duration: float, seed: int, size: tuple[int, int], fps: int, noise: float):
        self.size, self.fps, self.num_frames, self.seed = size, fps, max(1, round(duration * fps)), seed
        rng = np.random.default_rng([seed, 5])
        self.grain = draw.Grain(size, noise, seed)
        self._cut(rng)
        self.balloon = self._balloon(rng)
        x, y, radius = self.balloon.T
        self.boxes = {"balloon": np.stack([x - radius, y - 1.2 * radius, x + radius, y + 2.0 * radius], -1)}
        self._shown, self._landscape = -1, None

    def _cut(self, rng: np.random.Generator) -> None:
        """Choose the shots, their camera moves and the camera's place at each frame."""
        height, width = self.size
        first, self.shots, origins, self.shot_of = 0, [], [], []
        moves, places = rng.permutation(len(MOVES)), rng.permutation(len(backdrop.PLACES))
        while first < self.num_frames:
            number = len(self.shots)
            name, right, down = MOVES[moves[number % len(MOVES)]]
            length = int(min(round(rng.uniform(2.0, 4.0) * self.fps), self.num_frames - first))
            ease = np.convolve(np.ones(length), np.hanning(9)[1:-1] / 4, mode="same") if length > 12 else np.ones(length)
            travel = np.cumsum(ease / ease.max())[:, None] * np.array([right, down]) * width / self.fps
            room = np.array([(WIDE - 1) * width, MARGIN * height])
            travel = np.clip(travel, -0.95 * room, 0.95 * room)
            origins.append(np.where(travel[-1] < 0, room, 0) + travel + np.array([0.02, 0]) * room * np.sign(travel[-1]))
            self.shots.append((name, first / self.fps, (first + length) / self.fps))
            self.shot_of += [number] * length
            first += length
        self.places = [int(places[n % len(places)]) for n in range(len(self.shots))]
        self.origin = np.concatenate(origins)
        self.motion = -np.diff(self.origin, axis=0, prepend=np.nan)
        starts = np.flatnonzero(np.diff(self.shot_of, prepend=-1))
        self.motion[starts] = np.nan
        self.cuts = starts[1:] / self.fps

    def _balloon(self, rng: np.random.Generator) -> np.ndarray:
        """[T, 3] x, y and radius of the balloon in the picture, pixels; it has its own motion on top of the camera's."""
        height, width = self.size
        place = np.empty((self.num_frames, 3))
        for number in range(len(self.shots)):
            frames = np.flatnonzero(np.array(self.shot_of) == number)
            into = (frames - frames[0]) / self.fps
            start, drift = rng.uniform(0.25, 0.75) * width, rng.uniform(-0.08, 0.08) * width
            camera = self.origin[frames] - self.origin[frames].mean(0)
            place[frames, 0] = start + drift * into - 0.5 * camera[:, 0]
            place[frames, 1] = height * (rng.uniform(0.2, 0.4) - 0.03 * into) - 0.5 * camera[:, 1]
            place[frames, 2] = height * rng.uniform(0.06, 0.11)
        return place

    def _view(self, index: int) -> np.ndarray:
        """The landscape of the shot, seen from where the camera is; bilinear between pixels."""
        (height, width), number = self.size, self.shot_of[index]
        if number != self._shown:
            tall, wide = int(height * (1 + MARGIN)) + 2, int(width * WIDE) + 2
            picture = backdrop.landscape(tall, wide, self.places[number], self.seed + 10 * number)
            self._landscape, self._shown = Image.fromarray(picture), number
        x, y = self.origin[index]
        seen = self._landscape.transform((width, height), Image.Transform.AFFINE, (1, 0, x, 0, 1, y), Image.Resampling.BILINEAR)
        return np.array(seen)

    def frame(self, index: int) -> np.ndarray:
        """Picture `index`, uint8 [H, W, 3] RGB. Ask for them in order: a shot's landscape is painted when it begins."""
        canvas = self._view(index)
        x, y, r = self.balloon[index]
        colours = np.roll(BALLOONS, self.shot_of[index], axis=0)
        for side in (-0.3, 0.3):
            draw.capsule(
                canvas, (x + 1.8 * side * r, y + 0.8 * r), (x + side * 0.6 * r, y + 1.6 * r), 0.02 * r, 0.02 * r, (70, 60, 54)
            )
        draw.capsule(canvas, (x - 0.12 * r, y + 1.72 * r), (x + 0.12 * r, y + 1.72 * r), 0.17 * r, 0.17 * r, (136, 96, 62))
        draw.capsule(canvas, (x, y + 0.7 * r), (x, y + 0.9 * r), 0.5 * r, 0.3 * r, colours[0])
        for share, colour in ((1.0, colours[0]), (0.66, colours[1]), (0.3, colours[2])):
            draw.ellipse(canvas, (x, y), (share * r, 1.08 * r), colour, light=0.12)
        self.grain.add(canvas, index)
        return canvas

    def frames(self) -> Iterator[np.ndarray]:
        """All pictures in order, one at a time."""
        return map(self.frame, range(self.num_frames))
