"""The pictures of training show the numbers they are given, and the examples what the model gets."""

import numpy as np
import pytest
import torch

plt = pytest.importorskip("matplotlib.pyplot")

from kit.plots import examples, training  # noqa: E402
from kit.school.footprint import Footprint  # noqa: E402
from kit.school.model import mini_processor  # noqa: E402
from kit.school.recipe import mini_stage  # noqa: E402
from ov2lib.model.sizes import published_config  # noqa: E402
from ov2lib.tokens import VisualTokens  # noqa: E402
from ov2lib.train.encoding import Example  # noqa: E402
from ov2lib.train.plan import make_plan  # noqa: E402
from ov2lib.train.stages import stage_config  # noqa: E402


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def frames(count: int, fps: float = 2.0) -> VisualTokens:
    rows, cols = np.divmod(np.arange(16), 4)
    positions = np.concatenate([np.stack([np.full(16, 4 * n), rows, cols], -1) for n in range(count)])
    pictures = np.full((count, 56, 56, 3), 200, np.uint8)
    return VisualTokens(pictures, positions, np.arange(count), fps, np.arange(4 * count) / fps, 14, "frames")


def test_every_field_stands_with_value_and_origin():
    mini, real = mini_stage(3), stage_config(3)
    text = str(training.config_table(mini, real))
    assert "384" in text and "proxy: instruct_780k.sh" in text.replace("\n", " ") and "98,304" in text
    named = {row["field"] for row in mini.rows()} - {"stage", "name", "scale", "variant"}
    assert all(field in text for field in named)


def test_changes_are_those_fields_that_differ():
    text = str(training.change_table(stage_config(2), stage_config(3)))
    assert "sequence_length" in text and "learning_rate" not in text and "(size not in our sources)" in text


def test_curves_are_the_logged_numbers():
    logged = [{"step": n, "loss": 5.0 / n, "learning_rate": 1e-3, "grad_norm": 2.0} for n in range(1, 41)]
    fig, axes = plt.subplots(1, 3)
    rows = training.draw_curves(axes, [*logged, {"step": 40, "train_runtime": 3.0}], "x86_64, AVX2")
    assert [note.get_text() for note in axes[-1].texts] == ["trained on x86_64, AVX2"]
    assert [row["loss"] for row in rows] == [row["loss"] for row in logged]
    raw, smooth = axes[0].lines
    assert raw.get_ydata()[0] == 5.0 and len(smooth.get_xdata()) == 39  # a window of two
    assert smooth.get_ydata()[0] == pytest.approx((5.0 + 2.5) / 2)
    plt.close(fig)


def score(after, stage, arm, value, task="choice/colour"):
    return {"after": after, "stage": stage, "task": task, "metric": "accuracy", "arm": arm,
            "score": value, "low": value - 0.1, "high": value + 0.1}  # fmt: skip


SCORES = [
    score(1, 2, "sighted", 0.2), score(1, 2, "blind", 0.2), score(2, 2, "sighted", 0.7), score(2, 2, "blind", 0.4),
    score(2, 2, "constant", 0.3), score(1, 1, "sighted", 0.8), score(2, 1, "sighted", 0.6),
]  # fmt: skip


def test_scores_are_drawn_by_arm_with_their_intervals(ax):
    rows = training.draw_scores(ax, SCORES, 2, asked=2)
    assert {row["mark"]: row["score"] for row in rows} == {"before": 0.2, "sighted": 0.7, "blind": 0.4, "constant": 0.3}
    assert [line.get_xdata()[0] for line in ax.lines] == [0.2, 0.7, 0.4, 0.3]
    spans = [segment[:, 0].tolist() for drawn in ax.collections for segment in drawn.get_segments()]
    assert np.allclose(spans, [(0.1, 0.3), (0.6, 0.8), (0.3, 0.5), (0.2, 0.4)])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["colour\naccuracy"]


