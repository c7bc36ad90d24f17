"""Canvases with their patches' source: borders coloured by source time, and lines to the place each block came from."""

from collections.abc import Callable, Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from ov2lib.figures import WIDTH
from ov2lib.tokens import MERGE, VisualTokens

Colours = Callable[[float], tuple]


def time_colours(start: float, end: float) -> Colours:
    """Source time (or frame) -> colour, from dark blue (start) over red to orange (end); alike for all kinds of eyes."""
    scale = Normalize(start, max(end, start + 1e-9))
    return lambda t: matplotlib.colormaps["plasma"](0.05 + 0.83 * scale(t))


def canvas_positions(tokens: VisualTokens, number: int) -> np.ndarray:
    """int64 [h, w, 3], the positions of one canvas."""
    h, w = tokens.grid
    return tokens.patch_positions.reshape(-1, h, w, 3)[number]


def draw_canvas(ax: Axes, picture: np.ndarray, positions: np.ndarray, colours: Colours, width: float = 1.2) -> None:
    """A canvas uint8 [H, W, 3] with a border around each run of blocks of one source frame, coloured by that frame.

    positions: int64 [h, w, 3] of its patches.
    """
    # 1. The picture
    ax.imshow(picture)
    ax.set_axis_off()
    # 2. A line on each side of a block whose neighbour is from another time; empty places have none
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
    # 3. All lines at once, which is much faster
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
        source = {"source_frame": t, "source_row": source_row // MERGE, "source_col": source_col // MERGE}
        rows.append({"canvas_row": row, "canvas_col": col} | source)
    return rows


def time_bar(ax: Axes, colours: Colours, start: float, end: float, label: str) -> None:
    """The legend of `time_colours` as a thin bar along the x axis."""
    shades = np.array([[colours(t)[:3] for t in np.linspace(start, end, 256)]])
    ax.imshow(shades, aspect="auto", extent=(start, end, 0, 1))
    ax.set(yticks=[], xlim=(start, end), xlabel=label)
    for spine in ax.spines.values():
        spine.set_visible(False)


def trace_figure(picture: np.ndarray, positions: np.ndarray, sources: dict[int, np.ndarray], frame_times: np.ndarray):
    """A canvas on the left, source frames (index -> picture) on the right, an arrow from each block to its source.

    Returns the figure and a row per arrow.
    """
    indices = sorted(sources)
    side = picture.shape[0] * MERGE // positions.shape[0]
    colours = time_colours(positions[..., 0].min(), positions[..., 0].max())
    fig = plt.figure(figsize=(WIDTH, 2.6))
    grid = fig.add_gridspec(2, 3, width_ratios=[1.75, 1, 1])
    canvas_ax = fig.add_subplot(grid[:, 0])
    draw_canvas(canvas_ax, picture, positions, colours)
    canvas_ax.set_title("one packed canvas")
    places = [grid[0, 1], grid[0, 2], grid[1, 1], grid[1, 2]]
    frame_axes = {}
    for index, cell in zip(indices, places, strict=False):
        frame_axes[index] = ax = fig.add_subplot(cell)
        blocks = positions[::MERGE, ::MERGE][positions[::MERGE, ::MERGE, 0] == index][:, 1:] // MERGE
        outline_blocks(ax, sources[index], [tuple(b) for b in blocks.tolist()], side, colours(index))
        ax.set_title(f"frame {index}, {frame_times[index]:.2f} s", fontsize=8)
    return fig, trace_blocks(fig, canvas_ax, frame_axes, positions, side, colours)


def group_figure(tokens: VisualTokens, numbers: Sequence[int], columns: int = 2) -> Figure:
    """The given canvases of one group with the source frame as border colour, and its legend below."""
    places = [canvas_positions(tokens, i) for i in numbers]
    start, end = int(min(p[..., 0].min() for p in places)), int(max(p[..., 0].max() for p in places))
    colours = time_colours(start, end)
    lines = -(-len(numbers) // columns)
    aspect = tokens.canvases.shape[1] / tokens.canvases.shape[2]
    height = lines * (WIDTH / columns * aspect + 0.25) + 0.5
    fig = plt.figure(figsize=(WIDTH, height))
    grid = fig.add_gridspec(lines + 1, columns, height_ratios=[1] * lines + [0.05])
    for n, (number, place) in enumerate(zip(numbers, places, strict=True)):
        ax = fig.add_subplot(grid[n // columns, n % columns])
        draw_canvas(ax, tokens.canvases[number], place, colours)
        whole = (place[..., 0] == place[0, 0, 0]).all()
        ax.set_title(
            f"I-canvas: frame {place[0, 0, 0]} whole" if whole else f"P-canvas: frames {place[0, 0, 0]} to {place[-1, -1, 0]}"
        )
    time_bar(fig.add_subplot(grid[-1, :]), colours, start, end, "source frame t")
    return fig


def pair_figure(picture: np.ndarray, positions: np.ndarray, block: tuple[int, int], source: np.ndarray, time: float) -> Figure:
    """One block (row, col) of a canvas and the place in its source frame that it was cut from."""
    side = picture.shape[0] * MERGE // positions.shape[0]
    t, row, col = positions[block[0] * MERGE, block[1] * MERGE].tolist()
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.3))
    outline_blocks(left, picture, [block], side, "#D55E00")
    outline_blocks(right, source, [(row // MERGE, col // MERGE)], side, "#D55E00")
    left.set_title(f"on the canvas: block ({block[0]}, {block[1]})")
    right.set_title(f"in source frame {t} ({time:.2f} s): block ({row // MERGE}, {col // MERGE})")
    here, there = ((block[1] + 1) * side, (block[0] + 0.5) * side), (col // MERGE * side, (row // MERGE + 0.5) * side)
    arrow = ConnectionPatch(
        here, there, "data", "data", axesA=left, axesB=right, color="#D55E00", linewidth=1.5, arrowstyle="->", mutation_scale=10
    )
    fig.add_artist(arrow).set_in_layout(False)
    return fig
