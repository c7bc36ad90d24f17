"""The reported tables: names, rows, pandas frames long or wide, recomputed averages, and reproduced beside reported."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..errors import ReportedError

if TYPE_CHECKING:
    import pandas as pd

MODEL = "LLaVA-OneVision-2"
BASELINE = "Qwen3-VL-8B"  # the model that the paper's text compares with

# how a wide frame of each table is laid out: its row labels and its column
_WIDE = {
    "main": (["category", "benchmark"], "model"),
    "codec_vs_frames": (["benchmark", "budget"], "front_end"),
    "tracking_4b": (["dataset"], "metric"),
    "data_mixture": (["corpus", "component"], "quantity"),
    "caption_buckets": (["bucket"], "quantity"),
    "codec_constants": (["symbol", "meaning"], "source"),
    "stages": (["field"], "stage"),
    "training_scripts": (["field"], "script"),
    "independent_runs": (["benchmark", "quantity"], "front_end"),
}


def names() -> tuple[str, ...]:
    """Names of the tables that `load` knows."""
    return tuple(sorted(path.name.removesuffix(".csv") for path in _folder().iterdir() if path.name.endswith(".csv")))


@cache
def rows(table: str) -> tuple[dict[str, str], ...]:
    """The rows of a table as plain strings, without pandas.

    Raises:
        ReportedError: no such table.
    """
    path = _folder() / f"{table}.csv"
    if table not in names():
        raise ReportedError(f"no reported table {table!r}; there are {', '.join(names())}")
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(csv.DictReader(lines))


def load(table: str, wide: bool = False) -> pd.DataFrame:
    """A reported table as a pandas frame.

    Long (the default) has one value a row, with `value`, `source` and `kind`; "main" and "codec_vs_frames" also carry
    `metric`, `unit` and `better` ("higher"). Wide pivots the values only, in the order of the source:

    ==================  =====================================================================================
    main                48 benchmarks and 4 printed averages (rows) by 6 models, percent
    benchmarks          metric, unit, direction, sizes, scorer, lmms-eval task of each of the 48 (no wide form); `groups` are
                        the questions that may count as independent: videos or images that share several count once
    codec_vs_frames     7 benchmarks at every budget (frames or canvases) by front end, percent
    guide               the reproduction guide's settings and scores, percent (no wide form)
    tracking_4b         an author's 4B tracking model, percent
    jumpscore_dataset   sizes, durations, resolutions of the benchmark's clips (no wide form)
    data_mixture        shares and counts of the training corpora
    caption_buckets     video captions by clip length
    codec_constants     each codec constant by who states it (text)
    stages              the four training stages (text)
    training_scripts    settings of the public launch scripts (text)
    independent_runs    a third party's run of both backends
    facts               single statements, by who makes them (no wide form)
    sources             the texts that were read, in which state (no values)
    claims              the rows of `kit.claims.audit`, before their numbers are filled in (no values)
    ==================  =====================================================================================

    Raises:
        ReportedError: no such table, or no wide form of it.
    """
    import pandas as pd

    frame = pd.DataFrame(list(rows(table)))
    for column in frame.columns:
        frame[column] = _numbers(frame[column])
    if wide:
        return _pivot(table, frame)
    if table in ("main", "codec_vs_frames"):
        about = {row["benchmark"]: row for row in rows("benchmarks")}
        for column in ("metric", "unit", "better"):
            known = [about.get(_MAIN_NAMES.get(name, name), {}).get(column) for name in frame["benchmark"]]
            frame[column] = [value or _OTHERWISE[column] for value in known]
    return frame


def benchmarks(category: str | None = None) -> pd.DataFrame:
    """The 48 benchmarks, indexed by name, or those of "video", "spatial", "image" or "tracking".

    Raises:
        ReportedError: no such category.
    """
    frame = load("benchmarks").set_index("benchmark")
    return frame if category is None else frame[frame["category"] == _category(category)]


def compare(results: Iterable[Any] = (), category: str | None = None, model: str = MODEL) -> pd.DataFrame:
    """Reported beside reproduced: one row a benchmark, in the table's order.

    Args:
        results: what `ov2lib.evaluate.lmms_eval.read_results` returned; anything with `benchmark`, `split`, `value`
            (percent), `date`, `revision` and `arm`. Only sighted results enter; the splits of a benchmark (VideoMME's
            short, medium and long, equal in size) are averaged once all of the guide's are there.
        category: "video", "spatial", "image" or "tracking"; None for all.
        model: whose reported column.

    Returns:
        Index benchmark; columns category, metric, reported, reproduced, gap (reproduced − reported), date, revision.
        Without a result, reproduced and gap are NaN.

    Raises:
        ReportedError: an unknown category or model, a result for no reported row, or two for the same one.
    """
    table = load("main", wide=True)
    if model not in table.columns:
        raise ReportedError(f"no reported column {model!r}; there are {', '.join(table.columns)}")
    frame = benchmarks(category)[["category", "metric"]].copy()
    frame["reported"] = [table.loc[(kind, name), model] for name, kind in frame["category"].items()]
    for column, empty in (("reproduced", float("nan")), ("gap", float("nan")), ("date", ""), ("revision", "")):
        frame[column] = empty
    for name, splits in _by_benchmark(results).items():
        if name in frame.index and (value := _joined(name, splits)) is not None:
            frame.loc[name, "reproduced"] = value
            frame.loc[name, "date"] = max(result.date for result in splits.values())
            frame.loc[name, "revision"] = ", ".join(sorted({result.revision for result in splits.values()}))
    frame["gap"] = frame["reproduced"] - frame["reported"]
    return frame


# the figure of codec against frames names its benchmarks otherwise than the main table
_MAIN_NAMES = {
    "TimeLens-QVHighlights": "t/QVHighlights",
    "TimeLens-Charades-STA": "t/Charades",
    "TimeLens-ActivityNet": "t/ActivityNet",
    "VideoMME-Long-Sub": "VideoMME (w/ sub)",
}
_OTHERWISE = {"metric": "mean of the rows above", "unit": "percent", "better": "higher"}


def _folder():
    return files(__package__) / "data"


def _category(category: str) -> str:
    known = dict.fromkeys(row["category"] for row in rows("benchmarks"))
    if category not in known:
        raise ReportedError(f"no category {category!r}; there are {', '.join(known)}")
    return category


def _numbers(column: pd.Series) -> pd.Series:
    """The column as numbers, if all that it holds are; empty cells become missing."""
    import pandas as pd

    filled = column.mask(column == "")
    try:
        return pd.to_numeric(filled) if filled.notna().any() else filled
    except ValueError:
        return filled


def _pivot(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    if table not in _WIDE:
        raise ReportedError(f"{table!r} has no wide form; load it long, or one of {', '.join(_WIDE)} wide")
    index, column = _WIDE[table]
    wide = frame.pivot(index=index, columns=column, values="value")
    labels = list(dict.fromkeys(frame[index].itertuples(index=False, name=None)))
    wide = wide.reindex(labels if len(index) > 1 else [label for (label,) in labels])
    return wide[list(dict.fromkeys(frame[column]))].rename_axis(columns=None)


def _by_benchmark(results: Iterable[Any]) -> dict[str, dict[str, Any]]:
    known = {row["benchmark"] for row in rows("benchmarks")}
    benchmarks: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.benchmark not in known:
            raise ReportedError(f"a result for {result.benchmark!r}, which no reported table has")
        if result.arm != "sighted":
            continue
        splits = benchmarks.setdefault(result.benchmark, {})
        if result.split in splits:
            where = f"{result.benchmark} {result.split}".strip()
            raise ReportedError(f"two results for {where!r}; pass the one you mean to show")
        splits[result.split] = result
    return benchmarks


def _joined(benchmark: str, splits: dict[str, Any]) -> float | None:
    """The whole benchmark's value: its own, or the mean of its splits once the guide's are all there."""
    if "" in splits:
        return splits[""].value
    expected = {row["split"] for row in rows("guide") if row["benchmark"] == benchmark}
    return sum(result.value for result in splits.values()) / len(splits) if set(splits) == expected else None
