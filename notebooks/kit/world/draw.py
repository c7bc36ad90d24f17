"""Painting in plain NumPy: anti-aliased shapes on uint8 pictures, touching only the pixels they cover.

Coordinates are continuous pixels: x grows to the right, y downwards, (0, 0) is the outer corner of the top left pixel,
so that the centre of pixel (row, col) lies at (col + 0.5, row + 0.5). Colours are RGB triples, 0..255.
"""

import numpy as np
from PIL import Image

NOISE_LIMIT = 12  # everything painted keeps this distance from 0 and 255, so that adding noise never wraps around


def blend(region: np.ndarray, alpha: np.ndarray, colour) -> None:
    """Mix `colour` ([3] or [..., 3]) into `region` (uint8 [..., 3], changed in place) by `alpha` ([...], 0..1)."""
    mixed = np.subtract(colour, region, dtype=np.float32)
    mixed *= alpha[..., None]
    mixed += region
    mixed += 0.5
    np.clip(mixed, NOISE_LIMIT, 255.5 - NOISE_LIMIT, out=mixed)
    region[...] = mixed


def window(canvas: np.ndarray, x0: float, y0: float, x1: float, y1: float):
    """The part of `canvas` under a box: (region, x [1, w], y [h, 1]) with pixel centres, or None when outside."""
    height, width = canvas.shape[:2]
    left, top = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
    right, bottom = min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)
    if left >= right or top >= bottom:
        return None
    x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
    return canvas[top:bottom, left:right], x, y


def capsule(canvas, start, end, start_radius: float, end_radius: float, colour, stripe=None, stripes: int = 0) -> None:
    """Paint a rounded limb from `start` to `end` ((x, y) in pixels), lit from the upper left.

    `stripes` bands of the colour `stripe` run across it and move with it, so that a moving limb carries texture.
    """
    (ax, ay), (bx, by) = (float(start[0]), float(start[1])), (float(end[0]), float(end[1]))
    reach = max(start_radius, end_radius) + 1
    view = window(canvas, min(ax, bx) - reach, min(ay, by) - reach, max(ax, bx) + reach, max(ay, by) + reach)
    if view is None:
        return
    region, x, y = view
    dx, dy = bx - ax, by - ay
    length2 = dx * dx + dy * dy + 1e-6
    px, py = x - np.float32(ax), y - np.float32(ay)
    along = np.clip((px * np.float32(dx) + py * np.float32(dy)) / np.float32(length2), 0, 1)
    radius = np.float32(start_radius) + along * np.float32(end_radius - start_radius)
    off_x, off_y = px - along * np.float32(dx), py - along * np.float32(dy)
    alpha = np.clip(radius + np.float32(0.5) - np.sqrt(off_x * off_x + off_y * off_y), 0, 1)
    light = np.float32(0.94) - np.float32(0.16) * (off_x + np.float32(1.2) * off_y) / np.maximum(radius, 1)
    paint = light[..., None] * np.asarray(colour, np.float32)
    if stripes:
        band = np.clip(np.float32(0.5) - 4 * np.cos(along * np.float32(2 * np.pi * stripes)), 0, 1)[..., None]
        paint += band * (light[..., None] * np.asarray(stripe, np.float32) - paint)
    blend(region, alpha, paint)


def ellipse(canvas, centre, radii, colour, softness: float = 1.0, opacity: float = 1.0, light: float = 0.0) -> None:
    """Paint an axis-parallel ellipse; `softness` is the width of its edge in pixels, `light` shades it like a ball."""
    (cx, cy), (rx, ry) = centre, (max(radii[0], 0.3), max(radii[1], 0.3))
    view = window(canvas, cx - rx - softness, cy - ry - softness, cx + rx + softness, cy + ry + softness)
    if view is None:
        return
    region, x, y = view
    u, v = (x - np.float32(cx)) / np.float32(rx), (y - np.float32(cy)) / np.float32(ry)
    alpha = np.clip((1 - np.sqrt(u * u + v * v)) * np.float32(min(rx, ry) / softness) + np.float32(0.5), 0, 1)
    paint = np.asarray(colour, np.float32)
    if light:
        paint = (1 - np.float32(light) * (u + np.float32(1.2) * v))[..., None] * paint
    blend(region, alpha * np.float32(opacity), paint)


