"""The pictures of the training data draw what cards, buckets and plans say."""

import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from kit.cards import load_cards  # noqa: E402
from kit.plots import training_data  # noqa: E402
from ov2lib.train.bins import plan_bins  # noqa: E402
from ov2lib.train.buckets import bucket_of, buckets  # noqa: E402
from ov2lib.train.stages import STAGES, stage_config  # noqa: E402


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_the_table_holds_every_card_and_says_what_is_unknown():
    cards = load_cards()
    text = str(training_data.cards_table(list(cards.values())))
    assert all(card.title in text for card in cards.values())
    assert text.index("Mid-Training") < text.index("Instruct") < text.index("Spatial-4M") < text.index("JumpScore")
    assert text.count("not in our sources") == 3 and "4,000,000 (2,780,000)" in text and "189 (240)" in text


def test_each_corpus_has_a_panel_and_each_part_a_bar_with_its_name():
    _, axes = plt.subplots(1, 2)
    rows = training_data.draw_composition(axes, {"a": {"small": 10.0, "large": 90.0}, "b": {"all": 100.0}})
    assert [row["component"] for row in rows] == ["large", "small", "all"]
    assert [[bar.get_width() for bar in ax.patches] for ax in axes] == [[90, 10], [100]]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["large", "small"]
    plt.close()


def test_every_source_stands_at_its_size_or_says_that_it_has_none(ax):
    rows = training_data.draw_stage_sources(ax, [stage_config(stage) for stage in STAGES])
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("not in our sources") == sum(row["samples"] is None for row in rows) == 5
    assert texts.count("22 M") == 3 and "0.35 M" in texts
    dots = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == [row["samples"] for row in rows if row["samples"] is not None]


def test_the_budget_draws_derived_tokens_and_printed_ones_apart(ax):
    rows = training_data.draw_budget(ax, buckets())
    images = ax.patches[: len(rows)]
    assert [bar.get_height() for bar in images] == pytest.approx([bucket.image_tokens / 1e9 for bucket in buckets()])
    lines = [segment[0][1] for segment in ax.collections[0].get_segments()]
    assert lines == pytest.approx([24.7, 31.8, 12.3, 26.3])


def test_stratification_marks_the_clip_at_its_bucket(ax):
    rows = training_data.draw_stratification(ax, buckets(), 45.0)
    assert all(row["frames"] == bucket_of(row["seconds"]).frames for row in rows)
    mark = ax.lines[-1]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (45.0, 60 * 196)


def test_bins_are_drawn_whole_and_in_their_capacity(ax):
    lengths = [900, 700, 500, 300, 120, 90, 60]
    bins = plan_bins(lengths, 1000)
    rows = training_data.draw_bins(ax, bins, lengths, 1000)
    assert sorted(row["sample"] for row in rows) == list(range(len(lengths)))
    assert all(row["start"] + row["tokens"] <= 1000 for row in rows)
    assert len(ax.patches) == len(lengths)


def test_utilisation_writes_its_numbers(ax):
    training_data.draw_utilisation(ax, [{"way": "padded", "utilisation": 0.437}, {"way": "packed", "utilisation": 0.999}])
    assert [text.get_text() for text in ax.texts] == ["43.7%", "99.9%"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([43.7, 99.9])
