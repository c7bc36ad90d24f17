"""The encoder's 3D RoPE in pictures: the 4:6:6 split, what the interleaved form does to a pair, distances."""

import numpy as np
import torch
from matplotlib.axes import Axes

from ov2lib.model.rope import SPLIT, rotary_tables, rotate

AXES = {"t": "#332288", "row": "#44AA99", "col": "#CC6677"}
PUBLISHED, TRUE = "#D55E00", "#777777"


def line_of_positions(axis: int, steps: int) -> torch.Tensor:
    """int64 [steps, 3]: positions 0, 1, ... along one axis (0 t, 1 row, 2 col), 0 on the others."""
    places = torch.zeros(steps, 3, dtype=torch.int64)
    places[:, axis] = torch.arange(steps)
    return places


def true_tables(cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tables of a true rotation, for comparison only: both channels of a pair take the first one's angle."""
    return cos[:, ::2].repeat_interleave(2, dim=1), sin[:, ::2].repeat_interleave(2, dim=1)


def frequency_table(head_dim: int, theta: float) -> list[dict]:
    """A row for each of the D/2 angles: number, axis, frequency in rad per step, wavelength in steps, pair it belongs to."""
    half = head_dim // 2
    cos, sin = rotary_tables(torch.ones(1, 3, dtype=torch.int64), head_dim, theta)
    frequency = torch.atan2(sin, cos)[0, :half].tolist()
    owners = [name for name, share in zip(AXES, SPLIT, strict=True) for _ in range(half * share // sum(SPLIT))]
    return [
        {"angle": i, "axis": axis, "frequency": f, "wavelength": 2 * np.pi / f, "pair": i // 2}
        for i, (axis, f) in enumerate(zip(owners, frequency, strict=True))
    ]


def draw_split(ax: Axes, rows: list[dict]) -> None:
    """Wavelength of each angle, coloured by axis; the two angles that one pair of channels mixes are joined."""
    for name, shade in AXES.items():
        mine = [row for row in rows if row["axis"] == name]
        x, y = [row["angle"] for row in mine], [row["wavelength"] for row in mine]
        for i in range(0, len(mine), 2):
            ax.plot(x[i : i + 2], y[i : i + 2], "o-", color=shade, markersize=4, linewidth=1.4)
        ax.axvspan(x[0] - 0.5, x[-1] + 0.5, color=shade, alpha=0.08, linewidth=0)
        ax.annotate(f"{name}: {len(mine)} angles", ((x[0] + x[-1]) / 2, 1), xycoords=ax.get_xaxis_transform(), xytext=(0, -3),
                    textcoords="offset points", ha="center", va="top", fontsize=9, color=shade, weight="bold")  # fmt: skip
    ax.set(yscale="log", ylim=(3, 4e5), xlim=(-0.5, len(rows) - 0.5))
    ax.set(xlabel="angle a_i (channels i and i + D/2)", ylabel="wavelength, steps")


def pair_matrix(position: torch.Tensor, pair: int, head_dim: int, theta: float) -> np.ndarray:
    """[2, 2], the map that the published form applies to the two channels of a pair at one position int64 [3]."""
    basis = torch.zeros(2, head_dim)
    basis[0, 2 * pair] = basis[1, 2 * pair + 1] = 1
    images = rotate(basis, *rotary_tables(position.expand(2, 3), head_dim, theta))
    return images[:, 2 * pair : 2 * pair + 2].T.numpy()


def mean_score(vectors: torch.Tensor, here: torch.Tensor, there: torch.Tensor, head_dim: int, theta: float) -> float:
    """Mean over `vectors` [n, D] of the score between each at one position and itself at another (int64 [3] each)."""
    query, key = (rotate(vectors, *rotary_tables(p.expand(len(vectors), 3), head_dim, theta)) for p in (here, there))
    return float((query * key).sum(dim=1).mean())


def draw_circles(ax: Axes, matrices: dict[int, np.ndarray]) -> list[dict]:
    """What the maps of `pair_matrix` (position -> [2, 2]) make of the unit circle, a shade each; returns a row per point."""
    turn = np.linspace(0, 2 * np.pi, 73)
    shades = (TRUE, "#F0A878", PUBLISHED)
    rows = []
    for (step, matrix), shade in zip(matrices.items(), shades, strict=False):
        x, y = matrix @ [np.cos(turn), np.sin(turn)]
        ax.plot(x, y, color=shade, linewidth=1.6, linestyle="-" if step else "--", label=f"t = {step}")
        rows += [{"t": step, "x": a, "y": b} for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    ax.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    ax.set(xlabel="channel 0", ylabel="channel 1")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.1, 1.0), ncols=3, fontsize=7, handlelength=1, columnspacing=0.8)
    return rows


def draw_both(ax: Axes, published: np.ndarray, true: np.ndarray, ylabel: str) -> None:
    """A quantity over positions in the published form and under a true rotation."""
    ax.plot(true, color=TRUE, linewidth=1.6, linestyle="--", label="true rotation")
    ax.plot(published, color=PUBLISHED, linewidth=1.1, label="published")
    ax.set(xlabel="position p of the query", ylabel=ylabel, xlim=(0, len(published) - 1))


def closeness(offsets: torch.Tensor, head_dim: int, theta: float) -> np.ndarray:
    """Mean score of a vector with itself `offsets` [N, 3] away, over all directions alike: the mean of the cosine table.

    With M the published map of a pair, trace(M(p)ᵀ M(p + d)) = cos(a·d) + cos(b·d) for its two frequencies a and b: the
    position p drops out of the mean, though not of any single score.
    """
    return rotary_tables(offsets, head_dim, theta)[0].mean(dim=1).numpy()


def draw_closeness(ax: Axes, head_dim: int, theta: float, steps: int = 33) -> list[dict]:
    """`closeness` along each axis alone; returns a row per point."""
    rows = []
    for axis, (name, shade) in enumerate(AXES.items()):
        values = closeness(line_of_positions(axis, steps), head_dim, theta)
        ax.plot(values, color=shade, linewidth=1.6, label=name)
        rows += [{"axis": name, "offset": i, "mean_score": v} for i, v in enumerate(values.tolist())]
    ax.set(xlabel="distance along one axis, steps", ylabel="mean score", xlim=(0, steps - 1))
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return rows


def draw_closeness_map(ax: Axes, head_dim: int, theta: float, reach: int = 14) -> None:
    """`closeness` over differences of row and column at equal t."""
    steps = torch.arange(-reach, reach + 1)
    offsets = torch.cartesian_prod(torch.zeros(1, dtype=torch.int64), steps, steps)
    values = closeness(offsets, head_dim, theta).reshape(len(steps), -1)
    edge = reach + 0.5
    picture = ax.imshow(values, cmap="cividis", extent=(-edge, edge, edge, -edge))
    ax.set(xlabel="difference of col", ylabel="difference of row", xticks=[-reach, 0, reach], yticks=[-reach, 0, reach])
    ax.figure.colorbar(picture, ax=ax, fraction=0.046, pad=0.03).outline.set_visible(False)
