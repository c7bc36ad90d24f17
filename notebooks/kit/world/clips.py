"""Clips with known truth: call one of the three functions, get a real video file and what is known about it.

clip = jump_rope(duration=12.0, seed=0, codec="h264")
clip.path          # an .mp4 in the cache
clip.event_times   # when the rope is behind the legs before each jump, in seconds
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from ov2lib.video.encode import Encoding

from ..errors import MiniError
from .cache import cached
from .camera import CameraCuts
from .jump_rope import JumpRope
from .moving_shapes import MovingShapes

SIDES = (64, 4096)  # smallest and largest side of a picture, pixels
MAX_NOISE = 4.0  # the sensor noise is clipped at three times this


@dataclass(frozen=True, eq=False)
class Track:
    """Where something is in every frame.

    Attributes:
        boxes: float64 [T, 4], x0, y0, x1, y1 in source pixels (continuous, origin at the outer top left corner, y down)
            of the whole thing, also where it is hidden or leaves the picture; NaN while it does not exist.
        visible: float64 [T], share of its area that is seen; None where it is not measured.
    """

    boxes: np.ndarray
    visible: np.ndarray | None = None

    @property
    def centres(self) -> np.ndarray:
        """float64 [T, 2], x and y of the middle of each box in source pixels."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2


@dataclass(frozen=True, eq=False)
class Clip:
    """A synthetic clip and its truth.

    Attributes:
        path: the video file.
        kind: "jump_rope", "moving_shapes" or "camera_cuts".
        fps: frames per second, constant; frame t is shown at t / fps.
        duration: seconds, num_frames / fps.
        size: (height, width) in pixels.
        event_times: seconds. jump_rope: the rope is behind the legs, once per jump. camera_cuts: first frame after each
            cut. moving_shapes: a shape becomes hidden (less than half of it seen).
        spans: (name, start, end) in seconds of what goes on: activities, airborne times, shots.
        tracks: where the named things are.
        camera: float64 [T, 2], motion of the still background since the frame before, x and y in pixels (+x right, +y
            down); NaN across a cut and on frame 0, 0 where the camera stands.
        description: one sentence for people.
        config: the resolved configuration, plain JSON values.
    """

    path: Path
    kind: str
    fps: int
    duration: float
    size: tuple[int, int]
    event_times: tuple[float, ...]
    spans: tuple[tuple[str, float, float], ...]
    tracks: dict[str, Track]
    camera: np.ndarray
    description: str
    config: dict = field(default_factory=dict)

    @property
    def num_frames(self) -> int:
        """Frames in the file."""
        return round(self.duration * self.fps)


def jump_rope(duration: float = 12.0, seed: int = 0, size=(360, 640), fps: int = 25, noise: float = 2.0, **encoding) -> Clip:
    """A figure skipping rope on a playground: bouts of jumps at changing pace, rests, waving, idle rope turns, a passer-by.

    Args:
        duration: seconds.
        seed: chooses the figure, the place and the course of events.
        size: (height, width) in pixels, even.
        fps: whole frames per second.
        noise: standard deviation of the camera's noise in grey levels, 0 to 4.
        **encoding: fields of `ov2lib.video.encode.Encoding` (codec, quality, gop, bframes, open_gop).

    Raises:
        MiniError: an argument out of range, an encoder this PyAV lacks, or a cache folder that cannot be written.
    """
    return _clip("jump_rope", JumpRope, duration, seed, size, fps, noise, encoding)


def moving_shapes(duration: float = 8.0, seed: int = 0, size=(360, 640), fps: int = 25, noise: float = 2.0, **encoding) -> Clip:
    """Five turning, textured shapes that pass in front of and behind each other and a plank. Arguments as `jump_rope`."""
    return _clip("moving_shapes", MovingShapes, duration, seed, size, fps, noise, encoding)


def camera_cuts(duration: float = 12.0, seed: int = 0, size=(360, 640), fps: int = 25, noise: float = 2.0, **encoding) -> Clip:
    """A camera panning over landscapes, with hard cuts and a drifting balloon. Arguments as `jump_rope`."""
    return _clip("camera_cuts", CameraCuts, duration, seed, size, fps, noise, encoding)


