"""Boxes and arrows for pictures of a process, with letters that stay readable in a column of half a page's width."""

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

LETTERS = 11  # points in a figure of full width
_LINE = "#333333"


def box(ax: Axes, place: tuple[float, float], size: tuple[float, float], text: str, shade: str) -> None:
    """A box around its centre, in the axes' units."""
    (x, y), (width, height) = place, size
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle="round,pad=0,rounding_size=0.06", facecolor=f"{shade}44", edgecolor=shade
        )
    )
    ax.text(x, y, text, ha="center", va="center", fontsize=LETTERS, linespacing=1.15)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place to another."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": _LINE, "shrinkA": 0, "shrinkB": 0})
