"""One block's life: macroblocks of a coded picture, a place on a canvas, patches, a token of the language model."""

import math

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ov2lib.codec import analysis
from ov2lib.figures import WIDTH
from ov2lib.model import LlavaOnevision2Config
from ov2lib.tokens import VisualTokens
from ov2lib.video.source import Source

from .canvases import canvas_positions
from .flow import LETTERS, arrow, box

MACROBLOCK = 16
_RED = "#FF0000"
_SHADES = ("#56B4E9", "#44AA99", "#44AA99", "#CC6677", "#332288")


def busiest_block(tokens: VisualTokens, number: int) -> tuple[int, int]:
    """(row, column) in blocks of the block with most contrast on a canvas."""
    side = tokens.merge * tokens.patch_size
    height, width = tokens.canvases.shape[1:3]
    blocks = tokens.canvases[number].reshape(height // side, side, width // side, side, 3)
    spread = blocks.std(axis=(1, 3)).sum(axis=-1)
    row, column = np.unravel_index(spread.argmax(), spread.shape)
    return int(row), int(column)


def life_figure(
    tokens: VisualTokens, number: int, block: tuple[int, int], config: LlavaOnevision2Config
) -> tuple[Figure, list[dict]]:
    """A block from its source frame to one token, with the shapes of a model; and a row per shape.

    Args:
        tokens: of a codec front end; their source is read once more.
        number: of the canvas.
        block: (row, column) on it, in blocks.
        config: of the model.
    """
    # 1. Where the block is, on its canvas and in its source
    side = tokens.merge * tokens.patch_size
    t, row, column = canvas_positions(tokens, number)[block[0] * tokens.merge, block[1] * tokens.merge]
    canvas = tokens.canvases[number]
    video = Source.open(tokens.source)
    height, width = video.display.shown
    scale = np.array([width / canvas.shape[1], height / canvas.shape[0]])
    corner, extent = np.array([column, row]) * tokens.patch_size * scale, side * scale
    top, left = block[0] * side, block[1] * side
    # 2. Above, what it looks like
    fig = plt.figure(figsize=(WIDTH, 3.8))
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.35, 1])
    coded, packed, patches = upper.subplots(1, 3, width_ratios=[1.1, 1.5, 0.8])
    coded.imshow(full_size(video, t), extent=(0, width, height, 0))
    _draw_macroblocks(coded, corner, extent)
    coded.set_title(f"frame {t}:\n{MACROBLOCK}×{MACROBLOCK} macroblocks", fontsize=LETTERS)
    packed.imshow(canvas)
    packed.add_patch(plt.Rectangle((left, top), side, side, fill=False, edgecolor=_RED, linewidth=2))
    packed.set_title(f"canvas {number}:\nscored best, packed", fontsize=LETTERS)
    _draw_patches(patches, canvas[top : top + side, left : left + side], tokens.merge)
    patches.set_title(f"{side}×{side} pixels:\n{tokens.merge**2} patches", fontsize=LETTERS)
    for ax in (coded, packed, patches):
        ax.set(xticks=[], yticks=[], anchor="N")
        ax.spines[:].set_visible(False)
    # 3. Below, what it becomes
    vision, count = config.vision_config, tokens.merge**2
    shapes = {
        "patches": (count, 3 * tokens.patch_size**2),
        "patch\nembedding": (count, vision.hidden_size),
        f"{vision.num_hidden_layers} encoder\nblocks, RoPE\nof {t}, {row}, {column}": (count, vision.hidden_size),
        "connector\njoins them": (1, count * vision.hidden_size),
        "language\ntoken": (1, config.text_config.hidden_size),
    }
    _draw_shapes(lower.subplots(), shapes)
    return fig, [{"step": name.replace("\n", " "), "rows": n, "width": width} for name, (n, width) in shapes.items()]


def full_size(video: Source, index: int) -> np.ndarray:
    """One frame as a player shows it, scaled to the nearest size of whole blocks."""
    canvas = analysis.on_canvas(video, math.prod(video.display.shown), 14)
    return next(iter(analysis.candidates(canvas, np.array([index]), analysis.bit_prior, 1))).picture


def _draw_macroblocks(ax: Axes, corner: np.ndarray, extent: np.ndarray) -> None:
    """The grid of macroblocks around a block, which is framed; (x, y) and (width, height) in source pixels."""
    margin = np.array([2, 1]) * 1.5 * MACROBLOCK
    (left, top), (right, bottom) = corner - margin, corner + extent + margin
    for edge in np.arange(0, max(right, bottom), MACROBLOCK):
        ax.axvline(edge, color="white", linewidth=0.7, alpha=0.8)
        ax.axhline(edge, color="white", linewidth=0.7, alpha=0.8)
    ax.add_patch(plt.Rectangle(corner, *extent, fill=False, edgecolor=_RED, linewidth=2))
    ax.set(xlim=(left, right), ylim=(bottom, top))


def _draw_patches(ax: Axes, picture: np.ndarray, merge: int) -> None:
    """A block with its patches numbered in the order in which the model reads them."""
    side = len(picture) / merge
    ax.imshow(picture, extent=(0, len(picture), len(picture), 0))
    for place in range(merge**2):
        row, column = divmod(place, merge)
        ax.add_patch(plt.Rectangle((column * side, row * side), side, side, fill=False, edgecolor=_RED, linewidth=2))
        ax.text((column + 0.5) * side, (row + 0.5) * side, place, ha="center", va="center", fontsize=LETTERS, weight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip


def _draw_shapes(ax: Axes, shapes: dict[str, tuple[int, int]]) -> None:
    """A box for each step, its shape below it."""
    for place, ((name, (count, width)), shade) in enumerate(zip(shapes.items(), _SHADES, strict=True)):
        box(ax, (1.42 * place, 0), (1.2, 0.9), name, shade)
        ax.text(1.42 * place, -0.72, f"{count} × {width:,}", ha="center", fontsize=LETTERS, weight="bold")
        if place:
            arrow(ax, (1.42 * place - 0.82, 0), (1.42 * place - 0.6, 0))
    ax.set(xlim=(-0.65, 6.33), ylim=(-0.85, 0.5))
    ax.set_axis_off()
