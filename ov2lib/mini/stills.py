"""Pictures to ask about: naming (stage 1), counting and relations (stage 2)."""

from itertools import product

import numpy as np

from ..train.sample import Media
from .scene import Question, Scene, choice, looks, shifted, tint
from .world import CELL, COLOURS, SHAPES, picture_file

PLACES = {
    2: ("top left", "top right", "bottom left", "bottom right"),
    3: ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right"),
}
RELATIONS = ("left", "right", "above", "below")


def naming(rng: np.random.Generator) -> Scene:
    """Two things that share neither shape nor colour: colour, shape and place, none of which gives another away."""
    pair, spots, grid = _few(rng, 2)
    (shape, colour), (other, other_colour) = pair
    questions = (
        choice("colour", f"What colour is the {shape}?", colour, COLOURS),
        choice("shape", f"Which shape is {other_colour}?", other, SHAPES),
        choice("place", f"Where is the {shape}?", PLACES[grid][spots[0]], PLACES[grid]),
    )
    return Scene(("things", grid, *sorted(zip(spots, pair, strict=True))), _picture(rng, pair, spots, grid), questions)


def describing(rng: np.random.Generator) -> Scene:
    """One or two things: a caption, in reading order."""
    things, spots, grid = _few(rng, int(rng.integers(1, 3)))
    ordered = sorted(zip(spots, things, strict=True))
    caption = " and ".join(f"a {colour} {shape} at the {PLACES[grid][spot]}" for spot, (shape, colour) in ordered)
    questions = (Question("caption", "caption", "Describe the picture.", caption, {"answer": caption}),)
    return Scene(("things", grid, *ordered), _picture(rng, things, spots, grid), questions)


def _few(rng: np.random.Generator, count: int):
    """Looks and places of `count` things, and the grid, 2x2 or 3x3."""
    grid = int(rng.integers(2, 4))
    return looks(rng, count), [int(spot) for spot in rng.permutation(grid * grid)[:count]], grid


def counting(rng: np.random.Generator) -> Scene:
    """One to four things of one colour and one to three of another, on a grid of 3x3 places: how many of each?"""
    (_, many), (_, few) = looks(rng, 2)
    counts = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    spots = [int(spot) for spot in rng.permutation(9)[: sum(counts)]]
    colours = [many] * counts[0] + [few] * counts[1]
    shapes = [str(rng.choice(SHAPES)) for _ in spots]
    questions = [
        Question("count", "number", f"How many {colour} things are there?", str(count), {"number": count})
        for colour, count in zip((many, few), counts, strict=True)
    ]
    return Scene(
        ("counting", *sorted(zip(spots, colours, strict=True))),
        _picture(rng, list(zip(shapes, colours, strict=True)), spots, 3),
        tuple(questions),
    )


def relation(rng: np.random.Generator) -> Scene:
    """Three things on a grid of 3x3 places, two of them in one row or column: where is one from the other?"""
    pair, answer = looks(rng, 3), str(rng.choice(RELATIONS))
    line, (low, high) = int(rng.integers(3)), sorted(int(i) for i in rng.permutation(3)[:2])
    first, second = (low, high) if answer in ("left", "above") else (high, low)
    across = answer in ("left", "right")
    spots = [3 * line + first, 3 * line + second] if across else [3 * first + line, 3 * second + line]
    spots.append(int(rng.choice([spot for spot in range(9) if spot not in spots])))
    names = [f"{colour} {shape}" for shape, colour in pair]
    questions = (
        choice("relation", f"Where is the {names[0]} from the {names[1]}?", answer, RELATIONS),
        choice("place", f"Where is the {names[2]}?", PLACES[3][spots[2]], PLACES[3]),
    )
    return Scene(("relation", *spots, *pair), _picture(rng, pair, spots, 3), questions)


def _picture(rng: np.random.Generator, things: list[tuple[str, str]], spots: list[int], grid: int):
    placed = [
        shifted(rng, look, CELL * (spot % grid + 0.5), CELL * (spot // grid + 0.5))
        for look, spot in zip(things, spots, strict=True)
    ]
    shade = tint(rng)
    return lambda: Media("image", str(picture_file(placed, CELL * grid, shade)))


CELLS = tuple(product(range(2), repeat=2))  # (row, column) of the 2x2 places of a clip