def test_the_table_holds_what_the_picture_leaves_out():
    lines = str(training.score_table(SCORES, 2)).splitlines()
    assert lines[-2].split()[:3] == ["2", "colour", "accuracy"] and "0.70 [0.60, 0.80]" in lines[-2]
    assert lines[-1].split()[:3] == ["1", "colour", "accuracy"] and "0.80 [0.70, 0.90]" in lines[-1]
    assert "after stage 1" in lines[0] and "after stage 2" in lines[0]
    assert "the start" in str(training.score_table([score(0, 1, "sighted", 0.1)], 1))


def test_footprints_and_plans_are_tables_of_their_numbers():
    one = Footprint("lora", 1_000_000, 250_000, 0.125, 4_000_000, 1_000_000, 2_000_000, 50_000_000, 1_100_000)
    line = str(training.footprint_table([one])).splitlines()[-1].split()
    assert line == ["lora", "250,000", "25.0%", "0.12", "4.0", "1.0", "2.0", "50.0", "57.0", "1.1"]
    plan = make_plan(stage_config(1, "lora"), published_config("8b"), 8)
    table = str(training.plan_table([plan]))
    assert "DDP" in table and "FSDP2" in table and f"{plan.steps:,}" in table


def test_supervised_words_are_marked_and_places_counted():
    tokenizer = mini_processor().tokenizer
    asked, said = (tokenizer(text)["input_ids"] for text in ("<|image_pad|><|image_pad|>Where is the star?", "top left"))
    ids = torch.tensor(asked + said)
    labels = ids.where(torch.arange(len(ids)) >= len(asked), -100)
    sheet = examples.conversations([Example("one", ids, labels, ())], tokenizer)
    assert str(sheet) == "one\n<|image_pad|>×2Where is the star?⟦top left⟧"
    assert "&lt;|image_pad|&gt;×2Where is the star?<b>top left</b>" in sheet.html


def test_of_many_frames_the_middle_ones_are_left_out_and_no_words():
    tokenizer = mini_processor().tokenizer
    frames = "".join(f"<{n}.0 seconds><|vision_start|><|image_pad|><|vision_end|>\n" for n in range(0, 75, 5))
    ids = torch.tensor(tokenizer(f"user\n{frames}What happens?\nA lot.")["input_ids"])
    text = str(examples.conversations([Example("long", ids, torch.full_like(ids, -100), ())], tokenizer))
    lines = text.splitlines()
    assert lines[:2] == ["long", "user"] and lines[4] == "… 12 more …" and lines[5].startswith("<70.0 seconds>")
    assert lines[6:] == ["What happens?", "A lot."]


def test_each_picture_of_an_example_has_its_time():
    shown = [Example("clip", torch.zeros(1), torch.zeros(1), (frames(3),))]
    fig, rows = examples.examples_figure(shown)
    assert [row["time"] for row in rows] == ["0 s", "2 s", "4 s"]
    assert sum(bool(ax.images) for ax in fig.axes) == 3
    assert any("3 sampled frames, 12 visual tokens" in text.get_text() for ax in fig.axes for text in ax.texts)
    plt.close(fig)


def variant_row(variant, seed, score, task="choice/order", stage=3):
    return {"stage": stage, "task": task, "metric": "accuracy", "variant": variant, "seed": seed, "score": score,
            "rank": "32", "learning_rate": "0.005", "steps": "1200", "beside": "connector"}  # fmt: skip


def test_variants_stand_side_by_side_over_seeds():
    rows = [variant_row("full", 0, 0.5), variant_row("full", 1, 1.0), variant_row("lora", 0, 0.25)]
    rows += [variant_row("full", 0, 0.5, "choice/alone")]
    line = str(training.variant_table(rows)).splitlines()[-1].split()
    assert line == "3 order accuracy 1 0.75 [0.50, 1.00] 0.25 [0.25, 0.25]".split()
    figure, axes = plt.subplots(1, 2)
    training.draw_variants(axes[0], rows)
    assert len(axes[0].lines) == 4 and [text.get_text() for text in axes[0].get_yticklabels()] == ["3 · order, accuracy"]
    training.draw_settings(axes[1], rows[:3], 3)
    assert {text.get_text() for text in axes[1].texts} == {"0.25", "0.50"} and len(axes[1].get_yticklabels()) == 2
    plt.close(figure)
