"""Canvases with their patches' source: borders coloured by source time, and lines to the place each block came from."""

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from ..tokens import MERGE, VisualTokens

Colours = Callable[[float], tuple]


def time_colours(start: float, end: float) -> Colours:
    """Source time (or frame) -> colour, from dark blue (start) over red to yellow (end); alike for all kinds of eyes."""
    scale = Normalize(start, max(end, start + 1e-9))
    return lambda t: matplotlib.colormaps["plasma"](0.05 + 0.9 * scale(t))


def canvas_positions(tokens: VisualTokens, number: int) -> np.ndarray:
    """int64 [h, w, 3], the positions of one canvas."""
    h, w = tokens.grid
    return tokens.patch_positions.reshape(-1, h, w, 3)[number]


def draw_canvas(ax: Axes, picture: np.ndarray, positions: np.ndarray, colours: Colours, width: float = 1.2) -> None:
    """A canvas uint8 [H, W, 3] with a border around each run of blocks of one source frame, coloured by that frame.

    positions: int64 [h, w, 3] of its patches.
    """
    ax.imshow(picture)
    ax.set_axis_off()
    t = positions[::MERGE, ::MERGE, 0]
    side = picture.shape[0] / t.shape[0]
    framed = np.pad(t, 1, constant_values=-2)
    inset = 0.045 * side
    lines, shades = [], []
    for row, col in np.ndindex(*t.shape):
        if t[row, col] < 0:
            continue
        x0, y0, x1, y1 = (col * side, row * side, (col + 1) * side, (row + 1) * side)
        sides = {
            (0, 1): [(x0, y0 + inset), (x1, y0 + inset)],
            (2, 1): [(x0, y1 - inset), (x1, y1 - inset)],
            (1, 0): [(x0 + inset, y0), (x0 + inset, y1)],
            (1, 2): [(x1 - inset, y0), (x1 - inset, y1)],
        }
        for (down, across), line in sides.items():
            if framed[row + down, col + across] != t[row, col]:
                lines.append(np.array(line) - 0.5)
                shades.append(colours(t[row, col]))
    ax.add_collection(LineCollection(lines, colors=shades, linewidths=width, capstyle="butt"))


def outline_blocks(ax: Axes, picture: np.ndarray, blocks: Sequence[tuple[int, int]], side: int, colour) -> None:
    """A source frame, dimmed but for the given blocks (row, col), which are outlined."""
    mask = np.full(picture.shape[:2], 0.35, np.float32)
    for row, col in blocks:
        mask[row * side : (row + 1) * side, col * side : (col + 1) * side] = 1
    ax.imshow(np.rint(255 - (255 - picture) * mask[..., None]).astype(np.uint8))
    for row, col in blocks:
        ax.add_patch(Rectangle((col * side - 0.5, row * side - 0.5), side, side, fill=False, edgecolor=colour, linewidth=1))
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=colour, linewidth=2)


def trace_blocks(fig: Figure, canvas_ax: Axes, frame_axes: dict[int, Axes], positions: np.ndarray, side: int, colours: Colours):
    """Lines from blocks of a canvas to their places in the source frames (index -> axes); returns a row per line."""
    blocks = positions[::MERGE, ::MERGE]
    rows = []
    for row, col in np.ndindex(*blocks.shape[:2]):
        t, source_row, source_col = blocks[row, col].tolist()
        if t not in frame_axes:
            continue
        here = ((col + 0.5) * side, (row + 0.5) * side)
        there = ((source_col // MERGE + 0.5) * side, (source_row // MERGE + 0.5) * side)
        line = ConnectionPatch(
            here, there, "data", "data", axesA=canvas_ax, axesB=frame_axes[t], color=colours(t), linewidth=0.7, alpha=0.8,
            arrowstyle="->", mutation_scale=5,
        )  # fmt: skip
        fig.add_artist(line).set_in_layout(False)
        rows.append(
            {"canvas_row": row, "canvas_col": col, "source_frame": t, "row": source_row // MERGE, "col": source_col // MERGE}
        )
    return rows


def time_bar(ax: Axes, colours: Colours, start: float, end: float, label: str) -> None:
    """The legend of `time_colours` as a thin bar along the x axis."""
    shades = np.array([[colours(t)[:3] for t in np.linspace(start, end, 256)]])
    ax.imshow(shades, aspect="auto", extent=(start, end, 0, 1))
    ax.set(yticks=[], xlim=(start, end), xlabel=label)
    for spine in ax.spines.values():
        spine.set_visible(False)
