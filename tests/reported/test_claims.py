"""Derived numbers and the audit, checked against arithmetic done here from the plain rows."""

from fractions import Fraction

import pytest

from ov2lib import reported
from ov2lib.reported import claims

OURS, THEIRS = "LLaVA-OneVision-2", "Qwen3-VL-8B"


def exact_mean(values):
    values = [Fraction(value) for value in values]
    return sum(values) / len(values)


def test_every_printed_average_is_the_mean_of_its_rows():
    rows = reported.rows("main")
    frame = reported.averages()
    assert len(frame) == 24 and frame["holds"].all()
    for line in frame.itertuples():
        part = [r for r in rows if r["category"] == line.category and r["model"] == line.model]
        mean = exact_mean(r["value"] for r in part if r["benchmark"] != "Average")
        assert line.recomputed == pytest.approx(float(mean))
        assert line.rows == len(part) - 1
        printed = Fraction(next(r["value"] for r in part if r["benchmark"] == "Average"))
        assert abs(mean - printed) <= Fraction(5, 100)


@pytest.mark.parametrize(
    ("benchmark", "gain"),
    [
        ("TimeLens-QVHighlights", 13.38),
        ("TimeLens-Charades-STA", 6.48),
        ("TimeLens-ActivityNet", 9.36),
        ("LVBench", 1.65),
        ("VideoMME-Long-Sub", 1.2),
        ("VideoEval-Pro", 2.64),
        ("JumpScore", 17.28),
    ],
)
def test_mean_gains_of_codec_over_frames(benchmark, gain):
    assert reported.codec_gains().loc[benchmark, "gain"].mean() == pytest.approx(gain, abs=0.005)


def test_where_codec_loses():
    gains = reported.codec_gains()["gain"].round(1)
    assert gains[gains < 0].to_dict() == {
        ("TimeLens-Charades-STA", 32): -3.2,
        ("TimeLens-Charades-STA", 64): -3.4,
        ("VideoMME-Long-Sub", 32): -0.6,
        ("VideoMME-Long-Sub", 128): -0.1,
    }


def test_margins_say_who_is_better():
    video = reported.margins("video")
    assert len(video) == 18 and "Average" not in video.index
    assert video.index[0] == "JumpScore" and video.loc["JumpScore", "margin"] == pytest.approx(35.3)
    assert video.loc["MMVU-val", "whose"] == "Keye-VL-1.5-8B"
    assert (video["margin"] > 0).sum() == 9
    against = reported.margins("image", model=THEIRS)
    assert OURS in set(against["whose"])


def test_uncertainty_of_a_margin_by_hand():
    image = reported.margins("image").loc["V*"]  # 85.9 against 85.3 on 191 questions
    assert image["uncertainty"] == pytest.approx(100 * 1.96 * ((0.859 * 0.141 + 0.853 * 0.147) / 191) ** 0.5)
    assert reported.margins("tracking")["uncertainty"].isna().all()  # no number of expressions was published


def test_gains_are_differences_and_their_mean_that_of_the_averages():
    gains = reported.gains("spatial")
    assert gains.is_monotonic_decreasing and gains["CrossPoint"] == pytest.approx(35.0)
    means = reported.averages().set_index(["category", "model"])["recomputed"]
    assert gains.mean() == pytest.approx(means["spatial", OURS] - means["spatial", THEIRS])
    assert reported.gains("image", baseline="LLaVA-OneVision-1.5")["V*"] == pytest.approx(8.4)


def test_nearest_guide_is_one_backend_a_row():
    near = reported.nearest_guide()
    assert near.index.is_unique and len(near) == 11
    assert near["backend"].value_counts().to_dict() == {"frames": 9, "codec": 2}
    assert near.loc["t/Charades", "backend"] == "frames" and near.loc["VideoMME-v2-64", "backend"] == "codec"


def test_guide_gaps_average_the_splits():
    gaps = reported.guide_gaps().set_index(["benchmark", "backend"])
    assert gaps.loc[("VideoMME", "frames"), "guide"] == pytest.approx((81.56 + 72.56 + 62.33) / 3)
    assert gaps.loc[("VideoMME", "frames"), "guide"] == pytest.approx(72.15, abs=0.005)
    assert gaps.loc[("VideoMME (w/ sub)", "frames"), "guide"] == pytest.approx(76.85, abs=0.005)
    assert gaps.loc[("JumpScore", "codec"), "gap"] == pytest.approx(0.59)
    assert gaps.loc[("t/Charades", "codec"), "gap"] == pytest.approx(-3.41)


