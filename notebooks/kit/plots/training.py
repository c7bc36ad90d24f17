"""A stage of training in pictures and tables: its configuration, its curves, and held-out scores before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from ov2lib.train.lora import LoraSettings
from ov2lib.train.plan import Plan
from ov2lib.train.stages import StageConfig

from .sheet import Sheet, lay_out

if TYPE_CHECKING:
    from ..school.footprint import Footprint

# After the stage, before it, and what needs no sight: (label, colour, marker)
LOOKS = {
    "before": ("stage before", "#888888", "o"),
    "sighted": ("after", "#D55E00", "o"),
    "blind": ("after, black pixels", "#332288", "s"),
    "constant": ("best constant answer", "#117733", "D"),
    "permuted": ("true answers, shuffled", "#AA4499", "X"),
    "tags": ("time tags alone", "#56B4E9", "^"),
}
ASIDE = ("stage", "name", "scale", "variant", "sources")  # fields that the table shows in another way
CURVES = (("loss", "loss"), ("learning_rate", "learning rate"), ("grad_norm", "norm of the gradient"))


def config_table(mini: StageConfig, real: StageConfig) -> Sheet:
    """Every field of a stage at two scales, each value with where it is from."""
    rows = [_sources_row(mini, real)]
    for small, large in zip(mini.rows(), real.rows(), strict=True):
        if small["field"] not in ASIDE:
            origins = [f"{row['kind']}: {row['origin']}" for row in (small, large)]
            rows.append([small["field"], _value(small["value"]), origins[0], _value(large["value"]), origins[1]])
    columns = ["field", *((scale, name) for scale in ("mini", "8B") for name in ("value", "origin"))]
    return lay_out(columns, rows, width=38)


def change_table(before: StageConfig, now: StageConfig) -> Sheet:
    """The fields in which a stage differs from the one before it."""
    rows = [["sources", _named_sources(before), _named_sources(now)]]
    for old, new in zip(before.rows(), now.rows(), strict=True):
        if old["field"] not in ASIDE and old["value"] != new["value"]:
            rows.append([old["field"], _value(old["value"]), _value(new["value"])])
    return lay_out(["field", f"stage {before.stage}", f"stage {now.stage}"], rows, width=60)


def _named_sources(config: StageConfig) -> str:
    return ", ".join(f"{source.name} {_count(source.samples)}" for source in config.sources)


def _sources_row(mini: StageConfig, real: StageConfig) -> list[str]:
    cells = ["sources"]
    for config in (mini, real):
        cells += [_named_sources(config), config.origin["sources"]]
    return cells


def _count(samples: int | None) -> str:
    return "(size not in our sources)" if samples is None else f"({samples:,})"


def _value(value: object) -> str:
    if isinstance(value, LoraSettings):
        return ", ".join(f"{name} {setting}" for name, setting in vars(value).items())
    if isinstance(value, dict):
        return ", ".join(f"{name} {share:g}" for name, share in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"


def draw_curves(axes: Sequence[Axes], metrics: Sequence[dict], processor: str = "") -> list[dict]:
    """Loss, learning rate and gradient norm by step, all but the rate on logarithmic axes, with a running mean over a
    twentieth of the run. A row per step.

    processor: what the run was trained on, noted below the pictures, since its order of additions moves training.
    """
    rows = [{"step": row["step"]} | {name: row[name] for name, _ in CURVES} for row in metrics if "loss" in row]
    steps = np.array([row["step"] for row in rows])
    window = max(1, len(rows) // 20)
    for ax, (name, label) in zip(axes, CURVES, strict=True):
        values = np.array([row[name] for row in rows], float)
        smooth = np.convolve(values, np.full(window, 1 / window), "valid")
        noisy = name != "learning_rate" and window > 1
        ax.plot(steps, values, color="#D55E00", linewidth=0.7 if noisy else 1.4, alpha=0.35 if noisy else 1)
        if noisy:
            middle = (window - 1) // 2
            ax.plot(steps[middle : middle + len(smooth)], smooth, color="#D55E00", linewidth=1.4)
        ax.set(xlabel="step", title=label, yscale="linear" if name == "learning_rate" else "log")
    if processor:
        note = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 5, "ha": "right", "va": "top"}
        axes[-1].annotate(f"trained on {processor}", (1, 0), (0, -26), **note)
    return rows


def draw_scores(ax: Axes, rows: Sequence[dict], stage: int, asked: int) -> list[dict]:
    """The questions of stage `asked` before and after stage `stage`: a mark per arm, a line for its interval.

    Args:
        rows: of `kit.school.exam.examine_run`.

    Returns:
        the rows drawn, with the name of their mark.
    """
    # 1. The rows to show, and their tasks in order
    marked = [row | {"mark": name} for row in rows if row["stage"] == asked and (name := _mark(row, stage))]
    tasks = list(dict.fromkeys((row["task"], row["metric"]) for row in marked))
    marks = [name for name in LOOKS if any(row["mark"] == name for row in marked)]
    # 2. One mark for each model, shifted so that none hides another
    for name, (label, colour, marker) in LOOKS.items():
        own = [row for row in marked if row["mark"] == name]
        if not own:
            continue
        shift = 0.13 * (marks.index(name) - (len(marks) - 1) / 2)
        places = [tasks.index((row["task"], row["metric"])) + shift for row in own]
        intervals = [(row["low"], row["high"]) for row in own]
        ax.hlines(places, *np.transpose(intervals), color=colour, linewidth=1.2)
        words = "the start" if name == "before" and stage == 1 else label
        ax.plot([row["score"] for row in own], places, marker, color=colour, markersize=4.5, label=words)
    # 3. Axes
    ax.set(xlim=(-0.02, 1.02), xlabel="score", ylim=(len(tasks) - 0.5, -0.5))
    ax.set_yticks(range(len(tasks)), [f"{_kind(task)}\n{metric}" for task, metric in tasks], fontsize=7)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", linewidth=0.4)
    return marked


def _mark(row: dict, stage: int) -> str | None:
    """Which of LOOKS a row is drawn as; the blind arm of the stage before is left to the table."""
    if row["after"] == stage:
        return row["arm"]
    return "before" if row["arm"] == "sighted" else None


def _kind(task: str) -> str:
    return task.partition("/")[2] or task


def score_table(rows: Sequence[dict], stage: int) -> Sheet:
    """The same numbers, all of them: a line per kind of question, score and interval per arm."""
    given = {(row["after"], row["arm"]) for row in rows}
    arms = [(stage - 1, "sighted"), (stage - 1, "blind"), *((stage, arm) for arm in LOOKS if (stage, arm) in given)]
    cells = {(row["stage"], row["task"], row["after"], row["arm"]): row for row in rows}
    tasks = dict.fromkeys((row["stage"], row["task"], row["metric"]) for row in rows)
    lines = []
    for asked, task, metric in sorted(tasks, key=lambda key: -key[0]):
        values = [cells.get((asked, task, after, arm)) for after, arm in arms]
        lines.append([str(asked), _kind(task), metric, *map(_interval, values)])
    before = "the start" if stage == 1 else f"after stage {stage - 1}"
    heads = [(before if after < stage else f"after stage {stage}", arm) for after, arm in arms]
    return lay_out(["asked in stage", "question", "metric", *heads], lines)


VARIANTS = {"full": ("full training", "#332288", "o"), "lora": ("LoRA", "#D55E00", "s")}


def draw_variants(ax: Axes, rows: Sequence[dict]) -> None:
    """Full training and LoRA by kind of question: a small mark per seed, a large one for their mean.

    rows: of `kit.school.adapters.read_adapters`.
    """
    tasks = _questions(rows)
    for shift, (variant, (label, colour, marker)) in zip((-0.15, 0.15), VARIANTS.items(), strict=True):
        for place, task in enumerate(tasks):
            scores = _scores(rows, task, variant)
            ax.plot(scores, [place + shift] * len(scores), marker, color=colour, markersize=3, alpha=0.4)
            ax.plot(np.mean(scores), place + shift, marker, color=colour, markersize=6, label=label if place == 0 else None)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(tasks) - 0.5, -0.5), xlabel="score", title="seeds, mean")
    ax.set_yticks(range(len(tasks)), [f"{stage} · {_kind(task)}, {metric}" for stage, task, metric in tasks], fontsize=7)
    ax.grid(axis="x", linewidth=0.4)


def draw_settings(ax: Axes, rows: Sequence[dict], stage: int) -> None:
    """Scores of the sweep's settings, first seed: a line for each, a column for each kind of question."""
    swept = [row for row in rows if row["stage"] == stage and row["seed"] == 0]
    names = list(dict.fromkeys(_setting(row) for row in swept))
    tasks = list(dict.fromkeys(row["task"] for row in swept))
    scores = np.zeros((len(names), len(tasks)))
    for row in swept:
        scores[names.index(_setting(row)), tasks.index(row["task"])] = row["score"]
    ax.imshow(scores, cmap="Greens", vmin=0, vmax=1.4, aspect="auto")
    for (line, column), score in np.ndenumerate(scores):
        ax.text(column, line, f"{score:.2f}", ha="center", va="center", fontsize=7)
    ax.set_xticks(range(len(tasks)), [_kind(task) for task in tasks], fontsize=6)
    ax.set_yticks(range(len(names)), names, fontsize=6)
    ax.set(title=f"settings, stage {stage}")


