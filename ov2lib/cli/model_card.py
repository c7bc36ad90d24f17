"""`ov2 model-card`: parameters, memory and cost of a model size."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from ..errors import ModelError
from ..model.configuration import LlavaOnevision2Config
from ..model.sizes import CANVAS, SIZES, ModelCard, VideoCost, model_card, published_config, video_costs


def format_card(card: ModelCard, costs: list[VideoCost]) -> str:
    """The text that `ov2 model-card` prints."""
    lines = [f"{card.name}", "", "parameters"]
    lines += [f"  {part:<16}{count:>16,}" for part, count in card.parameters.items()]
    lines += ["", "weights", *(f"  {dtype:<16}{gib:>12.1f} GiB" for dtype, gib in card.weight_gib.items())]
    lines += [f"  {'cache, bf16':<16}{card.cache_kib_per_token:>12.0f} KiB per token", ""]
    lines += [
        f"per second of a {costs[0].seconds:g} s video, {CANVAS}x{CANVAS}, encoder to end of prefill (time tags come on top)"
    ]
    lines += [f"  {'':<22}{'tokens':>9}{'TFLOP':>9}   of which encoder"]
    for cost in costs:
        share = cost.encoder_flops / (cost.flops_per_second * cost.seconds)
        lines.append(f"  {cost.name:<22}{cost.tokens_per_second:>9.1f}{cost.flops_per_second / 1e12:>9.2f}{share:>12.0%}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 model-card`."""
    parser.add_argument("model", help=f"{', '.join(SIZES)}, or a checkpoint folder")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the video (default 60)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the card of a size or of a folder's config.json."""
    if args.seconds <= 0:
        raise ModelError(f"--seconds is {args.seconds:g}; it must be positive")
    folder = Path(args.model)
    if (folder / "config.json").is_file():
        config = LlavaOnevision2Config.from_pretrained(folder)
    else:
        config = published_config(args.model.lower())
    card, costs = model_card(config, args.model), video_costs(config, args.seconds)
    print(
        json.dumps({**asdict(card), "video": [asdict(cost) for cost in costs]}, indent=2)
        if args.json
        else format_card(card, costs)
    )
    return 0
