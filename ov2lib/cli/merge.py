"""`ov2 merge ADAPTER --output DIR`: an adapter added to its base model, as a model folder that every program reads."""

import argparse
from pathlib import Path

from ..train.start import merge_adapter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 merge`."""
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="folder that `ov2 train --variant lora` wrote")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to make")


def run(args: argparse.Namespace) -> int:
    """Merge, and print the new folder."""
    print(merge_adapter(args.adapter, args.output))
    return 0
