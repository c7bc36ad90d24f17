"""What a scene of the mini world is: something to look at, and questions whose answers are known."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ov2lib.samples.sample import Media

from .world import CELL, COLOURS, SHAPES, Thing

TEST_SHARE = 5  # one layout in five belongs to the test world


@dataclass(frozen=True)
class Question:
    """One round of a conversation.

    Attributes:
        kind: what is asked for, finer than the task: "colour", "place", "order", ...
        task, truth: as `ov2lib.samples.sample.Sample`; "kind" is added to the truth.
        text, answer: what the user and the assistant say.
    """

    kind: str
    task: str
    text: str
    answer: str
    truth: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A scene before it is rendered.

    Attributes:
        layout: what the scene is about, without its small shifts and its tint: two scenes of one layout are nearly the same
            picture, so the layout decides whether a scene belongs to the training or to the test world.
        media: renders it (or finds it in the cache).
        questions: each could be asked alone.
    """

    layout: tuple
    media: Callable[[], Media]
    questions: tuple[Question, ...]

    @property
    def split(self) -> str:
        """Its world, "train" or "test", by a digest of the layout, whatever the seed: no layout is in both worlds."""
        digest = hashlib.sha256(repr(self.layout).encode()).digest()
        return "test" if digest[0] % TEST_SHARE == 0 else "train"


def choice(kind: str, text: str, sentence: str, answer: str, choices) -> Question:
    """A question whose answer, a sentence that takes up its words, ends in one of `choices`."""
    truth = {"choices": list(choices), "answer": answer, "sentence": True}
    return Question(kind, "choice", text, f"{sentence} {answer}", truth)


def looks(rng: np.random.Generator, count: int, shapes: tuple[str, ...] = SHAPES) -> list[tuple[str, str]]:
    """(shape, colour) of `count` things, no shape and no colour twice."""
    shapes, colours = rng.permutation(shapes)[:count], rng.permutation(list(COLOURS))[:count]
    return [(str(shape), str(colour)) for shape, colour in zip(shapes, colours, strict=True)]


def in_place(rng: np.random.Generator, look: tuple[str, str], spot: int) -> Thing:
    """A thing at one of the four `PLACES`, give or take two pixels."""
    down, right = divmod(spot, 2)
    x, y = (int(CELL * (cell + 0.5) + shift) for cell, shift in zip((right, down), rng.integers(-2, 3, 2), strict=True))
    return Thing(*look, x, y)


def tint(rng: np.random.Generator) -> int:
    """Of the ground, see `world.paint`."""
    return int(rng.integers(-2, 3))
