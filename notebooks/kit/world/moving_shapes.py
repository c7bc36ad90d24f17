"""Textured shapes that move over a table, in front of and behind each other and a plank, with their tracks."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from . import draw

KINDS = ("disc", "square", "triangle", "star", "ring")
COLOURS = {
    "red": (214, 72, 62),
    "yellow": (244, 196, 72),
    "blue": (66, 122, 190),
    "green": (84, 162, 104),
    "violet": (146, 100, 176),
}
PLANK = ((150, 108, 74), (118, 82, 56))
SAMPLES = 24  # points per side of the grid that measures how much of a shape is seen


def distance(kind: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance (negative inside) to a shape of radius 1 at the origin; u, v in the shape's own turned frame."""
    if kind == "disc":
        return np.sqrt(u * u + v * v) - 1
    if kind == "ring":
        return np.abs(np.sqrt(u * u + v * v) - 0.74) - 0.26
    if kind == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.82
    if kind == "triangle":
        return np.maximum(np.abs(u) * 0.866 - v * 0.5, v) - 0.5
    angle = np.mod(np.arctan2(u, -v), 2 * np.pi / 5)  # star: fold the plane onto half a point
    angle = np.minimum(angle, 2 * np.pi / 5 - angle)
    radius = np.sqrt(u * u + v * v)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return (x - 1) * 0.588 + y * 0.809  # the point's edge runs from (1, 0) towards the notch at 36 degrees


