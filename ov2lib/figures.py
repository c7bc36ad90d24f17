"""One look for every figure, and saving that gives the same bytes for the same data.

Colours carry fixed meanings throughout the project; within each family below they stay apart for the three common kinds of
colour blindness. Every saved picture has the numbers behind it beside it, as CSV.
"""

import io
import os
import re
from pathlib import Path

from .errors import Ov2Error
from .files import project_root, whole_path

SIGNALS = {"motion": "#0072B2", "residual": "#D55E00", "bits": "#CC79A7"}
KINDS = {"I": "#000000", "P": "#56B4E9", "B": "#E69F00"}
FRONT_ENDS = {"paper": "#D55E00", "ippp": "#56B4E9", "released": "#332288"}
MODELS = {
    "LLaVA-OneVision-2": "#D55E00",
    "Qwen3-VL-8B": "#332288",
    "Keye-VL-1.5-8B": "#117733",
    "InternVL-3.5-8B": "#AA4499",
    "PLM-8B": "#88CCEE",
    "LLaVA-OneVision-1.5": "#DDCC77",
}
MAPS = {"motion": "mako", "residual": "rocket", "bits": "magma"}  # seaborn's even colour maps, dark = little
WIDTH = 7.0  # inches: a page's text width, so that 8-point letters stay readable in print

_NAME = re.compile(r"\d\d_[a-z0-9_]+")
_DPI = 120


def style(font_scale: float = 1) -> None:
    """Set the project's look for all figures that follow (seaborn theme, sizes, the font that matplotlib brings along).

    font_scale: of all letters; 1.35 keeps a figure of `WIDTH` readable in a column of half its width.
    """
    import seaborn

    seaborn.set_theme(
        context="paper",
        style="ticks",
        font="DejaVu Sans",
        font_scale=font_scale,
        rc={
            "figure.figsize": (WIDTH, 2.6),
            "figure.dpi": 90,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "image.interpolation": "nearest",
            "legend.frameon": False,
        },
    )


def folder() -> Path:
    """Where figures go: the folder that `OV2_FIGURES` names (as `ov2 reproduce` sets it), else `figures/` of the clone."""
    override = os.environ.get("OV2_FIGURES")
    return Path(override) if override else project_root() / "figures"


def save(fig, name: str, data) -> tuple[Path, Path]:
    """Write a figure as PNG and the data behind it as CSV; each file appears whole or not at all.

    The bytes depend on the figure and the data alone: no date, no software version, numbers to six digits.

    Args:
        fig: a matplotlib figure.
        name: the notebook's two digits and words, such as "01_bit_cost"; becomes the name of both files.
        data: a pandas DataFrame, or what makes one (a dict of columns, a list of dicts), one row per drawn thing.

    Returns:
        The paths (picture, data).

    Raises:
        Ov2Error: the name has another form, or the folder cannot be written.
    """
    import pandas

    if not _NAME.fullmatch(name):
        raise Ov2Error(f"figure name {name!r}; use the notebook's two digits and lower-case words, such as '01_bit_cost'")
    table = pandas.DataFrame(data).to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    target = folder()
    try:
        target.mkdir(parents=True, exist_ok=True)
        return write_whole(target / f"{name}.png", png(fig)), write_whole(target / f"{name}.csv", table)
    except OSError as error:
        raise Ov2Error(f"cannot write figures to {target}: {error.strerror}; set OV2_FIGURES to another folder") from error


def png(fig) -> bytes:
    """A matplotlib figure as PNG that depends on the figure alone: no date, no software version."""
    picture = io.BytesIO()
    fig.savefig(picture, format="png", dpi=_DPI, metadata={"Software": None})
    return picture.getvalue()


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with whole_path(path) as scratch:
        scratch.write_bytes(content)
    return path
