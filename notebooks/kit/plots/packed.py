"""A packed row: which token attends to which, and the position of each."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ov2lib.figures import WIDTH

from .flow import LETTERS
from .training_data import SHADES


def packed_figure(positions: np.ndarray, samples: int) -> tuple[Figure, list[dict]]:
    """The mask of one packed row and its positions, a colour for each sample; and a row per token.

    Args:
        positions: int64 [tokens], 0 where a sample begins.
        samples: how many there are; what comes after them is padding.
    """
    # 1. A token sees those before it in its own sample
    block = np.cumsum(positions == 0) - 1
    place = np.arange(len(positions))
    visible = (block[:, None] == block) & (place <= place[:, None])
    shades = [SHADES[b] if b < samples else "#bbbbbb" for b in block]
    colours = np.array([[int(shade[i : i + 2], 16) for i in (1, 3, 5)] for shade in shades], dtype=np.uint8)
    # 2. The mask, a row per query
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.4), width_ratios=[1, 1.15])
    left.imshow(np.where(visible[..., None], colours[:, None], np.uint8(244)))
    left.set_xlabel("attended to", fontsize=LETTERS)
    left.set_ylabel("token that attends", fontsize=LETTERS)
    left.tick_params(labelsize=LETTERS - 1)
    # 3. Positions along the row
    right.scatter(place, positions, c=shades, s=12, linewidths=0)
    for number in range(samples):
        mine = block == number
        right.text(place[mine].mean(), positions[mine].max() + 1, number + 1, color=SHADES[number], ha="center", va="bottom",
                   fontsize=LETTERS, weight="bold")  # fmt: skip
    right.set_xlabel("place in the row", fontsize=LETTERS)
    right.set_ylabel("position", fontsize=LETTERS)
    right.tick_params(labelsize=LETTERS - 1)
    right.set_ylim(-1, positions.max() * 1.15 + 2)
    return fig, [
        {"place": int(i), "sample": int(b) + 1 if b < samples else "padding", "position": int(p)}
        for i, b, p in zip(place, block, positions, strict=True)
    ]
