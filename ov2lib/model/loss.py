"""The training loss: mean over bins of the mean over a bin's supervised tokens (as the public training code has it).

Each packed bin weighs the same however many of its tokens are supervised. Rows are bins, every process and every
accumulation step holds equally many rows, so averaging rows, steps and processes gives the mean over bins of the whole batch.

With 152k words, the logits of a bin of captions would be larger than everything else together. So they are computed at
supervised places only, a chunk at a time, and computed again in the backward pass instead of being kept.
"""

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

IGNORED = -100  # the label that torch and transformers leave out of a loss
CHUNK = 1024  # our choice: places whose logits exist at a time, 0.6 GiB in float32 at 152k words


def supervised_places(labels: torch.Tensor) -> torch.Tensor:
    """int64 [K]: places whose output predicts a supervised token in any row of `labels` [B, S] (each predicts the next)."""
    return (labels[:, 1:] != IGNORED).any(0).nonzero().flatten()


def bin_mean_loss(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor, chunk: int = CHUNK) -> torch.Tensor:
    """Mean over rows of the mean over a row's supervised tokens.

    Args:
        head: hidden states → logits.
        hidden: [B, K, D].
        targets: int64 [B, K], what each place predicts, −100 for nothing. A row without supervised tokens counts as 0.
        chunk: places whose logits exist at a time.
    """
    supervised = targets != IGNORED
    states, words = hidden[supervised], targets[supervised]
    pieces = [
        checkpoint(_token_losses, head, *piece, use_reentrant=False)
        for piece in zip(states.split(chunk), words.split(chunk), strict=True)
    ]
    each = hidden.new_zeros(targets.shape, dtype=torch.float32).masked_scatter(supervised, torch.cat(pieces))
    return (each.sum(1) / supervised.sum(1).clamp(min=1)).mean()


def _token_losses(head: torch.nn.Module, hidden: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(head(hidden).float(), words, reduction="none")
