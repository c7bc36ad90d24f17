"""Pictures of the reported tables: where a model stands, its margins and gains row by row, and the audit's verdicts."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ..figures import MODELS
from ..reported.claims import VERDICTS, Claim
from ..reported.tables import BASELINE, MODEL

INK, FAINT = "#333333", "#bbbbbb"
# JumpScore in the colour of the model under audit, the TimeLens sets apart from it by shade and marker
CURVES = {
    "JumpScore": (MODELS[MODEL], "o"),
    "TimeLens-Charades-STA": ("#332288", "s"),
    "TimeLens-ActivityNet": ("#117733", "^"),
    "TimeLens-QVHighlights": ("#88CCEE", "D"),
}
MARKS = (("o", "#117733"), ("D", "#DDCC77"), ("X", "#D55E00"), ("o", "white"), ("s", "#888888"))  # one for each of VERDICTS


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
    """Bars of `ov2lib.reported.margins`: in the colour of whoever is ahead, with the rough 95 % interval and the rival."""
    places = np.arange(len(margins))
    leaders = [MODEL if row.margin > 0 else row.whose for row in margins.itertuples()]
    ax.barh(places, margins["margin"], 0.6, color=[MODELS[name] for name in leaders], zorder=2)
    ax.errorbar(
        margins["margin"], places, xerr=margins["uncertainty"], fmt="none", ecolor=INK, elinewidth=0.9, capsize=2, zorder=3
    )  # fmt: skip
    ax.axvline(0, color=INK, linewidth=0.8)
    for place, row in zip(places, margins.itertuples(), strict=True):
        label = f"{_signed(row.margin, 1)}  {row.whose}"
        ax.annotate(
            label, (1.02, place), xycoords=ax.get_yaxis_transform(), va="center", fontsize=8, color=INK
        )  # fmt: skip
    ax.set(xlabel="points ahead of the best other", ylim=(len(margins) - 0.4, -0.6), yticks=[])


def draw_gains(ax: Axes, gains: pd.Series, leave_out: int = 0, baseline: str = BASELINE) -> None:
    """`ov2lib.reported.gains`, one bar a row, with mean and median, and the mean without the largest few, if asked for."""
    places = np.arange(len(gains))
    ax.bar(places, gains, 0.7, color=[MODELS[MODEL] if gain > 0 else MODELS[baseline] for gain in gains], zorder=2)
    lines = [("mean", gains.mean(), "-"), ("median", gains.median(), ":")]
    if leave_out:
        lines.append((f"mean without {' and '.join(gains.index[:leave_out])}", gains.iloc[leave_out:].mean(), "--"))
    for name, value, dash in lines:
        ax.axhline(value, color=INK, linewidth=1, linestyle=dash, zorder=3, label=f"{name} {_signed(value, 2)}")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xticks(places, gains.index, rotation=40, ha="right", rotation_mode="anchor")
    ax.set(ylabel=f"points over\n{baseline}", xlim=(-0.6, len(gains) - 0.4))
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(lines))


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


def draw_codec_gains(ax: Axes, gains: pd.DataFrame, stated: float) -> None:
    """Codec − frames over the budget for JumpScore and the TimeLens sets, with the number that the abstract states."""
    for name, (colour, marker) in CURVES.items():
        part = gains.loc[name]
        label = f"{name} {_signed(part['gain'].mean(), 2)}"
        ax.plot(part.index, part["gain"], marker=marker, markersize=5, color=colour, label=label)
    ax.axhline(stated, color=INK, linewidth=1, linestyle="--")
    ax.annotate(f"stated {stated:+.1f}", (1, stated), xycoords=ax.get_yaxis_transform(), xytext=(0, 3),
                textcoords="offset points", ha="right", fontsize=8, color=INK)  # fmt: skip
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xscale("log", base=2)
    budgets = sorted(set(gains.loc[list(CURVES)].index.get_level_values("budget")))
    ax.set_xticks(budgets, budgets)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="budget: canvases or frames", ylabel="codec − frames, points")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), title="mean over budgets", alignment="left")


def draw_verdicts(ax: Axes, audited: Sequence[Claim]) -> None:
    """One mark per claim in the column of its verdict, claims downwards; † where nobody says it outright."""
    for place, claim in enumerate(audited):
        column = VERDICTS.index(claim.verdict)
        marker, colour = MARKS[column]
        ax.hlines(place, -0.5, column, color=FAINT, linewidth=0.7, zorder=1)
        ax.scatter(column, place, s=52, marker=marker, color=colour, edgecolor=INK, linewidth=0.8, zorder=2)
    counts = [sum(claim.verdict == verdict for claim in audited) for verdict in VERDICTS]
    labels = [f"{textwrap.fill(verdict, 12)}\n({count})" for verdict, count in zip(VERDICTS, counts, strict=True)]
    ax.set_xticks(range(len(VERDICTS)), labels)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(audited)), [f"{c.name}{'' if c.outright else ' †'}  {n}" for n, c in enumerate(audited, 1)])
    ax.tick_params(length=0)
    ax.set(xlim=(-0.5, len(VERDICTS) - 0.5), ylim=(len(audited) - 0.4, -0.6))
    ax.spines[["left", "bottom"]].set_visible(False)


def _signed(value: float, digits: int) -> str:
    """A difference as printed in the figures: a sign unless it is nought, and a minus as wide as the plus."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]
