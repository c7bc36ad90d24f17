"""Derived numbers and the audit, checked against arithmetic done here from the plain rows."""

from fractions import Fraction
from pathlib import Path

import pytest

from kit import claims, derived, records
from ov2lib import reported
from ov2lib.errors import ReportedError

OURS, THEIRS = "LLaVA-OneVision-2", "Qwen3-VL-8B"


def exact_mean(values):
    values = [Fraction(value) for value in values]
    return sum(values) / len(values)


def test_every_printed_average_is_the_mean_of_its_rows():
    rows = reported.rows("main")
    frame = derived.averages()
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
    assert derived.codec_gains().loc[benchmark, "gain"].mean() == pytest.approx(gain, abs=0.005)


def test_where_codec_loses():
    gains = derived.codec_gains()["gain"].round(1)
    assert gains[gains < 0].to_dict() == {
        ("TimeLens-Charades-STA", 32): -3.2,
        ("TimeLens-Charades-STA", 64): -3.4,
        ("VideoMME-Long-Sub", 32): -0.6,
        ("VideoMME-Long-Sub", 128): -0.1,
    }


def test_margins_say_who_is_better():
    video = derived.margins("video")
    assert len(video) == 18 and "Average" not in video.index
    assert video.index[0] == "JumpScore" and video.loc["JumpScore", "margin"] == pytest.approx(35.3)
    assert video.loc["MMVU-val", "whose"] == "Keye-VL-1.5-8B"
    assert (video["margin"] > 0).sum() == 9
    against = derived.margins("image", model=THEIRS)
    assert OURS in set(against["whose"])


def test_uncertainty_of_a_margin_by_hand():
    image = derived.margins("image").loc["V*"]  # 85.9 against 85.3 on 191 questions
    assert image["uncertainty"] == pytest.approx(100 * 1.96 * ((0.859 * 0.141 + 0.853 * 0.147) / 191) ** 0.5)
    assert image["narrow"] == image["uncertainty"]
    assert derived.margins("tracking")["uncertainty"].isna().all()  # no source gives the number of expressions


def test_questions_that_are_scored_or_seen_together_count_once():
    grouped = derived.margins("video").loc["VideoMME-v2-64"]  # 19.9 against 18.2 in 800 groups of four
    assert grouped["uncertainty"] == pytest.approx(100 * 1.96 * ((0.199 * 0.801 + 0.182 * 0.818) / 800) ** 0.5)
    assert grouped["uncertainty"] == pytest.approx(3.9, abs=0.1)
    assert grouped["narrow"] == pytest.approx(grouped["uncertainty"] / 2)
    groups = reported.benchmarks()["groups"]
    assert (groups["MMBench_en"], groups["VSI-Bench"], groups["LVBench"]) == (1164, 288, 103)
    assert (groups <= reported.benchmarks()["questions"].fillna(float("inf"))).sum() == groups.notna().sum()


def test_gains_are_differences_and_their_mean_that_of_the_averages():
    gains = derived.gains("spatial")
    assert gains.is_monotonic_decreasing and gains["CrossPoint"] == pytest.approx(35.0)
    means = derived.averages().set_index(["category", "model"])["recomputed"]
    assert gains.mean() == pytest.approx(means["spatial", OURS] - means["spatial", THEIRS])
    assert derived.gains("image", baseline="LLaVA-OneVision-1.5")["V*"] == pytest.approx(8.4)


def test_nearest_guide_is_one_backend_a_row():
    near = derived.nearest_guide()
    assert near.index.is_unique and len(near) == 11
    assert near["backend"].value_counts().to_dict() == {"frames": 9, "codec": 2}
    assert near.loc["t/Charades", "backend"] == "frames" and near.loc["VideoMME-v2-64", "backend"] == "codec"


def test_guide_gaps_average_the_splits():
    gaps = derived.guide_gaps().set_index(["benchmark", "backend"])
    assert gaps.loc[("VideoMME", "frames"), "guide"] == pytest.approx((81.56 + 72.56 + 62.33) / 3)
    assert gaps.loc[("VideoMME", "frames"), "guide"] == pytest.approx(72.15, abs=0.005)
    assert gaps.loc[("VideoMME (w/ sub)", "frames"), "guide"] == pytest.approx(76.85, abs=0.005)
    assert gaps.loc[("JumpScore", "codec"), "gap"] == pytest.approx(0.59)
    assert gaps.loc[("t/Charades", "codec"), "gap"] == pytest.approx(-3.41)


