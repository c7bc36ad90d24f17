"""Codec against frames: the reported curves, and the mini sweep with its controls."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ov2lib.figures import WIDTH
from ov2lib.tokens import VisualTokens

from .axes import doubling
from .timeline import EVENT

CODEC, FRAMES, INK = "#D55E00", "#332288", "#333333"
# One look for each (backend, arm): colour, marker, filled, dash. What sees is filled and solid, what does not is open.
LOOKS = {
    ("codec", "sighted"): (CODEC, "o", True, "-"),
    ("codec", "fixed groups"): ("#E69F00", "D", True, "-"),
    ("codec", "blind"): (CODEC, "o", False, ":"),
    ("codec", "eyeless"): ("#CC79A7", "^", False, "--"),
    ("codec", "tags rule"): ("#117733", "v", False, "--"),
    ("frames", "sighted"): (FRAMES, "s", True, "-"),
    ("frames", "equal total"): ("#88CCEE", "P", True, "-"),
    ("frames", "blind"): (FRAMES, "s", False, ":"),
}


def draw_reported(axes: Sequence[Axes], gains: pd.DataFrame) -> None:
    """`kit.derived.codec_gains`, one small panel a benchmark; where codec loses, its point is crossed out in black."""
    for ax, (name, part) in zip(axes, gains.groupby(level="benchmark", sort=False), strict=False):
        part = part.droplevel("benchmark")
        for column, colour, marker in (("frames", FRAMES, "s"), ("codec", CODEC, "o")):
            ax.plot(part.index, part[column], marker=marker, markersize=4, color=colour, label=column)
        lost = part[part["gain"] < 0]
        ax.plot(lost.index, lost["codec"], "x", color="black", markersize=7, markeredgewidth=1.6, zorder=4, label="codec loses")
        ax.set_title(name.replace("TimeLens-", "t/").replace("-STA", "").replace("-Sub", ""))
        doubling(ax, part.index)
        ax.set_xticks([4, 16, 64], [4, 16, 64])
    for ax in axes[gains.index.get_level_values("benchmark").nunique() :]:
        ax.set_axis_off()
    axes[0].get_figure().supxlabel("budget: frames or canvases")
    axes[0].get_figure().supylabel("reported score, percent")


def draw_sweep(ax: Axes, table: pd.DataFrame, constant: float, by: str = "budget") -> None:
    """Scores of one task and metric over the budget: seeds as small marks, their mean with its interval over clips.

    Args:
        table: rows of the sweep of one task and metric, without differences.
        constant: score of the best constant answer, a dashed line.
        by: "budget", or "tokens" for visual and text tokens together.
    """
    for (backend, arm), (colour, marker, filled, dash) in LOOKS.items():
        mine = table[(table["backend"] == backend) & (table["arm"] == arm)].sort_values("budget")
        if mine.empty:
            continue
        mean, seeds = mine[mine["seed"] == "all"], mine[mine["seed"] != "all"]
        face = colour if filled else "white"
        ax.scatter(seeds[by], seeds["score"], s=12, marker=marker, color=colour, alpha=0.35, linewidth=0, zorder=2)
        ax.errorbar(
            mean[by], mean["score"], yerr=[mean["score"] - mean["low"], mean["high"] - mean["score"]], color=colour,
            marker=marker, markersize=5, markerfacecolor=face, linestyle=dash, linewidth=1.3, elinewidth=0.8, capsize=2,
            label=f"{backend}, {arm}", zorder=3,
        )  # fmt: skip
    ax.axhline(constant, color="#777777", linewidth=1, linestyle="--", label="best constant answer", zorder=1)
    ax.scatter([], [], s=12, color="#777777", alpha=0.6, label="one seed")
    doubling(ax, table[by][table[by] > 0].unique() if by == "budget" else (32, 64, 128, 256))
    ax.set(xlabel="canvases or frames" if by == "budget" else "visual and text tokens", ylim=(-0.03, 1.05))


def draw_gaps(ax: Axes, table: pd.DataFrame, names: Mapping[tuple[str, str], str]) -> None:
    """Differences with their intervals over the budget, side by side; right of zero the first of the pair is better.

    names: label by (backend, arm) of the difference rows.
    """
    # 1. An interval for each budget, filled where it excludes zero
    labels, place = [], 0
    for (backend, arm), label in names.items():
        mine = table[(table["backend"] == backend) & (table["arm"] == arm) & (table["seed"] == "all")].sort_values("budget")
        for row in mine.itertuples():
            sure = row.low > 0 or row.high < 0
            ax.errorbar(
                row.score, place, xerr=[[row.score - row.low], [row.high - row.score]], marker="o", color=INK,
                markerfacecolor=INK if sure else "white", markersize=5, elinewidth=1, capsize=2,
            )  # fmt: skip
            labels.append(f"{label}, {row.budget}" if row.Index == mine.index[0] else str(row.budget))
            place += 1
        place += 0.6
        labels.append(None)
    # 2. Labels, with room between the groups
    ticks, texts, at = [], [], 0.0
    for label in labels:
        if label is None:
            at += 0.6
        else:
            ticks.append(at)
            texts.append(label)
            at += 1
    ax.set_yticks(ticks, texts)
    # 3. The line of no difference
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set(ylim=(at - 0.8, -0.6), xlabel="difference of scores")
    ax.tick_params(axis="y", length=0)


def draw_effects(axes: Sequence[Axes], table: pd.DataFrame) -> None:
    """`kit.studies.selection.Effect` rows: one mark a clip and their mean, variants downwards."""
    names = list(dict.fromkeys(table["variant"]))
    titles = {
        "shared": "blocks shared,\nshare of all",
        "frames": "moments,\ntime tags",
        "events_seen": "events seen,\nshare of all",
    }
    for ax, (column, title) in zip(axes, titles.items(), strict=True):
        places = table["variant"].map(names.index)
        ax.scatter(table[column], places, s=14, color="#999999", alpha=0.5, linewidth=0, zorder=2, label="one clip")
        means = table.groupby("variant", sort=False)[column].mean()
        ax.scatter(means, range(len(means)), s=60, marker="|", color=CODEC, linewidth=2, zorder=3, label="mean")
        ax.axvline(means.iloc[0], color=INK, linewidth=0.8, linestyle=":", zorder=1)
        ax.set_xlabel(title)
        ax.margins(x=0.12)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)


def inputs_figure(shown: Mapping[str, VisualTokens], events: Mapping[str, Sequence[float]]):
    """What each input shows of one clip: its canvases in a row, and the times of its tokens over the clip's events."""
    from matplotlib import pyplot as plt

    widest = max(len(tokens.canvases) for tokens in shown.values())
    figure = plt.figure(figsize=(WIDTH, 1.15 * len(shown) + 2.7))
    rows = figure.subfigures(len(shown) + 1, 1, height_ratios=[1] * len(shown) + [2.3])
    for part, (name, tokens) in zip(rows, shown.items(), strict=False):
        part.suptitle(f"{name}: {len(tokens.canvases)} pictures, {tokens.summary()['frames_touched']} times")
        for number, ax in enumerate(part.subplots(1, widest)):
            ax.set_axis_off()
            if number < len(tokens.canvases):
                ax.imshow(tokens.canvases[number])
    draw_times(rows[-1].subplots(), shown, events)
    return figure


def draw_times(ax: Axes, shown: Mapping[str, VisualTokens], events: Mapping[str, Sequence[float]]) -> None:
    """The source times that each input has tokens of, over the true start times of events by name."""
    for place, tokens in enumerate(shown.values()):
        t = tokens.patch_positions[:, 0]
        times = tokens.frame_times[np.unique(t[t >= 0])]
        ax.plot(
            times,
            np.full(len(times), place),
            "|",
            color=CODEC if tokens.kind == "codec" else FRAMES,
            markersize=14,
            markeredgewidth=1.6,
        )
    for name, times in events.items():
        colour, dash = (EVENT, "-") if name == "jump" else ("#999999", ":")
        for time in times:
            ax.axvline(time, color=colour, linewidth=1, linestyle=dash)
            ax.annotate(name, (time, 1), xycoords=ax.get_xaxis_transform(), ha="left", va="bottom", rotation=30)
    ax.set_yticks(range(len(shown)), list(shown))
    ax.set(xlabel="seconds", ylim=(len(shown) - 0.4, -0.6))