def variant_table(rows: Sequence[dict]) -> Sheet:
    """Full training beside LoRA: the mean over seeds, the least and the largest."""
    lines = []
    for question in _questions(rows):
        stage, task, metric = question
        cells = [_scores(rows, question, variant) for variant in VARIANTS]
        texts = [f"{np.mean(scores):.2f} [{min(scores):.2f}, {max(scores):.2f}]" for scores in cells]
        lines.append([str(stage), _kind(task), metric, str(min(map(len, cells))), *texts])
    return lay_out(["stage", "question", "metric", "seeds", *(label for label, *_ in VARIANTS.values())], lines)


def _questions(rows: Sequence[dict]) -> list[tuple[int, str, str]]:
    """(stage, task, metric) of what both variants were asked."""
    asked = {variant: {(row["stage"], row["task"], row["metric"]): None for row in rows if row["variant"] == variant}
             for variant in VARIANTS}  # fmt: skip
    return [question for question in asked["full"] if question in asked["lora"]]


def _scores(rows: Sequence[dict], question: tuple[int, str, str], variant: str) -> list[float]:
    """A variant's scores on one kind of question, by seed."""
    return [row["score"] for row in rows if (row["stage"], row["task"], row["metric"], row["variant"]) == (*question, variant)]


def _setting(row: dict) -> str:
    if row["variant"] == "full":
        return "full training"
    beside = "" if row["beside"] == "connector" else f", {row['beside']}"
    return f"rank {row['rank']}, {row['learning_rate']}, {row['steps']} steps{beside}"


