"""The mini encoder's pretraining: it learns to see, and leaves the language model and torch alone."""

import numpy as np
import pytest
import torch

from kit.school import pretrain
from kit.school.model import mini_model, mini_processor
from kit.school.pretrain import pretrain_encoder


def test_the_encoder_learns_to_name_things_and_the_language_model_stays():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    model, again = mini_model(), mini_model()
    losses = pretrain_encoder(model, mini_processor(), seed=0, steps=25)
    assert torch.equal(torch.rand(1), expected)
    assert losses[-1] < 0.5 * losses[0]
    changed = {
        name.split(".")[1]
        for (name, after), before in zip(model.named_parameters(), again.parameters(), strict=True)
        if not torch.equal(after, before)
    }
    assert changed == {"visual"}
    repeated = pretrain_encoder(again, mini_processor(), seed=0, steps=3)
    assert len(repeated) == 3 and repeated[0] == losses[0]


def test_visual_tokens_end_at_the_promised_size():
    model, processor = mini_model(3), mini_processor()
    pretrain_encoder(model, processor, seed=3, steps=30)
    pictures = [pretrain._picture(np.random.default_rng(seed))[0] for seed in range(20)]
    with torch.no_grad():
        found = model.model.get_image_features(**processor.visual_inputs(pictures), return_dict=True).pooler_output
    assert torch.cat(list(found)).square().mean().sqrt().item() == pytest.approx(pretrain.TOKEN_RMS, rel=0.2)
