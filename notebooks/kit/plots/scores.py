"""Pictures of the reported tables: where a model stands, its margins and gains row by row, and the audit's verdicts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ov2lib.figures import MODELS
from ov2lib.reported.tables import BASELINE, MODEL

from ..claims import VERDICTS, Claim

INK, FAINT = "#333333", "#bbbbbb"
VERDICT_COLOURS = dict(zip(VERDICTS, ("#117733", "#DDCC77", "#D55E00", "white", "#888888"), strict=True))


def draw_standings(ax: Axes, table: pd.DataFrame) -> None:
    """One dot per model and benchmark, in percent; the benchmarks run downwards in the order of `table`."""
    places = np.arange(len(table))
    ax.hlines(places, table.min(axis=1), table.max(axis=1), color=FAINT, linewidth=1, zorder=1)
    for model in table.columns:
        ring = {"facecolor": "none", "edgecolor": MODELS[model], "linewidth": 2, "s": 60, "zorder": 3}  # hides no rival
        dot = {"color": MODELS[model], "edgecolor": "white", "linewidth": 0.5, "s": 26, "zorder": 2}
        ax.scatter(table[model], places, label=model, **(ring if model == MODEL else dot))
    ax.set(xlim=(0, 100), xlabel="reported, percent", ylim=(len(table) - 0.4, -0.6))
    ax.set_yticks(places, table.index)
    ax.tick_params(axis="y", length=0)


def draw_margins(ax: Axes, margins: pd.DataFrame) -> None:
    """Bars of `kit.derived.margins`: in the colour of whoever is ahead, with the rough 95 % interval and the rival."""
    places = np.arange(len(margins))
    leaders = [MODEL if row.margin > 0 else row.whose for row in margins.itertuples()]
    ax.barh(places, margins["margin"], 0.6, color=[MODELS[name] for name in leaders], zorder=2)
    for column, width, cap in (("uncertainty", 0.9, 2), ("narrow", 2.2, 0)):
        ax.errorbar(
            margins["margin"], places, xerr=margins[column], fmt="none", ecolor=INK, elinewidth=width, capsize=cap, zorder=3
        )
    ax.axvline(0, color=INK, linewidth=0.8)
    for place, row in zip(places, margins.itertuples(), strict=True):
        label = f"{_signed(row.margin, 1)}  {row.whose}"
        ax.annotate(label, (1.02, place), xycoords=ax.get_yaxis_transform(), va="center", color=INK)
    ax.set(xlabel="points ahead", ylim=(len(margins) - 0.4, -0.6), yticks=[])


def draw_gains(ax: Axes, gains: pd.Series, leave_out: int = 0, baseline: str = BASELINE) -> None:
    """`kit.derived.gains`, a bar a row downwards; mean, median, and the mean without the largest few if asked for."""
    places = np.arange(len(gains))
    ax.barh(places, gains, 0.7, color=[MODELS[MODEL] if gain > 0 else MODELS[baseline] for gain in gains], zorder=2)
    lines = [("mean", gains.mean(), "-"), ("median", gains.median(), ":")]
    if leave_out:
        lines.append(("mean without " + "\nand ".join(gains.index[:leave_out]), gains.iloc[leave_out:].mean(), "--"))
    for name, value, dash in lines:
        ax.axvline(value, color=INK, linewidth=1, linestyle=dash, zorder=3, label=f"{name} {_signed(value, 2)}")
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(places, gains.index)
    ax.set(xlabel=f"points over {baseline}", ylim=(len(gains) - 0.4, -0.6))
    ax.legend(loc="lower right")  # gains fall from row to row, so this corner is empty


def draw_regions(ax: Axes, regions: pd.DataFrame, rounding: float) -> None:
    """J as it would follow from J&F and F, per task and model; below the band of rounding it is impossible."""
    ax.axhspan(-100, -rounding, color="#eeeeee", zorder=0)
    for offset, model in enumerate(regions.columns):
        places = np.arange(len(regions)) + 0.12 * (offset - 2.5)
        ax.vlines(places, 0, regions[model], color=MODELS[model], linewidth=1.2, zorder=2)
        ax.scatter(places, regions[model], s=26, color=MODELS[model], edgecolor="white", linewidth=0.5, zorder=3, label=model)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set(ylabel="2·J&F − F, percent", ylim=(regions.min(axis=None) - 4, None))
    ax.set_xticks(np.arange(len(regions)), regions.index)


def draw_verdicts(ax: Axes, audited: Sequence[Claim]) -> None:
    """How many claims of each source have each verdict: one bar a source, its number of claims in each part."""
    counts = pd.crosstab([claim.source for claim in audited], [claim.verdict for claim in audited])
    counts = counts.reindex(dict.fromkeys(claim.source for claim in audited)).reindex(VERDICTS, axis=1, fill_value=0)
    left = np.zeros(len(counts))
    for verdict, part in counts.items():
        bars = ax.barh(
            counts.index, part, 0.7, left, color=VERDICT_COLOURS[verdict], edgecolor=INK, linewidth=0.6, label=verdict
        )
        ax.bar_label(
            bars, [str(n) if n else "" for n in part], label_type="center", color="white" if verdict == VERDICTS[0] else INK
        )
        left += part
    ax.invert_yaxis()
    ax.set(xlabel="claims")


def _signed(value: float, digits: int) -> str:
    """A difference as printed in the figures: a sign unless it is nought, and a minus as wide as the plus."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]
