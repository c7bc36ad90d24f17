"""Shapes that flow through the model, traced on the meta device: nothing is allocated, so the 30 B model fits a laptop."""

from dataclasses import dataclass

import torch

from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration
from ov2lib.model.vision import grid_positions

PARTS = {  # in the order of computing: module name -> what it is
    "model.visual.embeddings": "patch embedding",
    "model.visual.layernorm_pre": "LayerNorm",
    "model.visual.encoder.layers": "encoder blocks",
    "model.visual.merger": "connector",
    "model.language_model.embed_tokens": "token embedding",
    "model.language_model.layers": "language layers",
    "model.language_model.norm": "RMSNorm",
    "lm_head": "output head",
}


@dataclass(frozen=True)
class Step:
    """One part of the model on the way from patches to logits.

    Attributes:
        part: what it is, a value of `PARTS`.
        copies: how many stand one after another.
        given, made: shapes that go in and come out.
        parameters: of all copies together; a tied output head counts its embedding's again.
    """

    part: str
    copies: int
    given: tuple[int, ...]
    made: tuple[int, ...]
    parameters: int


@torch.no_grad()
def trace(config: LlavaOnevision2Config, canvases: int, text_tokens: int, side: int = 392) -> list[Step]:
    """Run one prompt of square codec canvases and some text through a model without storage.

    Args:
        canvases: of `side` pixels, seen in runs of `frame_windows_size`.
        text_tokens: what the prompt holds besides visual tokens.
    """
    # 1. Build without storage
    with torch.device("meta"):
        model = LlavaOnevision2ForConditionalGeneration(config).eval().to(torch.bfloat16)  # experts compute in no other
    vision = config.vision_config
    cells = side // vision.patch_size
    grid = torch.tensor([[canvases, cells, cells]])
    # 2. Each part writes down what passes through it
    made: dict[str, Step] = {}
    for name, part in PARTS.items():
        module = model.get_submodule(name)
        listed = isinstance(module, torch.nn.ModuleList)
        first, copies = (module[0], len(module)) if listed else (module, 1)
        count = sum(parameter.numel() for parameter in module.parameters())
        first.register_forward_hook(_recorder(made, part, copies, count), with_kwargs=True)
    # 3. Patches, then text with the visual tokens before it, then the last place
    pixels = torch.empty(canvases * cells**2, vision.num_channels * vision.patch_size**2, dtype=torch.bfloat16, device="meta")
    visual = model.model.visual(pixels, grid, grid_positions(grid, vision.spatial_merge_size).to("meta")).pooler_output
    text = model.get_input_embeddings()(torch.empty(1, text_tokens, dtype=torch.int64, device="meta"))
    # With a cache: without one, transformers looks for packed sequences, and asks a number of a tensor that has none.
    states = model.model.language_model(inputs_embeds=torch.cat([visual[None], text], dim=1), use_cache=True)
    model.lm_head(states.last_hidden_state[:, -1:])
    return [made[part] for part in PARTS.values()]


def _recorder(made: dict[str, Step], part: str, copies: int, count: int):
    def record(module, args, kwargs, output):
        given = args[0] if args else kwargs["hidden_states"]
        out = output if torch.is_tensor(output) else output[0]
        made[part] = Step(part, copies, tuple(given.shape), tuple(out.shape), count)

    return record
