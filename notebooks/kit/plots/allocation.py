"""How blocks compete: attenuation inside a frame, and the allocation curve F over a group."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ov2lib.codec import packing

from .canvases import Colours

SHADES = {0.0: "#9a9a9a", 0.35: "#D55E00", 1.0: "#332288"}  # attenuations shown, the published one in the paper's colour


def draw_attenuation(ax: Axes, scores: np.ndarray) -> list[dict]:
    """Blocks of one frame by rank, attenuated or not; scores [blocks]. Returns a row per point."""
    rows = []
    for strength, shade in SHADES.items():
        curve = np.sort(packing.attenuate(scores[None], strength)[0])[::-1] / scores.max()
        ax.plot(curve, color=shade, linewidth=1.5, label=f"λ = {strength:g}")
        rows += [{"panel": "rank", "attenuation": strength, "x": x, "y": y} for x, y in enumerate(curve.tolist())]
    ax.set(xlabel="rank of the block in its frame", ylabel="score / highest", ylim=(0, 1.02), xlim=(0, None))
    ax.legend()
    return rows


def draw_shares(ax: Axes, scores: np.ndarray, times: np.ndarray, budget: int) -> list[dict]:
    """How many of the `budget` best blocks each frame gives, attenuated or not; scores [n, blocks], times seconds [n]."""
    rows = []
    for strength, shade in SHADES.items():
        order = np.argsort(-packing.attenuate(scores, strength).ravel(), kind="stable")[:budget]
        counts = np.bincount(order // scores.shape[1], minlength=len(scores))
        ax.plot(times, counts, color=shade, linewidth=1.5, marker="o", markersize=3, label=f"λ = {strength:g}")
        points = zip(times.tolist(), counts.tolist(), strict=True)
        rows += [{"panel": "share", "attenuation": strength, "x": x, "y": y} for x, y in points]
    ax.set(xlabel="source time of the frame, s", ylabel="blocks taken from it", ylim=(0, None))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return rows


def draw_allocation(
    upper: Axes, lower: Axes, weights: np.ndarray, times: np.ndarray, canvases: int, colours: Colours
) -> list[dict]:
    """Frame weights w_t (lower) and their cumulative share F with the interval of each P-canvas (upper)."""
    # 1. The cumulative share of each frame and the canvas it falls on
    share = packing.cumulative_share(weights)
    owner = packing.interval_of(share, canvases)
    step = float(np.median(np.diff(times)))
    shades = [colours(t) for t in times]
    # 2. Above the curve F, below the weights
    upper.step(times, share, where="post", color="#777777", linewidth=1, zorder=1)
    upper.scatter(times, share, c=shades, s=18, zorder=3)
    lower.bar(times, weights, 0.6 * step, color=shades)
    # 3. One band for each canvas, with a line where its frames begin
    for r in range(canvases):
        first = times[owner == r][0] - step / 2 if (owner == r).any() else times[-1]
        upper.axhspan(r / canvases, (r + 1) / canvases, color="#ececec" if r % 2 else "#ffffff", zorder=0)
        name = f"r = {r + 1}: {np.count_nonzero(owner == r)} frames"
        upper.annotate(name, (1, (r + 0.5) / canvases), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
                       va="center", fontsize=8)  # fmt: skip
        for ax in (upper, lower) if r else ():
            ax.axvline(first, color="#333333", linewidth=0.8, linestyle=":")
    upper.set(ylabel="F", ylim=(0, 1), yticks=np.linspace(0, 1, canvases + 1).round(2))
    lower.set(ylabel="$w_t$", xlabel="source time, s", yticks=[])
    return [
        {"seconds": t, "weight": w, "F": f, "canvas": r + 1}
        for t, w, f, r in zip(times.tolist(), weights.tolist(), share.tolist(), owner.tolist(), strict=True)
    ]
