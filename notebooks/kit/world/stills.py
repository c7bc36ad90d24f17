"""Pictures to ask about, 2x2 places of one visual token each: naming (stage 1), counting and relations (stage 2)."""

import numpy as np

from ov2lib.samples.sample import Media

from .scene import Question, Scene, choice, in_place, looks, tint
from .world import COLOURS, PLACES, SHAPES, SIDE, picture_file

RELATIONS = {"left": (0, -1), "right": (0, 1), "above": (-1, 0), "below": (1, 0)}  # (rows, columns) from the other thing
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


def naming(rng: np.random.Generator) -> Scene:
    """Three things that share neither shape nor colour: colour, shape and place, none of which gives another away."""
    trio, spots = looks(rng, 3), _spots(rng, 3)
    (shape, colour), (other, other_colour), (third, _) = trio
    questions = (
        choice("colour", f"What colour is the {shape}?", f"the {shape} is", colour, COLOURS),
        choice("shape", f"Which shape is {other_colour}?", f"the {other_colour} thing is a", other, SHAPES),
        choice("place", f"Where is the {shape}?", f"the {shape} is", PLACES[spots[0]], PLACES),
        choice("place", f"Where is the {third}?", f"the {third} is", PLACES[spots[2]], PLACES),
    )
    return Scene(("things", *sorted(zip(spots, trio, strict=True))), _picture(rng, trio, spots), questions)


def describing(rng: np.random.Generator) -> Scene:
    """One to four things: a caption, in the order of the alphabet, which tells no place."""
    count = int(rng.integers(1, 5))
    things, spots = looks(rng, count), _spots(rng, count)
    ordered = sorted(zip(things, spots, strict=True))
    caption = " and ".join(f"a {colour} {shape} {PLACES[spot]}" for (shape, colour), spot in ordered)
    questions = (Question("caption", "caption", "Describe the picture.", caption, {"answer": caption}),)
    return Scene(("things", *ordered), _picture(rng, things, spots), questions)


def counting(rng: np.random.Generator) -> Scene:
    """Up to four things of two colours, shapes as they come: how many of each colour?"""
    (_, one), (_, other) = looks(rng, 2)
    count = int(rng.integers(5))
    colours = [one] * count + [other] * int(rng.integers(5 - count))
    spots, shapes = _spots(rng, len(colours)), [str(shape) for shape in rng.choice(SHAPES, len(colours))]
    things = list(zip(shapes, colours, strict=True))
    questions = tuple(
        Question("count", "number", f"How many {colour} things are there?", str(number), {"number": number})
        for colour, number in ((one, count), (other, len(colours) - count))
    )
    return Scene(("counting", one, other, *sorted(zip(spots, things, strict=True))), _picture(rng, things, spots), questions)


def relation(rng: np.random.Generator) -> Scene:
    """Three things, two of them in one row or column: where is one from the other?"""
    trio, answer = looks(rng, 3), str(rng.choice(list(RELATIONS)))
    spots = [*side_by_side(rng, answer)]
    spots.append(int(rng.choice([spot for spot in range(4) if spot not in spots])))
    (one, _), (other, _), (third, _) = trio
    here, there = PLACES[spots[0]], PLACES[spots[1]]
    questions = (
        related("", one, other, here, there, answer),
        related("", other, one, there, here, OPPOSITE[answer]),
        choice("place", f"Where is the {third}?", f"the {third} is", PLACES[spots[2]], PLACES),
    )
    return Scene(("relation", *spots, *trio), _picture(rng, trio, spots), questions)


def related(when: str, one: str, other: str, here: str, there: str, answer: str) -> Question:
    """Where is one from the other (`when`: " at the end", or "")? The answer first says that they are `here` and `there`."""
    said = f"the {one} is {here} and the {other} is {there} so it is"
    return choice("relation", f"Where is the {one} from the {other}{when}?", said, answer, RELATIONS)


def side_by_side(rng: np.random.Generator, answer: str) -> tuple[int, int]:
    """Two places, the first of which lies `answer` of the second."""
    (down, right), line = RELATIONS[answer], int(rng.integers(2))
    first = 2 * line + (right > 0) if right else 2 * (down > 0) + line
    return first, first - 2 * down - right


def _spots(rng: np.random.Generator, count: int) -> list[int]:
    return [int(spot) for spot in rng.permutation(4)[:count]]


def _picture(rng: np.random.Generator, things: list[tuple[str, str]], spots: list[int]):
    placed = [in_place(rng, look, spot) for look, spot in zip(things, spots, strict=True)]
    shade = tint(rng)
    return lambda: Media("image", str(picture_file(placed, SIDE, shade)))
