"""`ov2 train`: one stage, from its configuration to a saved model.

ov2 train --stage 3 --from DIR --data NAME=PATH … --dry-run  # what a cluster would run
accelerate launch --config_file fsdp2_256.yaml -m ov2lib train --stage 3 --from DIR --data NAME=PATH …
"""

import argparse
from pathlib import Path

from ..model.prompt import TIMESTAMPS
from ..train.run import OUTPUT, train
from ..train.stages import StageConfig
from .stage_options import add_stage_arguments, chosen_config, named_value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 train`."""
    add_stage_arguments(parser)
    parser.add_argument(
        "--from", dest="start", type=Path, metavar="DIR", help="model or adapter to start from (default: the stage before)"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME=PATH", help="where a source's samples are; once per source"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"folder of all runs (default {OUTPUT})")
    parser.add_argument("--media", type=Path, metavar="DIR", help="cache of tokenized videos (default OUTPUT/media)")
    parser.add_argument(
        "--timestamps", choices=TIMESTAMPS, help="what time tags say, instead of the stage's (when a frame is shown)"
    )
    parser.add_argument("--seed", type=int, help="of data order and new weights, instead of the stage's")
    parser.add_argument(
        "--prepare", action="store_true", help="tokenize and pack the data and stop, before a run on many machines"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")


def run(args: argparse.Namespace) -> int:
    """Train one stage, or say what would be trained."""
    config = chosen_config(args)
    data = dict(named_value(text, "--data") for text in args.data)
    if args.dry_run:
        print(describe(config))
        return 0
    print(train(config, args.output, args.start, data, args.media, args.prepare))
    return 0


def describe(config: StageConfig) -> str:
    """What `--dry-run` prints: every value with where it comes from."""
    lines = [f"stage {config.stage}, {config.name}: variant {config.variant}", ""]
    for row in config.rows():
        if row["field"] == "sources":
            lines.append(f"{'sources':<24}{'':<40}{row['kind']}: {row['origin']}")
            lines += [f"  {source.name:<40}{source.samples or 'not published':>14} {source.kind}" for source in row["value"]]
        else:
            lines.append(f"{row['field']:<24}{str(row['value']):<40}{row['kind']}: {row['origin']}")
    return "\n".join(lines)
