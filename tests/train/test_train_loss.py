"""The bin-mean loss by hand."""

import math

import torch

from ov2lib.train.encoding import IGNORED
from ov2lib.train.loss import bin_mean_loss, supervised_places


def test_each_bin_weighs_the_same_however_many_tokens_it_supervises():
    # Two words: probability of the right one is 1/2 with equal logits, 3/4 with logits (log 3, 0).
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [math.log(3), 0.0]], [[0.0, 0.0]] * 3])
    targets = torch.tensor([[0, 0, 1], [1, IGNORED, IGNORED]])
    first = (math.log(2) + math.log(4 / 3) + math.log(4)) / 3
    assert math.isclose(float(bin_mean_loss(logits, targets)), (first + math.log(2)) / 2, rel_tol=1e-6)


def test_a_bin_without_supervised_tokens_counts_as_zero():
    logits = torch.zeros(2, 1, 4)
    assert math.isclose(float(bin_mean_loss(logits, torch.tensor([[2], [IGNORED]]))), math.log(4) / 2, rel_tol=1e-6)


def test_logits_are_needed_one_place_before_what_is_supervised_in_any_row():
    labels = torch.tensor([[IGNORED, 3, IGNORED, IGNORED], [IGNORED, IGNORED, IGNORED, 2]])
    assert supervised_places(labels).tolist() == [0, 2]


def test_kept_logits_give_the_models_own_loss(tiny):
    ids = torch.randint(8, 200, (1, 12), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :7] = IGNORED
    places = supervised_places(labels)
    with torch.no_grad():
        kept = tiny(input_ids=ids, logits_to_keep=places).logits
        whole = tiny(input_ids=ids, labels=labels)
    torch.testing.assert_close(kept, whole.logits[:, places])
    torch.testing.assert_close(bin_mean_loss(kept, labels[:, places + 1]), whole.loss)
