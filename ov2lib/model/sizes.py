"""The published sizes, counted on the meta device: parameters by part, memory by dtype, cost of a second of video.

Nothing is allocated: modules are built without storage, so the 30 B model is counted in seconds on a laptop. FLOPs are
counted from shapes, two per multiply-add, matrix products only (norms, activations and softmax are under 1 %).
"""

from dataclasses import dataclass
from typing import Any

import torch

from ..codec.sampled import MAX_FRAMES
from ..display import Shown
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
class ModelCard(Shown):
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
class VideoCost(Shown):
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


class Widths:
    """Sizes that FLOPs and bytes are counted from.

    Attributes:
        patch, vision, vision_ffn, vision_layers: values of a patch, encoder width, its MLP's and how many blocks.
        joined: m² · vision, what the connector reads.
        hidden, ffn, query, key, layers, vocabulary: of the language model; query and key are heads times head dimension. With
            experts, ffn is the width of those that a token uses. The router is left out (under .1 % of the FLOPs at 30B-A3B).
        linears: (in, out) of q, k, v, o, gate, up and down.
        layer: weights in the products that a token passes in one language layer.
        stored: weights of one language layer, with all its experts.
    """

    def __init__(self, config: LlavaOnevision2Config):
        # 1. The encoder and the connector
        vision, text = config.vision_config, config.text_config
        self.patch = vision.num_channels * vision.patch_size**2
        self.vision, self.vision_ffn = vision.hidden_size, vision.intermediate_size
        self.vision_layers = vision.num_hidden_layers
        self.joined = vision.hidden_size * vision.spatial_merge_size**2
        # 2. The language model, dense or with experts
        self.hidden, self.layers, self.vocabulary = text.hidden_size, text.num_hidden_layers, text.vocab_size
        self.query, self.key = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
        self.experts, self.ffn, idle = getattr(text, "num_experts", None) or 0, text.intermediate_size, 0
        if self.experts:
            self.ffn = text.moe_intermediate_size * text.num_experts_per_tok
            idle = text.moe_intermediate_size * (self.experts - text.num_experts_per_tok)
        # 3. Weights of one language layer
        d, q, k, f = self.hidden, self.query, self.key, self.ffn
        self.linears = ((d, q), (d, k), (d, k), (q, d), (d, f), (d, f), (f, d))
        self.layer = sum(given * made for given, made in self.linears)
        self.stored = self.layer + 3 * d * idle

    def adapters(self, rank: int) -> int:
        """Parameters of the LoRA adapters on every language layer; experts get no adapters."""
        adapted = self.linears[:4] if self.experts else self.linears
        return self.layers * rank * sum(given + made for given, made in adapted)


@dataclass(frozen=True)
class Work:
    """What passes through the model: one sample, one bin or a whole stage; sums and multiples of it are again one.

    Attributes:
        patches: that the encoder sees.
        patch_pairs: pairs (query, key) of patches that see each other.
        visual, text: tokens that the language model reads.
        token_pairs: pairs of tokens that see each other; n² / 2 for a sample of n tokens.
        predicted: tokens whose logits are computed.
    """

    patches: float = 0.0
    patch_pairs: float = 0.0
    visual: float = 0.0
    text: float = 0.0
    token_pairs: float = 0.0
    predicted: float = 0.0

    @property
    def tokens(self) -> float:
        return self.visual + self.text

    def __add__(self, other: "Work") -> "Work":
        return Work(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __mul__(self, times: float) -> "Work":
        return Work(*(value * times for value in vars(self).values()))


def sample_work(patches: float, run: float, text: float, predicted: float = 0.0, merge: int = 2) -> Work:
    """One sample whose patches see each other in runs of `run`, merged `merge` x `merge` into visual tokens."""
    visual = patches / merge**2
    return Work(patches, patches * run, visual, text, (visual + text) ** 2 / 2, predicted)


def forward_flops(w: Widths, work: Work) -> dict[str, tuple[float, float]]:
    """FLOPs of one forward pass by part: (linear layers, attention: scores, and their sum over values)."""
    blocks = w.vision_layers * (4 * w.vision**2 + 2 * w.vision * w.vision_ffn)
    return {
        "patches": (2.0 * work.patches * w.patch * w.vision, 0.0),
        "vision": (2.0 * work.patches * blocks, 4.0 * w.vision_layers * w.vision * work.patch_pairs),
        "connector": (2.0 * work.visual * (w.joined**2 + w.joined * w.hidden), 0.0),
        "language": (2.0 * work.tokens * w.layers * w.layer, 4.0 * w.layers * w.query * work.token_pairs),
        "head": (2.0 * work.predicted * w.hidden * w.vocabulary, 0.0),
    }


def video_cost(
    config: LlavaOnevision2Config, name: str, seconds: float, canvases: int, group: int, side: int = CANVAS
) -> VideoCost:
    """Cost of a video shown as `canvases` square pictures of `side` pixels that attend in groups of `group`.

    Sampled frames at inference have group 1, codec canvases 4.
    """
    vision = config.vision_config
    patches = (side // vision.patch_size) ** 2
    work = sample_work(canvases * patches, min(group, canvases) * patches, 0.0, merge=vision.spatial_merge_size)
    flops = {part: sum(both) for part, both in forward_flops(Widths(config), work).items()}
    encoder = flops["patches"] + flops["vision"]
    return VideoCost(name, seconds, int(work.visual), encoder, flops["connector"], flops["language"])


def prefill_flops(config: LlavaOnevision2Config, tokens: int) -> float:
    """FLOPs of the language model for a prompt of `tokens` tokens, visual or text; without embedding and output head."""
    return sum(forward_flops(Widths(config), sample_work(0.0, 0.0, tokens))["language"])


def video_costs(config: LlavaOnevision2Config, seconds: float) -> list[VideoCost]:
    """Frames at one per second and at the released maximum, and codec canvases at the evaluated budgets."""
    return [
        video_cost(config, "frames, 1 per second", seconds, max(1, round(seconds)), 1),
        video_cost(config, f"frames, {MAX_FRAMES}", seconds, MAX_FRAMES, 1),
        video_cost(config, "codec, 64 canvases", seconds, 64, GROUP),
        video_cost(config, "codec, 128 canvases", seconds, 128, GROUP),
    ]
