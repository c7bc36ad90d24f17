"""`ov2 train`: adapters or a whole model, on your own data or as a published stage.

ov2 train --data mine.jsonl --from DIR --variant lora
ov2 train --recipe stage3 --from DIR --data NAME=PATH … --dry-run  # what a cluster would run
accelerate launch --config_file fsdp2_256.yaml -m ov2lib train --recipe stage3 --from DIR --data NAME=PATH …
"""

import argparse
from pathlib import Path

from ..samples.report import MAX_BAD_SHARE
from ..train.run import OUTPUT, train
from ..train.stages import StageConfig
from .stage_options import add_stage_arguments, chosen_config, chosen_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 train`."""
    add_stage_arguments(parser)
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"folder of all runs (default {OUTPUT})")
    parser.add_argument(
        "--max-bad-share", type=float, default=MAX_BAD_SHARE, help=f"of samples to skip at most (default {MAX_BAD_SHARE:g})"
    )
    parser.add_argument(
        "--prepare", action="store_true", help="tokenize and pack the data and stop, before a run on many machines"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")


def run(args: argparse.Namespace) -> int:
    """Train, or say what would be trained."""
    config = chosen_config(args)
    if args.dry_run:
        print(describe(config))
        return 0
    print(train(config, args.output, args.start, chosen_data(args), args.media, args.prepare, args.max_bad_share))
    return 0


def describe(config: StageConfig) -> str:
    """What `--dry-run` prints: every value with where it comes from."""
    lines = [f"{config.label}, {config.name}: variant {config.variant}", ""]
    for row in config.rows():
        if row["field"] == "sources":
            lines.append(f"{'sources':<24}{'':<40}{row['kind']}: {row['origin']}")
            lines += [f"  {source.name:<40}{source.samples or 'not known':>14} {source.kind}" for source in row["value"]]
        else:
            lines.append(f"{row['field']:<24}{str(row['value']):<40}{row['kind']}: {row['origin']}")
    return "\n".join(lines)
