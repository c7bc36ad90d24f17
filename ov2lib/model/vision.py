"""OneVision-Encoder and the connector: patches in, visual tokens out.

    pixel_values [N, 3·P·P] → patch embedding [N, C] → LayerNorm → 24 × (LN → attention → +, LN → MLP → +) → merger [N/m², D]

No class token, no learned positions, no norm after the last block. Module names are those of the published checkpoint.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.models.qwen3.modeling_qwen3 import eager_attention_forward
from transformers.utils.generic import is_flash_attention_requested
from transformers.utils.output_capturing import capture_outputs

from ..errors import ModelError
from .attention import Runs, attend, plan_visibility
from .configuration import LlavaOnevision2VisionConfig
from .rope import rotary_tables, rotate

# Queries and keys → rotated. A function and no pair of tensors: FSDP2 rounds the tensors that a block is given to bfloat16.
Rotation = Callable[[torch.Tensor], torch.Tensor]


class VisionEmbeddings(nn.Module):
    """A convolution whose kernel is the patch, on patches that are already cut.

    A matrix product would do the same and is faster on a CPU, but sums in another order: encoder states then differ from
    the published code's by 3e-5 instead of under 1e-5 (fp32, states up to 16). The embedding is under 1 % of the encoder.
    """

    def __init__(self, config: LlavaOnevision2VisionConfig):
        super().__init__()
        side = config.patch_size
        self.patch_embedding = nn.Conv2d(config.num_channels, config.hidden_size, kernel_size=side, stride=side, bias=False)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[N, 3·P·P] → [N, C]."""
        conv = self.patch_embedding
        return conv(pixel_values.to(conv.weight.dtype).view(-1, conv.in_channels, *conv.kernel_size)).flatten(1)


class VisionAttention(nn.Module):
    """Multi-head attention within runs, with fused qkv and the published 3D RoPE."""

    num_key_value_groups = 1  # what transformers' eager attention asks a module for
    is_causal = False

    def __init__(self, config: LlavaOnevision2VisionConfig):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.scaling = (config.hidden_size // config.num_attention_heads) ** -0.5
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, rotation: Rotation, runs: Runs) -> torch.Tensor:
        states = self.qkv(hidden_states).unflatten(-1, (3, self.num_heads, -1))
        query, key = rotation(states[:, :2]).unbind(1)
        interface = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output = attend(
            self, query, key, states[:, 2], runs, interface,
            variable_length=is_flash_attention_requested(self.config),
            scaling=self.scaling,
            dropout=self.config.attention_dropout if self.training else 0.0,
        )  # fmt: skip
        return self.proj(output.flatten(1))


class VisionMLP(nn.Module):
    """Linear → GELU → Linear on each patch."""

    def __init__(self, config: LlavaOnevision2VisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.act = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(hidden_states)))


def _norm(config: LlavaOnevision2VisionConfig) -> nn.Module:
    kind = nn.LayerNorm if config.layer_norm_type == "layer_norm" else nn.RMSNorm
    return kind(config.hidden_size, eps=config.layer_norm_eps)


class VisionBlock(GradientCheckpointingLayer):
    """One pre-norm transformer block."""

    def __init__(self, config: LlavaOnevision2VisionConfig):
        super().__init__()
        self.layer_norm1, self.layer_norm2 = _norm(config), _norm(config)
        self.self_attn, self.mlp = VisionAttention(config), VisionMLP(config)

    def forward(self, hidden_states: torch.Tensor, rotation: Rotation, runs: Runs) -> torch.Tensor:
        hidden_states = hidden_states + self.self_attn(self.layer_norm1(hidden_states), rotation, runs)
        return hidden_states + self.mlp(self.layer_norm2(hidden_states))


class VisionEncoder(nn.Module):
    """Holds the blocks under the name they have in the checkpoint."""

    def __init__(self, config: LlavaOnevision2VisionConfig):
        super().__init__()
        self.layers = nn.ModuleList(VisionBlock(config) for _ in range(config.num_hidden_layers))


