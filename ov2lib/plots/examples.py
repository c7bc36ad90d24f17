"""Training examples as the model gets them: what it sees, and the conversation with the words it learns to say."""

import html
import re
from collections.abc import Sequence
from itertools import groupby

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ..figures import WIDTH
from ..model.loss import IGNORED
from ..model.prompt import IMAGE_PAD
from ..tokens import VisualTokens
from ..train.encoding import Example
from .canvases import canvas_positions, draw_canvas, time_colours
from .sheet import Sheet

OPEN, CLOSE = "⟦", "⟧"  # around supervised words in plain text
LINES = 9  # of a conversation; more are cut out of its middle
_PADS = re.compile(rf"(?:{re.escape(IMAGE_PAD)})+")


def examples_figure(examples: Sequence[Example], most: int = 16) -> tuple[Figure, list[dict]]:
    """One line of pictures for each example: an image, sampled frames, or canvases whose borders tell the source time.

    Args:
        examples: with one image or video each.
        most: pictures in a line.

    Returns:
        the figure, and a row per picture.
    """
    shown = [example.visuals[0] for example in examples]
    columns = max(8, *(min(most, len(tokens.canvases)) for tokens in shown))
    height = sum(_line_height(tokens, columns) for tokens in shown)
    fig, axes = plt.subplots(len(shown), columns, squeeze=False, figsize=(WIDTH, height))
    rows = []
    for line, example, tokens in zip(axes, examples, shown, strict=True):
        for ax in line:
            ax.set_axis_off()
        colours = time_colours(0, max(int(tokens.patch_positions[:, 0].max()), 1))
        for number, ax in enumerate(line[: len(tokens.canvases)]):
            place = canvas_positions(tokens, number)
            if tokens.kind == "codec":
                draw_canvas(ax, tokens.canvases[number], place, colours, 1.5)
            else:
                ax.imshow(tokens.canvases[number])
            ax.set_title(_when(tokens, place), fontsize=6, loc="center", pad=2)
            rows.append({"example": example.id, "kind": tokens.kind, "picture": number, "time": _when(tokens, place)})
        line[0].annotate(f"{example.id}: {_what(tokens)}", (0, 1), xytext=(0, 14), xycoords="axes fraction",
                         textcoords="offset points", fontsize=7)  # fmt: skip
    return fig, rows


def _line_height(tokens: VisualTokens, columns: int) -> float:
    _, height, width, _ = tokens.canvases.shape
    return WIDTH / columns * height / width + 0.42


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

    Places for visual tokens are counted, `<|image_pad|>×4`, and of long conversations the middle lines are left out.
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
    text = _PADS.sub(lambda found: f"{IMAGE_PAD}×{found.group().count(IMAGE_PAD)}", "".join(parts))
    lines = text.strip().split("\n")
    if len(lines) > LINES + 1:
        left_out = f"… {len(lines) - LINES} lines …"
        lines = [*lines[: LINES // 2], left_out, *lines[-(LINES - LINES // 2) :]]
    return "\n".join(lines)
