"""The laid-out tables: nothing mixed, nothing lost, the same in HTML and in text."""

import re
from dataclasses import dataclass

import pytest

pytest.importorskip("matplotlib")

from kit import claims
from kit.plots import tables  # noqa: E402
from kit.plots.sheet import lay_out  # noqa: E402
from ov2lib import reported  # noqa: E402
from ov2lib.evaluate import lmms_eval  # noqa: E402


@dataclass(frozen=True)
class Run:
    benchmark: str
    value: float
    split: str = ""
    arm: str = "sighted"
    date: str = "2026-01-01"
    revision: str = "abc1234"


def line(sheet, start):
    return next(part.split() for part in sheet.text.splitlines() if part.startswith(start))


def test_cells_keep_their_columns_and_bold_is_a_star():
    sheet = lay_out(
        ["name", ("group", "a"), ("group", "b")], [["x", "1.0", "2"], ["long & name", "", "10"]], {(0, 1)}, ["note"]
    )
    head, names, first, second, note = sheet.text.splitlines()
    assert head.strip() == "group" and note == "note"
    assert names.split() == ["name", "a", "b"] and first.split() == ["x", "1.0*", "2"]
    assert second.endswith(" 10") and len(first) == len(second)
    assert "<b>1.0</b>" in sheet.html and "long &amp; name" in sheet.html and sheet._repr_html_() == sheet.html


def test_long_cells_wrap_between_words_and_lose_none():
    words = "one two-three four five six seven"
    sheet = lay_out(["text", "n"], [[words, "1"]], width=10)
    body = sheet.text.splitlines()[1:]
    assert len(body) > 2 and " ".join(part[:10].strip() for part in body) == words


@pytest.mark.parametrize("category", ["video", "spatial", "image", "tracking"])
def test_results_hold_every_reported_value_and_star_the_best(category):
    sheet = tables.results(category, reported.compare((), category))
    table = reported.load("main", wide=True).loc[category]
    for name, values in table.iterrows():
        cells = line(sheet, "average, printed" if name == "Average" else f"{name}  ")
        cells = cells[len((name if name != "Average" else "average, printed").split()) :][:6]
        assert [float(cell.rstrip("*")) for cell in cells] == list(values)
        assert [cell.endswith("*") for cell in cells] == list(values == values.max())
    assert sheet.text.count("not run") == len(table) + 1  # each row, the recomputed average, the note
    assert ("authors' guide" in sheet.text) == (category == "video")


def test_own_runs_stay_beside_the_reported_values():
    sheet = tables.results("spatial", reported.compare([Run("CrossPoint", 60.0), Run("SAT", 70.3)], "spatial"))
    assert line(sheet, "CrossPoint")[-3:] == ["15.9", "60.00", "−1.90"]
    assert line(sheet, "SAT")[1:3] == ["69.3*", "69.3*"] and line(sheet, "SAT")[-1] == "+1.00"
    assert line(sheet, "average, recomputed")[-2:] == ["not", "run"]  # two rows of eleven are no average
    names = reported.benchmarks("spatial").index
    whole = tables.results("spatial", reported.compare([Run(name, 50.0) for name in names], "spatial"))
    assert line(whole, "average, recomputed")[-2:] == ["50.00", "−13.50"]


def test_protocol_lists_every_row_and_every_published_run():
    text = tables.protocol("video").text
    for row in reported.rows("guide"):
        assert re.search(rf"{row['task']}\b.*\b{row['budget']}\b.*{float(row['value']):.2f}", text), row
    for name in reported.benchmarks("video").index:
        assert name in text
    assert text.count(tables.NOT_LISTED) == 7 + 1  # seven rows, and one note that says it of the task
    image = tables.protocol("image").text
    assert len(re.findall(rf"  {tables.NOT_LISTED}", image)) == 11


def test_settings_in_words():
    told = {(run["benchmark"], run["backend"]): tables.settings(run) for run in lmms_eval.command_table()}
    assert told["JumpScore", "codec"].split(", ")[:2] == ["codec", "128 canvases"]
    assert told["JumpScore", "codec"].endswith("times to 0.01 s") and told["t/Charades", "codec"].endswith("times to 0.1 s")
    assert told["t/Charades", "frames"] == "frames, up to 128 at 1 fps, 153,664\N{NO-BREAK SPACE}px"
    assert told["SAT", ""] == tables.NOT_LISTED


def test_the_table_of_claims_holds_every_row():
    audited = claims.audit()
    sheet = tables.claims(audited)
    assert sheet.html.count("<tr>") == len(audited) + 1
    for claim in audited:
        assert claim.name in sheet.html and claim.computation in sheet.html
