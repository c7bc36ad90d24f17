"""Training examples as the model gets them: what it sees, and the conversation with the words it learns to say."""

import html
import re
from collections.abc import Sequence
from itertools import groupby

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ov2lib.figures import WIDTH
from ov2lib.model.loss import IGNORED
from ov2lib.model.prompt import IMAGE_PAD, VISION_END
from ov2lib.tokens import VisualTokens
from ov2lib.train.encoding import Example

from .canvases import canvas_positions, draw_canvas, time_colours
from .sheet import Sheet

OPEN, CLOSE = "⟦", "⟧"  # around supervised words in plain text
LINES = 4  # of frames or runs of blocks, each on its own; of more, all but the first two and the last are left out
COLUMNS = 9  # pictures side by side at most
ABOVE = 0.2  # inches over the first line, for its name
_PADS = re.compile(rf"(?:{re.escape(IMAGE_PAD)})+")


def examples_figure(examples: Sequence[Example]) -> tuple[Figure, list[dict]]:
    """The pictures of each example: images side by side, then lines for each clip, sampled frames or canvases.

    Borders on canvases tell the source time of their blocks, dark is early.

    Args:
        examples: with one image or video each.

    Returns:
        the figure, and a row per picture.
    """
    # 1. Lines of (example, its first picture there): three images, or as many of a clip's pictures as fit
    shown = [(example, example.visuals[0]) for example in examples]
    stills = [(example, 0) for example, tokens in shown if tokens.kind == "image"]
    lines = [stills[start : start + 3] for start in range(0, len(stills), 3)]
    for example, tokens in shown:
        if tokens.kind != "image":
            lines += [[(example, first)] for first in range(0, len(tokens.canvases), _in_line(tokens))]
    # 2. A grid as high as they need
    heights = [_line_height(line) for line in lines]
    fig = plt.figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    fig.get_layout_engine().set(rect=(0, 0, 1, 1 - ABOVE / sum(heights)))
    grid = fig.add_gridspec(len(lines), COLUMNS, height_ratios=heights)
    # 3. The pictures
    rows = []
    for number, line in enumerate(lines):
        for place, (example, first) in enumerate(line):
            tokens = example.visuals[0]
            pictures = range(first, len(tokens.canvases))[: _in_line(tokens)]
            axes = {
                picture: fig.add_subplot(grid[number, place * (COLUMNS // 3) + cell]) for cell, picture in enumerate(pictures)
            }
            rows += _draw_pictures(axes, example, tokens)
    return fig, rows


def _in_line(tokens: VisualTokens) -> int:
    """Pictures in each of a clip's lines, so that all are about equally long."""
    count = len(tokens.canvases)
    return -(-count // -(-count // COLUMNS))


def _line_height(line: list[tuple[Example, int]]) -> float:
    """Inches, with room for two lines of text."""
    shapes = [example.visuals[0].canvases.shape for example, _ in line]
    return WIDTH / COLUMNS * max(height / width for _, height, width, _ in shapes) + 0.4


def _draw_pictures(axes: dict[int, Axes], example: Example, tokens: VisualTokens) -> list[dict]:
    colours, rows = time_colours(0, max(int(tokens.patch_positions[:, 0].max()), 1)), []
    for number, ax in axes.items():
        place = canvas_positions(tokens, number)
        ax.set_axis_off()
        if tokens.kind == "codec":
            draw_canvas(ax, tokens.canvases[number], place, colours, 1.5)
        else:
            ax.imshow(tokens.canvases[number])
        ax.set_title(_when(tokens, place), fontsize=6, loc="center", pad=2)
        rows.append({"example": example.id, "kind": tokens.kind, "picture": number, "time": _when(tokens, place)})
    if 0 not in axes:
        return rows
    above = 3 if tokens.kind == "image" else 13
    title = axes[0].annotate(f"{example.id}: {_what(tokens)}", (0, 1), xytext=(0, above), xycoords="axes fraction",
                             textcoords="offset points", fontsize=7)  # fmt: skip
    title.set_in_layout(False)
    return rows


def _when(tokens: VisualTokens, positions: np.ndarray) -> str:
    if tokens.kind == "image":
        return ""
    frames = positions[..., 0][positions[..., 0] >= 0] / tokens.fps
    first, last = float(frames.min()), float(frames.max())
    return f"{first:g} s" if first == last else f"{first:g}–{last:g}"


def _what(tokens: VisualTokens) -> str:
    count = len(tokens.canvases)
    word = {"image": "image", "frames": "sampled frames", "codec": "codec canvases"}[tokens.kind]
    return f"{word if count == 1 else f'{count} {word}'}, {tokens.num_tokens} visual tokens"


def conversations(examples: Sequence[Example], tokenizer) -> Sheet:
    """The text of each example as the model reads it, supervised words bold (in brackets in plain text).

    Places for visual tokens are counted, `<|image_pad|>×4`, and of many frames the middle ones are left out.
    """
    texts = [_spoken(example, tokenizer) for example in examples]
    plain = "\n\n".join(f"{example.id}\n{text}" for example, text in zip(examples, texts, strict=True))
    marked = [html.escape(text).replace(OPEN, "<b>").replace(CLOSE, "</b>") for text in texts]
    blocks = [f"<p>{html.escape(e.id)}</p>\n<pre>{text}</pre>" for e, text in zip(examples, marked, strict=True)]
    return Sheet("\n".join(blocks), plain)


def _spoken(example: Example, tokenizer) -> str:
    pairs = zip(example.input_ids.tolist(), (example.labels != IGNORED).tolist(), strict=True)
    parts = []
    for supervised, run in groupby(pairs, key=lambda pair: pair[1]):
        text = tokenizer.decode([token for token, _ in run])
        parts.append(f"{OPEN}{text}{CLOSE}" if supervised else text)
    text = _PADS.sub(lambda match: f"{IMAGE_PAD}×{match.group().count(IMAGE_PAD)}", "".join(parts))
    return "\n".join(_shorter(text.strip().split("\n")))


def _shorter(lines: list[str]) -> list[str]:
    kept = []
    for visual, run in groupby(lines, key=lambda line: line.endswith(VISION_END)):
        run = list(run)
        kept += run if not visual or len(run) <= LINES else [*run[:2], f"… {len(run) - 3} more …", run[-1]]
    return kept
