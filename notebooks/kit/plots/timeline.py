"""Things that lie on a time axis: packets, bit cost, groups, events."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ov2lib.codec.gop import MAX_SECONDS, MIN_SECONDS, Partition
from ov2lib.figures import FRONT_ENDS, KINDS, SIGNALS
from ov2lib.video.packets import Packets

BANDS = ("#ffffff", "#ececec")  # neighbouring groups
BOUNDARY = "#333333"
EVENT = "#117733"


def draw_packets(ax: Axes, packets: Packets, start: float = 0.0, end: float = np.inf) -> None:
    """A bar per shown packet at its presentation time, in kilobytes, coloured by its kind."""
    index = packets.frame_packet
    times, kinds = packets.frame_times, packets.kind[index]
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    for kind, colour in KINDS.items():
        mine = (kinds == kind) & (times >= start) & (times < end)
        ax.bar(times[mine], packets.frame_sizes[mine] / 1e3, 0.9 * step, align="edge", color=colour, label=kind, linewidth=0)
    ax.set(ylabel="kB a packet", xlim=(start, min(end, packets.duration)))


def draw_groups(ax: Axes, edges: Sequence[float], labels: bool = True) -> None:
    """Groups as bands with a line at each boundary; κ above each band."""
    for k, (left, right) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        ax.axvspan(left, right, color=BANDS[k % 2], zorder=0, linewidth=0)
        if labels:
            ax.annotate(
                f"κ = {k}" if k == 0 else f"{k}", ((left + right) / 2, 1), xycoords=ax.get_xaxis_transform(),
                xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8, color=BOUNDARY,
            )  # fmt: skip
    for edge in edges[1:-1]:
        ax.axvline(edge, color=BOUNDARY, linewidth=1, zorder=3)


def draw_bit_cost(ax: Axes, bin_cost: np.ndarray, bin_seconds: float, scale: float = 1e3, **style) -> None:
    """e_b as filled steps, in kilobytes unless `scale` says otherwise."""
    style = {"color": SIGNALS["bits"], "linewidth": 1.4} | style
    edges = np.arange(len(bin_cost) + 1) * bin_seconds
    ax.stairs(bin_cost / scale, edges, zorder=2, **style)
    ax.stairs(bin_cost / scale, edges, fill=True, alpha=0.25, color=style["color"], zorder=1, linewidth=0)
    ax.set_xlim(0, edges[-1])


def draw_events(ax: Axes, times: Sequence[float], label: str) -> None:
    """Marks on the time axis."""
    if len(times):
        ax.plot(
            times, np.zeros(len(times)), marker="^", linestyle="", color=EVENT, markersize=5, clip_on=False, zorder=4,
            label=label, transform=ax.get_xaxis_transform(),
        )  # fmt: skip


def partition_rows(partition: Partition) -> list[dict]:
    """What lies behind a bit-cost figure: a row for every bin."""
    owner = partition.group_of((np.arange(len(partition.bin_cost)) + 0.5) * partition.bin_seconds)
    return [
        {"bin": b, "seconds": b * partition.bin_seconds, "bytes": cost, "group": int(k), "quota": partition.quota}
        for b, (cost, k) in enumerate(zip(partition.bin_cost.tolist(), owner, strict=True))
    ]


def valley_rows(bin_cost: np.ndarray, quota: float, cut, min_bins: int, max_bins: int, valley: int) -> list[dict]:
    """One group of `gop.cut_bins` step by step: a row per bin from its start to the last bin that could end it.

    Columns: bin, cost e_b, spent (running sum), length in bins, ready (the trigger's condition holds), window (may end
    here), role ("trigger", "cut", both or neither).
    """
    low = max(cut.start + min_bins - 1, cut.trigger - valley)
    high = min(cut.start + max_bins - 1, cut.trigger + valley, len(bin_cost) - 1)
    spent = np.cumsum(bin_cost[cut.start : high + 1])
    rows = []
    for b in range(cut.start, high + 1):
        length = b - cut.start + 1
        ready = length >= max_bins or (length >= min_bins and spent[b - cut.start] >= quota)
        roles = ["trigger"] * (b == cut.trigger) + ["cut"] * (b == cut.end)
        rows.append(
            {"bin": b, "cost": bin_cost[b], "spent": spent[b - cut.start], "length": length, "ready": bool(ready),
             "window": low <= b <= high, "role": " + ".join(roles)}
        )  # fmt: skip
    return rows


def draw_valley(upper: Axes, lower: Axes, rows: list[dict], quota: float, bin_seconds: float, scale: float = 1e3) -> None:
    """Draw `valley_rows` on two axes that share x: the running sum against the quota, and e_b with window, trigger and cut."""
    # 1. Above: what has been spent, against the quota
    bins = np.array([row["bin"] for row in rows])
    cost, spent = (np.array([row[name] for row in rows]) / scale for name in ("cost", "spent"))
    upper.plot(bins, spent, color=SIGNALS["bits"], marker="o", markersize=4, linewidth=1.4)
    upper.axhline(quota / scale, color=BOUNDARY, linestyle="--", linewidth=1)
    upper.annotate(
        f"quota θ = {quota / scale:.1f} kB", (0, quota / scale), xycoords=("axes fraction", "data"), xytext=(4, 3),
        textcoords="offset points", fontsize=8,
    )  # fmt: skip
    upper.set(ylabel="spent, kB", ylim=(0, max(spent.max(), quota / scale) * 1.15))
    # 2. Below: the bins, with the window in which the valley is sought
    window = [row["window"] for row in rows]
    lower.bar(bins, cost, 0.9, color=[SIGNALS["bits"] if inside else "#d0d0d0" for inside in window])
    halo = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    lower.bar_label(lower.containers[0], [f"{c:.1f}" for c in cost], fontsize=7, padding=2, bbox=halo)
    # 3. Where the quota was reached and where the cut fell
    for row in rows:
        if row["role"]:
            for ax in (upper, lower):
                ax.axvline(
                    row["bin"], color=BOUNDARY, linewidth=0.8, linestyle=":" if row["role"] == "trigger" else "-", zorder=0
                )
            name = {"trigger": "trigger $i_k$", "cut": "cut $c_k$"}.get(row["role"], "trigger = cut")
            lower.annotate(
                name, (row["bin"], 1), xycoords=lower.get_xaxis_transform(), xytext=(3, -2), textcoords="offset points",
                va="top", fontsize=8, weight="bold",
            )  # fmt: skip
    lower.set(xlabel=f"bin ({bin_seconds:g} s each)", ylabel="$e_b$, kB", ylim=(0, cost.max() * 1.45), xticks=bins)


BUDGETS = ("#d9a3c2", "#CC79A7", "#99497a", "#5e2349")  # light to dark: smaller to larger budgets


def draw_budget(ax: Axes, rows: list[dict]) -> None:
    """Mean length of a group against the length of the video, a line per budget; rows have minutes, canvases, mean."""
    ax.axhspan(MIN_SECONDS, MAX_SECONDS, color="#ececec", zorder=0)
    ax.annotate("between the published $L_{min}$ and $L_{max}$", (60, 3), ha="right", va="center", fontsize=8)
    for canvases, shade in zip(sorted({row["canvases"] for row in rows}), BUDGETS, strict=False):
        minutes, mean = zip(*((row["minutes"], row["mean"]) for row in rows if row["canvases"] == canvases), strict=True)
        ax.plot(minutes, mean, "o-", markersize=4, color=shade)
        ax.annotate(
            f"{canvases} canvases", (minutes[-1], mean[-1]), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
        )
    ax.set(xscale="log", yscale="log", xlabel="minutes of video", ylabel="seconds a group, mean")
    ax.set_xticks([0.5, 1, 2, 5, 10, 30, 60], ["½", "1", "2", "5", "10", "30", "60"])
    ax.set_yticks([3, 10, 30, 100, 300, 900], ["3", "10", "30", "100", "300", "900"])
    ax.minorticks_off()


def draw_shares(
    ax: Axes, token_share: np.ndarray, byte_share: np.ndarray, edges: Sequence[float], bin_seconds: float, colour: str
):
    """Where tokens come from (line) against where bytes are (filled), as shares per bin, over the groups."""
    draw_groups(ax, edges, labels=False)
    draw_bit_cost(ax, byte_share, bin_seconds, scale=1)
    ax.stairs(token_share, np.arange(len(token_share) + 1) * bin_seconds, color=colour, linewidth=1.6, zorder=4)
    ax.set(ylim=(0, 1.15 * max(token_share.max(), byte_share.max())))
    ax.yaxis.set_major_locator(MaxNLocator(2))
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def draw_lengths(axes: Sequence[Axes], rows: list[dict], measures: dict[str, str], by: str = "seconds") -> None:
    """A panel per measure (name -> title): a line per scene and front end over the length of the clip."""
    scenes = list(dict.fromkeys(row["scene"] for row in rows))
    for ax, (name, title) in zip(axes, measures.items(), strict=True):
        for (front_end, colour), scene in itertools.product(FRONT_ENDS.items(), scenes):
            mine = [row for row in rows if row["front_end"] == front_end and row["scene"] == scene]
            dashed = "-" if scene == scenes[0] else "--"
            x, y = [row[by] for row in mine], [row[name] for row in mine]
            ax.plot(x, y, dashed, marker="o", markersize=3.5, color=colour, linewidth=1.3)
        ticks = sorted({row[by] for row in rows})
        ax.set(title=title, xscale="log", xlabel=f"{by} of video", ylim=(0, None))
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
    lines = [Line2D([], [], color=colour, label=name) for name, colour in FRONT_ENDS.items()]
    lines += [Line2D([], [], color="#777777", linestyle=style, label=s) for s, style in zip(scenes, ("-", "--"), strict=False)]
    axes[-1].legend(handles=lines, loc="upper left", bbox_to_anchor=(1, 1))
