"""The mini world from the command line, in a clone and with PYTHONPATH=notebooks:

python -m kit.school train --stage 1                          # minutes; --variant lora for adapters
python -m kit.school plan --stage 3                           # tokens, FLOPs, memory
python -m kit.school samples JumpScore-mini --out jumps.jsonl  # questions for `ov2 evaluate`
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ov2lib.cli import run_safely
from ov2lib.cli.plan import format_plan
from ov2lib.train.plan import make_plan
from ov2lib.train.run import OUTPUT
from ov2lib.train.stages import STAGES, VARIANTS

from .benchmarks import BENCHMARKS, SAMPLES, benchmark
from .model import mini_config
from .recipe import mini_stage, sample_tokens
from .training import train_mini, write_samples


def build_parser() -> argparse.ArgumentParser:
    """Options of the three commands."""
    parser = argparse.ArgumentParser(prog="python -m kit.school", description="Train, plan and ask in the mini world.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run, summary in (("train", _train, "train a stage"), ("plan", _plan, "say what a stage costs")):
        command = commands.add_parser(name, help=summary)
        command.set_defaults(run=run)
        command.add_argument("--stage", type=int, choices=list(STAGES), required=True)
        command.add_argument("--variant", choices=VARIANTS, default="full")
        if name == "train":
            command.add_argument("--steps", type=int, help="optimiser steps, instead of the stage's")
            command.add_argument("--seed", type=int, default=0, help="of data and new weights (default 0)")
            command.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"of runs (default {OUTPUT})")
    command = commands.add_parser("samples", help="write the questions of a mini benchmark as JSONL")
    command.set_defaults(run=_samples)
    command.add_argument("name", choices=BENCHMARKS)
    command.add_argument("--limit", type=int, default=SAMPLES, metavar="N", help=f"how many (default {SAMPLES})")
    command.add_argument("--out", type=Path, required=True, metavar="FILE")
    return parser


def _train(args: argparse.Namespace) -> None:
    config = mini_stage(args.stage, args.variant)
    print(train_mini(replace(config, seed=args.seed, steps=args.steps or config.steps), args.output))


def _plan(args: argparse.Namespace) -> None:
    config = mini_stage(args.stage, args.variant)
    measured = {source.name: sample_tokens(args.stage) for source in config.sources}
    plan = make_plan(config, mini_config(), measured=measured)
    print(format_plan(plan))


def _samples(args: argparse.Namespace) -> None:
    print(write_samples(benchmark(args.name, args.limit), args.out))


def main(argv: list[str] | None = None) -> int:
    """Run one command; bad input becomes one line on stderr and status 2."""
    args = build_parser().parse_args(argv)
    return run_safely(lambda: args.run(args) or 0)


if __name__ == "__main__":
    sys.exit(main())
