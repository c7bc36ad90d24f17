"""What things cost: a second of video by size, memory, training stages, frames against codec; the rows and the pictures."""

import html
from collections.abc import Collection
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from ov2lib.model.configuration import LlavaOnevision2Config
from ov2lib.model.sizes import VideoCost, prefill_flops, video_cost
from ov2lib.train.buckets import buckets
from ov2lib.train.plan import Plan

from .axes import doubling, stack

PARTS = {"encoder": "#0072B2", "connector": "#E69F00", "language": "#999999"}
TRAINED = {"vision": "#0072B2", "connector": "#E69F00", "language": "#999999", "head": "#CC79A7"}
SIZES = {"2b": "#88CCEE", "4b": "#117733", "8b": "#D55E00", "30b-a3b": "#332288"}
KEPT = {
    "weights": "#332288", "gradients": "#88CCEE", "optimizer": "#117733", "copies": "#DDCC77", "activations": "#D55E00",
    "transient": "#AA4499",
}  # fmt: skip


def row(cost: VideoCost) -> dict:
    """One input of one size: tokens and TFLOP for each second of video, by part."""
    parts = {"encoder": cost.encoder_flops, "connector": cost.connector_flops, "language": cost.prefill_flops}
    each = {name: flops / cost.seconds / 1e12 for name, flops in parts.items()}
    whole = {"tokens_per_second": cost.tokens_per_second, "tflop_per_second": cost.flops_per_second / 1e12}
    return {"input": cost.name, **whole, **each}


def draw_parts(ax: Axes, table: pd.DataFrame) -> None:
    """Stacked bars of rows of `row`, one for each size."""
    stack(ax, table["size"], table[list(PARTS)], PARTS, width=0.7)
    ax.tick_params(axis="x", length=0, labelsize=8)


def draw_memory(ax: Axes, table: pd.DataFrame) -> None:
    """Weights (level lines) and cache (rising) over the number of pictures; rows have size, pictures, weights, cache in GiB."""
    for size, part in table.groupby("size", sort=False):
        ax.plot(part["pictures"], part["cache"], "o-", markersize=4, color=SIZES[size], label=f"{size}, cache")
        ax.axhline(part["weights"].iloc[0], color=SIZES[size], linewidth=1, linestyle=":")
        ax.annotate("weights", (1, part["weights"].iloc[0]), xycoords=ax.get_yaxis_transform(), xytext=(2, 0),
                    textcoords="offset points", color=SIZES[size], va="center", fontsize=8)  # fmt: skip
    doubling(ax, table["pictures"])
    ax.set(yscale="log", ylabel="GiB, bfloat16", xlabel="pictures of 392×392")
    ax.legend(loc="upper left", bbox_to_anchor=(1.12, 1))


def stage_row(plan: Plan) -> dict:
    """One stage of training in the units that people compare."""
    layout = "FSDP2" if "FSDP2" in plan.memory else next(iter(plan.memory))
    return {
        "stage": plan.stage, "name": plan.name, "million samples": plan.samples / 1e6, "steps": plan.steps,
        "visual Gtokens": plan.visual_tokens / 1e9, "text Gtokens": plan.text_tokens / 1e9, "EFLOP": plan.total_flops / 1e18,
        "GPU hours": plan.hours * plan.gpus, "hours": plan.hours, f"GiB, {layout}": plan.memory[layout].total / 2**30,
        f"fits {plan.gpu_memory:g} GB": plan.fits(layout),
    }  # fmt: skip


def draw_stages(ax: Axes, plans: Collection[Plan]) -> None:
    """GPU hours of each stage, stacked by part."""
    scales = [plan.hours * plan.gpus / plan.total_flops / 1e3 for plan in plans]
    parts = {part: [p.flops[part].total * scale for p, scale in zip(plans, scales, strict=True)] for part in TRAINED}
    stack(ax, [str(plan.stage) for plan in plans], parts, TRAINED, width=0.7)
    ax.set(xlabel="stage", ylabel="thousand GPU hours")
    ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=2)


def draw_device_memory(ax: Axes, plans: Collection[Plan], layout: str) -> None:
    """What one device holds in each stage, stacked, and the memory it has."""
    parts = {part: [getattr(plan.memory[layout], part) / 2**30 for plan in plans] for part in KEPT}
    stack(ax, [str(plan.stage) for plan in plans], parts, KEPT, width=0.7)
    for plan in plans:
        ax.axhline(plan.gpu_memory * 1e9 / 2**30, color="#333333", linewidth=1, linestyle="--")
    ax.set(xlabel="stage", ylabel=f"GiB a GPU, {layout}")


def inference_row(pictures: int, config: LlavaOnevision2Config, seconds: float, tags: tuple[int, int], tag_tokens: int) -> dict:
    """Frames against codec at equal visual tokens, TFLOP from encoder to the end of prefill.

    Args:
        pictures: frames or canvases.
        config, seconds: of the model and the video.
        tags: time tags in the prompt of frames and of codec canvases.
        tag_tokens: text tokens of a time tag.
    """
    result = {"pictures": pictures}
    for (name, group), count in zip((("frames", 1), ("codec", 4)), tags, strict=True):
        seen, text = video_cost(config, name, seconds, pictures, group), count * tag_tokens
        flops = seen.encoder_flops + seen.connector_flops + prefill_flops(config, seen.tokens + text)
        result |= {"visual tokens": seen.tokens, f"{name} text": text, name: flops / 1e12}
    return result | {"codec / frames": result["codec"] / result["frames"]}


def draw_inference(ax: Axes, table: pd.DataFrame) -> None:
    """Rows of `inference_row`, indexed by pictures: TFLOP of both inputs."""
    for name, colour, marker in (("frames", "#332288", "s"), ("codec", "#D55E00", "o")):
        ax.plot(table.index, table[name], marker=marker, markersize=4, color=colour, label=name)
    doubling(ax, table.index)
    ax.set(xlabel="frames or canvases", ylabel="TFLOP, 8B", yscale="log")
    ax.legend()


def corpus_rows(core_seconds: float, price: float) -> list[dict]:
    """What tokenizing the paper's caption clips costs, by bucket of length.

    Args:
        core_seconds: of one core, for a second of video.
        price: dollars for an hour of one core.
    """
    rows = []
    for bucket in buckets():
        hours = bucket.clips * (bucket.low + bucket.high) / 2 / 3600
        spent = hours * core_seconds
        row = {"bucket": bucket.name, "clips": bucket.clips, "hours of video": hours, "core-hours": spent}
        rows.append(row | {"dollars": spent * price})
    return rows


def readme_table(readme: Path, first_cell: str) -> str:
    """The README's table whose heading row starts with `first_cell`, as HTML: what was measured is written down once."""
    lines = readme.read_text(encoding="utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {first_cell}"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([html.escape(cell.strip().strip("`")) for cell in line.strip("|").split("|")])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in (rows[0], *rows[2:]))
    return f"<table>{body}</table>"
