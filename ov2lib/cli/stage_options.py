"""Options of the command line that choose what is trained and how, for `ov2 train`, `ov2 plan` and `ov2 check`."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import TrainingError
from ..model.prompt import TIMESTAMPS
from ..train.stages import ATTENTION, STAGES, VARIANTS, Source, StageConfig, own_config, stage_config

DATA = re.compile(r"(?:([\w.-]+)=)?(.+?)(?::(\d*\.?\d+))?")  # [NAME=]PLACE[:SHARE]
MAX_FRAMES, MAX_CANVASES = 64, 32  # assumed: of a clip, at a frame a second or a canvas for eight
CHANGES = {  # option that replaces the field of the same name: type, help
    "learning_rate": (float, "peak of the learning rate"),
    "global_batch": (int, "bins per optimiser step over all devices"),
    "sequence_length": (int, "tokens in a bin"),
    "steps": (int, "optimiser steps"),
    "epochs": (float, "passes over the data, where --steps is not given"),
    "seed": (int, "of data order and new weights"),
}


def add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that `chosen_config` and `chosen_data` read."""
    parser.add_argument("--data", action="append", default=[], metavar="[NAME=]PLACE[:SHARE]",
                        help="samples: JSONL, JSON list, tar shards or a dataset (NAME#CONFIGURATION/SPLIT), and their share "
                        "of an epoch; once per source")  # fmt: skip
    parser.add_argument("--from", dest="start", type=Path, metavar="DIR", help="model or adapter to start from")
    parser.add_argument("--recipe", choices=[f"stage{stage}" for stage in STAGES],
                        help="a published stage with its corpora, instead of your own data")  # fmt: skip
    parser.add_argument("--variant", choices=VARIANTS, default="full", help="all weights, or LoRA (default full)")
    parser.add_argument("--rank", type=int, help="LoRA: of the adapters (default 32)")
    parser.add_argument("--alpha", type=float, help="LoRA: numerator of alpha / rank (default twice the rank)")
    for name, (kind, text) in CHANGES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{text}, instead of the recipe's")
    parser.add_argument("--timestamps", choices=TIMESTAMPS, help="what time tags say, instead of the recipe's")
    parser.add_argument("--attention", choices=ATTENTION, help="kernels of attention (default sdpa)")
    parser.add_argument("--precision", choices=("bf16", "fp32"), help="arithmetic (default bf16; a CPU is faster in fp32)")
    parser.add_argument("--samples", action="append", default=[], metavar="NAME=COUNT", help="at most COUNT of a source")
    parser.add_argument("--media", type=Path, metavar="DIR", help="cache of tokenized media (default runs/train/media)")


def chosen_data(args: argparse.Namespace) -> dict[str, str]:
    """Place by source name."""
    return {name: place for name, place, _ in _sources(args.data)}


def chosen_config(args: argparse.Namespace) -> StageConfig:
    """The recipe, or own data, with what the caller changed, marked so in its origins.

    Raises:
        TrainingError: neither data nor a recipe, a number below 1, a source that the recipe does not read.
    """
    # 1. The recipe, or the caller's own sources
    given = _sources(args.data)
    if args.recipe:
        config = stage_config(int(args.recipe.removeprefix("stage")), args.variant)
    elif given:
        own = [
            Source(name, name, None, "video", MAX_FRAMES, num_canvases=MAX_CANVASES, share=share) for name, _, share in given
        ]
        config = own_config(tuple(own), args.variant)
    else:
        raise TrainingError("nothing to train on; pass --data PATH --from MODEL, or --recipe stage1 to stage4")
    # 2. What replaces its values
    names = (*CHANGES, "timestamps", "attention", "precision")
    changes = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for name in CHANGES:
        if name != "seed" and changes.get(name, 1) <= 0:
            least = "more than 0" if CHANGES[name][0] is float else "at least 1"
            raise TrainingError(f"--{name.replace('_', '-')} is {changes[name]:g}; give {least}")
    # 3. Sizes and shares of the sources
    sources = _resized(config.sources, dict(named_value(text, "--samples") for text in args.samples))
    shares = {name: share for name, _, share in given if share is not None}
    sources = tuple(replace(source, share=shares.get(source.name, source.share)) for source in sources)
    if sources != config.sources:
        changes["sources"] = sources
    # 4. Adapters
    if (args.rank, args.alpha) != (None, None):
        if config.lora is None:
            raise TrainingError("--rank and --alpha are of adapters; add --variant lora")
        changes["lora"] = replace(config.lora, rank=args.rank or config.lora.rank, alpha=args.alpha)
    return replace(config, **changes, origin=config.origin | dict.fromkeys(changes, "assumed: chosen by the caller"))


def _sources(texts: list[str]) -> list[tuple[str, str, float | None]]:
    """(name, place, share) of every `--data`; a place without a name has that of its file or folder."""
    sources = []
    for text in texts:
        match = DATA.fullmatch(text)
        if match is None:
            raise TrainingError(f"--data is {text!r}; write [NAME=]PLACE[:SHARE]")
        name, place, share = match.groups()
        if share is not None and float(share) == 0:
            raise TrainingError(f"--data is {text!r} with a share of 0; give more than 0, or leave the source out")
        name = name or Path(place.partition("#")[0]).name.partition(".")[0]
        sources.append((name, place, None if share is None else float(share)))
    return sources


def named_value(text: str, option: str) -> tuple[str, str]:
    """ "NAME=VALUE" taken apart.

    Raises:
        TrainingError: it is written otherwise.
    """
    name, _, value = text.partition("=")
    if not name or not value:
        raise TrainingError(f"{option} is {text!r}; write NAME=VALUE")
    return name, value


def _resized(sources: tuple[Source, ...], counts: Mapping[str, str]) -> tuple[Source, ...]:
    if unknown := sorted(counts.keys() - {source.name for source in sources}):
        raise TrainingError(f"--samples names {unknown[0]!r}; the sources are {', '.join(source.name for source in sources)}")
    if wrong := [count for count in counts.values() if not count.isdecimal() or int(count) < 1]:
        raise TrainingError(f"--samples is {wrong[0]!r}; give a whole number of samples")
    return tuple(replace(source, samples=int(counts.get(source.name, source.samples or 0)) or None) for source in sources)
