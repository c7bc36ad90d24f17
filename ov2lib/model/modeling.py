"""LLaVA-OneVision-2: vision encoder, connector and Qwen3, under the published class and tensor names.

Images, sampled frames and codec canvases come in through the same three tensors (`pixel_values`, `image_grid_thw`,
`patch_positions`) and optional `group_ids`; every `<|image_pad|>` of the prompt is replaced by one visual token. The
language model is transformers' own Qwen3 with its cache, generation and attention; positions there are plain 1-D.
"""

from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import can_return_tuple

from ..errors import ModelError
from .checkpoint import refuse_gaps, unreadable
from .configuration import LlavaOnevision2Config, LlavaOnevision2MoeConfig
from .loss import bin_mean_loss, supervised_places
from .vision import LlavaOnevision2VisionModel, check_patches


class LlavaOnevision2PreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation; `from_pretrained` refuses a checkpoint with missing or misshaped tensors."""

    config_class = LlavaOnevision2Config
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["VisionBlock", "Qwen3DecoderLayer", "Qwen3MoeDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As transformers' `from_pretrained`, with every option of it; weights are safetensors, never pickle.

        Raises:
            ModelError: a tensor is missing, or has another shape and `ignore_mismatched_sizes` is not set (transformers
                would fill it at random and warn); files that are missing or damaged; pickled weights.
        """
        if kwargs.get("use_safetensors") is False:
            raise ModelError("weights are read from safetensors only, as pickle runs code; leave out use_safetensors=False")
        with_info = kwargs.pop("output_loading_info", False)
        may_differ = kwargs.pop("ignore_mismatched_sizes", False)
        kwargs |= {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            model, info = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except (OSError, SafetensorError) as error:
            raise unreadable(pretrained_model_name_or_path, error) from error
        refuse_gaps(model, info, may_differ)
        return (model, info) if with_info else model

    def enable_input_require_grads(self) -> None:
        """As transformers' (trainers call it with checkpointing), for text only: patches would take gradients through a frozen
        vision encoder, for nothing."""
        hook = self.get_input_embeddings().register_forward_hook(lambda module, given, made: made.requires_grad_(True))
        self._require_grads_hooks = [hook]


class LlavaOnevision2Model(LlavaOnevision2PreTrainedModel):
    """Encoder, connector and language model without the output head."""

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]

    def __init__(self, config: LlavaOnevision2Config):
        super().__init__(config)
        self.visual = LlavaOnevision2VisionModel._from_config(config.vision_config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def tokens_per_row(self, image_grid_thw: torch.Tensor, patch_positions: torch.Tensor | None) -> list[int]:
        """Visual tokens of every grid row: a block of m·m patches makes one, unless its first patch is padding (t < 0)."""
        unit = self.config.vision_config.spatial_merge_size**2
        blocks = (image_grid_thw.prod(-1) // unit).tolist()
        if patch_positions is None:
            return blocks
        seen = (patch_positions[::unit, 0] >= 0).cumsum(0)  # one transfer from the device, however many rows
        ends = seen.cpu()[torch.tensor(blocks).cumsum(0) - 1]
        return ends.diff(prepend=ends.new_zeros(1)).tolist()

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        image_grid_thw: torch.Tensor,
        patch_positions: torch.Tensor | None = None,
        group_ids: torch.Tensor | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """Visual tokens of images, frames or canvases; arguments as `LlavaOnevision2VisionModel.forward`.

        Returns:
            `pooler_output`: a tuple with one tensor [tokens, D] per grid row, padding left out.
        """
        outputs = self.visual(pixel_values, image_grid_thw, patch_positions, group_ids, **kwargs)
        tokens = outputs.pooler_output
        if patch_positions is not None:
            tokens = tokens[patch_positions[:: self.config.vision_config.spatial_merge_size**2, 0] >= 0]
        outputs.pooler_output = tokens.split(self.tokens_per_row(image_grid_thw, patch_positions))
        return outputs

    def check_inputs(
        self,
        input_ids: torch.Tensor | None,
        pixel_values: torch.Tensor,
        image_grid_thw: torch.Tensor,
        patch_positions: torch.Tensor | None = None,
        group_ids: torch.Tensor | None = None,
        past_length: int = 0,
        position_ids: torch.Tensor | None = None,
    ) -> None:
        """Refuse visual inputs and a prompt that do not fit together, before any heavy work.

        The longest sample counts where several share a row: their `position_ids` start again with each.

        Raises:
            ModelError: see `check_patches`; a prompt too long; places and visual tokens that differ in number.
        """
        check_patches(self.config.vision_config, pixel_values, image_grid_thw, patch_positions, group_ids)
        if input_ids is None:
            raise ModelError("visual inputs need input_ids, which say where the visual tokens go; pass them")
        length, limit = past_length + input_ids.shape[1], self.config.text_config.max_position_embeddings
        if length > limit and position_ids is not None:
            length = int(position_ids.max()) + 1
        if length > limit:
            raise ModelError(
                f"the prompt has {length} tokens and the model reads {limit}; use fewer canvases or frames, a smaller "
                "max_pixels, or shorter text"
            )
        self._check_places(input_ids, sum(self.tokens_per_row(image_grid_thw, patch_positions)))

    def _check_places(self, input_ids: torch.Tensor, tokens: int) -> None:
        places = int((input_ids == self.config.image_token_id).sum())
        if places != tokens:
            likely = (
                "the prompt was truncated, these are another prompt's, or a kept cache holds them already"
                if places < tokens
                else "the prompt was expanded twice, or visual inputs were left out"
            )
            raise ModelError(
                f"the prompt has {places} <|image_pad|> places for {tokens} visual tokens; likely {likely}, or the processor's "
                "merge_size is not the model's spatial_merge_size"
            )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        patch_positions: torch.Tensor | None = None,
        group_ids: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Text [B, S] with visual tokens in place of `<|image_pad|>` → hidden states [B, S, D].

        `mm_encoder_outputs={"image": get_image_features(...)}` stands for the visual inputs when they are already encoded
        (generation does this, so the vision tower runs once).

        Raises:
            ModelError: see `check_inputs`.
        """
        # 1. Visual features: given, or computed from patches
        features = (mm_encoder_outputs or {}).get("image")
        if pixel_values is not None:
            past_length = 0 if past_key_values is None else past_key_values.get_seq_length()
            visual = (pixel_values, image_grid_thw, patch_positions, group_ids)
            self.check_inputs(input_ids, *visual, past_length, position_ids)
            features = self.get_image_features(pixel_values, image_grid_thw, patch_positions, group_ids, return_dict=True)
        # 2. Text embeddings, with visual tokens in the places of their placeholders
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        if features is not None:
            tokens = torch.cat(list(features.pooler_output)).to(inputs_embeds)
            self._check_places(input_ids, len(tokens))
            places = (input_ids == self.config.image_token_id)[..., None].to(inputs_embeds.device)
            inputs_embeds = inputs_embeds.masked_scatter(places, tokens)
        # 3. The language model
        return self.language_model(
            None, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache=use_cache, **kwargs
        )


class LlavaOnevision2ForConditionalGeneration(LlavaOnevision2PreTrainedModel, GenerationMixin):
    """The whole model, with the language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: LlavaOnevision2Config):
        super().__init__(config)
        self.model = LlavaOnevision2Model(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, *args, **kwargs) -> BaseModelOutputWithPooling:
        """See `LlavaOnevision2Model.get_image_features`."""
        return self.model.get_image_features(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        patch_positions: torch.Tensor | None = None,
        group_ids: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        bin_loss: bool = False,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Logits [B, S, vocabulary], and the mean loss over `labels` that are not −100 (each predicted from the token before).

        Args:
            logits_to_keep: compute logits of that many last places only, or of the places listed (int64 [K]); 0 means all.
                Leave it with `labels`.
            bin_loss: the loss of packed training instead (`ov2lib.model.loss`), for which no logits are returned.
            others: as `LlavaOnevision2Model.forward`.
        """
        # 1. Hidden states of every token
        visual = (pixel_values, image_grid_thw, patch_positions, group_ids, mm_encoder_outputs)
        outputs = self.model(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache, *visual, **kwargs
        )
        # 2. Logits and loss: over a packed bin without ever holding all logits, otherwise as in any causal model
        hidden, logits, loss = outputs.last_hidden_state, None, None
        if bin_loss:
            places = supervised_places(labels)
            loss = bin_mean_loss(self.lm_head, hidden[:, places], labels[:, places + 1])  # type: ignore[index]
        else:
            kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = self.lm_head(hidden[:, kept])
            if labels is not None:
                vocabulary = self.config.text_config.vocab_size
                loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocabulary, **kwargs)
        return CausalLMOutputWithPast(loss, logits, outputs.past_key_values, outputs.hidden_states, outputs.attentions)

    def generate(self, inputs: torch.Tensor | None = None, *args, **kwargs):
        """transformers' `generate`, after `LlavaOnevision2Model.check_inputs`.

        The vision tower runs once: its tokens are computed before prompts are repeated for beams or
        `num_return_sequences`, and are dropped after the first step.
        """
        if kwargs.get("pixel_values") is not None:
            given: list[Any] = [kwargs.get(name) for name in ("pixel_values", "image_grid_thw", "patch_positions", "group_ids")]
            self.model.check_inputs(kwargs.get("input_ids", inputs), *given)
        return super().generate(inputs, *args, **kwargs)


class LlavaOnevision2MoeModel(LlavaOnevision2Model):
    """`LlavaOnevision2Model` under the model type of the size with experts."""

    config_class = LlavaOnevision2MoeConfig


class LlavaOnevision2MoeForConditionalGeneration(LlavaOnevision2ForConditionalGeneration):
    """`LlavaOnevision2ForConditionalGeneration` under the model type of the size with experts."""

    config_class = LlavaOnevision2MoeConfig
