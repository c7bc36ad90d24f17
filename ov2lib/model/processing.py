"""The processor: text, images and videos in, the model's tensors out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin, TextKwargs

from ..codec.config import FRONT_ENDS
from ..errors import ModelError
from ..samples.media import (
    BACKENDS,
    FRONT_END,
    IMAGE_PIXELS,
    MediaOptions,
    flatten,
    image_tokens,
    is_image,
    is_video,
    stated_backend,
    video_tokens,
)
from ..tokens import VisualTokens
from .inputs import by_modality, picture, plain
from .prompt import (
    CHAT_TEMPLATE,
    FRAMES_PROMPTS,
    IMAGE_PAD,
    TIMESTAMPS,
    VIDEO_PAD,
    check_decimals,
    expand,
    places,
    visual_text,
)

OPTIONS = {  # by transformers' nested dictionaries
    "images_kwargs": {"min_pixels", "max_pixels"},
    "videos_kwargs": {field.name for field in fields(MediaOptions)} | {"do_sample_frames"},
    "text_kwargs": set(TextKwargs.__annotations__) - {"return_mm_token_type_ids"},
}
IDLE = (("audio", None), ("return_metadata", False))  # what apply_chat_template and pipelines add of their own


class LlavaOnevision2Processor(ProcessorMixin):
    """Tokenizer, image settings and chat template of a checkpoint.

    Args:
        image_processor: Qwen2-VL's, of which mean, std, patch size, merge size and the images' pixel budget are used; None
            makes one with the released settings.
        tokenizer: the checkpoint's.
        chat_template: None takes the tokenizer's, or ChatML as published.
        video_backend, front_end, frames_prompt, timestamp_decimals, timestamps, seconds_per_canvas: how the checkpoint was
            shown videos, the default of calls; by default as released. Training saves its own here.

    Raises:
        ModelError: a tokenizer without the visual special tokens, or an invalid default.
    """

    def __init__(
        self,
        image_processor=None,
        tokenizer=None,
        chat_template=None,
        video_backend: str = "codec",
        front_end: str = FRONT_END,
        frames_prompt: str = "inference",
        timestamp_decimals: int = 1,
        timestamps: str = "presentation",
        seconds_per_canvas: float | None = None,
    ):
        # 1. The parts, and what they must have
        if tokenizer is None:
            raise ModelError("a processor needs a tokenizer; load a checkpoint's with from_pretrained, or pass tokenizer=")
        if image_processor is None:
            image_processor = Qwen2VLImageProcessorPil(patch_size=14, temporal_patch_size=1, size=IMAGE_PIXELS)
        missing = [token for token in (IMAGE_PAD, VIDEO_PAD) if token not in tokenizer.get_vocab()]
        if missing:
            raise ModelError(f"the tokenizer lacks {missing[0]}; use the checkpoint's own tokenizer")
        # 2. The parts under transformers' names
        template = chat_template or tokenizer.chat_template or CHAT_TEMPLATE
        super().__init__(image_processor, tokenizer, chat_template=template)
        # 3. How videos were shown, and the places for visual tokens
        self.video_backend, self.seconds_per_canvas = MediaOptions(video_backend).video_backend, seconds_per_canvas
        self.front_end = _one_of("front_end", front_end, FRONT_ENDS)
        self.frames_prompt = _one_of("frames_prompt", frames_prompt, FRAMES_PROMPTS)
        self.timestamps = _one_of("timestamps", timestamps, TIMESTAMPS)
        self.timestamp_decimals = check_decimals(timestamp_decimals)
        self.image_token, self.video_token = IMAGE_PAD, VIDEO_PAD
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_PAD)

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: object = None,
        videos: object = None,
        *,
        frames_prompt: str | None = None,
        timestamp_decimals: int | None = None,
        timestamps: str | None = None,
        video_metadata: object = None,
        return_tensors: str | None = "pt",
        return_text_replacement_offsets: bool = False,
        return_mm_token_type_ids: bool = False,
        **options,
    ) -> BatchFeature:
        """Build the model's inputs.

        Args:
            text: one prompt or a batch, with a placeholder for every image and video (`apply_chat_template` writes them).
            images: an image or a (nested) list: paths, addresses, base64, PIL images, uint8 arrays or tensors, `VisualTokens`.
            videos: a video or a (nested) list: paths, decoded frames or their files, `VisualTokens`.
            frames_prompt: "inference" (one grid row per frame, each frame seen alone) or "training" (one row per video,
                frames seen in groups of four); see `prompt`. This and the next two default to the checkpoint's.
            timestamp_decimals, timestamps: of time tags; see `prompt.visual_text`.
            video_metadata: for decoded frames, one dict per video with `fps` and optionally `frames_indices`.
            options: fields of `MediaOptions` (`fps` may be a list, one per video) and of the tokenizer (`padding`, on by
                default; `padding_side`, "left"; ...), flat or in `images_kwargs`, `videos_kwargs` and `text_kwargs`.

        Returns:
            `input_ids` and `attention_mask` [B, S]; with visuals also `pixel_values` float [N, 3·P·P], `image_grid_thw`
            [rows, 3], `patch_positions` [N, 3] and `group_ids` [N], in the order of the prompt, patches in merge-block order.

        Raises:
            ModelError: placeholders and visuals differ in number, an unknown option, a prompt the tokenizer cuts.
            VideoError: a video that cannot be read.
        """
        # 1. Check prompts and media against each other
        texts = _texts(text)
        frames_prompt = _one_of("frames_prompt", frames_prompt or self.frames_prompt, FRAMES_PROMPTS)
        decimals = self.timestamp_decimals if timestamp_decimals is None else timestamp_decimals
        image_options, video_options, text_options = _split(options)
        pictures, clips = flatten(plain(images), is_image), flatten(plain(videos), is_video)
        kinds = [kind for prompt in texts for kind in places(prompt)]
        self._check_counts(kinds, len(pictures), len(clips))
        # 2. Media become visual tokens, and these the text in place of their placeholders
        stills = self._images(pictures, MediaOptions(**image_options))
        films = self._videos(clips, video_options, video_metadata)
        ordered = [next(stills if kind == "image" else films) for kind in kinds]
        written = iter([visual_text(tokens, frames_prompt, decimals, timestamps or self.timestamps) for tokens in ordered])
        expanded = [expand(prompt, written) for prompt in texts]
        # 3. Text becomes ids, which the tokenizer must not have cut off
        data = dict(self.tokenizer([prompt for prompt, _ in expanded], return_tensors=return_tensors, **text_options))
        self._check_length([prompt for prompt, _ in expanded], data["input_ids"])
        if return_text_replacement_offsets:
            data["text_replacement_offsets"] = [spans for _, spans in expanded]
        if return_mm_token_type_ids:
            data["mm_token_type_ids"] = self.create_mm_token_type_ids(list(data["input_ids"]))
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
            # 2. Patches in the order in which they are merged
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

    def media_options(self, options: Mapping, decoded: bool = False) -> MediaOptions:
        """Options of one video; what they leave open is as the checkpoint was shown videos, decoded frames stay frames."""
        backend = stated_backend(options) or ("frames" if decoded else self.video_backend)
        own: dict[str, Any] = {"front_end": self.front_end} if backend == "codec" else {}
        if own and options.get("num_canvases") is None:
            own["seconds_per_canvas"] = self.seconds_per_canvas
        settings: dict[str, Any] = {"video_backend": backend} | own | {k: v for k, v in options.items() if v is not None}
        return MediaOptions(**settings)

    def _images(self, pictures: Sequence, options: MediaOptions) -> Iterator[VisualTokens]:
        images, size = self.image_processor, self.image_processor.size
        budget = options.min_pixels or size["shortest_edge"], options.max_pixels or size["longest_edge"]
        return (image_tokens(picture(item), *budget, images.patch_size, images.merge_size) for item in pictures)

    def _videos(self, clips: Sequence, options: Mapping, metadata: object) -> Iterator[VisualTokens]:
        known = [None] * len(clips) if metadata is None else _per_video("video_metadata", metadata, len(clips))
        rates = options.get("fps")
        if not clips:
            self.media_options(options)  # a senseless option is refused without videos, too
        listed = _per_video("fps", rates, len(clips)) if isinstance(rates, (list, tuple)) else [rates] * len(clips)
        choices = [
            self.media_options({**options, "fps": fps}, decoded=not isinstance(clip, (str, Path, VisualTokens)))
            for clip, fps in zip(clips, listed, strict=True)
        ]
        patch, merge = self.image_processor.patch_size, self.image_processor.merge_size
        return (video_tokens(*one, patch, merge=merge) for one in zip(clips, choices, known, strict=True))

    @staticmethod
    def _check_counts(kinds: list[str], images: int, videos: int) -> None:
        for name, given, pad in (("image", images, IMAGE_PAD), ("video", videos, VIDEO_PAD)):
            places = kinds.count(name)
            if places != given:
                likely = (
                    "the text was expanded before; pass it as apply_chat_template returned it"
                    if places > max(8, given)
                    else f"write one <|vision_start|>{pad}<|vision_end|> per {name}"
                )
                raise ModelError(f"the text has places for {places} {name}s and {given} were passed; {likely}")

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


def _texts(text: object) -> Sequence[str]:
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(prompt, str) for prompt in texts):
        raise ModelError("text is required: one prompt, or a list of prompts")
    return texts


def _one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    if value not in allowed:
        raise ModelError(f"{name} is {value!r}; use {' or '.join(map(repr, allowed))}")
    return value


def _split(options: dict) -> tuple[dict, dict, dict]:
    """Options for images, videos and text."""
    split = by_modality({name: value for name, value in options.items() if (name, value) not in IDLE}, OPTIONS)
    images, videos, text = split.values()
    rates = [name for name in BACKENDS["frames"] if videos.get(name) is not None]
    if videos.pop("do_sample_frames", None) is False and rates:
        raise ModelError(f"do_sample_frames=False and {rates[0]} contradict each other; give one of them")
    return images, videos, {"padding": True, "padding_side": "left"} | text


def _per_video(name: str, given: object, videos: int) -> Sequence:
    """One value for each video out of a list of them, or of the value of a single one."""
    listed = given if isinstance(given, (list, tuple)) else [given]
    if len(listed) != videos:
        raise ModelError(f"{name} describes {len(listed)} videos and {videos} were passed; pass one per video")
    return listed