class MovingShapes:
    """The scene: five shapes on smooth closed paths, later ones in front, and a plank in front of them all.

    Args:
        duration, seed, size, fps, noise: as in `kit.world.clips.moving_shapes`.

    Attributes:
        num_frames: number of pictures.
        names: name of each shape, for example "red disc".
        centres: [T, S, 2] x, y in pixels.
        boxes: {name: [T, 4]} x0, y0, x1, y1 of the whole shape in pixels, hidden or not, in the picture or not.
        visible: {name: [T]} share of the shape's area that is seen.
    """

    def __init__(self, duration: float, seed: int, size: tuple[int, int], fps: int, noise: float):
        self.size, self.fps, self.num_frames = size, fps, max(1, round(duration * fps))
        (height, width), times = size, np.arange(self.num_frames) / fps
        rng = np.random.default_rng([seed, 4])
        self.kinds = [str(kind) for kind in rng.permutation(KINDS)]
        self.colours = [str(colour) for colour in rng.permutation(list(COLOURS))]
        self.names = [f"{colour} {kind}" for colour, kind in zip(self.colours, self.kinds, strict=True)]
        count = len(KINDS)
        self.radii = height * rng.uniform(0.10, 0.15, count)
        self.plank = np.array([0.62, 0.74]) * width + rng.uniform(-0.1, 0.1) * width
        self.centres = self._paths(times, rng)
        self.turns = rng.uniform(0, 6.3, count) + times[:, None] * rng.uniform(-1.0, 1.0, count)
        self.texture = [draw.fractal(rng, 96, 96, 6, 3, 0.7) for _ in KINDS]
        self.seed, self.noise = seed, noise
        self.boxes, self.visible = self._boxes(), self._visible()

    def _paths(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        (height, width), count = self.size, len(KINDS)
        rate = 2 * np.pi * rng.uniform(0.08, 0.2, (2, count))
        phase = rng.uniform(0, 2 * np.pi, (2, count))
        rest = np.sin(1.3 * times + phase[0, 0])[:, None]  # everyone slows down and speeds up together, now and then
        clock = times[:, None] + 0.45 * rest
        x = width * (0.5 + 0.42 * np.sin(rate[0] * clock + phase[0]))
        y = height * (0.5 + 0.33 * np.sin(rate[1] * clock + phase[1]))
        return np.stack([x, y], -1)

    @cached_property
    def plate(self) -> np.ndarray:
        """The table with its cloth, uint8 [H, W, 3]; painted when the first picture is."""
        rng, (height, width) = np.random.default_rng([self.seed, 6]), self.size
        linen = draw.fractal(rng, height, width, 2.5, 3) * 0.5 + draw.fractal(rng, height, width, height / 4, 2, 0.8) * 0.5
        colour = np.float32([206, 200, 184]) + (linen[..., None] - 0.5) * np.float32([46, 46, 50])
        y, x = np.mgrid[:height, :width] / (height / 9)
        check = ((np.floor(x) + np.floor(y)) % 2)[..., None]
        colour -= check * np.float32([22, 12, 4])
        return np.clip(colour, draw.NOISE_LIMIT, 255 - draw.NOISE_LIMIT).astype(np.uint8)

    @cached_property
    def wood(self) -> np.ndarray:
        """The plank, uint8 [H, w, 3]: a texture drawn out along the grain."""
        height, (left, right) = self.size[0], self.plank.astype(int)
        texture = draw.fractal(np.random.default_rng([self.seed, 7]), height // 8 + 1, right - left, 4, 4, 0.7)
        rings = (0.5 + 0.5 * np.sin(18 * np.repeat(texture, 8, axis=0)[:height]))[..., None]
        return (np.float32(PLANK[0]) + rings * (np.float32(PLANK[1]) - np.float32(PLANK[0]))).astype(np.uint8)

    @cached_property
    def grain(self) -> draw.Grain:
        """The camera's noise."""
        return draw.Grain(self.size, self.noise, self.seed)

    def _boxes(self) -> dict[str, np.ndarray]:
        angle, reach = np.radians(np.arange(0, 360, 3))[:, None], np.linspace(0.3, 1.2, 901)
        boxes = {}
        for number, name in enumerate(self.names):
            inside = distance(self.kinds[number], reach * np.cos(angle), reach * np.sin(angle)) <= 0
            far = np.where(inside, reach, 0).max(1)  # the outline, every 3 degrees: all corners lie on one of these
            outline = self._placed(number, far * np.cos(angle[:, 0]), far * np.sin(angle[:, 0]))
            boxes[name] = np.concatenate([outline.min(1), outline.max(1)], -1)
        return boxes

    def _placed(self, number: int, u: np.ndarray, v: np.ndarray, frames=slice(None)) -> np.ndarray:
        """Points u, v of shape `number` in the picture, [F, N, 2] pixels."""
        c, s = np.cos(self.turns[frames, number, None]), np.sin(self.turns[frames, number, None])
        around = np.stack([c * u - s * v, s * u + c * v], -1) * self.radii[number]
        return around + self.centres[frames, number, None]

    def _own(self, number: int, points: np.ndarray, frames) -> tuple[np.ndarray, np.ndarray]:
        """Picture points [F, N, 2] in the frame of shape `number`: u, v in units of its radius."""
        offset = (points - self.centres[frames, number, None]) / self.radii[number]
        c, s = np.cos(self.turns[frames, number, None]), np.sin(self.turns[frames, number, None])
        return c * offset[..., 0] + s * offset[..., 1], c * offset[..., 1] - s * offset[..., 0]

    def _seen(self, number: int, frames: np.ndarray) -> np.ndarray:
        """Share of shape `number` that is seen in `frames`, measured on a grid of points within it."""
        grid = (np.arange(SAMPLES) + 0.5) / SAMPLES * 2.4 - 1.2
        u, v = (axis.reshape(-1) for axis in np.meshgrid(grid, grid))
        inside = distance(self.kinds[number], u, v) < 0
        points = self._placed(number, u[inside], v[inside], frames)
        seen = ((points >= 0) & (points < (self.size[1], self.size[0]))).all(-1)
        seen &= (points[..., 0] < self.plank[0]) | (points[..., 0] > self.plank[1])
        for front in range(number + 1, len(self.names)):
            seen &= distance(self.kinds[front], *self._own(front, points, frames)) > 0
        return seen.mean(1)

    def _visible(self) -> dict[str, np.ndarray]:
        parts = np.array_split(np.arange(self.num_frames), self.num_frames // 500 + 1)
        return {name: np.concatenate([self._seen(n, part) for part in parts]) for n, name in enumerate(self.names)}

    def frame(self, index: int) -> np.ndarray:
        """Picture `index`, uint8 [H, W, 3] RGB."""
        canvas = self.plate.copy()
        for number in range(len(self.names)):
            self._paint(canvas, number, index)
        left, right = self.plank.astype(int)
        shadow = canvas[:, right : right + self.size[0] // 40]
        shadow[...] = (shadow * np.float32(0.8)).astype(np.uint8)
        canvas[:, left:right] = self.wood
        self.grain.add(canvas, index)
        return canvas

    def _paint(self, canvas: np.ndarray, number: int, index: int) -> None:
        (cx, cy), radius = self.centres[index, number], self.radii[number]
        shift = radius * 0.08
        draw.ellipse(canvas, (cx + shift, cy + 2 * shift), (radius, radius), (60, 52, 48), softness=radius * 0.4, opacity=0.35)
        view = draw.window(
            canvas, cx - radius * 1.05 - 1, cy - radius * 1.05 - 1, cx + radius * 1.05 + 1, cy + radius * 1.05 + 1
        )
        if view is None:
            return
        region, x, y = view
        c, s = np.float32(np.cos(self.turns[index, number])), np.float32(np.sin(self.turns[index, number]))
        dx, dy = (x - np.float32(cx)) / np.float32(radius), (y - np.float32(cy)) / np.float32(radius)
        u, v = c * dx + s * dy, c * dy - s * dx
        alpha = np.clip(np.float32(0.5) - distance(self.kinds[number], u, v) * np.float32(radius), 0, 1)
        rows, cols = (np.clip((axis + 1) * 47, 0, 95).astype(np.intp) for axis in (v, u))
        tone = np.float32(0.72) + np.float32(0.5) * self.texture[number][rows, cols] - np.float32(0.08) * (dx + dy)
        draw.blend(region, alpha, tone[..., None] * np.float32(COLOURS[self.colours[number]]))

    def frames(self) -> Iterator[np.ndarray]:
        """All pictures in order, one at a time."""
        return map(self.frame, range(self.num_frames))
