"""Still backgrounds with real texture: a playground court in perspective, and wide landscapes to pan over."""

import numpy as np
from PIL import Image

from . import draw
from .figure import Camera

SKIES = (((96, 158, 216), (214, 232, 240)), ((120, 150, 206), (248, 216, 190)), ((110, 176, 200), (232, 240, 226)))
COURTS = (((196, 112, 84), (182, 98, 76)), ((92, 138, 150), (82, 126, 142)), ((172, 142, 104), (160, 130, 96)))
SUPERSAMPLE = 2  # painted twice as large, then averaged


def _mix(a, b, share: np.ndarray) -> np.ndarray:
    return np.asarray(a, np.float32) + share[..., None] * (np.asarray(b, np.float32) - np.asarray(a, np.float32))


def sky(rng: np.random.Generator, height: int, width: int, horizon: float, colours) -> np.ndarray:
    """A clear sky with clouds, float32 [height, width, 3], lighter towards the row `horizon`."""
    down = np.clip(np.arange(height, dtype=np.float32)[:, None] / max(horizon, 1), 0, 1)
    picture = _mix(colours[0], colours[1], np.broadcast_to(down**1.3, (height, width)))
    cloud = np.clip((draw.fractal(rng, height, width, 3.0, 5) - 0.52) * 4, 0, 1) * np.clip(1.2 - down, 0, 0.9)
    return picture + cloud[..., None] * (np.float32([240, 240, 238]) - picture)


def ridge(rng: np.random.Generator, picture: np.ndarray, base: float, relief: float, colours, cells: float, grain: float):
    """Paint a textured silhouette (hills, trees) over all rows below a random skyline that rises to `relief` over `base`.

    `cells` hills lie side by side; `grain` patches of texture down the picture's height.
    """
    height, width = picture.shape[:2]
    knots, count = np.linspace(0, 1, width), max(int(cells * 6), 4)
    skyline = 0.74 * draw.fractal(rng, 2, width, 0.01 + cells / width, 1)[0]
    skyline = base - relief * (skyline + 0.26 * np.interp(knots, np.linspace(0, 1, count), rng.random(count)))
    top = max(int(skyline.min()) - 1, 0)
    part = picture[top:]
    cover = np.clip(np.arange(top, height, dtype=np.float32)[:, None] - skyline.astype(np.float32) + np.float32(0.5), 0, 1)
    leaves = draw.fractal(rng, len(part), width, grain * len(part) / height, 5, 0.7)
    paint = _mix(colours[0], colours[1], np.clip(leaves * 1.6 - 0.3, 0, 1))
    paint -= part
    paint *= cover[..., None]
    part += paint


def court(camera: Camera, seed: int) -> np.ndarray:
    """A playground: sky, hills, trees and a paved court in perspective; uint8 [H, W, 3]."""
    # 1. Sky and three ridges, far to near
    rng = np.random.default_rng([seed, 1])
    height, width = camera.size[0] * SUPERSAMPLE, camera.size[1] * SUPERSAMPLE
    horizon = camera.horizon * SUPERSAMPLE
    picture = sky(rng, height, width, horizon, SKIES[seed % len(SKIES)])
    ridge(rng, picture, horizon - 0.10 * height, 0.16 * height, ((132, 164, 178), (156, 184, 190)), 1.2, 5)
    ridge(rng, picture, horizon - 0.05 * height, 0.10 * height, ((74, 116, 84), (128, 164, 96)), 3.0, 22)
    ridge(rng, picture, horizon + 0.012 * height, 0.05 * height, ((48, 92, 58), (110, 150, 74)), 7.0, 36)
    # 2. Where on the ground each pixel below the horizon lies
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    below = np.maximum(rows - horizon, 1e-3)
    depth = camera.scale * SUPERSAMPLE * camera.distance * camera.height / below  # distance along the ground
    z = camera.distance - depth
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - camera.centre * SUPERSAMPLE) * depth
    x = x / (camera.scale * SUPERSAMPLE * camera.distance)
    # 3. Paving near the camera, lawn behind it
    ground = _paving(rng, x, np.broadcast_to(z, x.shape), COURTS[seed % len(COURTS)])
    lawn = _mix((96, 142, 74), (140, 176, 90), draw.fractal(rng, height, width, 60, 3, 0.8))
    ground = np.where((z > -3.2)[..., None], ground, lawn)
    # 4. Haze towards the horizon, shade towards the viewer
    haze = np.clip(1 - below / (0.20 * height), 0, 1) * 0.45
    ground += haze[..., None] * (np.float32([206, 210, 196]) - ground)
    shade = 1.05 - 0.25 * np.clip((rows - horizon) / (height - horizon), 0, 1)
    picture = np.where((rows > horizon + 0.012 * height)[..., None], ground * shade[..., None], picture)
    return _shrink(picture, camera.size)


