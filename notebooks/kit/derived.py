"""Numbers that follow from the reported ones: averages, margins, gains of codec over frames, gaps to the guide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ov2lib.reported.tables import BASELINE, MODEL, benchmarks, load

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
    """Where `model` wins and loses: reported value, best other value, whose it is, and the margin, best margin first.

    `uncertainty` is half the width of a rough 95 % interval of the margin, in points, missing where the number n is not known:
    1.96 √((p(1 − p) + q(1 − q)) / n), since the mean of scores between 0 and 1 has a variance of at most p(1 − p) / n. Here n
    is the number of independent groups: questions about one video or image count once, as if all were answered alike, and so
    do rotations of one question and groups that are scored together. `narrow` takes every question as independent; the truth
    lies between. *Assumed*, because no answers per question were published: the models count as tested on different
    questions (pairing would narrow both).
    """
    table = load("main", wide=True).loc[category].drop("Average")
    others = table.drop(columns=model)
    frame = table[[model]].assign(best_other=others.max(axis=1), whose=others.idxmax(axis=1))
    frame["margin"] = frame[model] - frame["best_other"]
    counts = benchmarks(category).reindex(frame.index)
    spread = sum(frame[column] * (100 - frame[column]) for column in (model, "best_other"))
    frame["uncertainty"] = 1.96 * (spread / counts["groups"]) ** 0.5
    frame["narrow"] = 1.96 * (spread / counts["questions"].fillna(counts["groups"])) ** 0.5
    return frame.sort_values("margin", ascending=False, kind="stable")


def gains(category: str, baseline: str = BASELINE, model: str = MODEL) -> pd.Series:
    """`model` − `baseline` for every row of a category, largest first; their mean is the gain of the averages."""
    table = load("main", wide=True).loc[category].drop("Average")
    return (table[model] - table[baseline]).rename("gain").sort_values(ascending=False, kind="stable")


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


def nearest_guide() -> pd.DataFrame:
    """Of `guide_gaps`, per benchmark the backend whose score lies nearest the table's: the one the row seems to come from."""
    gaps = guide_gaps()
    return gaps.loc[gaps["gap"].abs().groupby(gaps["benchmark"], sort=False).idxmin()].set_index("benchmark")


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
