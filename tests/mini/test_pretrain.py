"""The encoder's pretraining: it learns to name, leaves the language model alone, and ends with tokens the size of words."""

import numpy as np
import pytest
import torch

from ov2lib.mini import pretrain
from ov2lib.mini.model import mini_model, mini_processor


@pytest.fixture(scope="module")
def trained():
    model, processor = mini_model(3), mini_processor()
    return model, processor, pretrain.pretrain_encoder(model, processor, seed=3, steps=30)


def test_it_learns_to_name_and_touches_the_encoder_alone(trained):
    model, _, losses = trained
    fresh = mini_model(3)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    for name, parameter in fresh.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name)) != name.startswith("model.visual."), name


def test_visual_tokens_end_at_the_promised_size(trained):
    model, processor, _ = trained
    pictures = [pretrain._picture(np.random.default_rng(seed))[0] for seed in range(20)]
    with torch.no_grad():
        found = model.model.get_image_features(**processor.visual_inputs(pictures), return_dict=True).pooler_output
    assert torch.cat(list(found)).square().mean().sqrt().item() == pytest.approx(pretrain.TOKEN_RMS, rel=0.2)


def test_the_same_seed_gives_the_same_start_and_leaves_torch_alone(trained):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model = mini_model(3)
    losses = pretrain.pretrain_encoder(model, trained[1], seed=3, steps=3)
    assert torch.equal(torch.rand(1), expected)
    assert losses != trained[2][:3] and losses[0] == trained[2][0]  # other steps, another schedule
