"""What pictures of several notebooks share: stacked bars, and an axis on which budgets double."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator


def stack(
    ax: Axes, names: Sequence[str], parts: Mapping[str, Sequence[float]], colours: Mapping[str, str], lying=False, **style
) -> np.ndarray:
    """A bar for each name, stacked of `parts` (part -> a value for each name); returns where the bars end.

    lying: from left to right, the first name above.
    """
    ends = np.zeros(len(names))
    for part, values in parts.items():
        draw, start = (ax.barh, "left") if lying else (ax.bar, "bottom")
        draw(names, values, color=colours[part], label=part, **{start: ends}, **style)
        ends = ends + np.asarray(values)
    if lying:
        ax.invert_yaxis()
    return ends


def doubling(ax: Axes, budgets: Iterable[float]) -> None:
    """The x axis in powers of two, a tick at each budget."""
    ticks = sorted({int(budget) for budget in budgets})
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, ticks)
    ax.xaxis.set_minor_locator(NullLocator())
