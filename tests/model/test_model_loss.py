"""The bin-mean loss by hand, and against logits all at once."""

import math

import pytest
import torch

from ov2lib.model.loss import IGNORED, bin_mean_loss, supervised_places


def same(hidden):
    """A head that takes hidden states for logits."""
    return hidden


def test_each_bin_weighs_the_same_however_many_tokens_it_supervises():
    # Two words: probability of the right one is 1/2 with equal logits, 3/4 with logits (log 3, 0).
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [math.log(3), 0.0]], [[0.0, 0.0]] * 3])
    targets = torch.tensor([[0, 0, 1], [1, IGNORED, IGNORED]])
    first = (math.log(2) + math.log(4 / 3) + math.log(4)) / 3
    assert math.isclose(float(bin_mean_loss(same, logits, targets)), (first + math.log(2)) / 2, rel_tol=1e-6)


def test_a_bin_without_supervised_tokens_counts_as_zero():
    logits = torch.zeros(2, 1, 4)
    assert math.isclose(float(bin_mean_loss(same, logits, torch.tensor([[2], [IGNORED]]))), math.log(4) / 2, rel_tol=1e-6)


def test_logits_are_needed_one_place_before_what_is_supervised_in_any_row():
    labels = torch.tensor([[IGNORED, 3, IGNORED, IGNORED], [IGNORED, IGNORED, IGNORED, 2]])
    assert supervised_places(labels).tolist() == [0, 2]


@pytest.mark.parametrize("chunk", [1, 3, 1024])
def test_chunks_give_the_loss_and_the_gradients_of_all_logits_at_once(chunk):
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(6, 11, bias=False)
    hidden = torch.randn(1, 8, 6, generator=generator, requires_grad=True)
    targets = torch.randint(0, 11, (1, 8), generator=generator)
    whole = torch.nn.functional.cross_entropy(head(hidden)[0], targets[0])
    wanted = torch.autograd.grad(whole, [hidden, head.weight])
    loss = bin_mean_loss(head, hidden, targets, chunk)
    torch.testing.assert_close(loss, whole)
    for found, right in zip(torch.autograd.grad(loss, [hidden, head.weight]), wanted, strict=True):
        torch.testing.assert_close(found, right)


def test_one_row_has_the_models_own_loss(tiny):
    ids = torch.randint(8, 200, (1, 12), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :7] = IGNORED
    with torch.no_grad():
        bins, whole = (tiny(input_ids=ids, labels=labels, bin_loss=bin_loss) for bin_loss in (True, False))
        some = tiny(input_ids=ids, logits_to_keep=torch.tensor([7, 9])).logits
    torch.testing.assert_close(bins.loss, whole.loss)
    torch.testing.assert_close(some, whole.logits[:, [7, 9]])
    assert bins.logits is None
