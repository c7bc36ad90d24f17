"""The reported tables and the audit, laid out: values with reproduced ones beside them, protocols, claims."""

from collections.abc import Sequence

import pandas as pd

from ov2lib import reported
from ov2lib.evaluate import lmms_eval
from ov2lib.reported.tables import MODEL

from .. import derived
from ..claims import Claim
from .sheet import Sheet, lay_out

NOT_RUN = "not run"
NOT_LISTED = "not in the sources we have"


def results(category: str, compared: pd.DataFrame) -> Sheet:
    """The full table of a category: six models as reported, the authors' guide, and what a reader's own runs gave.

    Args:
        category: "video", "spatial", "image" or "tracking".
        compared: `ov2lib.reported.compare` of that category.

    Averages come twice: as printed, and as the mean of the rows above. Columns of the guide appear where it has a row.
    """
    # 1. What was reported, and the guide's and our own runs where there are any
    table = reported.load("main", wide=True).loc[category]
    guide = derived.nearest_guide()
    guided = not table.index.intersection(guide.index).empty
    columns = ["benchmark", *(("reported on the project page", model) for model in table.columns)]
    columns += [("authors' guide", "score"), ("authors' guide", "input")] * guided
    columns += [("own runs", "reproduced"), ("own runs", "gap")]
    # 2. One row for each benchmark, the best in bold
    rows, best = [], set()
    for r, (name, values) in enumerate(table.iterrows()):
        best |= {(r, i) for i, value in enumerate(values, 1) if value == values.max()}
        own = _own(*compared.loc[name, ["reproduced", "gap"]]) if name in compared.index else ["", ""]
        label = "average, printed" if name == "Average" else name
        rows.append([label, *(f"{value:.1f}" for value in values), *(_guide(guide, name) if guided else []), *own])
    # 3. Averages recomputed
    means, run = table.drop("Average").mean(), compared["reproduced"].mean(skipna=False)
    last = [*(f"{value:.2f}" for value in means), *(["", ""] if guided else []), *_own(run, run - means[MODEL])]
    rows.append(["average, recomputed", *last])
    # 4. Notes
    notes = [f"percent, higher is better; bold (* in text): best of the six; gap = reproduced − reported; {NOT_RUN}: no file"]
    if guided:
        notes.append("guide: a later run of the same model by its authors; of two inputs the one nearer to the reported value")
    return lay_out(columns, rows, best, notes)


def protocol(category: str) -> Sheet:
    """How each row of a category is measured: metric, questions, lmms-eval's task, the guide's settings and its score."""
    about = reported.benchmarks(category)
    runs = [run for run in lmms_eval.command_table() if run["category"] == category]
    notes = list(dict.fromkeys(run["note"] for run in runs if run["note"]))
    rows, last = [], None
    for run in runs:
        name = run["benchmark"]
        one = about.loc[name]
        known = ["", ""] if name == last else [one["metric"], _or(one["questions"], "{:,.0f}", "unknown")]
        task = run["task"] or "none"
        note = f"({notes.index(run['note']) + 1})" if run["note"] else ""
        label = f"{name}, {run['split']}" if run["split"] else name
        rows.append([label, *known, task, settings(run), _or(_guide_score(run), "{:.2f}", ""), note])
        last = name
    columns = ["row", "metric", "questions", "lmms-eval task", "settings of the guide", "guide", "note"]
    return lay_out(columns, rows, notes=[f"({number}) {note}" for number, note in enumerate(notes, 1)], width=44)


def settings(run: dict) -> str:
    """One row of `ov2lib.evaluate.lmms_eval.command_table` in words: input, budget, pixels; or `NOT_LISTED`."""
    if not run["backend"]:
        return NOT_LISTED
    low, high = (f"{int(run[name]):,}" for name in ("min_pixels", "max_pixels"))
    pixels = f"{high}\N{NO-BREAK SPACE}px" if low == high else f"{low}–{high}\N{NO-BREAK SPACE}px"
    if run["backend"] == "codec":
        return f"codec, {run['budget']} canvases, {pixels}, times to 0.{'0' * (int(run['timestamp_decimals']) - 1)}1 s"
    return f"frames, up to {run['budget']} at 1 fps, {pixels}"


def averages(category: str) -> pd.DataFrame:
    """`kit.derived.averages` of one category, indexed by model."""
    frame = derived.averages().query("category == @category").set_index("model")
    return frame[["rows", "printed", "recomputed", "holds"]].round({"recomputed": 3})


def claims(audited: Sequence[Claim]) -> Sheet:
    """The audit as one table: what is said and where, what would decide it, what we have, and the computation."""
    rows = [[f"{c.name}: {c.quote}", f"{c.source}, {c.place}", c.decides, " ".join([f"{c.have}.", c.remark]), c.verdict or "–",
             c.computation] for c in audited]  # fmt: skip
    return lay_out(["claim", "where", "what decides it", "what we have", "verdict", "computation"], rows, width=34)


def _or(value: float, form: str, otherwise: str) -> str:
    return otherwise if pd.isna(value) else form.format(value)


def _own(reproduced: float, gap: float) -> list[str]:
    return [_or(reproduced, "{:.2f}", NOT_RUN), _or(gap, "{:+.2f}", "").replace("-", "−")]


def _guide(guide: pd.DataFrame, name: str) -> list[str]:
    return [f"{guide.loc[name, 'guide']:.2f}", guide.loc[name, "backend"]] if name in guide.index else ["–", "–"]


def _guide_score(run: dict) -> float:
    keys = ("benchmark", "split", "backend")
    scores = [row["value"] for row in reported.rows("guide") if all(row[key] == run[key] for key in keys)]
    return float(scores[0]) if scores else float("nan")
