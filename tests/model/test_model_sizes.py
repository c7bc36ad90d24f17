"""`ov2 model-card`: counts against closed forms, FLOPs against PyTorch's own counter."""

import argparse
import json

import pytest
import torch
from model_cases import TINY
from torch.utils.flop_counter import FlopCounterMode

from ov2lib import ModelError
from ov2lib.cli import model_card
from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration, sizes


def printed(capsys, *argv) -> str:
    parser = argparse.ArgumentParser()
    model_card.add_arguments(parser)
    assert model_card.run(parser.parse_args([str(arg) for arg in argv])) == 0
    return capsys.readouterr().out


def test_parts_of_the_8b_add_up():
    card = sizes.model_card(sizes.published_config("8b"))
    parts = dict(card.parameters)
    total, active = parts.pop("total"), parts.pop("active")
    assert sum(parts.values()) == total == active == 8_527_213_568
    assert parts["vision encoder"] == 302_913_536 and parts["connector"] == 33_564_672
    assert parts["token embedding"] == parts["output head"] == 151_936 * 4096
    assert card.weight_gib["bfloat16"] == pytest.approx(15.88, abs=0.01)
    assert card.cache_kib_per_token == 2 * 36 * 8 * 128 * 2 / 1024


def test_the_tied_2b_counts_its_embedding_once():
    parameters = sizes.model_card(sizes.published_config("2b")).parameters
    assert parameters["output head"] == 0 and parameters["total"] == 2_048_662_528


def test_experts_are_counted_whole_and_used_in_part():
    parameters = sizes.model_card(sizes.published_config("30b-a3b")).parameters
    one_expert = 48 * 3 * 2048 * 768
    assert parameters["total"] - parameters["active"] == 120 * one_expert


def test_encoder_and_connector_flops_equal_pytorchs_count():
    config = LlavaOnevision2Config.from_pretrained(TINY)
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(TINY, attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.model.visual(torch.zeros(8 * 16, 588), torch.tensor([[8, 4, 4]]))
    cost = sizes.video_cost(config, "8 canvases", 2.0, canvases=8, group=4, side=56)
    assert cost.encoder_flops + cost.connector_flops == counter.get_total_flops()
    assert cost.tokens == 32 and cost.tokens_per_second == 16


def test_prefill_flops_equal_pytorchs_count_up_to_the_causal_half():
    config = LlavaOnevision2Config.from_pretrained(TINY)
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(TINY, attn_implementation="eager").eval()
    cost = sizes.video_cost(config, "", 1.0, canvases=8, group=4, side=56)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.model.language_model(inputs_embeds=torch.zeros(1, cost.tokens, 64))
    text = config.text_config
    masked_half = 2 * cost.tokens**2 * text.num_hidden_layers * text.num_attention_heads * text.head_dim
    counted = counter.get_total_flops() - masked_half
    assert cost.prefill_flops == pytest.approx(counted, rel=0.02)  # norms' weights are counted as products, 448 of 73,728


def test_groups_cost_attention_and_nothing_else():
    config = sizes.published_config("8b")
    alone, together = (sizes.video_cost(config, "", 60.0, 64, group) for group in (1, 4))
    extra = 64 * 784 * 24 * 4 * 1024 * (3 * 784)
    assert together.encoder_flops - alone.encoder_flops == extra and together.prefill_flops == alone.prefill_flops


def test_card_of_a_size_and_of_a_folder(capsys):
    text = printed(capsys, "8B")
    assert "8,527,213,568" in text and "codec, 64 canvases" in text and "209.1" in text
    card = json.loads(printed(capsys, TINY, "--json", "--seconds", "10"))
    stored = LlavaOnevision2ForConditionalGeneration.from_pretrained(TINY)
    assert card["parameters"]["total"] == sum(parameter.numel() for parameter in stored.parameters())
    assert [cost["seconds"] for cost in card["video"]] == [10.0] * 4


@pytest.mark.parametrize(
    ("argv", "message"), [(["9b"], "'9b' is not a published size; use 2b"), (["8b", "--seconds", "0"], "positive")]
)
def test_unknown_size_and_no_time(capsys, argv, message):
    with pytest.raises(ModelError, match=message):
        printed(capsys, *argv)
