"""Scores of one question by several models: a bar for each, and its interval."""

import pandas as pd
from matplotlib.axes import Axes

COLOURS = ("#999999", "#0072B2", "#56B4E9", "#E69F00")


def draw_arms(ax: Axes, scores: pd.DataFrame) -> None:
    """One bar for each row, in its order from the top; at most four.

    Args:
        scores: index the arm's name; columns "score", "low" and "high", shares of 1.
    """
    ax.barh(scores.index, scores["score"], color=COLOURS[: len(scores)], height=0.6)
    ax.hlines(scores.index, scores["low"], scores["high"], color="black", linewidth=1.2)
    ax.set(xlim=(0, 1), xlabel="accuracy on held-out clips")
    ax.invert_yaxis()
