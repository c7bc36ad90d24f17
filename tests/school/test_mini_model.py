"""The mini model: published architecture, every word of the tasks known, small, and the same from the same seed."""

import pytest
import torch

from kit.school import model as mini
from kit.world import tasks
from ov2lib.model.prompt import time_tag


@pytest.fixture(scope="module")
def processor():
    return mini.mini_processor()


def test_it_is_the_published_architecture_and_small():
    config = mini.mini_config()
    assert (config.vision_config.patch_size, config.vision_config.spatial_merge_size) == (14, 2)
    assert config.vision_config.frame_windows_size == 4
    assert sum(parameter.numel() for parameter in mini.mini_model().parameters()) < 2_000_000


def test_every_time_tag_and_word_of_the_tasks_is_one_token(processor):
    def count(text):
        return len(processor.tokenizer(text)["input_ids"])

    for stage in tasks.RECIPES:
        for sample in tasks.stage_samples(stage, "test", 8):
            for _, text in sample.messages:
                assert count(text) <= len(text.split()) + sum(text.count(mark) for mark in '?.,;:=<>"/[]') + 8
    for tag in (time_tag(0), time_tag(75), time_tag(6.2), time_tag(1.4, 2)):
        assert count(tag) == 1


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = mini.mini_model(1), mini.mini_model(1), mini.mini_model(2)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def test_it_reads_samples_of_every_stage(processor):
    model = mini.mini_model().eval()
    for stage in tasks.RECIPES:
        sample = tasks.stage_samples(stage, "test", 1)[0]
        item = sample.media[0]
        content = [{"type": item.kind}, {"type": "text", "text": sample.messages[0][1].split("\n")[1]}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        options = dict(item.options)
        inputs = processor(prompt, **{item.kind + "s": [item.path]}, **options)
        with torch.no_grad():
            assert torch.isfinite(model(**inputs).logits).all()


def test_times_that_are_near_begin_near_and_alike_in_every_spelling(processor):
    model = mini.mini_model(0)
    before = model.get_input_embeddings().weight.detach().clone()
    mini.give_times_a_code(model)
    table, ids = model.get_input_embeddings().weight.detach(), processor.tokenizer.convert_tokens_to_ids
    half = table.shape[1] // 2
    tag, number, spaced, near, far = (table[ids(t), :half] for t in ("<0.40Ġseconds>", "0.4", "Ġ0.4", "Ġ0.6", "Ġ3.4"))
    assert torch.equal(tag, number) and torch.equal(number, spaced)
    assert (spaced - near).norm() < (spaced - far).norm()
    assert torch.equal(table[:, half:], before[:, half:])
    word = ids("[")
    assert torch.equal(table[word], before[word])