def test_frames_a_jumpscore_clip_offers():
    # 9 clips of 0-30 s, 105 of 30-60, 112 of 60-90, 10 of 90-120, 4 of 120-180; one frame a second, at least 4, even
    low = (9 * 4 + 105 * 30 + 112 * 60 + 10 * 90 + 4 * 120) / 240
    high = (9 * 30 + 105 * 60 + 112 * 90 + 10 * 120 + 4 * 128) / 240
    assert reported.frames_available(128) == pytest.approx((low, high))
    assert reported.frames_available(4) == (4, 4)
    assert reported.frames_available(45) == pytest.approx(((9 * 4 + 105 * 30 + 126 * 44) / 240, (9 * 30 + 231 * 44) / 240))


@pytest.mark.parametrize(
    ("claim", "recomputed", "verdict"),
    [
        ("printed_averages", ["+4.31", "+5.34"], "holds"),
        ("gain_in_few_rows", ["+1.92 without JumpScore", "+0.08 without CrossPoint and TraceSpatial-3D"], "does not hold"),
        ("tracking_average", ["+15.60", "+13.1"], "holds with a condition"),
        ("tracking_f_column", ["6 cells"], "does not hold"),
        ("jumpscore_gain_in_the_abstract", ["+17.28", "+9.74"], "does not hold"),
        ("jumpscore_lead", ["+44.8", "+15.3"], "holds with a condition"),
        ("backend_per_row", ["JumpScore: codec", "t/Charades: frames", "VideoMME-v2-64: codec"], "holds with a condition"),
        ("codec_losses", ["31 of 35", "loses at 4"], "does not hold"),
        ("budgets_in_tokens", ["2.04 times"], "holds with a condition"),
        ("budgets_on_jumpscore", ["between 47 and 77"], "open"),
        ("spatial_samples", ["2.78M by the chart", "2.78M by its parts"], "does not hold"),
        ("caption_counts", ["7.95M", "105.1 B"], "does not hold"),
        ("released_chain", ["8 of 19"], "does not hold"),
        ("guide_scores", ["8 of 11"], "holds with a condition"),
        ("jumpscore_release", ["189 rows"], "holds with a condition"),
        ("small_tracker", ["65.74", "54.26"], "open"),
        ("independent_run", ["69.4 frames, 69.6 codec", "65.4 frames, 65.4 codec"], "does not hold"),
        ("unpublished", ["not recovered"], "not recoverable"),
        ("sight_or_timing", ["no published control"], "open"),
    ],
)
def test_audit(claim, recomputed, verdict):
    found = reported.audit_table().loc[claim]
    assert all(part in found["recomputed"] for part in recomputed), found["recomputed"]
    assert found["verdict"] == verdict


def test_audit_is_complete_and_well_formed():
    audited = reported.audit()
    assert [claim.name for claim in audited] == [function.__name__.removeprefix("_") for function in claims._CLAIMS]
    assert {claim.verdict for claim in audited} == set(claims.VERDICTS)
    assert all(c.claim and c.source and c.recomputed and c.arithmetic and c.remark for c in audited)


def test_readings_are_told_from_what_is_said_outright():
    said = {claim.name for claim in reported.audit() if claim.outright}
    assert {"printed_averages", "tracking_average", "jumpscore_gain_in_the_abstract", "spatial_samples"} <= said
    assert not said & {"gain_in_few_rows", "tracking_f_column", "codec_losses", "unpublished", "sight_or_timing"}


def test_f_cannot_be_boundary_accuracy():
    value = {(r["benchmark"], r["model"]): Fraction(r["value"]) for r in reported.rows("main") if r["category"] == "tracking"}
    j = 2 * value["DAVIS (J&F)", "PLM-8B"] - value["DAVIS (F)", "PLM-8B"]
    assert float(j) == pytest.approx(-3.8)
    assert "DAVIS, PLM-8B: -3.8" in reported.audit_table().loc["tracking_f_column", "arithmetic"]
