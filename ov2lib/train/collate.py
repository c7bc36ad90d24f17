"""Bins of examples → one batch of tensors: block-diagonal causal attention by restarting positions.

transformers builds the block-diagonal mask (or the variable-length kernels' boundaries) from position ids that restart where a
sample begins, provided no attention mask and no cache are passed. So a row is: sample after sample, each with positions from
0, and padding at the end as one more block that nobody reads and nothing supervises.
"""

from collections.abc import Sequence

import numpy as np
import torch

from ..codec.sampled import tokenize_image
from ..model.loss import IGNORED
from ..model.processing import LlavaOnevision2Processor
from ..model.prompt import IMAGE_PLACEHOLDER
from .encoding import Example


class Collator:
    """Turns a list of bins, each a list of examples, into the model's inputs.

    A batch without any visual token gets a blank image as one more block: the encoder's parameters then take part on every
    process in every step, without which sharded or replicated training would wait for them for ever.

    Args:
        processor: the checkpoint's.
        frames_prompt: as in `SampleEncoder`.
    """

    def __init__(self, processor: LlavaOnevision2Processor, frames_prompt: str = "training"):
        self.processor, self.frames_prompt = processor, frames_prompt
        self.pad = processor.tokenizer.pad_token_id
        ids = torch.tensor(processor.tokenizer(IMAGE_PLACEHOLDER, add_special_tokens=False)["input_ids"])
        patch, merge = processor.image_processor.patch_size, processor.image_processor.merge_size
        black = np.zeros((patch * merge, patch * merge, 3), np.uint8)
        blank = tokenize_image(black, patch_size=patch, min_pixels=0, merge=merge)
        self.blank = Example("blank", ids, torch.full_like(ids, IGNORED), (blank,))

    def __call__(self, bins: Sequence[Sequence[Example]]) -> dict[str, torch.Tensor]:
        """One row per bin.

        Returns:
            `input_ids`, `labels`, `position_ids` int64 [bins, longest], and the processor's visual tensors.
        """
        rows = [list(examples) for examples in bins]
        if not any(example.visuals for row in rows for example in row):
            rows[0].append(self.blank)
        length = max(sum(map(len, row)) for row in rows)
        batch = {
            "input_ids": torch.full((len(rows), length), self.pad),
            "labels": torch.full((len(rows), length), IGNORED),
            "position_ids": torch.zeros((len(rows), length), dtype=torch.int64),
        }
        for number, row in enumerate(rows):
            used = sum(map(len, row))
            batch["input_ids"][number, :used] = torch.cat([example.input_ids for example in row])
            batch["labels"][number, :used] = torch.cat([example.labels for example in row])
            places = [torch.arange(size) for size in [*map(len, row), length - used]]
            batch["position_ids"][number] = torch.cat(places)
        visuals = [tokens for row in rows for example in row for tokens in example.visuals]
        return batch | self.processor.visual_inputs(visuals, self.frames_prompt)
