"""From a sample to what the model learns from: token ids, labels on the assistant's words only, and visual tokens.

The text is ChatML as `ov2lib.model.prompt` writes it (a test holds the two together), with each `<image>` or `<video>`
replaced by its time tags and places. One newline after a placeholder, the LLaVA corpora's separator, is dropped: at inference
the question follows the visual tokens directly (*assumed* to be so in training).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import TrainingError
from ..model.loss import IGNORED
from ..model.prompt import visual_text
from ..model.sizes import Work
from ..samples.sample import Media, Sample, check_sample
from ..tokens import VisualTokens

SYSTEM = "You are a helpful assistant."  # published: ChatML's default
_PLACE = re.compile(r"<(?:image|video)>\n?")


@dataclass(frozen=True, eq=False)
class Example:
    """One sample, encoded.

    Attributes:
        id: the sample's.
        input_ids: int64 [S].
        labels: int64 [S]; the token itself where the assistant speaks (`<|im_end|>` included), −100 elsewhere. Each is
            predicted from the token before it.
        visuals: in the order of their places.
    """

    id: str
    input_ids: torch.Tensor
    labels: torch.Tensor
    visuals: tuple[VisualTokens, ...]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def work(self) -> Work:
        """What its pass through the model costs."""
        patches = [len(tokens.patch_positions) for tokens in self.visuals]
        pairs = sum(len(tokens.patch_positions) ** 2 / len(np.unique(tokens.group_ids)) for tokens in self.visuals)
        visual = sum(tokens.num_tokens for tokens in self.visuals)
        predicted = int((self.labels != IGNORED).sum())
        return Work(sum(patches), pairs, visual, len(self) - visual, len(self) ** 2 / 2, predicted)


@dataclass(frozen=True)
class SampleEncoder:
    """Encodes samples with one tokenizer and one way to tokenize media.

    Attributes:
        tokenizer: a fast one, which tells where in the text each token starts.
        tokens_of: the visual tokens of a media item; a file that cannot be read raises `Ov2Error`.
        frames_prompt: "training" or "inference", see `ov2lib.model.prompt`.
        timestamp_decimals: of time tags, where the media item does not say.
        timestamps: "presentation" or "published", see `ov2lib.model.prompt.source_seconds`.
        context: tokens that the model reads of one sample; None sets no limit.
    """

    tokenizer: Any
    tokens_of: Callable[[Media], VisualTokens]
    frames_prompt: str = "training"
    timestamp_decimals: int = 1
    timestamps: str = "presentation"
    context: int | None = None

    def encode(self, sample: Sample) -> Example:
        """Encode a whole conversation.

        Raises:
            TrainingError: as `check_sample`; a message that holds a special token.
            VideoError, TokensError: media that cannot be tokenized.
        """
        check_sample(sample)
        self._refuse_special_tokens(sample)
        visuals = tuple(self.tokens_of(item) for item in sample.media)
        return self._encode(sample, visuals)

    def fit(self, sample: Sample, capacity: int) -> tuple[Sample, Example]:
        """The sample without its last rounds, as many as make it fit into a bin of `capacity` tokens and into the context.

        Raises:
            TrainingError: not even the first round fits; otherwise as `encode`.
        """
        example = self.encode(sample)
        rounds, limit = sample.rounds, min(capacity, self.context or capacity)
        while len(example) > limit:
            rounds -= 1
            if rounds == 0:
                why = f"the model reads {limit}; use fewer frames or canvases"
                if limit == capacity:
                    why = f"a bin holds {limit}; use fewer frames or canvases, or a longer sequence"
                raise TrainingError(f"{sample.id}: its first round alone has {len(example)} tokens and {why}")
            shorter = sample.keep_rounds(rounds)
            example = self._encode(shorter, example.visuals[: len(shorter.media)])
        return (sample if rounds == sample.rounds else sample.keep_rounds(rounds)), example

    def _encode(self, sample: Sample, visuals: tuple[VisualTokens, ...]) -> Example:
        pieces = list(self._pieces(sample, visuals))
        coded = self.tokenizer(
            "".join(text for text, _ in pieces), add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids = torch.tensor(coded["input_ids"])
        ends = torch.tensor([len(text) for text, _ in pieces]).cumsum(0)
        starts = torch.tensor([start for start, _ in coded["offset_mapping"]])
        supervised = torch.tensor([spoken for _, spoken in pieces])[torch.searchsorted(ends, starts, right=True)]
        return Example(sample.id, ids, ids.where(supervised, IGNORED), visuals)

    def _pieces(self, sample: Sample, visuals: tuple[VisualTokens, ...]):
        """(text, supervised) whose texts joined are the conversation in ChatML."""
        written = iter(
            visual_text(
                tokens,
                self.frames_prompt,
                item.options.get("timestamp_decimals", self.timestamp_decimals),
                self.timestamps,
            )
            for tokens, item in zip(visuals, sample.media, strict=True)
        )
        if sample.messages[0][0] != "system":
            yield f"<|im_start|>system\n{SYSTEM}<|im_end|>\n", False
        for role, text in sample.messages:
            if role == "user":
                text = _PLACE.sub(lambda _: next(written), text)
            yield f"<|im_start|>{role}\n", False
            yield text + "<|im_end|>", role == "assistant"
            yield "\n", False

    def _refuse_special_tokens(self, sample: Sample) -> None:
        for _, text in sample.messages:
            special = next((token for token in self.tokenizer.all_special_tokens if token in text), None)
            if special:
                raise TrainingError(f"{sample.id}: a message holds the special token {special}; write it in other words")
