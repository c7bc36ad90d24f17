"""A figure skipping rope, with known starts of every jump, and things that move without being jumps.

A start is what the JumpScore task asks for: the moment the rope is behind the legs, from where it swings over the head,
comes down in front and passes under the feet in mid-jump.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from . import backdrop, draw
from .figure import ANKLE, HIP_HEIGHT, OUTFITS, Camera, Figure, place, skeleton

GRAVITY = 9.81 / 1.65  # figure heights per second squared, for a figure of 1.65 m
BEHIND = np.pi / 4  # rope angle past the lowest point that counts as "behind the legs"
REST = 0.42  # rope angle at rest: hanging behind the heels
HALF_ROPE = 0.69  # half the rope's length, figure heights
ROPES = ((242, 240, 232), (252, 214, 74), (236, 92, 70), (92, 210, 196))
EXPOSURE = (0.85, 0.45, 0.3)  # opacity of the rope now, 3.5 ms and 7 ms ago: a fast rope leaves a trail
STEP = 1 / 200  # seconds; grid on which motion is smoothed
POSES = ("skip", "rest", "wave", "turn")


class Schedule:
    """Who does what when: bouts of jumps with their own pace, between rests, waving and turning the rope idly.

    Attributes:
        spans: [(name, start, end)] in seconds, names from `POSES`, covering the clip.
        air: [J, 2] seconds, when the feet leave the ground and when they are back.
        knots: [K, 2] seconds and rope angle, the angle unwrapped; it passes a multiple of 2π under the feet.
    """

    def __init__(self, duration: float, rng: np.random.Generator):
        self.spans, self.air, self.knots = [], [], [(0.0, REST)]
        self.rng, self.turns, time = rng, 0, 0.0
        between = self._between()
        time = self._pause("rest", time, rng.uniform(0.3, 0.6))
        while time < duration:
            time = self._bout(time, int(rng.integers(3, 6)))
            name = next(between)
            time = self._idle_turns(time) if name == "turn" else self._pause(name, time, rng.uniform(0.8, 1.7))
        self.knots.append((time + 60, self.knots[-1][1]))
        self.air = np.array([jump for jump in self.air if jump[1] <= duration]).reshape(-1, 2)
        self.knots = np.array(self.knots)
        self.spans = [(name, float(start), float(min(end, duration))) for name, start, end in self.spans if start < duration]

    def _between(self) -> Iterator[str]:
        while True:
            yield from [str(name) for name in self.rng.permutation(["turn", "wave"])] + ["rest"]

    def _pause(self, name: str, time: float, seconds: float) -> float:
        self.spans.append((name, time, time + seconds))
        self.knots.append((time + seconds, self.knots[-1][1]))
        return time + seconds

    def _bout(self, start: float, jumps: int) -> float:
        period = self.rng.uniform(0.48, 0.78)
        change = self.rng.choice([1.0, 0.8, 1.25]) if jumps > 3 else 1.0  # half-way through, some bouts change pace
        takeoff = start + 0.55
        for jump in range(jumps):
            pace = period * (change if jump >= jumps // 2 else 1.0) * self.rng.uniform(0.97, 1.03)
            air = min(0.40, 0.56 * pace)
            self.turns += 1
            self.air.append((takeoff, takeoff + air))
            self.knots.append((takeoff + air / 2, 2 * np.pi * self.turns))
            takeoff += pace
        end = self.air[-1][1]
        self.knots.append((end + 0.1, 2 * np.pi * self.turns + REST))
        self.spans.append(("skip", start, end + 0.15))
        return end + 0.15

    def _idle_turns(self, start: float) -> float:
        period, turns = self.rng.uniform(0.5, 0.75), int(self.rng.integers(2, 5))
        self.turns += turns
        end = start + 0.4 + period * turns
        self.knots += [(start + 0.4, self.knots[-1][1]), (end, 2 * np.pi * self.turns + REST)]
        self.spans.append(("turn", start, end + 0.3))
        self.knots.append((end + 0.3, self.knots[-1][1]))
        return end + 0.3


class JumpRope:
    """The scene: its truth as arrays, its pictures one by one.

    Args:
        duration, seed, size, fps, noise: as in `kit.world.clips.jump_rope`.

    Attributes:
        num_frames: number of pictures.
        starts: [J] seconds, the rope behind the legs before each jump.
        air: [J, 2] seconds, feet off the ground from, to.
        spans: [(name, start, end)], what the figure does, and when a passer-by is in the picture.
        boxes: {"figure" | "rope" | "passer-by 1" | ...: [T, 4]} x0, y0, x1, y1 in pixels.
    """

    def __init__(self, duration: float, seed: int, size: tuple[int, int], fps: int, noise: float):
        self.size, self.fps, self.seed, self.num_frames = size, fps, seed, max(1, round(duration * fps))
        rng = np.random.default_rng([seed, 3])
        self.schedule = Schedule(duration, rng)
        self.air = self.schedule.air
        self.camera = Camera(
            size, scale=0.62 * size[0], horizon=0.44 * size[0], centre=(0.5 + rng.uniform(-0.06, 0.06)) * size[1]
        )
        self.heading = rng.uniform(0.25, 0.55) * rng.choice([-1, 1])
        self.noise = noise
        self.rope_colour = ROPES[seed % len(ROPES)]
        times = np.arange(self.num_frames) / fps
        self.lift = self._lift(times)
        joints = place(self._pose(times), self.heading, np.zeros(3))
        self.figure = Figure(joints, self.camera, OUTFITS[seed % len(OUTFITS)], self.heading)
        self.idle = self.weights(times)[:, POSES.index("turn")]
        self.walkers = self._walkers(duration, rng)
        self._truth(times, duration)

    @cached_property
    def plate(self) -> np.ndarray:
        """The still background, uint8 [H, W, 3]; painted when the first picture is."""
        return backdrop.court(self.camera, self.seed)

    @cached_property
    def grain(self) -> draw.Grain:
        """The camera's noise."""
        return draw.Grain(self.size, self.noise, self.seed)

    def _truth(self, times: np.ndarray, duration: float) -> None:
        grid = np.arange(0, duration, STEP)
        under = np.rint(np.interp(self.air.mean(1), *self.schedule.knots.T) / (2 * np.pi))  # turns when it is under the feet
        self.starts = np.interp((under - 1) * 2 * np.pi + BEHIND, self.angle(grid), grid)
        self.boxes = {"figure": self.figure.boxes, "rope": self._rope_boxes()}
        self.spans = list(self.schedule.spans)
        for number, walker in enumerate(self.walkers, 1):
            boxes = np.full((self.num_frames, 4), np.nan)
            boxes[walker.first : walker.first + len(walker.boxes)] = walker.boxes
            self.boxes[f"passer-by {number}"] = boxes
            inside = times[(boxes[:, 2] > 0) & (boxes[:, 0] < self.size[1])]
            if len(inside):
                self.spans.append(("passer-by", float(inside[0]), float(inside[-1])))

    def _lift(self, times: np.ndarray) -> np.ndarray:
        """Height of the feet over the ground: free flight under gravity between take-off and landing."""
        lift = np.zeros(len(times))
        for takeoff, landing in self.air:
            up = slice(*np.searchsorted(times, [takeoff, landing]))
            lift[up] = GRAVITY / 2 * (times[up] - takeoff) * (landing - times[up])
        return lift

    def _crouch(self, times: np.ndarray) -> np.ndarray:
        """How far the knees give: after each landing and before each take-off."""
        crouch = np.zeros(len(times))
        for takeoff, landing in self.air:
            for moment, depth, width in ((takeoff - 0.09, 0.045, 0.09), (landing + 0.08, 0.04, 0.08)):
                near = slice(*np.searchsorted(times, [moment - width, moment + width]))
                bend = depth * np.cos((times[near] - moment) / width * np.pi / 2) ** 2
                crouch[near] = np.maximum(crouch[near], bend)
        return crouch

    def angle(self, times: np.ndarray) -> np.ndarray:
        """Unwrapped rope angle at `times`: 0 lowest, π/2 behind, π over the head, 3π/2 in front (plus turns)."""
        knots = self.schedule.knots
        spread = np.linspace(-0.06, 0.06, 13)  # a moving average rounds the corners
        return np.interp(np.asarray(times)[..., None] + spread, knots[:, 0], knots[:, 1]).mean(-1)

    def weights(self, times: np.ndarray) -> np.ndarray:
        """[T, 4] share of each pose of `POSES`, easing from one to the next over 0.4 s."""
        starts = np.array([span[1] for span in self.schedule.spans])
        which = np.array([POSES.index(span[0]) for span in self.schedule.spans])
        spread = np.linspace(-0.2, 0.2, 15)
        at = np.clip(np.searchsorted(starts, times[:, None] + spread, side="right") - 1, 0, None)
        kernel = np.hanning(17)[1:-1]
        return (np.eye(len(POSES))[which[at]] * (kernel / kernel.sum())[:, None]).sum(1)

    def _pose(self, times: np.ndarray) -> dict[str, np.ndarray]:
        zero = np.zeros(len(times))
        weights, crouch, angle = self.weights(times), self._crouch(times), self.angle(times)
        hip = HIP_HEIGHT + self.lift - crouch + 0.006 * np.sin(2 * np.pi * 0.3 * times)
        wrist_y, wrist_z = -0.022 * np.cos(angle), -0.022 * np.sin(angle)
        sweep = np.sin(2 * np.pi * 1.5 * times)
        raised = np.stack([0.25 + 0.09 * sweep, hip + 0.53 - 0.03 * np.abs(sweep), zero + 0.06], -1)
        skip = np.stack([zero + 0.27, hip + 0.05 + wrist_y, 0.07 + wrist_z], -1)
        rest = np.stack([zero + 0.19, hip - 0.03, zero + 0.07], -1)
        turn = np.stack([zero + 0.30, hip + 0.16 + 1.5 * wrist_y, 0.12 + 1.5 * wrist_z], -1)
        akimbo = np.stack([zero + 0.13, hip + 0.02, zero + 0.05], -1)
        left = np.stack([skip, rest, raised, turn], 1)
        right = np.stack([skip, rest, rest, akimbo], 1) * [-1, 1, 1]
        hands = (np.stack([right, left], 2) * weights[:, :, None, None]).sum(1)
        tuck = 0.35 * self.lift
        ankle = np.stack([zero + 0.065, ANKLE + self.lift + 0.25 * tuck, -0.25 * tuck - 0.01], -1)
        feet = np.stack([ankle * [-1, 1, 1], ankle], 1)
        return skeleton(np.stack([zero, hip, zero], -1), hands, feet, lean=0.02 + 0.5 * crouch)

    def rope(self, frames: np.ndarray, instants: int = 1, points: int = 81) -> np.ndarray:
        """Points along the rope in `frames` ([F] indices), world coordinates [F, instants, points, 3].

        The instants lie 3.5 ms apart within the exposure, the latest first.
        """
        s = np.sin(np.linspace(-np.pi / 2, np.pi / 2, points))  # denser towards the hands, where the rope bends most
        left, right = self.figure.joints["left hand"][frames], self.figure.joints["right hand"][frames]
        share = self.idle[frames, None]  # share of "both handles in one hand"
        right = right * (1 - share) + left * share
        chord = right[:, None] + (left - right)[:, None] * (s[:, None] + 1) / 2
        half = np.linalg.norm(left - right, axis=-1) / 2
        sag = (np.sqrt(np.maximum(HALF_ROPE**2 - half**2, 0.01)) * (1 - 0.08 * share[:, 0]))[:, None, None]
        bow = 1 - s**2
        angle = self.angle(frames[:, None] / self.fps - np.arange(instants) * 0.0035)[..., None]
        angle = angle + 0.22 * (1 - bow)  # the hands lead, the middle trails
        swing = (0.6 * np.sqrt(bow) + 0.4 * bow) * sag
        c, sn = np.cos(self.heading), np.sin(self.heading)
        depth, wide = -np.sin(angle) * swing, np.broadcast_to(0.09 * np.sin(np.pi * s), angle.shape)
        rope = chord[:, None] + np.stack([wide * c + depth * sn, -np.cos(angle) * swing, depth * c - wide * sn], -1)
        rope[..., 1] = np.maximum(rope[..., 1], 0.008)
        return rope

    def _rope_boxes(self) -> np.ndarray:
        boxes = []
        for frames in np.array_split(np.arange(self.num_frames), self.num_frames // 500 + 1):
            seen = self.camera.project(self.rope(frames, points=41)[:, 0])[..., :2]
            boxes.append(np.concatenate([seen.min(1) - 1, seen.max(1) + 1], -1))
        return np.concatenate(boxes)

    def _walkers(self, duration: float, rng: np.random.Generator) -> list[Figure]:
        """Passers-by behind the figure, about one every fifteen seconds; each exists only while it crosses the picture."""
        walkers = []
        for number, enter in enumerate(np.arange(rng.uniform(1.5, 3.5), max(duration - 1, 2), 15)):
            way, speed, depth = rng.choice([-1, 1]), rng.uniform(0.75, 0.95), rng.uniform(-2.2, -1.5)
            edge = (self.camera.distance - depth) * self.size[1] / 2 / (self.camera.scale * self.camera.distance) + 0.4
            frames = np.arange(round(enter * self.fps), min(round((enter + 2 * edge / speed) * self.fps), self.num_frames))
            if not len(frames):
                continue
            times = frames / self.fps
            x = way * (speed * (times - enter) - edge)
            position = np.stack([x, np.zeros(len(x)), np.full(len(x), depth)], -1)
            body = place(_walk(times, speed), way * np.pi / 2, position)
            outfit = OUTFITS[(self.seed + 1 + number) % len(OUTFITS)]
            walkers.append(Figure(body, self.camera, outfit, way * np.pi / 2, first=int(frames[0])))
        return walkers

    def frame(self, index: int) -> np.ndarray:
        """Picture `index`, uint8 [H, W, 3] RGB."""
        canvas = self.plate.copy()
        for walker in self.walkers:
            if 0 <= index - walker.first < len(walker.boxes):
                walker.shadow(canvas, index)
                walker.paint(canvas, index)
        self.figure.shadow(canvas, index)
        lines, in_front = self._rope_lines(index)
        self._paint_rope(canvas, lines, ~in_front)
        self.figure.paint(canvas, index)
        self._paint_rope(canvas, lines, in_front)
        self.grain.add(canvas, index)
        return canvas

    def _rope_lines(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The rope of frame `index` as dense lines: [M, N, 3] x, y, pixels per unit; [M, N] in front of the body."""
        world = self.rope(np.array([index]), instants=len(EXPOSURE))[0]
        at = np.linspace(0, world.shape[1] - 1.001, int(1.5 * self.size[0]))
        low = at.astype(int)
        dense = world[:, low] + (world[:, low + 1] - world[:, low]) * (at - low)[:, None]
        return self.camera.project(dense), dense[..., 2] >= 0.02

    def _paint_rope(self, canvas: np.ndarray, lines: np.ndarray, shown: np.ndarray) -> None:
        opacity = np.array(EXPOSURE)[:, None] * shown
        draw.stroke(canvas, lines[..., :2], np.maximum(0.0075 * lines[..., 2], 0.5), opacity, self.rope_colour)

    def frames(self) -> Iterator[np.ndarray]:
        """All pictures in order, one at a time."""
        return map(self.frame, range(self.num_frames))


def _walk(times: np.ndarray, speed: float) -> dict[str, np.ndarray]:
    """A walking skeleton in its own frame, feet keeping pace with `speed` (figure heights per second)."""
    stride, zero = 0.19, np.zeros(len(times))
    swing = 2 * np.pi * speed / (4 * stride) * times
    hip = HIP_HEIGHT - 0.022 + 0.010 * np.cos(2 * swing)
    feet, hands = [], []
    for sign, phase in ((-1, swing), (1, swing + np.pi)):
        feet.append(np.stack([zero + sign * 0.05, ANKLE + 0.07 * np.maximum(np.cos(phase), 0), stride * np.sin(phase)], -1))
        hands.append(np.stack([zero + sign * 0.15, hip - 0.01 + 0.02 * np.abs(np.sin(phase)), -0.15 * np.sin(phase)], -1))
    return skeleton(np.stack([zero, hip, zero], -1), np.stack(hands, 1), np.stack(feet, 1), lean=0.025)
