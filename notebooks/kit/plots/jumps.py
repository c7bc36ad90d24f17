"""Jump times over a clip: what is asked, how predictions are matched, and whose answers lie where."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ov2lib.evaluate.jumpscore import TOLERANCES, match
from ov2lib.figures import WIDTH

from .timeline import EVENT

WRONG = "#D55E00"
SHADES = {0.1: "#332288", 0.2: "#0072B2", 0.3: "#56B4E9"}  # the tolerances, strict to lenient
SPANS = {"skip": "#88CCEE", "rest": "#eeeeee", "wave": "#DDCC77", "turn": "#CC79A7", "passer-by": "#999999"}


def strip_figure(pictures: Mapping[float, np.ndarray], start: float) -> Figure:
    """The middle squares of pictures (seconds -> uint8 [H, W, 3]) around a jump at `start`, each with its distance in time."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(pictures), figsize=(WIDTH, WIDTH / len(pictures) + 0.3))
    nearest = min(pictures, key=lambda time: abs(time - start))
    for ax, (time, picture) in zip(axes, pictures.items(), strict=True):
        side, (height, width, _) = min(picture.shape[:2]), picture.shape
        top, left = (height - side) // 2, (width - side) // 2
        ax.imshow(picture[top : top + side, left : left + side])
        ax.set(xticks=[], yticks=[])
        ax.set_title("start" if time == nearest else f"{time - start:+.2f} s".replace("-", "−"), fontsize=8, loc="center")
        ax.spines[:].set(visible=bool(time == nearest), color=EVENT, linewidth=3)
    return figure


def draw_course(ax: Axes, spans: Sequence[tuple[str, float, float]], truth: Sequence[float]) -> None:
    """What goes on in a mini clip, named spans as bands in two lanes, and the starts of its jumps as lines."""
    for name, left, right in spans:
        if name in SPANS:
            lane = (0.0, 0.35) if name == "passer-by" else (0.4, 1.0)
            ax.axvspan(left, right, *lane, color=SPANS[name], linewidth=0)
            ax.annotate(
                name,
                ((left + right) / 2, sum(lane) / 2),
                xycoords=ax.get_xaxis_transform(),
                ha="center",
                va="center",
                fontsize=8,
            )
    ax.vlines(truth, 0.4, 1, color=EVENT, linewidth=1.5, transform=ax.get_xaxis_transform())
    ax.set(yticks=[], ylim=(0, 1), xlabel="seconds")
    ax.spines["left"].set_visible(False)


def draw_matching(ax: Axes, pred: Sequence[float], truth: Sequence[float], tolerance: float) -> list[dict]:
    """True starts above with their reach, predictions below, a line from each prediction to the truth it takes.

    Returns a row per prediction: tolerance, prediction, truth (None where it takes none).
    """
    # 1. Match answers to the truth
    pred, truth = sorted(pred), sorted(truth)
    taken = match(pred, truth, tolerance)
    rows = []
    # 2. The truth with its tolerance
    for time in truth:
        ax.fill_betweenx(
            [0.25, 1], time - tolerance, time + tolerance, color=SHADES.get(tolerance, EVENT), alpha=0.18, linewidth=0
        )
    hit = {place for place in taken if place is not None}
    ax.scatter(truth, np.ones(len(truth)), marker="v", s=34, zorder=3, edgecolors=EVENT,
               facecolors=[EVENT if place in hit else "white" for place in range(len(truth))])  # fmt: skip
    # 3. Answers, joined to what they hit
    for time, place in zip(pred, taken, strict=True):
        if place is not None:
            ax.plot([time, truth[place]], [0.25, 0.93], color="#555555", linewidth=0.9, zorder=2)
        ax.scatter(
            time, 0.25, marker="o" if place is not None else "X", s=30, zorder=3, color=EVENT if place is not None else WRONG
        )
        rows.append({"tolerance": tolerance, "prediction": time, "truth": None if place is None else truth[place]})
    ax.set(ylim=(0, 1.15), yticks=[0.25, 1], yticklabels=["answer", "truth"])
    ax.tick_params(axis="y", length=0)
    return rows


