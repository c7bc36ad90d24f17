"""The published sizes, counted on the meta device: parameters by part, memory by dtype, cost of a second of video.

Nothing is allocated: modules are built without storage, so the 30 B model is counted in seconds on a laptop. FLOPs are
counted from shapes, two per multiply-add, matrix products only (norms, activations and softmax are under 1 %).
"""

from dataclasses import dataclass
from typing import Any

import torch

from ..codec.sampled import MAX_FRAMES
from ..errors import ModelError
from .configuration import LlavaOnevision2Config
from .modeling import LlavaOnevision2ForConditionalGeneration

QWEN3 = {"vocab_size": 151936, "head_dim": 128, "rms_norm_eps": 1e-6, "max_position_embeddings": 262_144}
# Published: layers, widths, heads and rope of each language model. The context length is Qwen3-Instruct-2507's, *assumed*.
SIZES: dict[str, dict[str, Any]] = {
    "2b": {"num_hidden_layers": 28, "hidden_size": 2048, "intermediate_size": 6144, "num_attention_heads": 16,
           "num_key_value_heads": 8, "rope_theta": 1e6, "tie_word_embeddings": True},
    "4b": {"num_hidden_layers": 36, "hidden_size": 2560, "intermediate_size": 9728, "num_attention_heads": 32,
           "num_key_value_heads": 8, "rope_theta": 5e6},
    "8b": {"num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
           "num_key_value_heads": 8, "rope_theta": 8e6},
    "30b-a3b": {"model_type": "qwen3_moe", "num_hidden_layers": 48, "hidden_size": 2048, "intermediate_size": 6144,
                "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "num_attention_heads": 32,
                "num_key_value_heads": 4, "rope_theta": 1e7},
}  # fmt: skip
CANVAS = 392  # published: side of a frame or canvas in the paper's token statistics, 196 tokens each
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
GROUP = 4  # published: canvases that see each other


def published_config(size: str) -> LlavaOnevision2Config:
    """Configuration of a published size, "2b", "4b", "8b" or "30b-a3b".

    Raises:
        ModelError: another name.
    """
    if size not in SIZES:
        raise ModelError(f"{size!r} is not a published size; use {', '.join(SIZES)}, or a checkpoint folder")
    text: dict[str, Any] = {**QWEN3, **SIZES[size]}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": text.pop("rope_theta")}
    return LlavaOnevision2Config(text_config=text, vision_config={"out_hidden_size": text["hidden_size"]})


@dataclass(frozen=True)
class ModelCard:
    """Counts of one configuration.

    Attributes:
        parameters: by part; "active" is what one token uses, less than "total" only with experts.
        weight_gib: GiB of weights by dtype.
        cache_kib_per_token: KiB of key-value cache per token in bfloat16.
    """

    name: str
    parameters: dict[str, int]
    weight_gib: dict[str, float]
    cache_kib_per_token: float


@dataclass(frozen=True)
class VideoCost:
    """Visual tokens and FLOPs of one video, encoder to the end of prefill.

    Attributes:
        tokens: visual tokens; time tags come on top.
        encoder_flops, connector_flops, prefill_flops: of the whole video.
        seconds: its length.
    """

    name: str
    seconds: float
    tokens: int
    encoder_flops: float
    connector_flops: float
    prefill_flops: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def flops_per_second(self) -> float:
        """FLOPs for each second of video (not per second of computing)."""
        return (self.encoder_flops + self.connector_flops + self.prefill_flops) / self.seconds


def model_card(config: LlavaOnevision2Config, name: str = "") -> ModelCard:
    """Count the parameters of a configuration on the meta device."""
    # 1. Build without storage, and count by part
    with torch.device("meta"):
        model = LlavaOnevision2ForConditionalGeneration(config)
    text = config.text_config
    counts = {"vision encoder": 0, "connector": 0, "token embedding": 0, "language layers": 0, "output head": 0}
    experts = 0
    for key, parameter in model.named_parameters():  # a tied head appears once, as the embedding
        part = (
            "connector" if ".merger." in key
            else "vision encoder" if ".visual." in key
            else "token embedding" if "embed_tokens" in key
            else "output head" if key.startswith("lm_head")
            else "language layers"
        )  # fmt: skip
        counts[part] += parameter.numel()
        experts += parameter.numel() if ".experts." in key else 0
    # 2. A token uses only some of the experts
    total = sum(counts.values())
    idle = experts - experts * text.num_experts_per_tok // text.num_experts if experts else 0
    return ModelCard(
        name=name,
        parameters={**counts, "total": total, "active": total - idle},
        weight_gib={dtype: total * size / 2**30 for dtype, size in BYTES.items()},
        cache_kib_per_token=2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * BYTES["bfloat16"] / 2**10,
    )


def video_cost(
    config: LlavaOnevision2Config, name: str, seconds: float, canvases: int, group: int, side: int = CANVAS
) -> VideoCost:
    """Cost of a video shown as `canvases` square pictures of `side` pixels that attend in groups of `group`.

    Sampled frames at inference have group 1, codec canvases 4.
    """
    vision = config.vision_config
    patches = (side // vision.patch_size) ** 2
    n, width, unit = canvases * patches, vision.hidden_size, vision.spatial_merge_size**2
    run = min(group, canvases) * patches
    per_patch = vision.num_channels * vision.patch_size**2 * width
    per_patch += vision.num_hidden_layers * (4 * width**2 + 2 * width * vision.intermediate_size + 2 * run * width)
    tokens, joined = n // unit, width * unit
    return VideoCost(
        name=name,
        seconds=seconds,
        tokens=tokens,
        encoder_flops=2.0 * n * per_patch,
        connector_flops=2.0 * tokens * (joined**2 + joined * vision.out_hidden_size),
        prefill_flops=prefill_flops(config, tokens),
    )


def prefill_flops(config: LlavaOnevision2Config, tokens: int) -> float:
    """FLOPs of the language model reading a prompt of so many tokens, visual or text; without embedding and output head."""
    text, parameters = config.text_config, model_card(config).parameters
    elsewhere = ("vision encoder", "connector", "token embedding", "output head")
    used = parameters["active"] - sum(parameters[part] for part in elsewhere)
    causal = text.num_hidden_layers * text.num_attention_heads * text.head_dim * tokens  # 2 products over half the tokens each
    return 2.0 * tokens * (used + causal)


def video_costs(config: LlavaOnevision2Config, seconds: float) -> list[VideoCost]:
    """Frames at one per second and at the released maximum, and codec canvases at the evaluated budgets."""
    return [
        video_cost(config, "frames, 1 per second", seconds, max(1, round(seconds)), 1),
        video_cost(config, f"frames, {MAX_FRAMES}", seconds, MAX_FRAMES, 1),
        video_cost(config, "codec, 64 canvases", seconds, 64, GROUP),
        video_cost(config, "codec, 128 canvases", seconds, 128, GROUP),
    ]
