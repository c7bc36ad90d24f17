"""What a stage trains, counted on the model itself, is what its configuration says."""

from dataclasses import replace

import pytest
import torch

from kit.school.published import count_trained, trainable_table
from kit.school.recipe import mini_stage
from ov2lib.errors import TrainingError
from ov2lib.model import LlavaOnevision2ForConditionalGeneration
from ov2lib.train.parts import make_trainable, set_trainable


@pytest.mark.parametrize(("variant", "trainable"), [("full", None), ("full", ("connector",)), ("lora", None)])
def test_counts_agree_with_the_plan(tiny_config, variant, trainable):
    config = mini_stage(2, variant)
    config = config if trainable is None else replace(config, trainable=trainable)
    with torch.device("meta"):
        model = make_trainable(LlavaOnevision2ForConditionalGeneration(tiny_config), config)
    planned = {row.part: (row.parameters, row.trained) for row in trainable_table(config, tiny_config)}
    counted = count_trained(model)
    assert counted == {part: planned[part] for part in counted} and planned.keys() - counted.keys() == {"total"}
    assert sum(held for held, _ in counted.values()) == planned["total"][0]


def test_a_part_that_is_none_is_refused(tiny_config):
    model = LlavaOnevision2ForConditionalGeneration(tiny_config)
    with pytest.raises(TrainingError, match="choose from vision, connector, language"):
        set_trainable(model, ("eyes",))
