"""The paper's central comparison in the small: codec canvases against sampled frames, at matched visual and at matched total
tokens.

Clips of the skipping figure (6.4 s, 32 frames, four tokens a picture), two questions each: when does each jump start, and when
does somebody walk by (of what the mini world asks about them, the questions whose answer is a time). What answers is a `reader`
of visual tokens, trained in a minute until it uses what it is given. One for each kind and seed; a seed has its own initial
weights and its own order of the training clips.

| kind | trained on | asked |
|---|---|---|
| codec | codec canvases (front end "paper"), all budgets | sighted · blind · with fixed groups ("ippp") |
| frames | as many sampled frames, all budgets | sighted · blind |
| frames-more | frames whose visual tokens and time tags add up to the codec's, all budgets | sighted |
| eyeless | the codec canvases without their pixels | as it was trained |

and beside them what needs no learning: a rule on the codec's time tags, and the best constant answer. "Blind" zeroes the pixels
of one who learnt with them; "eyeless" never had any, so that it learnt all that tags can tell.

Budgets are mixed in training, as one published checkpoint answers at every budget; and one training serves all points of the
curve. More is possible up to 32, where both hold every frame of a clip; 64 exceeds it.

    python -m kit.school.sweep --seeds 0 1 2 --output runs/sweep

A killed sweep goes on where it stopped. Copies of its sweep.csv and sweep.json are in `notebooks/kit/school/results/`.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ov2lib import __version__
from ov2lib.evaluate.intervals import bootstrap
from ov2lib.evaluate.ledger import SAMPLES
from ov2lib.evaluate.run import evaluate
from ov2lib.model.prompt import visual_text
from ov2lib.samples.cache import TokenCache
from ov2lib.samples.sample import Sample

from ..errors import MiniError
from ..records import write_results
from ..world.stories import skipping
from ..world.tasks import SPLITS, conversation, draw
from ..world.world import SIDE
from . import reader
from .baselines import fit_bursts, fit_constant, time_tags
from .model import mini_processor
from .recipe import mini_stage

KINDS = ("codec", "frames", "frames-more", "eyeless")
BUDGETS = (4, 8, 16)
CLIPS, STEPS = 900, 250  # of each training
TESTED = 60  # held-out clips, the same for all
FITTED = 100  # training clips that the rule and the constant answers are fitted on
DECIMALS = 1  # of time tags; frames lie 0.2 s apart
ARMS = (
    ("codec", "sighted"), ("codec", "blind"), ("codec", "fixed groups"), ("frames", "sighted"), ("frames", "blind"),
    ("frames", "equal total"), ("codec", "eyeless"), ("codec", "tags rule"), ("none", "constant"),
)  # fmt: skip
ASKED = {"eyeless": "eyeless", "equal total": "frames-more"}  # which kind answers for an arm; others their backend's
RULES = ("tags rule", "constant")
METRICS = {"jump_times": ("mAP", "AP@0.1"), "grounding": ("mIoU",)}
GAPS = (
    (("codec", "sighted"), ("frames", "sighted")),
    (("codec", "sighted"), ("frames", "equal total")),
    (("codec", "sighted"), ("codec", "blind")),
    (("codec", "sighted"), ("codec", "eyeless")),
    (("codec", "sighted"), ("codec", "fixed groups")),
    (("frames", "sighted"), ("frames", "blind")),
    (("codec", "eyeless"), ("none", "constant")),
)


@dataclass(frozen=True)
class Size:
    """How large a sweep is; the defaults are the committed one's.

    Attributes:
        budgets: canvases or frames of a clip.
        clips, steps: of each training.
        tested: held-out clips.
        fitted: training clips for what is fitted without learning.
    """

    budgets: tuple[int, ...] = BUDGETS
    clips: int = CLIPS
    steps: int = STEPS
    tested: int = TESTED
    fitted: int = FITTED

    def __post_init__(self):
        if not self.budgets or min(*self.budgets, self.clips, self.steps, self.tested, self.fitted) < 1:
            raise MiniError(f"{self}: every number must be at least 1")


DEFAULT = Size()


def clips(split: str, count: int, seed: int = 0, together: bool = False) -> list[Sample]:
    """Both questions about `count` skipping clips of the training or the test world: each a sample of its own, or together in
    one conversation, in changing order."""
    samples = []
    for index in range(count):
        rng = np.random.default_rng([seed, SPLITS.index(split), index])
        scene, name = draw(skipping, split, rng), f"skipping-{split}-{seed}-{index}"
        timed = [question for question in scene.questions if question.task in METRICS]
        questions = [timed[int(place)] for place in rng.permutation(len(timed))]
        if together:
            samples.append(conversation(name, scene, questions))
        else:
            samples += [conversation(f"{name}-{question.kind}", scene, [question]) for question in questions]
    return samples


def shown(sample: Sample, backend: str, budget: int, front_end: str = "paper") -> Sample:
    """The sample with its clip as `budget` codec canvases or sampled frames."""
    options = {"video_backend": backend, "max_pixels": SIDE**2, "timestamp_decimals": DECIMALS}
    if backend == "codec":
        options |= {"front_end": front_end, "num_canvases": budget}
    else:
        options |= {"num_frames": budget, "min_pixels": SIDE**2}
    return replace(sample, media=tuple(replace(item, options=options) for item in sample.media))


def mixed(samples: Sequence[Sample], backend: str, budgets: Sequence[int]) -> list[Sample]:
    """The samples at all budgets in turn."""
    return [shown(sample, backend, budgets[place % len(budgets)]) for place, sample in enumerate(samples)]


def train_one(kind: str, seed: int, output: Path, size: Size) -> Path:
    """Train one of `KINDS`; its folder."""
    budgets = list(equal_frames(output, size).values()) if kind == "frames-more" else size.budgets
    backend = "frames" if kind.startswith("frames") else "codec"
    samples = mixed(clips("train", size.clips, together=True), backend, budgets)
    folder, eyes = output / f"seed{seed}" / kind, kind != "eyeless"
    if not (folder / "config.json").is_file():
        cache = token_cache(output)
        trained, losses = reader.fit(samples, cache, size.steps, seed, eyes)
        reader.save(trained, reader.choose_threshold(trained, samples[: size.fitted], cache), losses, folder)
    return folder


def ask(kind: str, seed: int, budget: int, backend: str, arm: str, output: Path, size: Size) -> None:
    """Ask one that is trained about all held-out clips at one budget; answers stay in `cell_folder`."""
    front_end = "ippp" if arm == "fixed groups" else "paper"
    pictures = equal_frames(output, size)[budget] if arm == "equal total" else budget
    samples = [shown(sample, backend, pictures, front_end) for sample in clips("test", size.tested)]
    folder = output / f"seed{seed}" / kind
    evaluate(
        samples, reader.predictor(folder, token_cache(output), arm == "blind"),
        cell_folder(output, seed, backend, arm, budget), model=f"reader, {kind}", revision=__version__, seed=seed,
        options={"budget": pictures, "backend": backend, "front_end": front_end, "blind": arm == "blind", "steps": size.steps},
    )  # fmt: skip


def ask_rules(output: Path, size: Size) -> None:
    """Answers without learning: the best constant for each question, and a rule on the time tags at every budget."""
    fitted, held_out = clips("train", size.fitted), clips("test", size.tested)
    same = {"model": "rule", "revision": __version__}
    evaluate(held_out, fit_constant(fitted), cell_folder(output, 0, "none", "constant", 0), **same)
    cache = token_cache(output)
    for budget in size.budgets:

        def tags(sample: Sample, budget: int = budget) -> list[tuple[float, int]]:
            return time_tags(cache.tokens(shown(sample, "codec", budget).media[0]), DECIMALS)

        rule = fit_bursts(fitted, tags)
        jumps = [sample for sample in held_out if sample.task == "jump_times"]
        where = cell_folder(output, 0, "codec", "tags rule", budget)
        evaluate(jumps, lambda sample, rule=rule, tags=tags: rule.answer(tags(sample)), where, **same)


def cell_folder(output: Path, seed: int, backend: str, arm: str, budget: int) -> Path:
    """Where the answers of one arm at one budget are kept; rules have no seed."""
    return output / ("rules" if arm in RULES else f"seed{seed}") / "answers" / f"{backend}-{arm.replace(' ', '-')}-{budget}"


def token_cache(output: Path) -> TokenCache:
    """The tokens of all clips of a sweep, shared by training and asking."""
    images = mini_processor().image_processor
    return TokenCache(output / "media" / "tokens", images.patch_size, images.size)


Cell = dict[tuple[int, str], float]  # (seed, held-out sample) -> score


def read_cells(output: Path, seeds: Iterable[int], size: Size, arms: Iterable[tuple[str, str]] = ARMS) -> dict[tuple, Cell]:
    """All scores of the given arms by (task, metric, backend, arm, budget)."""
    cells: dict[tuple, Cell] = {}
    for seed in seeds:
        for backend, arm in arms:
            for budget in size.budgets if arm != "constant" else (0,):
                for line in (cell_folder(output, seed, backend, arm, budget) / SAMPLES).read_text().splitlines():
                    row = json.loads(line)
                    for metric in METRICS[row["task"]]:
                        key = (row["task"], metric, backend, arm, budget)
                        cells.setdefault(key, {})[seed, row["id"]] = row["scores"][metric]
    return cells


def gap_cells(cells: dict[tuple, Cell]) -> dict[tuple, Cell]:
    """Differences of `GAPS`, sample by sample, by (task, metric, "backend - backend", "arm - arm", budget)."""
    gaps = {}
    for first, second in GAPS:
        for (task, metric, backend, arm, budget), cell in cells.items():
            other = cells.get((task, metric, *second, budget if second[1] != "constant" else 0))
            if (backend, arm) == first and other:
                names = (" - ".join(dict.fromkeys(pair)) for pair in zip(first, second, strict=True))
                gaps[task, metric, *names, budget] = {key: cell[key] - other[key] for key in cell}
    return gaps


def table(cells: dict[tuple, Cell], tokens: dict[tuple, tuple[float, float]]) -> list[dict]:
    """One row for each cell and seed, and one for all seeds together (seed "all"): the mean with its 95 % interval over clips.

    Args:
        cells: of `read_cells` and `gap_cells`.
        tokens: visual and text tokens that stand for a clip in the prompt, by (backend, arm, budget).
    """
    rows = []
    for (task, metric, backend, arm, budget), cell in cells.items():
        for seed in (*dict.fromkeys(seed for seed, _ in cell), "all"):
            scores = {key: value for key, value in cell.items() if seed in (key[0], "all")}
            mean = bootstrap(list(scores.values()), [name for _, name in scores])
            visual, text = tokens.get((backend, arm, budget), ("", ""))
            rows.append(
                {"task": task, "metric": metric, "backend": backend, "arm": arm, "budget": budget, "seed": seed,
                 "score": round(mean.value, 4), "low": round(mean.low, 4), "high": round(mean.high, 4),
                 "clips": len({name for _, name in scores}), "visual_tokens": visual, "text_tokens": text}
            )  # fmt: skip
    return rows


def count_tokens(output: Path, size: Size) -> dict[tuple, tuple[float, float]]:
    """Mean visual and text tokens that stand for a held-out clip in the prompt, by (backend, arm, budget)."""
    counts, more = {}, equal_frames(output, size)
    for backend, arm in ARMS:
        for budget in size.budgets if arm != "constant" else ():
            front_end, pictures = "ippp" if arm == "fixed groups" else "paper", more[budget] if arm == "equal total" else budget
            visual, text = _prompt_tokens(output, size, backend, pictures, front_end)
            counts[backend, arm, budget] = (0.0 if arm == "tags rule" else visual, text)
    return counts


def equal_frames(output: Path, size: Size) -> dict[int, int]:
    """By budget: how many frames have as many visual and text tokens together as so many canvases."""
    each = sum(_prompt_tokens(output, size, "frames", 1))
    return {budget: round(sum(_prompt_tokens(output, size, "codec", budget)) / each) for budget in size.budgets}


def _prompt_tokens(output: Path, size: Size, backend: str, budget: int, front_end: str = "paper") -> tuple[float, float]:
    """Mean visual and text tokens of the held-out clips, shown like that."""
    processor, cache, form = mini_processor(), token_cache(output), mini_stage(4).frames_prompt
    samples = clips("test", size.tested)[::2]  # one of the two questions about each
    media = [cache.tokens(shown(sample, backend, budget, front_end).media[0]) for sample in samples]
    visual = float(np.mean([item.summary()["tokens"] for item in media]))
    total = np.mean([len(processor.tokenizer(visual_text(item, form, DECIMALS))["input_ids"]) for item in media])
    return round(visual, 1), round(float(total) - visual, 1)


def sweep(seeds: Sequence[int], output: Path, size: Size = DEFAULT) -> list[dict]:
    """Train and ask everything that is not there yet.

    Args:
        seeds: of the initial weights and the order of training clips; clips and rules are the same for all.
        output: folder of the sweep.
        size: how large.

    Returns:
        rows of `table`, differences included.
    """
    ask_rules(output, size)
    for seed in seeds:
        for kind in KINDS:
            train_one(kind, seed, output, size)
            for backend, arm in ARMS:
                if arm not in RULES and kind == ASKED.get(arm, backend):
                    for budget in size.budgets:
                        ask(kind, seed, budget, backend, arm, output, size)
    cells = read_cells(output, seeds, size)
    return table(cells | gap_cells(cells), count_tokens(output, size))


def main() -> None:
    """Run the sweep from the command line."""
    parser = argparse.ArgumentParser(description="Codec canvases against sampled frames on the mini world, with controls.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/sweep"), help="folder of the sweep")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="canvases or frames of a clip")
    parser.add_argument("--clips", type=int, default=CLIPS, help="of each training")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training")
    parser.add_argument("--tested", type=int, default=TESTED, help="held-out clips")
    args = parser.parse_args()
    size = Size(tuple(args.budgets), args.clips, args.steps, args.tested)
    write_results(sweep(args.seeds, args.output, size), args.output, "sweep", args.seeds, "kit.school.sweep")


if __name__ == "__main__":
    main()