def _paving(rng: np.random.Generator, x: np.ndarray, z: np.ndarray, colours) -> np.ndarray:
    """Slabs 0.3 units wide with joints, speckle and two painted lines, at ground coordinates x, z."""
    side, tones = 0.3, rng.random((64, 64), dtype=np.float32)
    column, row = np.floor(x / side).astype(int), np.floor(z / side).astype(int)
    tone = tones[row % 64, column % 64]
    speckle = rng.normal(0, 1, (256, 256)).astype(np.float32)
    tone = tone + 0.35 * speckle[np.floor(z * 90).astype(int) % 256, np.floor(x * 90).astype(int) % 256]
    picture = _mix(colours[0], colours[1], tone)
    edge = np.minimum(np.minimum(x / side % 1, 1 - x / side % 1), np.minimum(z / side % 1, 1 - z / side % 1))
    joint = np.clip(1 - edge / 0.025, 0, 1) * 0.35
    picture *= (1 - joint)[..., None]
    lines = (np.abs(z + 0.95) < 0.035) | ((np.abs(x - 1.35) < 0.03) & (z > -0.95)) | ((np.abs(x + 1.35) < 0.03) & (z > -0.95))
    return np.where(lines[..., None], np.float32([236, 230, 214]) + 4 * speckle[row % 256, column % 256][..., None], picture)


def _shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    pixels = Image.fromarray(np.clip(picture + 0.5, draw.NOISE_LIMIT, 255 - draw.NOISE_LIMIT).astype(np.uint8))
    return np.array(pixels.resize((size[1], size[0]), Image.Resampling.BOX))


# the two ends of each colour range: sky (top, horizon), far ridge, near ridge, ground
PLACES = (
    (((88, 150, 214), (216, 234, 242)), ((120, 150, 176), (150, 176, 192)))
    + (((58, 104, 66), (128, 160, 84)), ((112, 148, 70), (168, 188, 98))),
    (((66, 84, 140), (250, 190, 146)), ((116, 92, 120), (168, 122, 128)))
    + (((84, 58, 70), (140, 92, 84)), ((178, 120, 84), (220, 170, 118))),
    (((110, 170, 206), (236, 238, 230)), ((150, 158, 176), (214, 218, 226)))
    + (((84, 98, 112), (138, 148, 156)), ((52, 110, 142), (112, 164, 184))),
    (((40, 52, 96), (120, 128, 172)), ((58, 64, 104), (84, 88, 132)))
    + (((36, 52, 62), (66, 88, 84)), ((58, 70, 84), (96, 106, 118))),
)


def landscape(height: int, width: int, place: int, seed: int) -> np.ndarray:
    """A wide landscape, uint8 [height, width, 3]: `place` chooses one of the palettes in `PLACES`."""
    rng = np.random.default_rng([seed, place, 2])
    (heavens, far, near, ground), horizon = PLACES[place % len(PLACES)], 0.56 * height
    picture = sky(rng, height, width, horizon, heavens)
    wide = width / height
    ridge(rng, picture, horizon, 0.30 * height, far, 2.2 * wide, 9)
    ridge(rng, picture, horizon + 0.06 * height, 0.16 * height, near, 4.5 * wide, 26)
    ridge(rng, picture, horizon + 0.14 * height, 0.05 * height, ground, 1.5 * wide, 40)
    return np.clip(picture + 0.5, draw.NOISE_LIMIT, 255 - draw.NOISE_LIMIT).astype(np.uint8)
