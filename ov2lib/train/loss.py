"""The loss: mean over bins of the mean over a bin's supervised tokens (spec of the public training code).

Each packed bin weighs the same however many of its tokens are supervised. Rows are bins, every process and every
accumulation step holds equally many rows, so averaging rows, steps and processes gives the mean over bins of the whole batch.
"""

import torch
from torch.nn import functional

from .encoding import IGNORED


def supervised_places(labels: torch.Tensor) -> torch.Tensor:
    """int64 [K]: places whose output predicts a supervised token in any row (each predicts the token after it).

    Logits are needed at these places only; with 152k words, those of a whole bin would be the largest tensor of all.
    """
    return (labels[:, 1:] != IGNORED).any(0).nonzero().flatten()


def bin_mean_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the mean over a row's supervised tokens.

    Args:
        logits: [B, K, vocabulary], computed in float32.
        targets: int64 [B, K], −100 where nothing is supervised. A row without supervised tokens counts as 0.
    """
    each = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
    counts = (targets != IGNORED).sum(1)
    return (each.view_as(targets).sum(1) / counts.clamp(min=1)).mean()
