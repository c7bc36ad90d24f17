"""Options of the command line that choose a stage and change its configuration, for `ov2 train` and `ov2 plan`."""

import argparse
from collections.abc import Mapping
from dataclasses import replace

from ..errors import TrainingError
from ..train.stages import STAGES, VARIANTS, Source, StageConfig, stage_config

CHANGES = (
    "global_batch",
    "steps",
    "seed",
    "timestamps",
)  # fields that an option of the same name replaces, where a command has it


def add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that `chosen_config` reads."""
    parser.add_argument("--stage", type=int, choices=list(STAGES), required=True, help="1 to 4")
    parser.add_argument("--variant", choices=VARIANTS, default="full", help="all weights, or LoRA (default full)")
    parser.add_argument(
        "--samples",
        action="append",
        default=[],
        metavar="NAME=COUNT",
        help="size of a source, where none is published or less is at hand; once per source",
    )
    parser.add_argument("--global-batch", type=int, help="bins per optimiser step over all devices, instead of the stage's")
    parser.add_argument("--steps", type=int, help="optimiser steps, instead of the stage's")


def chosen_config(args: argparse.Namespace) -> StageConfig:
    """The stage's configuration with what the caller changed, marked so in its origins.

    Raises:
        TrainingError: a number below 1, a source that the stage does not read.
    """
    config = stage_config(args.stage, args.variant)
    chosen = {name: getattr(args, name) for name in CHANGES if getattr(args, name, None) is not None}
    for name in ("global_batch", "steps"):
        if chosen.get(name, 1) < 1:
            raise TrainingError(f"--{name.replace('_', '-')} is {chosen[name]}; give at least 1")
    if args.samples:
        chosen["sources"] = _resized(config.sources, dict(named_value(text, "--samples") for text in args.samples))
    return replace(config, **chosen, origin=config.origin | dict.fromkeys(chosen, "assumed: chosen by the caller"))


def named_value(text: str, option: str) -> tuple[str, str]:
    """ "NAME=VALUE" taken apart.

    Raises:
        TrainingError: it is written otherwise.
    """
    name, found, value = text.partition("=")
    if not found or not name or not value:
        raise TrainingError(f"{option} is {text!r}; write NAME=VALUE")
    return name, value


def _resized(sources: tuple[Source, ...], counts: Mapping[str, str]) -> tuple[Source, ...]:
    if unknown := sorted(counts.keys() - {source.name for source in sources}):
        raise TrainingError(f"--samples names {unknown[0]!r}; the sources are {', '.join(source.name for source in sources)}")
    if wrong := [count for count in counts.values() if not count.isdecimal() or int(count) < 1]:
        raise TrainingError(f"--samples is {wrong[0]!r}; give a whole number of samples")
    return tuple(replace(source, samples=int(counts.get(source.name, source.samples or 0)) or None) for source in sources)
