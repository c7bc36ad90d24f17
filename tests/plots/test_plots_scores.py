"""The pictures of the tables draw what the tables say."""

import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from matplotlib.colors import to_hex  # noqa: E402

from kit import claims, derived  # noqa: E402
from kit.plots import scores  # noqa: E402
from ov2lib import reported  # noqa: E402
from ov2lib.figures import MODELS  # noqa: E402


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.mark.parametrize("category", ["video", "spatial", "image", "tracking"])
def test_margins_wear_the_colour_of_whoever_is_ahead(ax, category):
    margins = derived.margins(category)
    scores.draw_margins(ax, margins)
    for bar, row in zip(ax.patches, margins.itertuples(), strict=True):
        assert bar.get_width() == pytest.approx(row.margin)
        assert to_hex(bar.get_facecolor()).upper() == MODELS["LLaVA-OneVision-2" if row.margin > 0 else row.whose]
    assert [text.get_text().split()[-1] for text in ax.texts] == list(margins["whose"])


def test_standings_show_every_model_on_every_row(ax):
    table = reported.load("main", wide=True).loc["image"]
    scores.draw_standings(ax, table)
    assert ax.get_legend_handles_labels()[1] == list(MODELS)
    assert sum(len(points.get_offsets()) for points in ax.collections[1:]) == table.size


def test_gains_name_their_means(ax):
    scores.draw_gains(ax, derived.gains("spatial"), leave_out=2)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["mean +5.34", "median +0.50", "mean without CrossPoint\nand TraceSpatial-3D +0.08"]
    assert [bar.get_width() for bar in ax.patches][:2] == pytest.approx([35.0, 23.0])


def test_every_claim_is_counted_in_the_bar_of_its_source(ax):
    audited = claims.audit("claim")
    scores.draw_verdicts(ax, audited)
    sources = [label.get_text() for label in ax.get_yticklabels()]
    for source, place in zip(sources, ax.get_yticks(), strict=True):
        ends = [bar.get_x() + bar.get_width() for bar in ax.patches if bar.get_y() < place < bar.get_y() + bar.get_height()]
        assert max(ends) == sum(claim.source == source for claim in audited)
    assert sum(int(text.get_text() or 0) for text in ax.texts) == len(audited)
