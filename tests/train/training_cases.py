"""What the tests of training share: media made on the spot, three conversations, and a stage of a few steps."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from kit.school.recipe import mini_stage
from ov2lib import VisualTokens, tokenize_image
from ov2lib.samples.sample import Media, Sample
from ov2lib.train.lora import LoraSettings
from ov2lib.train.stages import Source
from ov2lib.train.trainer import read_metrics


def codec_tokens(canvases: int = 2, seed: int = 0) -> VisualTokens:
    """Codec canvases of 28x56 pixels, two blocks each, from source frames 0, 5, 10, …; one block of the last is padding."""
    pixels = np.random.default_rng(seed).integers(0, 256, (canvases, 28, 56, 3), dtype=np.uint8)
    blocks = np.arange(2 * canvases)
    positions = np.zeros((canvases, 2, 4, 3), np.int64)
    positions[..., 0] = 5 * blocks.reshape(canvases, 1, 2).repeat(2, axis=1).repeat(2, axis=2)
    positions[..., 1], positions[..., 2] = np.arange(2)[:, None], np.arange(4)
    positions[-1, :, 2:] = -1
    times = np.arange(10 * canvases) / 10
    return VisualTokens(pixels, positions.reshape(-1, 3), np.zeros(canvases, np.int64), 10.0, times)


def tokens_of(item: Media) -> VisualTokens:
    """Media are made, not read: a path ending in a digit chooses the pixels."""
    seed = int(item.path[-1])
    if item.kind == "video":
        return codec_tokens(seed=seed)
    return tokenize_image(np.random.default_rng(seed).integers(0, 256, (56, 28, 3), dtype=np.uint8), min_pixels=28 * 56)


TWO_ROUNDS = Sample(
    "two",
    (
        ("user", "<image>\nWhat is this?"),
        ("assistant", "a figure"),
        ("user", "<video>When does it jump?"),
        ("assistant", "0.5, 1.0"),
    ),
    (Media("image", "image1"), Media("video", "clip2")),
)
TEXT = Sample("text", (("system", "Be short."), ("user", "How many jumps?"), ("assistant", "two")))
VIDEO = Sample("video", (("user", "<video>How many jumps?"), ("assistant", "three jumps")), (Media("video", "clip3"),))

STEPS = 8


def tiny_stage(**changes):
    source = Source("pictures", "mini_world", 48, "image")
    settings = {"sources": (source,), "steps": STEPS, "sequence_length": 128, "micro_batch": 1, "global_batch": 2}
    settings |= {"learning_rate": 3e-3, "max_pixels": 784} | changes
    return replace(mini_stage(1), **settings)


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(folder / "metrics.jsonl") if "loss" in row]


def distributed_stage(variant="full", **changes):
    """Four steps of four bins, each bin one sample; weights are saved after every step."""
    stage = tiny_stage(steps=4, global_batch=4, sequence_length=48, packing="pool")
    lora = LoraSettings(rank=4, dropout=0.0) if variant == "lora" else None
    return replace(stage, variant=variant, lora=lora, **changes)
