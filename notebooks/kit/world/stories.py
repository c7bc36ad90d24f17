"""Clips to ask about: motion and change (stage 2), long parades (stage 3), skipping and roaming (stage 4, codec).

All are 56 pixels wide, 2x2 visual tokens a picture. Clips of stages 2 and 3 run at one frame a second and are sampled every
ten and every five seconds; those of stage 4 run at five frames a second and go through a codec front end.
"""

import numpy as np

from ov2lib.samples.sample import Media

from .scene import Question, Scene, choice, in_place, looks, tint
from .stills import RELATIONS, related, side_by_side
from .world import CELL, COLOURS, PLACES, SHAPES, SIDE, Thing, clip_file, mask_runs

SHORT, SHORT_EVERY = 4, 10  # sampled frames of a clip of stage 2 (31 s), one attention group, and seconds between them
LONG, EVERY = 16, 5  # of stage 3 (76 s)
STAY = 3  # sampled frames that show a thing of stage 3
FAST, FRAMES = 5, 32  # frames per second and frames of a codec clip (6.4 s)
CANVASES = 8
STOPS, REST, STEP = 3, 8, 4  # of a roaming thing, and frames that it rests and moves
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SOLID = tuple(shape for shape in SHAPES if shape != "ring")  # a point in the middle of a ring is not on it
JUMP = (6, 16, 16, 6)  # pixels above the ground, frame by frame; the rope is behind the legs on the first
# The question of JumpScore in our words.
JUMP_QUESTION = "List the start time in seconds of each jump, when the rope is behind the legs, as a JSON list."


def motion(rng: np.random.Generator) -> Scene:
    """Two things cross the picture side by side: which way does each move, and where is one at the start and at the end?"""
    pair, upright, shade = looks(rng, 2), bool(rng.integers(2)), tint(rng)
    ways = [("up", "down") if upright else ("left", "right")] * 2
    ways = [str(rng.choice(way)) for way in ways]
    lane = int(rng.integers(2))
    paths = [_crossing(rng, way, place) for way, place in zip(ways, (lane, 1 - lane), strict=True)]
    frames = [[Thing(*look, *path[t]) for look, path in zip(pair, paths, strict=True)] for t in range(len(paths[0]))]
    (shape, _), first, last = pair[0], frames[0][0], frames[-1][0]
    questions = (
        choice("motion", f"Which way does the {shape} move?", f"the {shape} moves", ways[0], MOVES),
        choice("motion", f"Which way does the {pair[1][0]} move?", f"the {pair[1][0]} moves", ways[1], MOVES),
        choice("place", f"Where is the {shape} at the start?", f"at the start the {shape} is", _place(first), PLACES),
        choice("place", f"Where is the {shape} at the end?", f"at the end the {shape} is", _place(last), PLACES),
    )
    return Scene(("motion", *pair, *ways, lane), _sampled("motion", frames, SHORT, shade), questions)


def _crossing(rng: np.random.Generator, way: str, lane: int) -> list[list[int]]:
    """Places (x, y) of something that crosses the picture in its lane, second by second."""
    along = np.linspace(-0.5, 0.5, SHORT_EVERY * (SHORT - 1) + 1)[:, None] * MOVES[way] * rng.integers(26, 31)
    across = np.array(MOVES[way][::-1]) ** 2 * (lane - 0.5) * CELL
    return (SIDE / 2 + along + across).round().astype(int).tolist()


def _place(thing: Thing) -> str:
    return PLACES[2 * (thing.y > CELL) + (thing.x > CELL)]


def change(rng: np.random.Generator) -> Scene:
    """Three things stand still, and one changes its colour: what colour is it at the start, and at the end?"""
    trio, spots = looks(rng, 3), [int(spot) for spot in rng.permutation(4)[:3]]
    new = next(colour for colour in rng.permutation(list(COLOURS)).tolist() if colour not in [look[1] for look in trio])
    (shape, old), shade, turn = trio[0], tint(rng), SHORT_EVERY * int(rng.integers(1, SHORT)) - 2
    before = [in_place(rng, look, spot) for look, spot in zip(trio, spots, strict=True)]
    after = [Thing(shape, new, before[0].x, before[0].y), *before[1:]]
    frames = [before if t < turn else after for t in range(SHORT_EVERY * (SHORT - 1) + 1)]
    questions = (
        choice("change", f"What colour is the {shape} at the start?", f"at the start the {shape} is", old, COLOURS),
        choice("change", f"What colour is the {shape} at the end?", f"at the end the {shape} is", new, COLOURS),
    )
    return Scene(("change", *trio, *spots, new), _sampled("change", frames, SHORT, shade), questions)


