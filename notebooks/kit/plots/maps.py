"""Maps over a frame: vectors, signals, scores; and the ablation of the bit estimate."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ov2lib.codec import scoring
from ov2lib.figures import KINDS, MAPS, SIGNALS
from ov2lib.video.signals import FrameSignals


def draw_map(ax: Axes, values: np.ndarray, title: str, kind: str = "bits", colour_bar: bool = True, **limits) -> None:
    """A map of any resolution in the colours of its kind ("motion", "residual" or "bits"), dark = little."""
    picture = ax.imshow(values, cmap=MAPS[kind], aspect="auto", **limits)
    ax.set(title=title, xticks=[], yticks=[])
    if colour_bar:
        bar = ax.figure.colorbar(picture, ax=ax, fraction=0.045, pad=0.02)
        bar.ax.tick_params(labelsize=7, length=2)
        bar.outline.set_visible(False)


def draw_vectors(ax: Axes, luma: np.ndarray, motion: np.ndarray, step: int = 2) -> None:
    """Where content moved: -v (vectors point back to the source) as arrows over the dimmed frame.

    luma uint8 [H, W]; motion float32 [rows, cols, 2] in pixels, cells of 8x8; every `step`-th cell that moves is drawn, at
    three times its length.
    """
    ax.imshow(luma, cmap="gray", vmin=-120, vmax=300, aspect="auto")
    grid = motion[::step, ::step]
    row, col = np.nonzero(np.hypot(grid[..., 0], grid[..., 1]) > 0.5)
    x, y = (col * step + 0.5) * 8, (row * step + 0.5) * 8
    moved = -3 * grid[row, col]
    ax.quiver(x, y, moved[:, 0], moved[:, 1], color=SIGNALS["motion"], angles="xy", scale_units="xy", scale=1, width=0.005)
    ax.set(xticks=[], yticks=[], xlim=(0, luma.shape[1]), ylim=(luma.shape[0], 0))


def draw_blocks(ax: Axes, scores: np.ndarray, title: str, count: int) -> None:
    """Block scores [rows, cols] with the `count` highest ones outlined."""
    draw_map(ax, scores, title, colour_bar=False)
    for flat in np.argsort(-scores.ravel(), kind="stable")[:count]:
        row, col = divmod(int(flat), scores.shape[1])
        ax.add_patch(Rectangle((col - 0.42, row - 0.42), 0.84, 0.84, fill=False, edgecolor="white", linewidth=1.1))


def block_scores(frame: FrameSignals, block: int = 28) -> np.ndarray:
    """S = Σ (M̄ + R̄) of a frame with a residual, per block of the size of its residual, float32 [rows, cols]."""
    moved = scoring.resize_and_sum(scoring.normalize_motion(frame.motion), *frame.residual.shape, block)
    return moved + scoring.block_sums(scoring.normalize_residual(frame.residual), block)


def block_prior(frame: FrameSignals, block: int = 28) -> np.ndarray:
    """The bit-cost prior of a frame with a residual, on the same blocks as `block_scores`, float32 [rows, cols]."""
    return scoring.resize_and_sum(scoring.bit_cost_prior(frame.bits), *frame.residual.shape, block)


def draw_clipping(ax: Axes, magnitude: np.ndarray, kind: str, label: str) -> None:
    """How often each magnitude of a map occurs (log scale), and the 95th percentile at which it is clipped."""
    top, limit = float(magnitude.max()), float(scoring.percentile(magnitude, scoring.PERCENTILE))
    edges = np.linspace(0, top, 41)
    counts = np.histogram(magnitude, edges)[0]
    ax.stairs(np.maximum(counts, 0.5), edges, fill=True, color=SIGNALS[kind], alpha=0.35)
    ax.axvspan(limit, top, color="#ececec", zorder=0)
    ax.axvline(limit, color="#333333", linewidth=1)
    ax.annotate(f"P95 = {limit:.1f}\nabove: 1", (limit, 1), xycoords=ax.get_xaxis_transform(), xytext=(4, -4),
                textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    ax.set(yscale="log", xlabel=label, ylabel="how often", xlim=(0, top))


def draw_ablation(axes: Sequence[Axes], means: dict[tuple[str, str], float], ingredients: Sequence[str]) -> None:
    """A panel per frame kind (they share y): agreement without each ingredient (filled) and with it alone (open).

    means: (kind, variant) -> mean agreement, variants as `ablation.study` names them.
    """
    places = np.arange(len(ingredients))[::-1]
    axes[0].set_yticks(places, ingredients)
    for ax, kind in zip(axes, KINDS, strict=True):
        colour = KINDS[kind]
        everything, baseline = means[kind, "all"], means[kind, "frame difference"]
        without = [means[kind, f"without {name}"] for name in ingredients]
        only = [means[kind, f"only {name}"] for name in ingredients]
        ax.hlines(places, without, everything, color=colour, linewidth=3, alpha=0.5)
        ax.axvline(everything, color=colour, linewidth=1.5, label="all of them")
        ax.axvline(baseline, color="#777777", linewidth=1.2, linestyle="--", label="frame difference")
        ax.plot(without, places, "o", color=colour, markersize=6, label="all but this")
        ax.plot(only, places, "o", markerfacecolor="white", markeredgecolor=colour, markersize=6, label="this alone")
        ax.set(title=f"{kind} frames: {everything:.2f}", xlim=(-0.1, 1.04), xlabel="Spearman with true bits")
        ax.set_ylim(-0.6, len(ingredients) - 0.4)