def test_frames_a_jumpscore_clip_offers():
    # 9 clips of 0-30 s, 105 of 30-60, 112 of 60-90, 10 of 90-120, 4 of 120-180; one frame a second, at least 4, even
    low = (9 * 4 + 105 * 30 + 112 * 60 + 10 * 90 + 4 * 120) / 240
    high = (9 * 30 + 105 * 60 + 112 * 90 + 10 * 120 + 4 * 128) / 240
    assert derived.frames_available(128) == pytest.approx((low, high))
    assert derived.frames_available(4) == (4, 4)
    assert derived.frames_available(45) == pytest.approx(((9 * 4 + 105 * 30 + 126 * 44) / 240, (9 * 30 + 231 * 44) / 240))


SOURCES = {row["source"]: row for row in reported.rows("sources")}
AUDIT = {claim.name: claim for claim in claims.audit()}


@pytest.mark.parametrize("claim", AUDIT.values(), ids=AUDIT)
def test_a_row_names_its_sources_and_follows_from_its_computation(claim):
    assert claim.section in ("claim", "mini measurement", "reading")
    assert set(claim.source.split("; ")) <= (set(SOURCES) if claim.section == "claim" else {"ours", *SOURCES})
    committed = {path.stem for path in records.RESULTS.glob("*.csv")} if claim.section == "mini measurement" else set()
    assert set(claim.tables.split("; ")) <= {*reported.names(), *committed}
    assert claim.computation.split()[0] in claims.COMPUTATIONS  # `audit` refuses a verdict that it does not give
    assert claim.verdict in (claims.VERDICTS if claim.section == "claim" else ("",))
    assert all((claim.quote, claim.place, claim.decides, claim.have)) and "{" not in claim.have + claim.remark


def test_a_verdict_that_its_computation_does_not_give_is_refused(monkeypatch):
    row = next(row for row in reported.rows("claims") if row["name"] == "video_gain")
    monkeypatch.setattr(claims, "rows", lambda table: ({**row, "verdict": claims.OPEN},))
    with pytest.raises(ReportedError, match="'video_gain' is marked 'open', and its computation gives 'holds'"):
        claims.audit()
    with pytest.raises(ReportedError, match="no computation 'wishful'"):
        claims.compute("wishful thinking")


@pytest.mark.parametrize(
    ("computation", "verdict"),
    [
        ("average_gain video 4.4", claims.CONTRADICTED),
        ("tracking_gain 13.1", claims.CONTRADICTED),
        ("jumpscore_lead 15.3", claims.CONTRADICTED),
        ("codec_gain JumpScore 17.3", claims.HOLDS),
        ("tight_wins 128", claims.CONTRADICTED),
        ("count_curves 8", claims.CONTRADICTED),
        ("no_arm codec", claims.HOLDS),
        ("temporal_range 4", claims.CONTRADICTED),
        ("one_value lambda 0.35", claims.CONTRADICTED),
        ("agree connector", claims.HOLDS),
        ("agree spatial windowed attention | open", claims.OPEN),
        ("agree training log of the 8B", claims.CONTRADICTED),  # one source alone agrees with nobody
    ],
)
def test_a_computation_can_decide_otherwise(computation, verdict):
    assert claims.compute(computation)[0] == verdict