def _interval(row: dict | None) -> str:
    if row is None:
        return ""
    if row["low"] is None:
        return f"{row['score']:.2f}"
    return f"{row['score']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def footprint_table(footprints: Sequence["Footprint"]) -> Sheet:
    """Measured steps side by side; megabytes are 10⁶ bytes."""
    rows = [
        [
            one.variant, f"{one.trained:,}", f"{one.trained / one.parameters:.1%}", f"{one.seconds:.2f}",
            *(f"{size / 1e6:.1f}" for size in (one.weights, one.gradients, one.moments, one.activations, one.memory, one.disk)),
        ]
        for one in footprints
    ]  # fmt: skip
    parts = [("MB in memory", name) for name in ("weights", "gradients", "moments", "activations", "together")]
    return lay_out(["variant", "trained", "of all", "s / step", *parts, "MB on disk"], rows)


def plan_table(plans: Sequence[Plan]) -> Sheet:
    """Plans of one stage side by side: steps, hours, and the memory of a GPU in the layouts there are."""
    rows = [
        [
            plan.variant, f"{plan.gpus:,}", layout, f"{plan.steps:,}", f"{plan.hours:,.0f}", f"{plan.hours * plan.gpus:,.0f}",
            f"{memory.total / 2**30:.0f}", f"{'fits' if plan.fits(layout) else 'too large for'} {plan.gpu_memory:g} GB",
        ]
        for plan in plans
        for layout, memory in plan.memory.items()
    ]  # fmt: skip
    return lay_out(["variant", "GPUs", "layout", "steps", "hours", "GPU hours", "GiB a GPU", ""], rows)
