"""Answers of a LLaVA-OneVision-2 checkpoint to samples: greedy, in batches, with its eyes open or shut."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import ModelError
from ..model.adapter import base_of, load_folder
from ..model.ask import check_folder, find_device, load_processor
from ..model.processing import LlavaOnevision2Processor
from ..model.prompt import IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER, check_decimals
from ..samples.media import MediaOptions, image_tokens, override, video_tokens
from ..samples.sample import Media, Sample
from ..tokens import VisualTokens

MAX_NEW_TOKENS = 1024  # published: JumpScore's setting in lmms-eval

_PLACE = re.compile(r"<(image|video)>\n?")  # the newline after a placeholder is dropped, as in `ov2lib.train.encoding`
_PLACEHOLDERS = {"image": IMAGE_PLACEHOLDER, "video": VIDEO_PLACEHOLDER}


@dataclass(frozen=True)
class Predictor:
    """Answers samples with one model; a `predict` for `ov2lib.evaluate.run.evaluate`.

    Attributes:
        model: in evaluation mode, on its device.
        processor: its own.
        max_new_tokens: longest answer.
        batch_size: samples generated together, prompts padded on the left. Answers may differ in the last bits of the logits
            from those of another batch size.
        blind: every pixel value becomes 0, the mean colour, while time tags, positions and token counts stay.
        frames_prompt: "inference" or "training", how sampled frames are written; see `ov2lib.model.prompt`. None is the
            checkpoint's own, as for `timestamps`.
        timestamps: "presentation" or "published", what time tags say; see `ov2lib.model.prompt.source_seconds`.
        overrides: fields of `MediaOptions` for every video, and `timestamp_decimals`; they win over a sample's own options.
    """

    model: torch.nn.Module
    processor: LlavaOnevision2Processor
    max_new_tokens: int = MAX_NEW_TOKENS
    batch_size: int = 1
    blind: bool = False
    frames_prompt: str | None = None
    overrides: Mapping = field(default_factory=dict)
    timestamps: str | None = None

    def __post_init__(self):
        for name in ("frames_prompt", "timestamps"):
            object.__setattr__(self, name, getattr(self, name) or getattr(self.processor, name))
        MediaOptions(**self._media_overrides)  # options that contradict each other are refused before the first sample

    @property
    def options(self) -> dict:
        """What decides the answers, as JSON values."""
        return {
            "max_new_tokens": self.max_new_tokens, "blind": self.blind, "frames_prompt": self.frames_prompt,
            "timestamps": self.timestamps, "media": dict(self.overrides),
        }  # fmt: skip

    def __call__(self, sample: Sample) -> str:
        """The answer to the sample's last question.

        Raises:
            VideoError, ModelError: media that cannot be read, or a prompt that does not fit the model.
        """
        return self.many([sample])[0]

    def many(self, samples: Sequence[Sample]) -> list[str]:
        """The answers to several samples, generated together where they write times with equally many decimals."""
        answers: dict[int, str] = {}
        decimals = [self._decimals(sample) for sample in samples]
        for count in dict.fromkeys(decimals):
            group = [number for number, one in enumerate(decimals) if one == count]
            answers |= zip(group, self._generate([samples[number] for number in group], count), strict=True)
        return [answers[number] for number in range(len(samples))]

    def inputs(self, samples: Sequence[Sample], timestamp_decimals: int = 1):
        """The model's inputs for a batch, `pixel_values` zeroed where blind."""
        media = [(item.kind, self.visual(item)) for sample in samples for item in sample.media]
        batch = self.processor(
            [self.prompt(sample) for sample in samples],
            images=[tokens for kind, tokens in media if kind == "image"],
            videos=[tokens for kind, tokens in media if kind == "video"],
            frames_prompt=self.frames_prompt,
            timestamp_decimals=timestamp_decimals,
            timestamps=self.timestamps,
        )
        if self.blind and "pixel_values" in batch:
            batch["pixel_values"] = torch.zeros_like(batch["pixel_values"])
        return batch

    def prompt(self, sample: Sample) -> str:
        """The conversation without its last answer, as ChatML with a placeholder for each image and video."""
        turns = [
            {"role": role, "content": _PLACE.sub(lambda place: _PLACEHOLDERS[place[1]], text) if role == "user" else text}
            for role, text in sample.messages[:-1]
        ]
        return self.processor.apply_chat_template(turns, add_generation_prompt=True)

    def visual(self, item: Media) -> VisualTokens:
        """The visual tokens that the model is shown for one item."""
        images = self.processor.image_processor
        patch, merge = images.patch_size, images.merge_size
        given = {name: value for name, value in item.options.items() if name != "timestamp_decimals"}
        if item.kind == "image":
            size, options = images.size, MediaOptions(**given)
            least, most = options.min_pixels or size["shortest_edge"], options.max_pixels or size["longest_edge"]
            return image_tokens(item.path, least, most, patch, merge)
        options = self.processor.media_options(override(given, self._media_overrides))
        return video_tokens(item.path, options, None, patch, merge=merge)

    @property
    def _media_overrides(self) -> dict:
        return {name: value for name, value in self.overrides.items() if name != "timestamp_decimals"}

    def _decimals(self, sample: Sample) -> int:
        videos = [item for item in sample.media if item.kind == "video"]
        default = self.processor.timestamp_decimals
        stated = {check_decimals(item.options.get("timestamp_decimals", default)) for item in videos} or {default}
        if len(stated) > 1 and "timestamp_decimals" not in self.overrides:
            raise ModelError(f"{sample.id}: its videos write times with {sorted(stated)} decimals; use one number for all")
        return self.overrides.get("timestamp_decimals", stated.pop())

    @torch.inference_mode()
    def _generate(self, samples: Sequence[Sample], timestamp_decimals: int) -> list[str]:
        batch = self.inputs(samples, timestamp_decimals).to(self.model.device)
        tokenizer = self.processor.tokenizer
        ids = self.model.generate(
            **batch,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
            pad_token_id=tokenizer.pad_token_id,
        )
        return tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def load_predictor(folder: str | Path, device: str | None = None, **settings) -> Predictor:
    """A checkpoint or adapter folder as a predictor; `settings` are fields of `Predictor`.

    Raises:
        ModelError: no model, or not all of it, in that folder, or no such device.
    """
    folder, place = check_folder(folder), find_device(device)
    processor = load_processor(folder)
    model = load_folder(folder).to(place).eval()
    return Predictor(model, processor, **settings)


def fingerprint(folder: str | Path) -> str:
    """SHA-256 over configuration and weights, an adapter's too: the revision of a folder that has no name for it.

    Raises:
        ModelError: the folder holds no model.
    """
    folder, total = check_folder(folder), hashlib.sha256()
    base = base_of(folder)
    for file in [base / "config.json", *sorted(base.glob("*.safetensors")), *sorted(folder.glob("adapter_*"))]:
        with open(file, "rb") as data:
            total.update(hashlib.file_digest(data, "sha256").digest())
    return "sha256:" + total.hexdigest()