def stroke(canvas, points: np.ndarray, radius: np.ndarray, opacity: np.ndarray, colour) -> None:
    """Paint thin lines through `points` ([M, N, 2] pixels, less than a pixel apart along each of the M lines).

    Each point covers a short run of pixels across the line, of half width `radius` pixels and `opacity` ([M, N] each).
    Where lines cross, the strongest cover counts. Only pixels near the lines are computed.
    """
    # 1. The direction of the line at each point
    height, width = canvas.shape[:2]
    points = points.astype(np.float32)
    tangent = np.gradient(points, axis=1)
    tangent /= np.sqrt((tangent**2).sum(-1, keepdims=True)) + np.float32(1e-6)
    # 2. A run of pixels across it: along the row where the line is steep, else along the column
    steep = np.abs(tangent[..., 1:]) >= np.abs(tangent[..., :1])
    reach = int(np.ceil(1.5 * radius.max()))
    run = np.arange(-reach, reach + 1)
    pixel = np.floor(points).astype(np.int64)
    col, row = pixel[..., :1] + run * steep, pixel[..., 1:] + run * ~steep  # [M, N, K]
    # 3. How much of each pixel the line covers
    off_x, off_y = col + np.float32(0.5) - points[..., :1], row + np.float32(0.5) - points[..., 1:]
    distance = np.abs(off_x * tangent[..., 1:] - off_y * tangent[..., :1])
    cover = np.clip(radius[..., None] + 0.5 - distance, 0, 1) * opacity[..., None]
    # 4. Where lines cross, the strongest cover counts
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width) & (cover > 0)
    index = (row * width + col)[inside]
    if not len(index):
        return
    first = index.min()
    strongest = np.zeros(index.max() + 1 - first, np.float32)
    np.maximum.at(strongest, index - first, cover[inside].astype(np.float32))
    # 5. Paint
    touched = np.flatnonzero(strongest > 0)
    flat = canvas.reshape(-1, 3)
    pixels = flat[touched + first]
    blend(pixels, strongest[touched], colour)
    flat[touched + first] = pixels


def crop(picture: np.ndarray, origin, size: tuple[int, int], fine: int) -> np.ndarray:
    """The window of `size` (height, width) at `origin` (x, y) of `picture`, bilinear, in steps of 1 / `fine` pixel."""
    (x, y), (height, width) = (int(v) for v in np.rint(np.asarray(origin) * fine)), size
    (left, across), (top, down) = divmod(x, fine), divmod(y, fine)
    part = picture[top : top + height + 1, left : left + width + 1]
    if across:
        part = (
            np.multiply(part[:, :-1], fine - across, dtype=np.uint16) + np.multiply(part[:, 1:], across, dtype=np.uint16)
        ) // fine
    if down:
        part = (np.multiply(part[:-1], fine - down, dtype=np.uint16) + np.multiply(part[1:], down, dtype=np.uint16)) // fine
    return np.array(part[:height, :width], np.uint8)


def fractal(rng: np.random.Generator, height: int, width: int, cells: float, octaves: int = 4, gain: float = 0.55):
    """Smooth random texture, float32 [height, width] in 0..1: octaves of random grids, `cells` of them down the first."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = max(2, round(cells * 2**octave) + 1)
        cols = max(2, round(cells * 2**octave * width / height) + 1)
        grid = Image.fromarray(rng.random((rows, cols), dtype=np.float32))
        total += gain**octave * np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))
    total -= total.min()
    return total / total.max()


class Grain:
    """Sensor noise: the same Gaussian field, shifted to another random place for every frame.

    Args:
        size: (height, width) of the frames.
        sigma: standard deviation in grey levels, 0 to 4.
        seed: of the field and of the shifts.
    """

    MARGIN = 61

    def __init__(self, size: tuple[int, int], sigma: float, seed: int):
        self.size, self.sigma, self.seed = size, sigma, seed
        rng = np.random.default_rng([seed, 77])
        field = rng.normal(0, sigma, (size[0] + self.MARGIN, size[1] + self.MARGIN, 1))
        levels = np.clip(np.rint(field), -NOISE_LIMIT, NOISE_LIMIT).astype(np.int8).view(np.uint8)
        self.field = np.repeat(levels, 3, axis=2)

    def add(self, frame: np.ndarray, index: int) -> None:
        """Add the noise of frame `index` to `frame` (uint8 [h, w, 3], values `NOISE_LIMIT` from both ends) in place."""
        if self.sigma:
            top, left = np.random.default_rng([self.seed, index]).integers(0, self.MARGIN, 2)
            frame += self.field[top : top + self.size[0], left : left + self.size[1]]
