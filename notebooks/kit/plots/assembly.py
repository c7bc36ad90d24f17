"""The model in pictures: its parts with the shapes between them, budgets by size, cost by length, parity."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ov2lib.figures import WIDTH
from ov2lib.model.sizes import ModelCard, VideoCost

from .axes import stack
from .shapes import Step

PARTS = {  # light to dark, the vision side in teal and the language side in indigo
    "vision encoder": "#44AA99",
    "connector": "#CC6677",
    "token embedding": "#DDCC77",
    "language layers": "#332288",
    "output head": "#88CCEE",
}
COSTS = {"encoder": "#44AA99", "connector": "#CC6677", "prefill": "#332288"}
WAYS = {"frames": "#777777", "codec, 64": "#D55E00", "codec, 128": "#F0A878"}
_ROWS = (("patch embedding", "encoder blocks", "connector"), ("token embedding", "language layers", "output head"))
_SHADES = ("vision encoder", "vision encoder", "connector", "token embedding", "language layers", "output head")


def short(count: float) -> str:
    """12,345,678 -> "12.3 M"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.{0 if count >= 100 * size else 1}f} {unit}"
    return f"{count:.0f}"


def parts_figure(steps: Sequence[Step]) -> Figure:
    """The parts as boxes, vision above and language below, with the shapes that flow between them."""
    by_part = {step.part: step for step in steps}
    fig, ax = plt.subplots(figsize=(WIDTH, 2.5))
    for line, names in enumerate(_ROWS):
        for place, name in enumerate(names):
            _box(ax, 1.5 + 3.15 * place, 1.7 - 1.7 * line, by_part[name], PARTS[_SHADES[3 * line + place]])
        _arrow(ax, (9.3, 2.1 - 1.7 * line), (10.7, 2.1 - 1.7 * line), _shape(by_part[names[-1]].made))
    labels = {"patches": (0, 2.4, "left"), "visual tokens": (10.7, 2.4, "right"), "text ids": (0, 0.7, "left")}
    labels |= {"+ visual tokens": (3.95, 1.02, "center"), "last place": (7.1, 0.7, "center"), "logits": (10.7, 0.7, "right")}
    for text, (x, y, side) in labels.items():
        ax.text(x, y, text, fontsize=7, ha=side, style="italic")
    ax.plot([10.0, 10.0, 3.95], [2.0, 1.38, 1.38], color="#333333", linewidth=1, linestyle=":")
    ax.annotate("", (3.95, 1.18), (3.95, 1.4), arrowprops={"arrowstyle": "->", "color": "#333333", "linestyle": ":"})
    ax.annotate("", (3.95, 0.66), (3.95, 1.0), arrowprops={"arrowstyle": "->", "color": "#333333", "linestyle": ":"})
    ax.set(xlim=(-0.05, 10.8), ylim=(-0.1, 2.65))
    ax.set_axis_off()
    return fig


def _box(ax: Axes, x: float, y: float, step: Step, shade: str) -> None:
    """A part with its name and parameters, and the arrow that leads to it."""
    ax.add_patch(FancyBboxPatch((x, y), 1.5, 0.8, boxstyle="round,pad=0.02", facecolor=shade + "55", edgecolor=shade))
    title = f"{step.copies} ×\n{step.part[:-1]}" if step.copies > 1 else step.part
    ax.text(x + 0.75, y + 0.53, title, ha="center", va="center",
            fontsize=7, weight="bold")  # fmt: skip
    ax.text(x + 0.75, y + 0.14, short(step.parameters), ha="center", va="center", fontsize=7)
    _arrow(ax, (x - 1.55, y + 0.4), (x - 0.06, y + 0.4), _shape(step.given))


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], label: str) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#333333"})
    ax.text((start[0] + end[0]) / 2, start[1] + 0.05, label, ha="center", va="bottom", fontsize=7)


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{n:,}" for n in shape if n != 1) or "1"