def _clip(kind: str, scene_type, duration, seed, size, fps, noise, encoding: dict) -> Clip:
    config = _checked(duration, seed, size, fps, noise)
    unknown = sorted(set(encoding) - {f.name for f in fields(Encoding)})
    if unknown:
        names = ", ".join(f.name for f in fields(Encoding))
        raise MiniError(f"{kind} has no argument {unknown[0]!r}; for the encoding there are {names}")
    encoded = Encoding(**encoding)
    scene = scene_type(**config)
    path = cached(kind, config, encoded, scene.frames)
    return Clip(
        path=path, kind=kind, fps=config["fps"], duration=scene.num_frames / config["fps"], size=config["size"],
        config={"kind": kind, **config, "size": list(config["size"]), "encoding": asdict(encoded)}, **TRUTH[kind](scene),
    )  # fmt: skip


def _checked(duration, seed, size, fps, noise) -> dict:
    if not 0 < duration <= 3600:
        raise MiniError(f"duration is {duration} s; choose more than 0 and at most an hour")
    if int(seed) != seed or seed < 0:
        raise MiniError(f"seed is {seed}; use a whole number from 0")
    if len(size) != 2 or any(int(side) != side or side % 2 or not SIDES[0] <= side <= SIDES[1] for side in size):
        raise MiniError(f"size is {tuple(size)}; use (height, width), even numbers from {SIDES[0]} to {SIDES[1]}")
    if int(fps) != fps or not 1 <= fps <= 240:
        raise MiniError(f"fps is {fps}; use a whole number from 1 to 240")
    if not 0 <= noise <= MAX_NOISE:
        raise MiniError(f"noise is {noise}; use 0 to {MAX_NOISE:g} grey levels")
    whole = (int(size[0]), int(size[1]))
    return {"duration": float(duration), "seed": int(seed), "size": whole, "fps": int(fps), "noise": float(noise)}


def _jump_rope_truth(scene: JumpRope) -> dict:
    air = [("air", float(start), float(end)) for start, end in scene.air]
    return {
        "event_times": tuple(float(t) for t in scene.starts),
        "spans": tuple(sorted(scene.spans + air, key=lambda span: span[1])),
        "tracks": {name: Track(boxes) for name, boxes in scene.boxes.items()},
        "camera": _still(scene.num_frames),
        "description": f"a figure jumps rope {len(scene.starts)} times, rests, waves and turns the rope idly; someone walks by",
    }


def _moving_shapes_truth(scene: MovingShapes) -> dict:
    hidden = np.stack([scene.visible[name] < 0.5 for name in scene.names], -1)
    spans = [
        span for name, column in zip(scene.names, hidden.T, strict=True) for span in _runs(f"{name} hidden", column, scene.fps)
    ]
    return {
        "event_times": tuple(sorted(start for _, start, _ in spans if start > 0)),
        "spans": tuple(sorted(spans, key=lambda span: span[1])),
        "tracks": {name: Track(scene.boxes[name], scene.visible[name]) for name in scene.names},
        "camera": _still(scene.num_frames),
        "description": f"{', '.join(scene.names)} move over a table, behind each other and a plank",
    }


def _camera_cuts_truth(scene: CameraCuts) -> dict:
    return {
        "event_times": tuple(float(t) for t in scene.cuts),
        "spans": tuple(scene.shots),
        "tracks": {name: Track(boxes) for name, boxes in scene.boxes.items()},
        "camera": scene.motion,
        "description": f"{len(scene.shots)} shots of landscapes: {', '.join(name for name, _, _ in scene.shots)}",
    }


def _still(frames: int) -> np.ndarray:
    motion = np.zeros((frames, 2))
    motion[0] = np.nan
    return motion


def _runs(name: str, flags: np.ndarray, fps: int) -> Iterator[tuple[str, float, float]]:
    """Spans during which `flags` hold."""
    edges = np.flatnonzero(np.diff(np.r_[0, flags.astype(np.int8), 0]))
    for start, end in edges.reshape(-1, 2):
        yield name, float(start / fps), float(end / fps)


TRUTH = {"jump_rope": _jump_rope_truth, "moving_shapes": _moving_shapes_truth, "camera_cuts": _camera_cuts_truth}
