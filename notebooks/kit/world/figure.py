"""A jointed figure: poses for all frames at once, seen through a pinhole camera, painted limb by limb.

World coordinates: x right, y up from the ground, z towards the camera; the unit is the figure's height. In the body's
own frame z is where the figure faces and +x is its left hand, which lies to the right of the picture when it faces us.
"""

from dataclasses import dataclass

import numpy as np

from . import draw

THIGH, SHIN, UPPER_ARM, FOREARM = 0.26, 0.25, 0.17, 0.17
HIP_HEIGHT, SHOULDER, HEAD, HEAD_RADIUS = 0.53, 0.29, 0.415, 0.075  # the last three: above the hips
ANKLE = 0.045


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera at `height` over the ground, `distance` in front of the world's origin.

    Attributes:
        size: (height, width) of the picture in pixels.
        scale: pixels per unit at z = 0.
        horizon: picture row of the horizon in pixels.
        centre: picture column of x = 0 in pixels.
    """

    size: tuple[int, int]
    scale: float
    horizon: float
    centre: float
    height: float = 0.75
    distance: float = 4.2

    def project(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] world points -> [..., 3]: x and y in pixels, and pixels per unit at that depth."""
        zoom = self.scale * self.distance / np.maximum(self.distance - points[..., 2], 0.2)
        x = self.centre + zoom * points[..., 0]
        return np.stack([x, self.horizon - zoom * (points[..., 1] - self.height), zoom], axis=-1)


@dataclass(frozen=True)
class Outfit:
    """Colours of a figure (RGB)."""

    skin: tuple
    hair: tuple
    shirt: tuple
    stripe: tuple
    trousers: tuple
    shoes: tuple


OUTFITS = (
    Outfit((236, 188, 150), (92, 54, 34), (226, 74, 66), (250, 226, 196), (44, 62, 102), (246, 246, 240)),
    Outfit((146, 96, 66), (34, 26, 24), (248, 190, 62), (214, 110, 40), (60, 92, 84), (232, 90, 84)),
    Outfit((222, 168, 128), (52, 40, 36), (62, 142, 190), (232, 240, 244), (72, 62, 78), (250, 214, 90)),
    Outfit((104, 68, 50), (28, 22, 24), (244, 238, 226), (70, 150, 120), (104, 60, 92), (238, 238, 232)),
)


def two_bones(root: np.ndarray, end: np.ndarray, pole: np.ndarray, upper: float, lower: float):
    """Joint and end of a two-bone chain from `root` towards `end` ([T, 3]), bent towards `pole` ([3] or [T, 3])."""
    reach = end - root
    length = np.linalg.norm(reach, axis=-1, keepdims=True) + 1e-9
    distance = np.clip(length, abs(upper - lower) + 1e-3, upper + lower - 1e-4)
    axis = reach / length
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    side = pole - (pole * axis).sum(-1, keepdims=True) * axis
    side = side / (np.linalg.norm(side, axis=-1, keepdims=True) + 1e-9)
    joint = root + axis * along + side * np.sqrt(np.maximum(upper**2 - along**2, 0))
    return joint, root + axis * distance


