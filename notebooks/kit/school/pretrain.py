"""Give the mini encoder what the published one brings along: sight, learnt before any language.

The published encoder comes out of a pretraining of its own. The mini one names what is at each place of a picture: shape,
colour and place are read off every merged token with three linear heads, which are thrown away afterwards. So its connector,
which sits before the heads, is not fresh either. Sight is cheap when it is asked for directly: 100 steps of 32 pictures, four
seconds, name all of them. At the end visual tokens are shrunk to a few times the size of words: they come out fifty times as
large, and nothing that the language model's first layer adds to them (which one it is, what time it shows) would count.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ov2lib.model import LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor
from ov2lib.tokens import VisualTokens

from ..world.scene import in_place, tint
from ..world.world import COLOURS, PLACES, SHAPES, SIDE, paint
from .model import give_times_a_code, mini_model, mini_processor

STEPS, PICTURES, LEARNING_RATE = 100, 32, 2e-3  # found on two cores
TOKEN_RMS = 0.5  # assumed, no other tried: of the numbers in a visual token; those in a word's start at 0.12
SEEN = ((*SHAPES, "star", "figure"), (*COLOURS, "white"))  # what the later stages show at a place; 0 is for nothing
GRID = SIDE // 14


def mini_start(seed: int) -> tuple[LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor]:
    """What stage 1 starts from: a pretrained encoder, and a fresh language model whose times have a code."""
    model, processor = mini_model(seed), mini_processor()
    pretrain_encoder(model, processor, seed)
    give_times_a_code(model)
    return model, processor


def pretrain_encoder(
    model: LlavaOnevision2ForConditionalGeneration, processor: LlavaOnevision2Processor, seed: int, steps: int = STEPS
) -> list[float]:
    """Train the encoder (and its connector) in place on pictures of things, without any text.

    Args:
        model: its language model is left alone.
        processor: makes its inputs.
        seed: of the pictures and the heads; torch's own generator is left as it was.
        steps: of the optimiser.

    Returns:
        the loss at each step, nats over three heads.
    """
    # 1. Three heads read shape, colour and place off each visual token
    rng = np.random.default_rng([seed, 6])
    visual = model.model.visual
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = model.config.text_config.hidden_size
        heads = torch.nn.ModuleList(torch.nn.Linear(width, size) for size in (len(SEEN[0]) + 1, len(SEEN[1]) + 1, len(PLACES)))
    # 2. Encoder and heads learn to name what each token shows
    parameters = [*visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    losses = []
    for _ in range(steps):
        pictures, names = zip(*(_picture(rng) for _ in range(PICTURES)), strict=True)
        inputs = processor.visual_inputs(list(pictures))
        tokens = torch.cat(list(model.model.get_image_features(**inputs, return_dict=True).pooler_output))
        named = torch.tensor(np.concatenate(names))
        loss = sum(cross_entropy(head(tokens), truth) for head, truth in zip(heads, named.T, strict=True))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    # 3. Visual tokens as large as embeddings of text, so that the language model takes both alike
    with torch.no_grad():
        shrink = TOKEN_RMS / tokens.square().mean().sqrt()
        for parameter in visual.merger.mlp[-1].parameters():
            parameter *= shrink
    return losses


def _picture(rng: np.random.Generator) -> tuple[VisualTokens, np.ndarray]:
    """A picture with a thing, or nothing, at each place; (shape, colour, place) of its four tokens as numbers, int64 [4, 3]."""
    named, things = np.zeros((len(PLACES), 3), np.int64), []
    for spot in range(len(PLACES)):
        named[spot, 2] = spot
        if rng.random() < 0.6:
            look = [int(rng.integers(len(names))) for names in SEEN]
            named[spot, :2] = np.array(look) + 1
            things.append(in_place(rng, tuple(names[number] for names, number in zip(SEEN, look, strict=True)), spot))
    rows, cols = np.divmod(np.arange(GRID**2), GRID)
    places = np.stack([np.zeros_like(rows), rows, cols], axis=-1)
    canvas = paint(things, SIDE, tint(rng))[None]
    return VisualTokens(canvas, places, np.zeros(1, np.int64), 1.0, np.zeros(1), SIDE // GRID, "image"), named
