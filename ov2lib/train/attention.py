"""Attention over packed rows, sample by sample.

transformers' "sdpa" hides a row's other samples behind a mask of S² bytes for S tokens, and kernels that read a mask are slower
than causal ones. Here a row is cut where its positions restart (see `collate`), and each sample is causal by itself.
"""

from itertools import pairwise

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

BY_SAMPLE = "sdpa_by_sample"  # the name under which transformers knows it; unknown to its masks, so that none is made


def attend_by_sample(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    position_ids: torch.Tensor,
    **settings,
) -> tuple[torch.Tensor, None]:
    """What transformers calls as an attention implementation, for training without a cache.

    Args:
        module: the attention layer.
        query, key, value: [B, heads, S, D]; keys and values may have fewer heads.
        attention_mask: None, see `BY_SAMPLE`.
        position_ids: int64 [B, S] or [1, S], 0 where a sample begins.
        settings: as `sdpa_attention_forward` takes them.

    Returns:
        [B, S, heads, D], and None for the weights.
    """
    rows = []
    for row, positions in enumerate(position_ids.expand(len(query), -1)):
        bounds = [*(positions == 0).nonzero().flatten().tolist(), len(positions)]
        samples = []
        for start, stop in pairwise(bounds):
            parts = (tensor[row : row + 1, :, start:stop] for tensor in (query, key, value))
            samples.append(sdpa_attention_forward(module, *parts, None, **settings)[0])
        rows.append(torch.cat(samples, dim=1))
    return torch.cat(rows), None


AttentionInterface.register(BY_SAMPLE, attend_by_sample)


def kernels(attention: str) -> str | dict[str, str]:
    """What transformers' `attn_implementation` takes for one of `stages.ATTENTION`.

    The encoder cuts its patches into runs itself, so its kernels need neither.
    """
    names = {"sdpa": BY_SAMPLE, "flex_attention": "flex_attention"}
    return {"text_config": names[attention], "vision_config": "sdpa"} if attention in names else attention