def draw_paces(ax: Axes, rows: Sequence[Mapping], lines: Mapping[str, float]) -> None:
    """AP of one list at a constant pace for every clip, over its period; rows have period, mAP and AP@tolerance."""
    periods = [row["period"] for row in rows]
    for tolerance in TOLERANCES:
        ax.plot(periods, [row[f"AP@{tolerance}"] for row in rows], color=SHADES[tolerance], label=f"AP at {tolerance} s")
    ax.plot(periods, [row["mAP"] for row in rows], color="#333333", linewidth=2, label="mAP, their mean")
    for name, value in lines.items():
        ax.axhline(value, color="#777777", linewidth=0.9, linestyle="--")
        ax.annotate(f"{name} {value:.2f}", (1, value), xycoords=ax.get_yaxis_transform(), xytext=(0, 2),
                    textcoords="offset points", ha="right", fontsize=8, color="#555555")  # fmt: skip
    ax.set(xlabel="seconds from one answer to the next", ylabel="score", ylim=(0, 1))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))


def draw_durations(ax: Axes, durations: Mapping[str, int], resolutions: Mapping[str, int]) -> None:
    """Clips by duration as bars, by resolution as a note."""
    places = np.arange(len(durations))
    bars = ax.bar(places, list(durations.values()), 0.75, color="#56B4E9")
    ax.bar_label(bars, fontsize=8)
    ax.set_xticks(places, [name.replace("-", "–").removesuffix(" s") for name in durations])
    ax.set(xlabel="seconds", ylabel="clips")
    note = "\n".join(f"{count} clips {name.replace('x', ' × ')}" for name, count in resolutions.items())
    ax.annotate(note, (1, 1), xycoords="axes fraction", ha="right", va="top", fontsize=8)


def draw_tags(
    ax: Axes, tags: Sequence[tuple[float, int]], bursts: Sequence[tuple[float, float]], truth: Sequence[float]
) -> None:
    """Visual tokens behind each time tag of a prompt, the bursts they form, and the true starts."""
    for left, right in bursts:
        ax.axvspan(left - 0.05, right + 0.05, color="#eeeeee", linewidth=0, zorder=0)
    times, counts = zip(*tags, strict=True) if tags else ((), ())
    ax.vlines(times, 0, counts, color="#0072B2", linewidth=1.6)
    ax.plot(truth, np.zeros(len(truth)), marker="^", linestyle="", color=EVENT, clip_on=False, zorder=4, markersize=6)
    ax.set(ylim=(0, None), ylabel="tokens\na tag")


def draw_answers(
    ax: Axes, truth: Sequence[float], answers: Mapping[str, Sequence[float]], tolerance: float, end: float
) -> None:
    """A lane per answer (name -> times) over the true starts with their reach; filled where it takes a true start."""
    for time in truth:
        ax.axvspan(time - tolerance, time + tolerance, color=EVENT, alpha=0.15, linewidth=0)
        ax.axvline(time, color=EVENT, linewidth=1)
    for lane, times in enumerate(answers.values()):
        ordered = sorted(times)
        for time, place in zip(ordered, match(ordered, truth, tolerance), strict=True):
            right = place is not None
            ax.scatter(time, lane, marker="o" if right else "X", s=26, color=EVENT if right else WRONG, zorder=3)
    ax.set(ylim=(len(answers) - 0.5, -0.5), xlim=(0, end))
    ax.set_yticks(range(len(answers)), list(answers))
    ax.tick_params(axis="y", length=0)


def answer_legend(figure: Figure, tolerance: float) -> None:
    """What the marks of `draw_answers` and `draw_matching` mean, above the figure."""
    marks = [
        Line2D([], [], color=EVENT, linewidth=1, label=f"true start, ± {tolerance:g} s"),
        Line2D([], [], color=EVENT, marker="o", linestyle="", label="answer that takes one"),
        Line2D([], [], color=WRONG, marker="X", linestyle="", label="answer that takes none"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=3)
