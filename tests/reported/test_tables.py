"""The reported tables: complete, sourced, and read the same way long, wide and as plain rows."""

import math
import subprocess
import sys
from dataclasses import dataclass

import pytest

from ov2lib import reported
from ov2lib.errors import ReportedError

KINDS = {
    "paper text", "project page", "paper text and project page", "guide", "authors' code", "published code", "released data",
    "released model", "third party", "project page and published code",
}  # fmt: skip


@pytest.mark.parametrize("table", sorted(set(reported.names()) - {"claims", "sources"}))  # rows of words: see test_claims
def test_every_value_has_a_source_and_a_known_kind(table):
    frame = reported.load(table)
    assert len(frame) == len(reported.rows(table)) > 0
    assert frame["source"].str.len().min() > 0
    assert set(frame["kind"]) <= KINDS
    if table != "benchmarks":
        assert frame["value"].notna().all()
    assert not frame.duplicated().any()


def test_main_table_has_48_rows_and_4_averages_for_six_models():
    wide = reported.load("main", wide=True)
    assert wide.shape == (52, 6) and wide.notna().all(axis=None)
    assert wide.groupby("category", sort=False).size().to_dict() == {"video": 19, "spatial": 12, "image": 12, "tracking": 9}
    assert (wide.index.get_level_values("benchmark") == "Average").sum() == 4
    assert wide.loc[("video", "JumpScore"), "LLaVA-OneVision-2"] == 74.9
    assert wide.loc[("image", "V*"), "PLM-8B"] == 71.2
    assert ((wide >= 0) & (wide <= 100)).all(axis=None)


def test_long_values_carry_metric_unit_and_direction():
    for table in ("main", "codec_vs_frames"):
        frame = reported.load(table)
        assert set(frame["unit"]) == {"percent"} and set(frame["better"]) == {"higher"}
    metrics = reported.load("codec_vs_frames").set_index("benchmark")["metric"]
    assert metrics["TimeLens-ActivityNet"].unique().tolist() == ["mIoU"]
    main = reported.load("main")
    assert main[main["benchmark"] == "Average"]["metric"].unique().tolist() == ["mean of the rows above"]


def test_seven_curves_at_their_budgets():
    wide = reported.load("codec_vs_frames", wide=True)
    budgets = wide.reset_index().groupby("benchmark", sort=False)["budget"].apply(list).to_dict()
    assert len(budgets) == 7 and len(wide) == 35
    assert budgets["JumpScore"] == [4, 8, 16, 32, 64, 128]
    assert budgets["LVBench"] == [16, 32, 64, 128]
    assert wide.loc[("LVBench", 16)].to_dict() == {"frames": 38.9, "codec": 40.9}


def test_long_and_wide_hold_the_same_values():
    long = reported.load("main").set_index(["category", "benchmark", "model"])["value"]
    wide = reported.load("main", wide=True).stack()
    assert all(wide[key] == value for key, value in long.items()) and len(wide) == len(long)


def test_benchmarks_describe_every_row_of_the_main_table():
    names = [row["benchmark"] for row in reported.rows("main") if row["benchmark"] != "Average"]
    assert list(reported.benchmarks().index) == list(dict.fromkeys(names))
    assert reported.benchmarks("spatial").shape[0] == 11
    assert reported.benchmarks().loc["MMStar", "questions"] == 1500


def test_wide_forms_pivot_text_too():
    constants = reported.load("codec_constants", wide=True)
    assert constants.loc[("lambda", "same-frame attenuation"), "paper text"] == "symbol only in the text we have"
    assert list(reported.load("stages", wide=True).columns) == [1, 2, 3, 4]
    assert reported.load("training_scripts", wide=True).loc["lr", "alignment.sh"] == "1e-4"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reported.load("table 7"), "there are benchmarks, caption_buckets"),
        (lambda: reported.rows("../main"), "no reported table"),
        (lambda: reported.load("guide", wide=True), "no wide form"),
        (lambda: reported.benchmarks("audio"), "video, spatial, image, tracking"),
        (lambda: reported.compare(model="GPT"), "no reported column"),
    ],
)
def test_unknown_names_are_refused(call, message):
    with pytest.raises(ReportedError, match=message):
        call()


@dataclass(frozen=True)
class Result:
    benchmark: str
    value: float
    split: str = ""
    date: str = "2026-01-02"
    revision: str = "5a75eaf7"
    arm: str = "sighted"


def test_compare_puts_reproduced_beside_reported():
    frame = reported.compare([Result("JumpScore", 75.0), Result("LVBench", 50.0, arm="blind")], category="video")
    assert frame.shape[0] == 18
    row = frame.loc["JumpScore"]
    assert (row["reported"], row["reproduced"], row["date"], row["revision"]) == (74.9, 75.0, "2026-01-02", "5a75eaf7")
    assert row["gap"] == pytest.approx(0.1)
    assert math.isnan(frame.loc["LVBench", "reproduced"])  # blind results never stand there
    assert reported.compare(category="image")["reproduced"].isna().all()


def test_splits_are_joined_only_when_all_are_there():
    parts = [Result("VideoMME", 81.0, "short", date="2026-01-01"), Result("VideoMME", 72.0, "medium")]
    assert math.isnan(reported.compare(parts).loc["VideoMME", "reproduced"])
    whole = reported.compare([*parts, Result("VideoMME", 63.0, "long", revision="main")]).loc["VideoMME"]
    assert whole["reproduced"] == pytest.approx(72.0)
    assert whole["date"] == "2026-01-02" and whole["revision"] == "5a75eaf7, main"


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([Result("EgoSchema", 1.0)], "EgoSchema"),
        ([Result("LVBench", 1.0), Result("LVBench", 2.0)], "two results for 'LVBench'"),
    ],
)
def test_results_that_do_not_fit_are_refused(results, message):
    with pytest.raises(ReportedError, match=message):
        reported.compare(results)


def test_importing_the_tables_loads_no_pandas():
    code = "import sys, ov2lib.reported as r; r.rows('main'); sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
