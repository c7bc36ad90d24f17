"""The processor: text, images and videos in, the model's tensors out."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
from transformers import BatchFeature
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin, TextKwargs

from ..errors import ModelError
from ..samples.media import IMAGE_PIXELS, MediaOptions, flatten, image_tokens, is_image, is_video, video_tokens
from ..tokens import MERGE, VisualTokens
from .prompt import CHAT_TEMPLATE, FRAMES_PROMPTS, IMAGE_PAD, VIDEO_PAD, expand, places, visual_text

MEDIA_OPTIONS = {field.name for field in fields(MediaOptions)}
TEXT_OPTIONS = set(TextKwargs.__annotations__)


class LlavaOnevision2Processor(ProcessorMixin):
    """Tokenizer, image settings and chat template of a checkpoint.

    Args:
        image_processor: Qwen2-VL's, of which mean, std, patch size, merge size and the images' pixel budget are used; None
            makes one with the released settings.
        tokenizer: the checkpoint's.
        chat_template: None takes the tokenizer's, or ChatML as published.

    Raises:
        ModelError: a merge other than 2, or a tokenizer without the visual special tokens.
    """

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None):
        if tokenizer is None:
            raise ModelError("a processor needs a tokenizer; load a checkpoint's with from_pretrained, or pass tokenizer=")
        if image_processor is None:
            image_processor = Qwen2VLImageProcessorPil(patch_size=14, temporal_patch_size=1, size=IMAGE_PIXELS)
        if image_processor.merge_size != MERGE:
            raise ModelError(f"merge_size is {image_processor.merge_size}; visual tokens are merged {MERGE}x{MERGE} here")
        missing = [token for token in (IMAGE_PAD, VIDEO_PAD) if token not in tokenizer.get_vocab()]
        if missing:
            raise ModelError(f"the tokenizer lacks {missing[0]}; use the checkpoint's own tokenizer")
        template = chat_template or tokenizer.chat_template or CHAT_TEMPLATE
        super().__init__(image_processor, tokenizer, chat_template=template)
        self.image_token, self.video_token = IMAGE_PAD, VIDEO_PAD
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_PAD)

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: object = None,
        videos: object = None,
        *,
        frames_prompt: str = "inference",
        timestamp_decimals: int = 1,
        timestamps: str = "presentation",
        video_metadata: object = None,
        return_tensors: str | None = "pt",
        return_text_replacement_offsets: bool = False,
        **options,
    ) -> BatchFeature:
        """Build the model's inputs.

        Args:
            text: one prompt or a batch, with a placeholder for every image and video (`apply_chat_template` writes them).
            images: an image or a (nested) list: paths, PIL images, uint8 arrays [H, W, 3], `VisualTokens`.
            videos: a video or a (nested) list: paths, decoded frames, `VisualTokens`.
            frames_prompt: "inference" (one grid row per frame, each frame seen alone) or "training" (one row per video,
                frames seen in groups of four); see `prompt`.
            timestamp_decimals: 1, or 2 for JumpScore.
            timestamps: what time tags say, "presentation" or "published"; see `prompt.source_seconds`.
            video_metadata: for decoded frames, one dict per video with `fps` and optionally `frames_indices`.
            options: fields of `MediaOptions`, and the tokenizer's (`padding`, on by default; `padding_side`, "left"; ...).

        Returns:
            `input_ids` and `attention_mask` [B, S]; with visuals also `pixel_values` float [N, 3·P·P], `image_grid_thw`
            [rows, 3], `patch_positions` [N, 3] and `group_ids` [N], all in the order of the prompt, patches in merge-block
            order. Padding patches have groups of their own, so nothing sees them.

        Raises:
            ModelError: placeholders and visuals differ in number, an unknown option, a prompt the tokenizer cuts.
            VideoError: a video that cannot be read.
        """
        # 1. Check prompts and media against each other
        texts = [text] if isinstance(text, str) else text
        if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(prompt, str) for prompt in texts):
            raise ModelError("text is required: one prompt, or a list of prompts")
        if frames_prompt not in FRAMES_PROMPTS:
            raise ModelError(f"frames_prompt is {frames_prompt!r}; use 'inference' or 'training'")
        media, text_options = self._split(options)
        pictures, clips = flatten(images, is_image), flatten(videos, is_video)
        kinds = [kind for prompt in texts for kind in places(prompt)]
        self._check_counts(kinds, len(pictures), len(clips))

        # 2. Media become visual tokens, and these the text in place of their placeholders
        ordered = self._visual_tokens(kinds, iter(pictures), iter(clips), _metadata(video_metadata, len(clips)), media)
        written = iter([visual_text(tokens, frames_prompt, timestamp_decimals, timestamps) for tokens in ordered])
        expanded = [expand(prompt, written) for prompt in texts]

        # 3. Text becomes ids, which the tokenizer must not have cut off
        data = dict(self.tokenizer([prompt for prompt, _ in expanded], return_tensors=return_tensors, **text_options))
        self._check_length([prompt for prompt, _ in expanded], data["input_ids"])
        if return_text_replacement_offsets:
            data["text_replacement_offsets"] = [spans for _, spans in expanded]
        # 4. Visual tokens become the tensors of the vision tower
        if ordered:
            data |= self.visual_inputs(ordered, frames_prompt)
        return BatchFeature(data, tensor_type=return_tensors, skip_tensor_conversion=["text_replacement_offsets"])

    def visual_inputs(self, ordered: Sequence[VisualTokens], frames_prompt: str = "inference") -> dict[str, torch.Tensor]:
        """The visual tensors of `__call__` for tokens in prompt order."""
        parts: dict[str, list] = {"pixel_values": [], "image_grid_thw": [], "patch_positions": [], "group_ids": []}
        first_group = 0
        for tokens in ordered:
            # 1. Which canvases see each other: alone, or by group
            h, w = tokens.grid
            n = len(tokens.canvases)
            alone = tokens.kind == "frames" and frames_prompt == "inference"
            one_row = tokens.kind == "frames" and not alone
            groups = np.arange(n) if alone else np.unique(tokens.group_ids, return_inverse=True)[1]
            # 2. Patches in the order in which 2x2 of them are merged
            positions = tokens.patch_positions[tokens.merge_order]
            pixels = self.image_processor(images=list(tokens.canvases), do_resize=False, return_tensors="pt")
            # 3. Empty places get an odd group number, so that they see only each other
            parts["pixel_values"].append(pixels["pixel_values"])
            parts["image_grid_thw"].append(np.array([[n, h, w]]) if one_row else tokens.grid_thw)
            parts["patch_positions"].append(positions)
            parts["group_ids"].append(2 * (first_group + np.repeat(groups, h * w)) + (positions[:, 0] < 0))
            first_group += n
        return {
            name: torch.cat(values) if name == "pixel_values" else torch.from_numpy(np.concatenate(values))
            for name, values in parts.items()
        }

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "patch_positions", "group_ids"]

    def save_pretrained(self, save_directory, *args, **kwargs):
        """As transformers', and `preprocessor_config.json`, which the published code and vLLM read."""
        files = super().save_pretrained(save_directory, *args, **kwargs)
        return [*files, *self.image_processor.save_pretrained(save_directory)]

    def _split(self, options: dict) -> tuple[MediaOptions, dict]:
        from_template = {"audio": None, "do_sample_frames": True}  # what apply_chat_template adds of its own
        options = {name: value for name, value in options.items() if (name, value) not in from_template.items()}
        unknown = sorted(set(options) - MEDIA_OPTIONS - TEXT_OPTIONS)
        if unknown:
            raise ModelError(
                f"{unknown[0]!r} is not an option of the processor; video options are {', '.join(sorted(MEDIA_OPTIONS))}"
            )
        video = MediaOptions(**{name: value for name, value in options.items() if name in MEDIA_OPTIONS})
        text = {name: value for name, value in options.items() if name in TEXT_OPTIONS}
        return video, {"padding": True, "padding_side": "left", **text}

    def _visual_tokens(self, kinds: list[str], pictures: Iterator, clips: Iterator, metadata: Iterator, media: MediaOptions):
        patch, size = self.image_processor.patch_size, self.image_processor.size
        budget = media.min_pixels or size["shortest_edge"], media.max_pixels or size["longest_edge"]
        return [
            image_tokens(next(pictures), *budget, patch)
            if kind == "image"
            else video_tokens(next(clips), media, next(metadata), patch)
            for kind in kinds
        ]

    @staticmethod
    def _check_counts(kinds: list[str], images: int, videos: int) -> None:
        for name, given, pad in (("image", images, IMAGE_PAD), ("video", videos, VIDEO_PAD)):
            wanted = kinds.count(name)
            if wanted != given:
                likely = (
                    "the text was expanded before; pass it as apply_chat_template returned it"
                    if wanted > max(8, given)
                    else f"write one <|vision_start|>{pad}<|vision_end|> per {name}"
                )
                raise ModelError(f"the text has places for {wanted} {name}s and {given} were passed; {likely}")

    def _check_length(self, prompts: list[str], input_ids) -> None:
        for number, (prompt, ids) in enumerate(zip(prompts, input_ids, strict=True)):
            places, kept = prompt.count(IMAGE_PAD), int((np.asarray(ids) == self.image_token_id).sum())
            if places != kept:
                raise ModelError(
                    f"prompt {number} has {places} places for visual tokens and {kept} are left after truncation; "
                    "do not truncate visual prompts, use fewer canvases or frames"
                )
        length = max(len(ids) for ids in input_ids)
        if length > self.tokenizer.model_max_length:
            raise ModelError(
                f"the prompt has {length} tokens and the tokenizer's model reads {self.tokenizer.model_max_length}; use fewer "
                "canvases or frames, a smaller max_pixels, or shorter text"
            )


def _metadata(given: object, videos: int) -> Iterator:
    if given is None:
        return iter([None] * videos)
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(listed) != videos:
        raise ModelError(f"video_metadata describes {len(listed)} videos and {videos} were passed; pass one per video")
    return iter(listed)


__all__ = ["LlavaOnevision2Processor"]
