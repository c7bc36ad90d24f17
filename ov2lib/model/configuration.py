"""Configuration of the published model, under its published names (`config.json`, `model_type: llava_onevision2`).

Defaults are those of OneVision-Encoder-L as released with the 8B model (patch 14, merge 2) and a Qwen3 language model.
The two fields the released model does not have, `window_size` and `fullatt_block_indexes`, are off by default, so that a
released checkpoint loads and computes unchanged.
"""

from typing import Any

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from ..errors import ModelError


class LlavaOnevision2VisionConfig(PreTrainedConfig):
    """The vision encoder and its connector.

    Attributes:
        frame_windows_size: frames of one grid row that attend to each other, as released; the remainder is its own run.
        out_hidden_size: width of the language model, which the connector projects to.
        window_size: pixels on the side of a spatial window, or None for none (as released). *Assumed* design: the paper
            says that most layers use windows and publishes neither their size nor the layers; here a window holds the
            patches of one group whose source row and column fall into the same square of `window_size` pixels.
        fullatt_block_indexes: layers that keep whole groups when `window_size` is set.

    Raises:
        ModelError: a head dimension that the 4:6:6 split does not divide, an unknown norm, a window that cuts through a
            merge block.
    """

    model_type = "onevision_encoder"
    base_config_key = "vision_config"

    hidden_size: int = 1024  # published, as are all defaults below up to `use_head`
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 448
    patch_size: int = 14
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    layer_norm_type: str = "layer_norm"
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    rope_theta: float = 10000.0
    out_hidden_size: int = 4096
    spatial_merge_size: int = 2  # the released 8B; the published class defaults to 3, every released file states it
    tokens_per_second: int = 1
    temporal_patch_size: int = 1
    frame_windows_size: int = 4
    use_head: bool = False
    window_size: int | None = None
    fullatt_block_indexes: list[int] | tuple[int, ...] = ()

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        head = self.hidden_size / self.num_attention_heads
        if head % 32:
            raise ModelError(
                f"vision head dimension {head:g} is not a multiple of 32, which the 4:6:6 split of 3D RoPE needs; "
                "change hidden_size or num_attention_heads"
            )
        if self.layer_norm_type not in ("layer_norm", "rms_norm"):
            raise ModelError(f"layer_norm_type is {self.layer_norm_type!r}; use 'layer_norm' or 'rms_norm'")
        if self.window_size is not None and (
            self.window_size <= 0 or self.window_size % (self.patch_size * self.spatial_merge_size)
        ):
            side = self.patch_size * self.spatial_merge_size
            raise ModelError(f"window_size {self.window_size} would cut merge blocks; use a positive multiple of {side} pixels")

    def to_dict(self) -> dict:
        """As published: the two extra fields are written only when in use."""
        out = super().to_dict()
        if self.window_size is None:
            del out["window_size"], out["fullatt_block_indexes"]
        return out


class LlavaOnevision2Config(PreTrainedConfig):
    """The whole model: `vision_config`, `text_config` (Qwen3, or Qwen3-MoE for 30B-A3B) and the special token ids."""

    model_type = "llava_onevision2"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=LlavaOnevision2VisionConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen3"),
    }
    keys_to_ignore_at_inference = ["past_key_values"]

    text_config: Any = None  # a configuration, or its fields as a dict
    vision_config: Any = None
    image_token_id: int = 151655  # published, <|image_pad|>, as are the next three
    video_token_id: int = 151656  # <|video_pad|>
    vision_start_token_id: int = 151652
    vision_end_token_id: int = 151653
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        # Files written before transformers 5 state the tying inside text_config only (the 2B model ties).
        self.tie_word_embeddings = self.tie_word_embeddings or bool(getattr(self.text_config, "tie_word_embeddings", False))
        if self.vision_config.out_hidden_size != self.text_config.hidden_size:
            raise ModelError(
                f"the connector writes {self.vision_config.out_hidden_size} channels (vision_config.out_hidden_size) and the "
                f"language model reads {self.text_config.hidden_size} (text_config.hidden_size); make them equal"
            )


class LlavaOnevision2MoeConfig(LlavaOnevision2Config):
    """The same with experts in the language model (30B-A3B), under the model type of the released files."""

    model_type = "llava_onevision2_moe"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=LlavaOnevision2VisionConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen3_moe"),
    }