def parade(rng: np.random.Generator) -> Scene:
    """Three things come and go one after the other while a black ball rolls about, and once a white star flashes."""
    # 1. Three things, one after the other, at places of their own
    trio, shade = looks(rng, 3), tint(rng)
    spots = [int(rng.integers(4)) for _ in trio]
    gaps = np.sort(rng.integers(0, LONG - 3 * STAY + 1, 3))
    spans = [(EVERY * int(gap + STAY * k), EVERY * int(gap + STAY * k + STAY - 1)) for k, gap in enumerate(gaps)]
    things = [in_place(rng, look, spot) for look, spot in zip(trio, spots, strict=True)]
    # 2. A flash of a star where nothing stands, and a ball that keeps the stream busy
    flash = int(rng.integers(LONG)) * EVERY
    taken = [spot for spot, (start, end) in zip(spots, spans, strict=True) if start <= flash <= end]
    corner = int(rng.choice([spot for spot in range(4) if spot not in taken]))
    star = in_place(rng, ("star", "white"), corner)
    ball, rate = rng.uniform(0, 6.3), rng.uniform(0.2, 0.4)
    # 3. The frames
    frames = []
    for t in range(EVERY * (LONG - 1) + 1):
        seen = [Thing("disc", "black", round(SIDE / 2 + 24 * np.sin(ball + rate * t)), SIDE // 2, 4)]
        seen += [thing for thing, (start, end) in zip(things, spans, strict=True) if start - 2 <= t <= end + 2]
        frames.append(seen + [star] * (abs(t - flash) <= 2))
    # 4. The questions
    lines = [f"a {things[k].name} {PLACES[spots[k]]} {spans[k][0]:.1f} to {spans[k][1]:.1f}" for k in range(3)]
    questions = (
        Question("story", "caption", "Describe the clip.", " and ".join(lines), {"answer": " and ".join(lines)}),
        choice("order", "What colour comes first?", "the first is", trio[0][1], COLOURS),
        choice("needle", "Where is the star?", "the star is", PLACES[corner], PLACES),
        choice("order", "What colour comes last?", "the last is", trio[2][1], COLOURS),
        *(
            _span(f"When is the {look[0]} there?", f"the {look[0]} stays", *span)
            for look, span in zip(trio, spans, strict=True)
        ),
    )
    return Scene(("parade", *trio, *spots, *spans, flash, corner), _sampled("parade", frames, LONG, shade), questions)


def skipping(rng: np.random.Generator, full: bool = False) -> Scene:
    """A figure jumps one to three times among four events: it also waves and somebody walks by, so bursts are not all jumps.

    When are the jumps, and when does somebody walk by? With `full`, also: who is it, and what happens one after the other?
    """
    # 1. The events in their order, with random rests between them
    jumps = int(rng.integers(1, 4))
    events = [str(event) for event in rng.permutation(["jump"] * jumps + ["pass"] + ["wave"] * (3 - jumps))]
    rests = np.diff(np.sort(rng.integers(0, FRAMES - 5 * len(events), len(events))), prepend=0)
    starts = (1 + 5 * np.arange(len(events)) + np.cumsum(rests)).tolist()
    # 2. The frames: a figure stands, and each event overwrites four of them
    colour, other = (str(colour) for colour in rng.permutation(list(COLOURS))[:2])
    x, away, shade = int(CELL * (rng.integers(2) + 0.5)), int(rng.choice([-1, 1])), tint(rng)
    frames = [_stand(x, colour) for _ in range(FRAMES)]
    for event, start in zip(events, starts, strict=True):
        for step in range(4):
            frames[start + step] = EVENTS[event](x, colour, other, away, step)
    # 3. The questions
    times = [start / FAST for event, start in zip(events, starts, strict=True) if event == "jump"]
    passing = next(start for event, start in zip(events, starts, strict=True) if event == "pass")
    questions = (
        Question("jumps", "jump_times", JUMP_QUESTION, f"[{', '.join(f'{time:.1f}' for time in times)}]", {"times": times}),
        _span("When does somebody walk by?", "somebody walks", passing / FAST, (passing + 4) / FAST, "passer-by"),
    )
    if full:
        story = " and ".join(f"{NAMES[event]} at {start / FAST:.1f}" for event, start in zip(events, starts, strict=True))
        questions += (
            choice("colour", "What colour is the passer-by?", "the passer-by is", other, COLOURS),
            Question("story", "caption", "Describe the clip.", story, {"answer": story}),
        )
    return Scene(("skipping", colour, other, x, away, *events, *starts), _coded("skipping", frames, shade), questions)


def skipping_told(rng: np.random.Generator) -> Scene:
    """`skipping` with all its questions."""
    return skipping(rng, full=True)


def _stand(x: int, colour: str, height: int = 0) -> list[Thing]:
    return [Thing("figure", colour, x, SIDE - 14 - height, 12)]


def _jump(x: int, colour: str, other: str, away: int, step: int) -> list[Thing]:
    rope = [Thing("rope", "black", x, SIDE - 4, 10)] if step == 0 else []
    return rope + _stand(x, colour, JUMP[step])


def _wave(x: int, colour: str, other: str, away: int, step: int) -> list[Thing]:
    return [*_stand(x, colour), Thing("arm", "black", x + 8 * away, SIDE - 18 - 6 * (step % 2), 6)]


def _pass(x: int, colour: str, other: str, away: int, step: int) -> list[Thing]:
    return [Thing("figure", other, SIDE // 2 + away * (12 * step - 18), SIDE - 16, 10), *_stand(x, colour)]


EVENTS = {"jump": _jump, "wave": _wave, "pass": _pass}
NAMES = {"jump": "a jump", "wave": "a wave", "pass": "a passer-by"}


def roaming(rng: np.random.Generator) -> Scene:
    """Two things move from place to place, a step at a time: the track of one, and where it ends up from the other."""
    # 1. Two things and their walks over the four places
    pair, answer, shade = looks(rng, 2, SOLID), str(rng.choice(list(RELATIONS))), tint(rng)
    walks = _walks(rng, answer)
    middles = [[CELL * (np.array([spot % 2, spot // 2]) + 0.5) for spot in walk] for walk in walks]
    # 2. Each rests at a stop, then steps to the next
    frames = []
    for t in range(FRAMES):
        stop, part = divmod(t, REST + STEP)
        share = np.clip((part - REST) / STEP, 0, 1)
        ahead = min(stop + 1, STOPS - 1)
        places = [(path[stop] * (1 - share) + path[ahead] * share).round().astype(int).tolist() for path in middles]
        frames.append([Thing(*look, *place) for look, place in zip(pair, places, strict=True)])
    # 3. The track, as the published notation writes it, and the masks that it is scored against
    stops = [(REST + STEP) * stop + REST // 2 for stop in range(STOPS)]
    points = ";".join(
        f"{t / FAST:.1f} 1 {round(1000 * frames[t][0].x / SIDE)} {round(1000 * frames[t][0].y / SIDE)}" for t in stops
    )
    names, (one, other) = [thing.name for thing in frames[0]], [shape for shape, _ in pair]
    seen = [mask_runs(frames[t], SIDE) for t in stops]
    truth = {
        "size": [SIDE, SIDE], "times": [t / FAST for t in stops], "targets": names[:1],
        "objects": {name: [runs[number] for runs in seen] for number, name in enumerate(names)},
    }  # fmt: skip
    # 4. The questions
    tracks = f'<tracks coords="{points}">{names[0]}</tracks>'
    questions = (
        Question("tracks", "tracks", f"Track the {names[0]}.", tracks, truth),
        related(" at the end", one, other, *(PLACES[walk[-1]] for walk in walks), answer),
        choice("place", f"Where is the {one} at the end?", f"at the end the {one} is", PLACES[walks[0][-1]], PLACES),
        choice("place", f"Where is the {one} at the start?", f"at the start the {one} is", PLACES[walks[0][0]], PLACES),
    )
    return Scene(("roaming", *pair, *map(tuple, walks)), _coded("roaming", frames, shade), questions)


def _walks(rng: np.random.Generator, answer: str) -> list[list[int]]:
    """A cell for every stop of two walkers that end with the first `answer` of the second, drawn backwards; they never meet."""
    now = side_by_side(rng, answer)
    walks = [[now[0]], [now[1]]]
    while len(walks[0]) < STOPS:
        steps = [(a, b) for a in _near(now[0]) for b in _near(now[1]) if a != b and (a, b) != (now[1], now[0])]
        now = steps[int(rng.integers(len(steps)))]
        for walk, cell in zip(walks, now, strict=True):
            walk.insert(0, cell)
    return walks


def _near(cell: int) -> tuple[int, ...]:
    """The cell itself and those beside it in the 2x2 grid."""
    return cell, cell ^ 1, cell ^ 2


def _span(text: str, sentence: str, start: float, end: float, kind: str = "span") -> Question:
    return Question(kind, "grounding", text, f"{sentence} {start:.1f} to {end:.1f}", {"span": [float(start), float(end)]})


def _sampled(kind: str, frames: list[list[Thing]], count: int, shade: int):
    options = {"video_backend": "frames", "num_frames": count, "min_pixels": SIDE * SIDE, "max_pixels": SIDE * SIDE}
    return lambda: Media("video", str(clip_file(kind, frames, SIDE, 1, shade)), options)


def _coded(kind: str, frames: list[list[Thing]], shade: int):
    options = {"video_backend": "codec", "front_end": "paper", "num_canvases": CANVASES, "max_pixels": SIDE * SIDE,
               "timestamp_decimals": 2}  # fmt: skip
    return lambda: Media("video", str(clip_file(kind, frames, SIDE, FAST, shade)), options)
