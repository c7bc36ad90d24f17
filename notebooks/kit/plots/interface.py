"""The token interface in pictures: three kinds of input side by side, places in 3D, who sees whom, the prompt."""

import re
from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ov2lib.figures import WIDTH
from ov2lib.model.attention import Runs
from ov2lib.model.prompt import IMAGE_PAD
from ov2lib.tokens import MERGE, VisualTokens

from .canvases import Colours, canvas_positions, draw_canvas, time_bar, time_colours

GROUPS = ("#332288", "#DDCC77", "#44AA99", "#CC6677", "#88CCEE", "#117733", "#882255", "#999933")  # apart for all eyes
_PIECE = re.compile(rf"<\d+\.\d+ seconds>|(?:{re.escape(IMAGE_PAD)})+|<\|\w+\|>|\n|[^<\n]+|<")
_PLAIN, _MARK, _PAD = "#111111", "#8a8a8a", "#B5541C"


def group_colour(group: int) -> str:
    """One of eight colours, again from the first after the eighth."""
    return GROUPS[int(group) % len(GROUPS)]


def three_ways(ways: dict[str, VisualTokens], columns: int = 4) -> Figure:
    """The first canvases of each (name -> tokens), a row each, bordered in the colour of their source time.

    The first row holds one picture, beside which stands the legend of the colours.
    """
    end = max(float(tokens.frame_times[-1]) for tokens in ways.values())
    colours = time_colours(0, end)
    first = next(iter(ways.values()))
    height = WIDTH / columns * first.canvases.shape[1] / first.canvases.shape[2] + 0.22
    fig = plt.figure(figsize=(WIDTH, height * len(ways)))
    grid = fig.add_gridspec(len(ways), columns)
    for row, (name, tokens) in enumerate(ways.items()):
        for i in range(min(columns, len(tokens.canvases))):
            ax = fig.add_subplot(grid[row, i])
            shade = _seconds(tokens, colours)
            draw_canvas(ax, tokens.canvases[i], canvas_positions(tokens, i), shade, width=1.5)
            if i == 0:
                ax.set_title(name, fontsize=9)
    corner = grid[0, 1:].subgridspec(3, 1, height_ratios=[4, 1, 2])
    time_bar(fig.add_subplot(corner[1]), colours, 0, end, "colour of a border: source time, s")
    return fig


def _seconds(tokens: VisualTokens, colours: Colours) -> Colours:
    return lambda t: colours(float(tokens.frame_times[int(t)]))


