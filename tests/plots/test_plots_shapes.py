"""Shapes traced on the meta device: from patches to logits, against the configuration."""

import pytest

from kit.plots import shapes
from ov2lib.model.sizes import model_card, published_config


@pytest.mark.parametrize(("size", "width", "layers"), [("2b", 2048, 28), ("30b-a3b", 2048, 48)])
def test_shapes_and_counts_of_a_published_size(size, width, layers):
    config = published_config(size)
    steps = {step.part: step for step in shapes.trace(config, canvases=8, text_tokens=5)}
    assert steps["patch embedding"].given == (8 * 28 * 28, 3 * 14 * 14)
    assert steps["encoder blocks"].made == (8 * 28 * 28, 1024) and steps["encoder blocks"].copies == 24
    assert steps["connector"].made == (8 * 14 * 14, width)
    assert steps["language layers"].given == (1, 8 * 14 * 14 + 5, width) and steps["language layers"].copies == layers
    assert steps["output head"].made == (1, 1, 151_936)
    total = sum(step.parameters for step in steps.values())
    tied = steps["output head"].parameters if config.tie_word_embeddings else 0
    assert total - tied == model_card(config).parameters["total"]