def draw_parameters(ax: Axes, cards: Sequence[ModelCard]) -> None:
    """A stacked bar per size, in billions; the hatched part is not used by any one token (experts)."""
    names = [card.name for card in cards]
    parts = {part: np.array([card.parameters[part] for card in cards]) / 1e9 for part in PARTS}
    ends = stack(ax, names, parts, PARTS, lying=True, linewidth=0)
    for place, card in enumerate(cards):
        total, active = card.parameters["total"] / 1e9, card.parameters["active"] / 1e9
        text = f"{total:.2f}" + ("" if active == total else f", {active:.2f} for any one token")
        ax.annotate(text, (total, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set(xlabel="parameters, billions", xlim=(0, 1.32 * ends.max()))
    ax.legend(fontsize=7, loc="upper right")


def cost_parts(cost: VideoCost) -> dict[str, float]:
    """FLOPs of a video by part: encoder, connector, prefill."""
    return {"encoder": cost.encoder_flops, "connector": cost.connector_flops, "prefill": cost.prefill_flops}


def draw_costs(ax: Axes, costs: Sequence[VideoCost]) -> None:
    """A stacked bar per way of showing a video, in PFLOP for the whole of it."""
    names = [f"{cost.name}\n{cost.tokens:,} tokens" for cost in costs]
    parts = {part: np.array([cost_parts(cost)[part] for cost in costs]) / 1e15 for part in COSTS}
    stack(ax, names, parts, COSTS, lying=True, linewidth=0)
    ax.set(xlabel="PFLOP to the end of prefill")
    ax.tick_params(axis="y", labelsize=7)
    ax.legend(fontsize=7, loc="lower right")


def draw_by_length(ax: Axes, rows: list[dict]) -> None:
    """TFLOP for each second of video over its length, a line per way; rows have way, seconds, tflop_per_second."""
    for way, shade in WAYS.items():
        mine = [row for row in rows if row["way"] == way]
        x, y = [row["seconds"] for row in mine], [row["tflop_per_second"] for row in mine]
        ax.plot(x, y, "o-", color=shade, markersize=3.5, linewidth=1.4, label=way)
    ax.set(xscale="log", yscale="log", xlabel="length of the video", ylabel="TFLOP a second of video")
    ax.set_xticks([10, 60, 600, 3600], ["10 s", "1 min", "10 min", "1 h"])
    ax.minorticks_off()
    ax.legend(fontsize=7, loc="lower left")


def draw_group_cost(ax: Axes, rows: list[dict]) -> None:
    """Encoder cost over canvases per group, linear layers and attention apart; rows have group, linear, attention (PFLOP)."""
    names = [str(row["group"]) for row in rows]
    parts = {label: [row[name] for row in rows] for name, label in (("linear", "linear layers"), ("attention", "attention"))}
    stack(ax, names, parts, {"linear layers": "#44AA99", "attention": "#117733"}, linewidth=0)
    ax.set(xlabel="canvases that see each other", ylabel="encoder, PFLOP")
    ax.legend(fontsize=7, loc="upper left")


def draw_parity(ax: Axes, rows: list[dict]) -> None:
    """Per case and tensor the largest absolute value (a dot) on a log axis, and how far the differences may reach (grey).

    rows with case, tensor, largest, difference (the bound).
    """
    names = list(dict.fromkeys(row["tensor"] for row in rows))
    shades = dict(zip(names, ("#44AA99", "#CC6677", "#332288", "#DDCC77"), strict=False))
    cases = list(dict.fromkeys(row["case"] for row in rows))
    for number, name in enumerate(names):
        mine = [row for row in rows if row["tensor"] == name]
        y = [cases.index(row["case"]) + 0.16 * (number - 1.5) for row in mine]
        ax.plot([row["largest"] for row in mine], y, "o", color=shades[name], markersize=5, label=name)
    limit = max(row["difference"] for row in rows)
    ax.axvspan(limit / 100, limit, color="#DDDDDD", label="differences")
    ax.set(xscale="log", xlim=(limit / 100, 100), xlabel="largest absolute value", yticks=range(len(cases)))
    ax.set_yticklabels(cases)
    ax.invert_yaxis()
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
