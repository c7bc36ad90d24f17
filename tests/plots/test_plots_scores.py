"""The pictures of the tables draw what the tables say."""

import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from matplotlib.collections import PathCollection  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

from ov2lib import reported  # noqa: E402
from ov2lib.figures import MODELS  # noqa: E402
from ov2lib.plots import scores  # noqa: E402


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.mark.parametrize("category", ["video", "spatial", "image", "tracking"])
def test_margins_wear_the_colour_of_whoever_is_ahead(ax, category):
    margins = reported.margins(category)
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
    scores.draw_gains(ax, reported.gains("spatial"), leave_out=2)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["mean +5.34", "median +0.50", "mean without CrossPoint and TraceSpatial-3D +0.08"]
    assert [bar.get_height() for bar in ax.patches][:2] == pytest.approx([35.0, 23.0])


def test_every_claim_stands_in_the_column_of_its_verdict(ax):
    audited = reported.audit()
    scores.draw_verdicts(ax, audited)
    points = [mark.get_offsets()[0] for mark in ax.collections if isinstance(mark, PathCollection)]
    columns = [tick.get_text().split("\n(")[0].replace("\n", " ") for tick in ax.get_xticklabels()]
    assert [columns[int(x)] for x, _ in points] == [claim.verdict for claim in audited]


def test_codec_gains_carry_the_means_of_the_figure(ax):
    scores.draw_codec_gains(ax, reported.codec_gains(), stated=9.7)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "JumpScore +17.28" and labels[1:] == [
        "TimeLens-Charades-STA +6.48", "TimeLens-ActivityNet +9.36", "TimeLens-QVHighlights +13.38",
    ]  # fmt: skip
