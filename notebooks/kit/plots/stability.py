"""Adaptive groups against fixed ones: means with their intervals over clips, one line a label."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ov2lib.figures import FRONT_ENDS

LOOKS = {"adaptive": (FRONT_ENDS["paper"], "o"), "fixed": (FRONT_ENDS["ippp"], "s")}


def draw_arms(ax: Axes, arms: Mapping[str, pd.DataFrame], labels: Sequence[str]) -> None:
    """`kit.records.intervals` of each arm ("adaptive", "fixed"), one above the other at each label.

    A single clip has no interval; a label that an arm lacks stays empty.
    """
    for offset, (arm, table) in zip((-0.13, 0.13), arms.items(), strict=True):
        colour, marker = LOOKS[arm]
        rows = table.reindex(labels)
        reach = np.abs(rows[["low", "high"]].astype(float).sub(rows["value"], axis=0)).fillna(0).to_numpy().T
        ax.errorbar(
            rows["value"], np.arange(len(labels)) + offset, xerr=reach, color=colour, marker=marker, markersize=6, linestyle="",
            capsize=3, label=arm,
        )  # fmt: skip
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(labelsize="large")
    ax.xaxis.label.set_size("large")