class VisionPatchMerger(nn.Module):
    """The connector: LayerNorm per patch, m·m neighbours concatenated, Linear → GELU → Linear to the language model."""

    def __init__(self, config: LlavaOnevision2VisionConfig):
        super().__init__()
        self.width = config.hidden_size * config.spatial_merge_size**2
        self.ln_q = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = nn.Sequential(nn.Linear(self.width, self.width), nn.GELU(), nn.Linear(self.width, config.out_hidden_size))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[N, C] in merge-block order → [N/m², D]."""
        return self.mlp(self.ln_q(hidden_states).view(-1, self.width))


def check_patches(
    config: LlavaOnevision2VisionConfig,
    pixel_values: torch.Tensor,
    image_grid_thw: torch.Tensor,
    patch_positions: torch.Tensor | None = None,
    group_ids: torch.Tensor | None = None,
) -> list[list[int]]:
    """Refuse inputs that contradict each other, before any heavy work; arguments as `LlavaOnevision2VisionModel.forward`.

    Returns:
        the grid rows as lists of ints.

    Raises:
        ModelError: a wrong shape or dtype, a grid that the merge does not divide, lengths that differ.
    """
    # 1. Patches: floats of the right width
    channels, merge = config.num_channels * config.patch_size**2, config.spatial_merge_size
    if not pixel_values.is_floating_point() or pixel_values.ndim != 2 or pixel_values.shape[1] != channels:
        raise ModelError(
            f"pixel_values are {pixel_values.dtype} {tuple(pixel_values.shape)}; expected floats [N, {channels}], "
            "normalised and cut into patches by the processor"
        )
    # 2. Whatever comes beside them: whole numbers, one row for each patch
    if image_grid_thw is None:
        raise ModelError("pixel_values came without image_grid_thw; pass all that the processor returned")
    patches = len(pixel_values)
    expected = {
        "image_grid_thw": (image_grid_thw, (len(image_grid_thw), 3)),
        "patch_positions": (patch_positions, (patches, 3)),
        "group_ids": (group_ids, (patches,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and (tensor.is_floating_point() or tuple(tensor.shape) != shape):
            raise ModelError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; {patches} patches need integers {shape}")
    # 3. The grid: whole merge blocks, as many patches as there are
    grid = image_grid_thw.tolist()
    for t, h, w in grid:
        if min(t, h, w) <= 0 or h % merge or w % merge:
            raise ModelError(
                f"grid row [{t}, {h}, {w}] is not divisible by the {merge}x{merge} merge; resize both sides to multiples of "
                f"{merge} patches"
            )
    described = sum(t * h * w for t, h, w in grid)
    if described != patches:
        raise ModelError(f"image_grid_thw describes {described} patches and pixel_values hold {patches}; pass both whole")
    return grid


def grid_positions(grid_thw: torch.Tensor, merge: int) -> torch.Tensor:
    """Positions (t, row, col) of a grid's own patches, in merge-block order: int64 [N, 3].

    What images and evenly sampled frames have; codec canvases carry source positions instead.
    """
    parts = []
    for t, h, w in grid_thw.tolist():
        places = torch.cartesian_prod(torch.arange(t), torch.arange(h), torch.arange(w)).view(
            t, h // merge, merge, w // merge, merge, 3
        )
        parts.append(places.transpose(2, 3).reshape(-1, 3))
    return torch.cat(parts).to(grid_thw.device)


class LlavaOnevision2VisionModel(PreTrainedModel):
    """Vision encoder with connector.

    Patches see each other within their group (`attention.py`); with `config.window_size` set, only layers listed in
    `config.fullatt_block_indexes` do so across the whole group.
    """

    config_class = LlavaOnevision2VisionConfig
    main_input_name = "pixel_values"
    _input_embed_layer = "patch_embedding"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["VisionBlock"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": VisionBlock}

    def __init__(self, config: LlavaOnevision2VisionConfig):
        super().__init__(config)
        self.embeddings = VisionEmbeddings(config)
        self.layernorm_pre = _norm(config)
        self.encoder = VisionEncoder(config)
        self.merger = VisionPatchMerger(config)
        self.gradient_checkpointing = False
        self.post_init()

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        pixel_values: torch.Tensor,
        image_grid_thw: torch.Tensor,
        patch_positions: torch.Tensor | None = None,
        group_ids: torch.Tensor | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """Encode patches.

        Args:
            pixel_values: float [N, 3·P·P], normalised patches in merge-block order.
            image_grid_thw: int [rows, 3], patches (t, h, w) of each grid row.
            patch_positions: int [N, 3], source (t, row, col) of each patch; the grid's own places when None.
            group_ids: int [N], patches with equal ids see each other; as released when None.

        Returns:
            `last_hidden_state` [N, C] and `pooler_output` [N/m², D], the visual tokens.

        Raises:
            ModelError: inputs that contradict each other.
        """
        # 1. Which patches see each other
        config = self.config
        grid = check_patches(config, pixel_values, image_grid_thw, patch_positions, group_ids)
        if patch_positions is None:
            patch_positions = grid_positions(image_grid_thw, config.spatial_merge_size)
        side = None if config.window_size is None else config.window_size // config.patch_size
        groups, windows = plan_visibility(grid, patch_positions, group_ids, config.frame_windows_size, side)
        # 2. Where each patch stands
        cos, sin = rotary_tables(patch_positions, config.hidden_size // config.num_attention_heads, config.rope_theta)
        rotation = partial(rotate, cos=cos, sin=sin)
        # 3. The blocks, and the connector
        hidden_states = self.layernorm_pre(self.embeddings(pixel_values))
        for number, block in enumerate(self.encoder.layers):
            whole = windows is None or number in config.fullatt_block_indexes
            hidden_states = block(hidden_states, rotation, groups if whole else windows)
        return BaseModelOutputWithPooling(last_hidden_state=hidden_states, pooler_output=self.merger(hidden_states))
