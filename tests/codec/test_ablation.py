"""The ablation of the bit estimate: it is the same estimate, taken apart; and its measures, by hand and against scipy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from kit import world
from kit.studies import ablation
from ov2lib import VideoError, read_signals

BEACH = Path(__file__).parents[1] / "data/beach_360x640_h264.mp4"
TRUTH = Path(__file__).parents[1] / "data/beach_macroblock_bits.npz"


@pytest.fixture(scope="module")
def terms():
    """The terms of the beach clip's first frames, all three kinds among them."""
    return [t for t, _ in zip(ablation.read_terms(str(BEACH)), range(48), strict=False)]


def test_with_every_ingredient_it_is_the_estimate(terms):
    assert {t.kind for t in terms} == {"I", "P", "B"}
    for mine, frame in zip(terms, read_signals(BEACH), strict=False):
        np.testing.assert_allclose(mine.bits(), frame.bits, atol=1e-3)


@pytest.mark.parametrize("on", [(), ("residual",), ablation.INGREDIENTS])
def test_any_choice_of_ingredients_sums_to_the_packet(terms, on):
    for t in terms:
        assert t.bits(on).sum() == pytest.approx(8 * t.size, rel=1e-4)


def test_an_ingredient_moves_only_the_frames_it_speaks_of(terms):
    others = {name: [x for x in ablation.INGREDIENTS if x != name] for name in ablation.INGREDIENTS}
    for t in terms:
        changed = {name for name in ablation.INGREDIENTS if np.abs(t.bits(others[name]) - t.bits()).max() > 1e-3}
        if t.kind == "I":
            assert changed == {"texture"}
        if t.kind == "B":
            assert "residual" not in changed


def test_study_compares_every_frame_but_the_first_with_the_frame_before():
    truth = np.load(TRUTH)["bits"]
    rows = ablation.study(str(BEACH), truth)
    of_all = [row["agreement"] for row in rows if row["variant"] == "all"]
    baseline = [row["agreement"] for row in rows if row["variant"] == "frame difference"]
    assert len(of_all) == len(truth) and len(baseline) == len(truth) - 1
    assert np.mean(of_all) > 0.9 > 0.7 > np.mean(baseline)


def test_other_codecs_are_refused():
    clip = world.moving_shapes(duration=0.4, size=(64, 96), codec="mpeg4")
    with pytest.raises(VideoError, match="mpeg4.*H.264"):
        list(ablation.read_terms(str(clip.path)))


def test_rank_agreement_by_hand_and_against_scipy():
    assert ablation.rank_agreement(np.array([1, 2, 3]), np.array([10, 20, 30])) == pytest.approx(1)
    assert ablation.rank_agreement(np.array([1, 2, 3]), np.array([3, 2, 1])) == pytest.approx(-1)
    assert np.isnan(ablation.rank_agreement(np.ones(4), np.arange(4)))
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (2, 5, 9))  # many ties
    assert ablation.rank_agreement(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)


def test_top_overlap_by_hand():
    assert ablation.top_overlap(np.array([4, 3, 2, 1]), np.array([1, 4, 3, 2]), share=0.5) == 0.5
    assert ablation.top_overlap(np.zeros(8), np.arange(8)[::-1], share=0.25) == 1.0, "ties go to the first in raster order"
