"""`ov2 plan`: what training costs before it is started: tokens, FLOPs, memory per device, hours.

A published recipe is planned for the 8B from its sources' sizes; your own data are read, tokenized and measured first, for the
model of `--from`.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from ..errors import TrainingError
from ..model import LlavaOnevision2Config, LlavaOnevision2Processor
from ..model.adapter import base_of
from ..model.sizes import published_config
from ..samples.report import Report
from ..train.cost import add_flops
from ..train.plan import GPU_MEMORY, GPU_TFLOPS, UTILISATION, Plan, make_plan
from ..train.prepare import Prepared
from ..train.run import OUTPUT, make_encoder, prepare_stage
from ..train.start import check_start, context_of
from .stage_options import add_stage_arguments, chosen_config, chosen_data

UNITS = ("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12)


def format_plan(plan: Plan) -> str:
    """The text that `ov2 plan` prints."""
    # 1. The mix: samples and tokens by source
    on = f"{plan.gpus:,} GPUs" if plan.gpus > 1 else "one GPU"
    lines = [f"stage {plan.stage}, {plan.name}: scale {plan.scale}, variant {plan.variant}, {on}", ""]
    lines.append(f"{'per sample':<28}{'samples':>14}{'visual':>10}{'text':>10}{'tokens, %':>11}")
    for source in plan.sources:
        samples = "not known" if source.samples is None else f"{source.samples:,}"
        lines.append(f"  {source.name:<26}{samples:>14}{source.visual:>10,.0f}{source.text:>10,.0f}{source.share:>11.1%}")
    # 2. Totals of the stage
    lines += ["", f"{'samples':<28}{plan.samples:>22,.0f}", f"{'bins':<28}{plan.bins:>22,}", f"{'steps':<28}{plan.steps:>22,}"]
    lines += [f"{'visual tokens':<28}{plan.visual_tokens:>22,.0f}", f"{'text tokens':<28}{plan.text_tokens:>22,.0f}", ""]
    # 3. FLOPs by part, in a unit that keeps the numbers short
    unit, scale = next((unit for unit in UNITS if plan.total_flops >= unit[1]), UNITS[-1])
    lines.append(f"{unit:<14}{'forward':>14}{'backward':>14}{'recomputed':>14}{'total':>14}")
    for part, flops in [*plan.flops.items(), ("total", add_flops(plan.flops.values()))]:
        cells = (flops.forward, flops.backward, flops.recomputed, flops.total)
        lines.append(f"  {part:<12}" + "".join(f"{value / scale:>14,.4g}" for value in cells))
    lines += ["", f"{plan.hours:,.4g} hours ({plan.hours * plan.gpus:,.4g} GPU hours) at {plan.utilisation:.0%} of "
              f"{plan.gpu_tflops:g} TFLOP/s", ""]  # fmt: skip
    # 4. Memory by layout, and whether it fits
    lines.append(f"{'GiB on one device':<20}" + "".join(f"{layout:>14}" for layout in plan.memory))
    for name in ("weights", "gradients", "optimizer", "copies", "activations", "transient", "total"):
        lines.append(f"  {name:<18}" + "".join(f"{getattr(memory, name) / 2**30:>14,.1f}" for memory in plan.memory.values()))
    fits = ("fits" if plan.fits(layout) else "too large" for layout in plan.memory)
    lines.append(f"  {f'in {plan.gpu_memory:g} GB':<18}" + "".join(f"{answer:>14}" for answer in fits))
    return "\n".join([*lines, "", "assumed", *(f"  {note}" for note in plan.assumptions)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 plan` and `ov2 check`."""
    add_stage_arguments(parser)
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that train together (default 1)")
    parser.add_argument("--utilisation", type=float, default=UTILISATION, help=f"share of the peak (default {UTILISATION:g})")
    parser.add_argument("--gpu-tflops", type=float, default=GPU_TFLOPS, help=f"peak of one GPU (default {GPU_TFLOPS:g}, H100)")
    parser.add_argument("--gpu-memory", type=float, default=GPU_MEMORY, help=f"GB of one GPU (default {GPU_MEMORY:g})")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the plan of a recipe, or of your own data."""
    plan = plan_own(args)[0] if args.data else plan_recipe(args)
    print(json.dumps(plan_json(plan), indent=2) if args.json else format_plan(plan))
    return 0


def plan_json(plan: Plan) -> dict:
    """The plan and its totals as JSON values."""
    memory = {name: memory.total for name, memory in plan.memory.items()}
    return asdict(plan) | {"total_flops": plan.total_flops, "total_memory": memory}


def plan_recipe(args: argparse.Namespace) -> Plan:
    """The plan of a published stage, of the 8B or of the model of `--from`.

    Raises:
        TrainingError: no model in `--from`.
    """
    if args.media:
        raise TrainingError("--media is where your data are tokenized; add --data, or leave it out")
    if args.start is None:
        return make_plan(chosen_config(args), published_config("8b"), *_machine(args))
    start = base_of(args.start)
    check_start(start)
    return make_plan(chosen_config(args), LlavaOnevision2Config.from_pretrained(start), *_machine(args))


def plan_own(args: argparse.Namespace) -> tuple[Plan, Prepared, Report]:
    """The plan of data that are read and tokenized as training does it, what they hold, and what would be skipped.

    Raises:
        TrainingError: no model to measure for, data that cannot be read, or no sample that can be used.
    """
    config = chosen_config(args)
    if args.start is None:
        raise TrainingError("what your samples cost depends on the model; name its folder with --from")
    start = base_of(args.start)
    check_start(start)
    media = args.media or OUTPUT / "media"
    encoder = make_encoder(LlavaOnevision2Processor.from_pretrained(start), config, media, context_of(start))
    report = Report(max_bad_share=1.0)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_stage(config, encoder, chosen_data(args), media, Path(folder) / "data", report, {})
    counts = {name: facts["samples"] for name, facts in prepared.sources.items()}
    works = {name: prepared.work(name) for name in prepared.sources}
    plan = make_plan(config, LlavaOnevision2Config.from_pretrained(start), *_machine(args), measured=works, counts=counts)
    return plan, prepared, report


def _machine(args: argparse.Namespace) -> tuple[int, float, float, float]:
    return args.gpus, args.utilisation, args.gpu_tflops, args.gpu_memory