def skeleton(hips: np.ndarray, hands: np.ndarray, feet: np.ndarray, lean: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """Joints of one figure in its own frame, each [T, 3].

    Args:
        hips: [T, 3] middle of the hips.
        hands, feet: [T, 2, 3] where hands and ankles should be, right one (x < 0) first.
        lean: [T] forward lean of the trunk in units.
    """
    frames = len(hips)
    forward = np.stack([np.zeros(frames), np.zeros(frames), np.broadcast_to(lean, frames)], -1)
    joints = {"hips": hips, "neck": hips + [0, SHOULDER + 0.03, 0] + forward, "head": hips + [0, HEAD, 0.01] + 1.3 * forward}
    for index, (side, sign) in enumerate((("right", -1), ("left", 1))):
        hip, shoulder = hips + [sign * 0.06, 0, 0], hips + [sign * 0.115, SHOULDER, 0] + forward
        knee, ankle = two_bones(hip, feet[:, index], np.array([sign * 0.15, 0, 1.0]), THIGH, SHIN)
        elbow, hand = two_bones(shoulder, hands[:, index], np.array([sign * 0.7, -0.5, -0.7]), UPPER_ARM, FOREARM)
        toe = ankle + [sign * 0.015, -0.022, 0.085]
        names = ("hip", "shoulder", "knee", "ankle", "elbow", "hand", "toe")
        joints |= {f"{side} {n}": j for n, j in zip(names, (hip, shoulder, knee, ankle, elbow, hand, toe), strict=True)}
    return joints


def place(joints: dict[str, np.ndarray], heading: float, position: np.ndarray) -> dict[str, np.ndarray]:
    """Turn a skeleton by `heading` radians about the vertical (0 faces the camera) and move it to `position`."""
    c, s = np.cos(heading), np.sin(heading)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return {name: joint @ turn + position for name, joint in joints.items()}


def bounds(joints: dict[str, np.ndarray], camera: Camera) -> np.ndarray:
    """Boxes [T, 4] (x0, y0, x1, y1) in pixels around a placed figure."""
    points = camera.project(np.stack(list(joints.values()), axis=1))
    margin = points[..., 2:] * np.where(np.array(list(joints)) == "head", HEAD_RADIUS * 1.1, 0.045)[:, None]
    return np.concatenate([(points[..., :2] - margin).min(1), (points[..., :2] + margin).max(1)], axis=-1)


# limb: (from, to, radius at from, radius at to, colour of the outfit, stripes)
LIMBS = [
    limb
    for side in ("right", "left")
    for limb in (
        (f"{side} hip", f"{side} knee", 0.052, 0.040, "trousers", 0),
        (f"{side} knee", f"{side} ankle", 0.038, 0.026, "trousers", 0),
        (f"{side} ankle", f"{side} toe", 0.030, 0.025, "shoes", 0),
        (f"{side} shoulder", f"{side} elbow", 0.038, 0.031, "shirt", 2),
        (f"{side} elbow", f"{side} hand", 0.027, 0.022, "skin", 0),
        (f"{side} hand", f"{side} hand", 0.028, 0.028, "skin", 0),
    )
]


class Figure:
    """A placed figure, ready to be painted frame by frame.

    Args:
        joints: world positions per joint, each [T, 3].
        camera: sees it.
        outfit: colours.
        heading: where it faces, for the face.
        first: the frame that the first row of `joints` belongs to.
    """

    def __init__(self, joints: dict[str, np.ndarray], camera: Camera, outfit: Outfit, heading: float, first: int = 0):
        self.joints, self.outfit, self.heading, self.camera, self.first = joints, outfit, heading, camera, first
        self.seen = {name: camera.project(joint) for name, joint in joints.items()}
        self.boxes = bounds(joints, camera)
        rise = np.gradient(joints["head"][:, 1])
        self.sway = np.convolve(rise, np.ones(3) / 3, mode="same")
        self.sway = np.clip(16 * self.sway, -0.5, 0.5)  # the hair follows late

    def shadow(self, canvas: np.ndarray, index: int) -> None:
        """Darken the ground under the figure, less when it is in the air."""
        index -= self.first
        hips, feet = self.joints["hips"][index], (self.joints["left ankle"][index] + self.joints["right ankle"][index]) / 2
        lift = max(float(feet[1]) - ANKLE, 0.0)
        x, y, zoom = self.camera.project(np.array([hips[0] + 0.05, 0.0, hips[2]]))
        size = zoom * (0.19 - 0.5 * lift)
        draw.ellipse(canvas, (x, y), (size, size * 0.24), (46, 40, 52), softness=size * 0.18, opacity=0.42 - 1.2 * lift)

    def paint(self, canvas: np.ndarray, index: int) -> None:
        """Paint the figure of frame `index`, far limbs first."""
        index -= self.first
        at = {name: seen[index] for name, seen in self.seen.items()}
        middle = self.joints["hips"][index, 2]
        depth = {name: joint[index, 2] - middle for name, joint in self.joints.items()}
        limbs = sorted(LIMBS, key=lambda limb: depth[limb[0]] + depth[limb[1]])
        for limb in limbs:
            if depth[limb[0]] + depth[limb[1]] < 0:
                self._limb(canvas, at, *limb)
        self._trunk(canvas, at)
        self._head(canvas, at["head"], self.sway[index])
        for limb in limbs:
            if depth[limb[0]] + depth[limb[1]] >= 0:
                self._limb(canvas, at, *limb)

    def _limb(self, canvas, at, start, end, start_radius, end_radius, colour, stripes):
        (ax, ay, a_zoom), (bx, by, b_zoom) = at[start], at[end]
        paint, stripe = getattr(self.outfit, colour), self.outfit.stripe
        draw.capsule(canvas, (ax, ay), (bx, by), start_radius * a_zoom, end_radius * b_zoom, paint, stripe, stripes)

    def _trunk(self, canvas, at):
        zoom, outfit = at["hips"][2], self.outfit
        neck, head = at["neck"], at["head"]
        draw.capsule(canvas, neck[:2], (neck + head)[:2] / 2, 0.032 * zoom, 0.03 * zoom, outfit.skin)
        waist, chest = at["hips"] + [0, -0.045 * zoom, 0], at["neck"] + [0, 0.075 * zoom, 0]
        draw.capsule(canvas, at["right shoulder"][:2], at["left shoulder"][:2], 0.04 * zoom, 0.04 * zoom, outfit.shirt)
        draw.capsule(canvas, waist[:2], chest[:2], 0.088 * zoom, 0.108 * zoom, outfit.shirt, outfit.stripe, 3)
        draw.capsule(canvas, at["right hip"][:2], at["left hip"][:2], 0.06 * zoom, 0.06 * zoom, outfit.trousers)

    def _head(self, canvas, head, sway):
        (x, y, zoom), outfit = head, self.outfit
        r, turn = HEAD_RADIUS * zoom, np.sin(self.heading)
        tail = (x - (1.15 * turn + 0.1) * r, y + (0.35 + sway) * r)
        draw.capsule(canvas, (x - 0.5 * turn * r, y - 0.45 * r), tail, 0.5 * r, 0.22 * r, outfit.hair)
        draw.ellipse(canvas, (x - 0.1 * turn * r, y - 0.12 * r), (1.06 * r, 1.06 * r), outfit.hair, light=0.08)
        face = (x + 0.2 * turn * r, y + 0.14 * r)
        draw.ellipse(canvas, face, (0.84 * r, 0.86 * r), outfit.skin, light=0.08)
        draw.ellipse(canvas, (face[0] - 0.1 * r, y - 0.62 * r), (0.8 * r, 0.34 * r), outfit.hair)
        for eye in (-0.32, 0.32):
            pupil = (face[0] + (eye * np.cos(self.heading) + 0.3 * turn) * r, face[1] - 0.05 * r)
            draw.ellipse(canvas, pupil, (0.09 * r, 0.13 * r), (40, 30, 34))
        draw.ellipse(canvas, (face[0] + 0.3 * turn * r, face[1] + 0.42 * r), (0.22 * r, 0.08 * r), (176, 84, 78))
