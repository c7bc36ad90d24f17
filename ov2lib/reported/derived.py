"""Numbers that follow from the reported ones: averages, margins, gains of codec over frames, gaps to the guide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tables import MODEL, load

if TYPE_CHECKING:
    import pandas as pd

FRAMES_PER_SECOND = 1  # published: the guide's launcher samples frames at 1 fps, up to its number of frames


def averages() -> pd.DataFrame:
    """The printed averages beside the plain means of their rows, in percent.

    Columns: category, model, rows (how many), printed, recomputed, difference, holds (equal to the printed rounding).
    """
    import pandas as pd

    table = load("main")
    printed = table[table["benchmark"] == "Average"].set_index(["category", "model"])["value"]
    parts = table[table["benchmark"] != "Average"].groupby(["category", "model"], sort=False)["value"]
    frame = pd.DataFrame({"rows": parts.size(), "printed": printed, "recomputed": parts.mean()}).loc[printed.index]
    frame["difference"] = frame["recomputed"] - frame["printed"]
    frame["holds"] = frame["difference"].abs() <= 0.05 + 1e-9  # printed to one decimal; a tie may go either way
    return frame.reset_index()


def margins(category: str, model: str = MODEL) -> pd.DataFrame:
    """Where `model` wins and loses: reported value, best other value, whose it is, and the margin, best margin first."""
    table = load("main", wide=True).loc[category].drop("Average")
    others = table.drop(columns=model)
    frame = table[[model]].assign(best_other=others.max(axis=1), whose=others.idxmax(axis=1))
    return frame.assign(margin=frame[model] - frame["best_other"]).sort_values("margin", ascending=False, kind="stable")


def codec_gains() -> pd.DataFrame:
    """Codec against frames at every budget: frames, codec and gain (codec − frames), percent, by benchmark and budget."""
    table = load("codec_vs_frames", wide=True)
    return table.assign(gain=table["codec"] - table["frames"])


def guide_gaps() -> pd.DataFrame:
    """The guide's score beside the table's, per benchmark and backend, percent; VideoMME's three splits are averaged."""
    guide = load("guide").groupby(["benchmark", "backend"], sort=False)["value"].mean().rename("guide").reset_index()
    table = load("main", wide=True)[MODEL].droplevel("category")
    guide["table"] = [table[name] for name in guide["benchmark"]]
    return guide.assign(gap=guide["guide"] - guide["table"])


def frames_available(budget: int) -> tuple[float, float]:
    """Bounds of the mean number of frames a JumpScore clip offers at 1 fps under a cap of `budget` frames.

    The project page gives the clips' durations in five bins; a clip may lie at either end of its bin. The frames
    backend takes clip(duration · 1 fps, 4, budget) frames, rounded down to an even number (published).
    """
    bins = load("jumpscore_dataset").query("quantity == 'duration'")
    ends = [[float(end) for end in item.removesuffix(" s").split("-")] for item in bins["item"]]

    def frames(seconds: float) -> float:
        return min(max(seconds * FRAMES_PER_SECOND, 4), budget) // 2 * 2

    totals = (sum(n * frames(end[side]) for n, end in zip(bins["value"], ends, strict=True)) for side in (0, 1))
    low, high = (float(total / bins["value"].sum()) for total in totals)
    return low, high