def draw_merge_order(ax: Axes, order: np.ndarray, grid: tuple[int, int]) -> None:
    """The path on which the model reads the patches of one canvas: its number on each, merge blocks framed.

    order: raster index of each patch in reading order, `VisualTokens.merge_order`.
    """
    h, w = grid
    row, col = np.divmod(order, w)
    ax.plot(col, row, color="#bbbbbb", linewidth=1.2, zorder=1)
    for place, (r, c) in enumerate(zip(row, col, strict=True)):
        ax.text(c, r, place, ha="center", va="center", fontsize=8, color=group_colour(place // MERGE**2 % 2 * 3), weight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
    for edge in range(0, w + 1, MERGE):
        ax.axvline(edge - 0.5, color="#333333", linewidth=1)
    for edge in range(0, h + 1, MERGE):
        ax.axhline(edge - 0.5, color="#333333", linewidth=1)
    ax.set(
        xlim=(-0.5, w - 0.5), ylim=(h - 0.5, -0.5), xticks=range(w), yticks=range(h), aspect="equal", xlabel="col", ylabel="row"
    )
    ax.tick_params(length=0, labelsize=7)


def draw_positions(ax, tokens: VisualTokens, seconds: float | None = None) -> list[dict]:
    """The source place of every merged token in 3D (time, column, row), coloured by its group; returns a row per token.

    ax: a 3D axes. seconds: end of the time axis; None takes the tokens' own.
    """
    # 1. One record for each token, without padding
    first = tokens.merge_order[:: MERGE**2]
    records = tokens.records()[first]
    records = records[records["t"] >= 0]
    time = tokens.frame_times[records["t"]]
    shades = [group_colour(group) for group in records["group"]]
    # 2. Points in time, column and row
    ax.scatter(time, records["source_col"], records["source_row"], c=shades, s=7, marker="s", linewidths=0, depthshade=False)
    h, w = records["source_row"].max() + MERGE, records["source_col"].max() + MERGE
    ax.set(xlim=(0, seconds or tokens.frame_times[-1]), ylim=(w, 0), zlim=(h, 0))
    ax.set(yticks=range(0, w + 1, 6), zticks=range(0, h + 1, 4))
    ax.set_box_aspect((2.4, 1.4, 0.9), zoom=1.2)
    # 3. Axes as a film lies: time to the right, rows downwards
    ax.set_xlabel("time of t, s", fontsize=8, labelpad=4)
    ax.set_ylabel("col", fontsize=8, labelpad=-4)
    ax.text(ax.get_xlim()[1], 0, -0.18 * h, "row", fontsize=8)
    ax.tick_params(labelsize=7, pad=-1)
    ax.view_init(elev=22, azim=-62)
    return [
        {"t": int(r["t"]), "row": int(r["source_row"]), "col": int(r["source_col"]), "group": int(r["group"])} for r in records
    ]


def visibility(runs: Runs) -> np.ndarray:
    """bool [N, N], who sees whom, for pictures; the model itself never builds it."""
    owner = np.empty(sum(runs.lengths), dtype=np.int64)
    owner[slice(None) if runs.order is None else runs.order.numpy()] = np.repeat(np.arange(len(runs.lengths)), runs.lengths)
    return owner[:, None] == owner


def draw_mask(ax: Axes, visible: np.ndarray, group_ids: Sequence[int], title: str) -> None:
    """Who sees whom as a picture: a row per query, a column per key, ticks between canvases, κ of each along the left side.

    visible: bool [N, N] over tokens; group_ids: κ of each canvas.
    """
    n = len(group_ids)
    ids = np.repeat(group_ids, len(visible) // n)
    shades = np.array([[int(group_colour(g)[i : i + 2], 16) for i in (1, 3, 5)] for g in ids], dtype=np.uint8)
    picture = np.where(visible[..., None], shades[:, None], np.uint8(244))
    ax.imshow(picture, extent=(0, n, n, 0), interpolation="nearest")
    for edge in range(1, n):
        ax.axvline(edge, color="white", linewidth=0.6)
        ax.axhline(edge, color="white", linewidth=0.6)
    ax.set_title(title, fontsize=8)
    ax.set(xticks=[], yticks=np.arange(n) + 0.5)
    ax.set_yticklabels([f"κ{g}" for g in group_ids], fontsize=6)
    ax.tick_params(length=0, pad=1)
    ax.spines[:].set_visible(False)


def sight_figure(tokens: VisualTokens, rules: dict[str, np.ndarray], query: int) -> Figure:
    """What one token sees under each rule (name -> bool [N, N] over tokens): the canvases, dimmed where it does not look.

    query: number of the token, which is framed in red.
    """
    # 1. Sizes: a band of canvases for each rule
    n, (h, w) = len(tokens.canvases), tokens.grid
    h, w, side = h // MERGE, w // MERGE, tokens.patch_size * MERGE
    height = WIDTH / n * tokens.canvases.shape[1] / tokens.canvases.shape[2]
    fig = plt.figure(figsize=(WIDTH, len(rules) * (height + 0.24)))
    bands = fig.subfigures(len(rules), 1)
    # 2. In each band, what the query sees stays bright
    for band, (name, visible) in zip(np.atleast_1d(bands), rules.items(), strict=True):
        band.suptitle(name, x=0.005, y=0.99, ha="left", va="top", fontsize=8)
        seen = visible[query].reshape(n, h, w).repeat(side, axis=1).repeat(side, axis=2)
        for i, ax in enumerate(
            band.subplots(
                1, n, gridspec_kw={"bottom": 0, "top": height / (height + 0.24), "left": 0, "right": 1, "wspace": 0.06}
            )
        ):
            faded = 238 - (255 - tokens.canvases[i].mean(axis=2, keepdims=True)) * 0.06
            ax.imshow(np.where(seen[i][..., None], tokens.canvases[i], faded).astype(np.uint8))
            ax.set_axis_off()
            # 3. The query itself is framed
            if i == query // (h * w):
                row, col = divmod(query % (h * w), w)
                ax.add_patch(
                    plt.Rectangle((col * side, row * side), side, side, fill=False, edgecolor="#FF0000", linewidth=1.4)
                )
    return fig


def prompt_pieces(text: str) -> list[tuple[str, str]]:
    """(kind, piece) along a prompt: "time", "mark" (special tokens), "pad" (a stretch of them, counted), "line", "plain"."""
    pieces = []
    for piece in _PIECE.findall(text):
        if piece == "\n":
            pieces.append(("line", "⏎"))
        elif piece.startswith(IMAGE_PAD):
            pieces.append(("pad", f"▦×{len(piece) // len(IMAGE_PAD)}"))
        else:
            pieces.append(("time" if piece.endswith("seconds>") else "mark" if piece.startswith("<|") else "plain", piece))
    return pieces


def prompt_figure(prompts: dict[str, str], seconds: float, columns: int = 92, lines: int = 6) -> Figure:
    """Prompts (name -> text) as monospaced text: time tags in the colour of their time, `▦×K` for K places of visual tokens.

    columns: characters a line; lines: shown of each prompt, "…" where it goes on.
    """
    # 1. Lay the pieces out in lines
    colours = time_colours(0, seconds)
    laid_out = {name: _lay_out(prompt_pieces(text), columns, lines) for name, text in prompts.items()}
    rows = sum(placed[-1][0] + 2.5 for placed in laid_out.values())
    fig, ax = plt.subplots(figsize=(WIDTH, 0.155 * rows))
    # 2. Write them, coloured by what they are
    size = 0.96 * WIDTH * 72 / columns / 0.602  # a letter of the monospaced font is 0.602 em wide
    top = 0.0
    for name, placed in laid_out.items():
        ax.text(0, top, name, fontsize=9, weight="bold", va="center")
        for row, column, kind, piece in placed:
            bold = "bold" if kind == "time" else "normal"
            shade = {"mark": _MARK, "line": _MARK, "pad": _PAD, "plain": _PLAIN}.get(kind)
            shade = shade or colours(float(piece[1 : piece.index(" ")]))
            ax.text(
                column, top + row + 1.1, piece, fontsize=size, family="DejaVu Sans Mono", color=shade, weight=bold, va="center"
            )
        top += placed[-1][0] + 2.5
    # 3. Nothing but text
    ax.set(xlim=(0, columns), ylim=(top - 1, -0.6))
    ax.set_axis_off()
    return fig


def _lay_out(pieces: list[tuple[str, str]], columns: int, lines: int) -> list[tuple[int, int, str, str]]:
    """(row, column, kind, piece) of each, cut after so many lines."""
    placed, row, column = [], 0, 0
    for kind, piece in pieces:
        if column + len(piece) > columns:
            row, column = row + 1, 0
        if row == lines:
            return [*placed, (lines - 1, min(columns - 1, placed[-1][1] + len(placed[-1][3]) + 1), "plain", "…")]
        placed.append((row, column, kind, piece))
        column += len(piece)
        if kind == "line":
            row, column = row + 1, 0
    return placed


def draw_runs(ax: Axes, runs: Sequence[tuple[int, int]], frame_times: np.ndarray, whole: int) -> list[dict]:
    """A stem per run of equal source frame: K tokens at its time; runs of a whole canvas (K >= `whole`) stand out."""
    t, count = np.array(runs).T
    time, full = frame_times[t], count >= whole
    for mask, shade, label in ((~full, "#56B4E9", "part of a frame"), (full, "#000000", "a whole frame")):
        ax.vlines(time[mask], 0, count[mask], color=shade, linewidth=1.6, label=label)
    ax.set(xlabel="time in the prompt, s", ylabel="tokens K of the run", ylim=(0, None))
    ax.legend(ncols=2, loc="upper left", bbox_to_anchor=(0.55, 1.16))
    return [{"t": int(a), "seconds": float(s), "tokens": int(k)} for a, s, k in zip(t, time, count, strict=True)]
