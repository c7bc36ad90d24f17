"""Packing changes nothing but the speed: losses, isolation and order of what shares a row."""

import pytest
import torch
from training_cases import TEXT, TWO_ROUNDS, VIDEO

from ov2lib.model.loss import IGNORED
from ov2lib.train.attention import kernels
from ov2lib.train.collate import Collator


@pytest.fixture
def collate(processor) -> Collator:
    return Collator(processor)


@pytest.fixture
def examples(encoder) -> list:
    return [encoder.encode(sample) for sample in (TWO_ROUNDS, TEXT, VIDEO)]


def token_losses(model, batch) -> torch.Tensor:
    """Loss of every place of every row, 0 where nothing is supervised."""
    labels = batch["labels"]
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        logits = model(**inputs, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="none")
    return losses.view_as(labels[:, 1:])


@pytest.fixture
def by_sample(tiny):
    """The model with the kernels that training has by default."""
    tiny.set_attn_implementation(kernels("sdpa"))
    return tiny


@pytest.mark.parametrize("attention", ["eager", "sdpa", kernels("sdpa")])
def test_packed_and_unpacked_losses_agree_sample_by_sample(tiny, collate, examples, attention):
    tiny.set_attn_implementation(attention)
    batch = collate([examples])
    packed = token_losses(tiny, batch)[0][batch["labels"][0, 1:] != IGNORED]
    alone = [token_losses(tiny, collate([[example]]))[0] for example in examples]
    alone = torch.cat([losses[losses != 0] for losses in alone])
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=0)


def test_a_token_never_sees_another_sample(by_sample, collate, examples):
    batch = collate([examples])
    clean = token_losses(by_sample, batch)[0]
    first, second = len(examples[0]), len(examples[0]) + len(examples[1])
    changed = batch["input_ids"].clone()
    words = slice(first + 10, second - 1)
    changed[0, words] = (changed[0, words] + 1) % 256
    other = token_losses(by_sample, {**batch, "input_ids": changed})[0]
    torch.testing.assert_close(other[: first - 1], clean[: first - 1], atol=0, rtol=0)
    torch.testing.assert_close(other[second:], clean[second:], atol=1e-6, rtol=0)
    assert not torch.allclose(other[first : second - 1], clean[first : second - 1])


def test_pixels_of_one_sample_do_not_reach_another(by_sample, collate, examples):
    batch = collate([examples])
    clean = token_losses(by_sample, batch)[0]
    last = len(examples[0]) + len(examples[1])
    patches = len(examples[2].visuals[0].patch_positions)
    pixels = batch["pixel_values"].clone()
    pixels[-patches:] += 1
    other = token_losses(by_sample, {**batch, "pixel_values": pixels})[0]
    torch.testing.assert_close(other[: last - 1], clean[: last - 1], atol=1e-6, rtol=0)
    assert not torch.allclose(other[last:], clean[last:])


def test_rows_of_a_batch_keep_their_samples_and_pictures(by_sample, collate, examples):
    batch = collate([[examples[1]], [examples[2], examples[0]]])
    rows = token_losses(by_sample, batch)
    first, second = (
        token_losses(by_sample, collate([[examples[1]]])),
        token_losses(by_sample, collate([[examples[2], examples[0]]])),
    )
    torch.testing.assert_close(rows[0][rows[0] != 0], first[first != 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(rows[1][rows[1] != 0], second[second != 0], atol=1e-5, rtol=0)


def test_gradients_are_those_of_a_mask_over_all_pairs(tiny, collate, examples):
    batch = collate([[examples[1]], [examples[2], examples[0]]])

    def gradients(attention) -> torch.Tensor:
        tiny.set_attn_implementation(attention)
        tiny.zero_grad()
        tiny(**batch, use_cache=False, bin_loss=True).loss.backward()
        return torch.cat([parameter.grad.flatten() for parameter in tiny.parameters() if parameter.grad is not None])

    torch.testing.assert_close(gradients(kernels("sdpa")), gradients("eager"), atol=1e-6, rtol=1e-4)


def test_positions_restart_with_every_sample_and_in_the_padding(collate, examples):
    batch = collate([[examples[1]], [examples[2], examples[0]]])
    a, b, c = (len(example) for example in (examples[1], examples[2], examples[0]))
    pad = b + c - a
    assert batch["position_ids"].tolist() == [[*range(a), *range(pad)], [*range(b), *range(c)]]
    assert (batch["labels"][0, a:] == IGNORED).all()


def test_text_alone_still_runs_the_encoder_and_gives_it_gradients_of_zero(tiny, collate, examples):
    batch = collate([[examples[1]]])
    tiny(**batch, use_cache=False, bin_loss=True).loss.backward()
    gradients = [p.grad for name, p in tiny.named_parameters() if ".visual." in name]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)
    assert tiny.lm_head.weight.grad.any()