@pytest.mark.parametrize(
    ("claim", "have", "verdict"),
    [
        ("video_gain", ["62.48 − 58.17 = +4.31", "24 of 24"], claims.HOLDS),
        ("spatial_gain", ["+5.34"], claims.HOLDS),
        ("tracking_gain", ["47.95 − 32.35 = +15.60", "+13.1"], claims.HOLDS),
        ("most_capable", ["image -0.3", "video +22.4"], claims.CONDITION),
        ("consistent_gains", ["11 of 18", "7 of 11", "4 of 4"], claims.CONDITION),
        ("jumpscore_lead", ["= +44.8", "+15.3", "75.49"], claims.CONDITION),
        ("codec_gain_abstract", ["+17.28 on JumpScore", "+9.74"], claims.CONTRADICTED),
        ("codec_gain", ["+9.74"], claims.HOLDS),
        ("more_stable", ["frames and codec"], claims.OPEN),
        ("encoder_denser", [], claims.NOT_IN_TEXT),
        ("codec_favours_coarse", ["+17.3", "+1.20"], claims.NOT_IN_TEXT),
        ("frames_favour_detail", ["4 of 35"], claims.NOT_IN_TEXT),
        ("interleaved", ["stage 4 only"], claims.OPEN),
        ("frame_growth", ["×4.27"], claims.CONDITION),
        ("general_corpora", ["long-context"], claims.CONTRADICTED),
        ("nothing_synthesised", ["none"], claims.HOLDS),
        ("length_range", ["between 3 and 10 minutes"], claims.CONDITION),
        ("mid_training", ["85,000,000"], claims.HOLDS),
        ("instruct", ["22,000,000"], claims.HOLDS),
        ("finevision", ["24,000,000"], claims.HOLDS),
        ("llava_video", ["1,600,000"], claims.HOLDS),
        ("tokens_per_frame", ["196"], claims.HOLDS),
        ("long_bucket_twice", ["2"], claims.HOLDS),
        ("matched_across_models", ["25,088 to 83,200"], claims.OPEN),
        ("equal_budgets", ["400 tokens, a frame 196"], claims.CONDITION),
        ("tight_wins", ["17 of 17"], claims.HOLDS),
        ("gains_when_tight", ["+6.9 and +5.0", "+31.4 and +29.5"], claims.CONTRADICTED),
        ("caption_clips", ["7.95M"], claims.HOLDS),
        ("chart_tokens", ["= 105.1B"], claims.CONTRADICTED),
        ("spatial_samples", ["2.78M"], claims.CONTRADICTED),
        ("guide_complete", ["11 of the table's 48"], claims.CONTRADICTED),
        ("guide_scores", ["8 of 11", "72.15 against 71.9"], claims.CONDITION),
        ("stable_in_the_small", ["-0.19 (", "+0.04 (", "0.69 to 0.76", "0.61 against 0.54"], ""),
        ("events_in_the_small", ["36 rendered clips", "0.68", "0.69", "+0.01 ("], ""),
        ("equal_tokens_in_the_small", ["+0.57, +0.28, +0.11", "+0.14, +0.08, +0.03", "+0.08, -0.10, -0.04"], ""),
        ("gain_in_few_rows", ["+1.92 without JumpScore", "+0.08 without CrossPoint and TraceSpatial-3D"], ""),
        ("tracking_f", ["6 cells, of 4 models"], ""),
        ("backend_per_row", ["t/Charades frames", "other 6 rows"], ""),
        ("budgets_on_jumpscore", ["47 to 77"], ""),
        ("small_tracker", ["+7.04", "+8.56"], ""),
    ],
)
def test_rows_of_the_audit(claim, have, verdict):
    row = AUDIT[claim]
    assert row.verdict == verdict and all(part in row.have for part in have), row.have


def test_the_page_to_cite_is_that_of_the_code():
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    assert page == claims.summary()
    assert all(f"`{name}`" in page for name in AUDIT)


FOUND_MISSING = {
    "more_stable": "more stable long-video token compression than fixed groups", "codec_gain": "+9.7",
    "consistent_gains": "consistent gains", "most_capable": "most capable", "codec_favours_coarse": "coarse temporal structure",
    "frames_favour_detail": "detail-sensitive", "interleaved": "Across all stages", "frame_growth": "factor of 2–4",
    "general_corpora": "general video-instruction data rather than long-form", "nothing_synthesised": "do not synthesize",
    "length_range": "30 seconds to 15 minutes", "encoder_denser": "denser discriminative evidence", "mid_training": "85M",
    "instruct": "22M", "finevision": "24M", "llava_video": "1.6M", "tokens_per_frame": "196",
    "long_bucket_twice": "consumed twice",
    "matched_across_models": "across compared models", "gains_when_tight": "including the expanded JumpScore",
    "tight_wins": "wins under tight", "chart_tokens": "104.1B", "caption_clips": "8M",
}  # fmt: skip


@pytest.mark.parametrize("claim", FOUND_MISSING)
def test_sentences_that_an_earlier_audit_missed_have_a_row_with_their_words(claim):
    assert FOUND_MISSING[claim] in AUDIT[claim].quote and AUDIT[claim].section == "claim" and AUDIT[claim].verdict


def test_f_cannot_be_boundary_accuracy():
    value = {(r["benchmark"], r["model"]): Fraction(r["value"]) for r in reported.rows("main") if r["category"] == "tracking"}
    j = 2 * value["DAVIS (J&F)", "PLM-8B"] - value["DAVIS (F)", "PLM-8B"]
    assert float(j) == pytest.approx(-3.8)
    assert "by up to -3.8" in AUDIT["tracking_f"].have
