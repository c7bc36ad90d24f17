"""`ov2 assemble`: a language model and a vision encoder put together for stage 1."""

import argparse
from pathlib import Path

from ..train.assemble import assemble


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 assemble`."""
    parser.add_argument("--language", type=Path, required=True, metavar="DIR", help="LLaVA-OneVision-1.5-8B, or a plain Qwen3")
    parser.add_argument("--vision", type=Path, required=True, metavar="DIR", help="a stand-alone OneVision-Encoder")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of the connector where none fits (default 0)")


def run(args: argparse.Namespace) -> int:
    """Assemble, and print what came from where."""
    made = assemble(args.language, args.vision, args.output, args.seed)
    print(f"{args.output}: {made.parameters:,} parameters\nlanguage model  {made.language}\nvision encoder  {made.vision}")
    print(f"connector       {made.connector}")
    print("\n".join(["", *(f"dropped: {count} tensors, {what}" for what, count in made.dropped.items() if count)]))
    print("\n".join(f"assumed: {note}" for note in made.assumed))
    return 0
