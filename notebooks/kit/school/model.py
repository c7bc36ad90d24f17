"""The mini model: the published architecture at a size that learns on two cores.

What it has to see is one token wide, so one encoder layer is enough, and learns sooner than two (on stage 1, 1,000 steps of
16 samples: a loss of .27 against .37 for two wider layers). Two language layers suffice to find a visual token and copy the
time tag before it. Time tags, numbers and words are one token each.
"""

import re
from functools import cache

import numpy as np
import torch
from transformers import Qwen3Config
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ov2lib.model.configuration import LlavaOnevision2Config, LlavaOnevision2VisionConfig
from ov2lib.model.modeling import LlavaOnevision2ForConditionalGeneration
from ov2lib.model.processing import LlavaOnevision2Processor
from ov2lib.model.prompt import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, time_tag

from ..world.stories import EVERY, FAST, FRAMES, LONG
from ..world.tasks import RECIPES
from ..world.world import CELL, SIDE
from .tokenizer import train_tokenizer

CORPUS_SCENES = 400  # of every kind: all words and nearly all numbers turn up
TIME_TOKEN = re.compile(r"Ġ?<?(\d+\.\d+)(?:Ġseconds>)?")  # as the vocabulary writes them, Ġ for a space
INITIAL = 0.12  # standard deviation of initial weights, about 1/sqrt(width); the published 0.02 suits 1,024 channels and more
IMAGE_PIXELS = {"shortest_edge": CELL * CELL, "longest_edge": 16 * CELL * CELL}


@cache
def _tokenizer():
    texts = [time_tag(EVERY * k) for k in range(LONG)]
    texts += [time_tag(k / FAST, decimals) for k in range(FRAMES) for decimals in (1, 2)]
    for number, build in enumerate(build for builders in RECIPES.values() for build in builders):
        rng = np.random.default_rng([number, 1])
        scenes = [build(rng) for _ in range(CORPUS_SCENES)]
        texts += [text for scene in scenes for question in scene.questions for text in (question.text, question.answer)]
    return train_tokenizer(texts * 2, vocab_size=1024, max_seconds=0.0)


def mini_processor() -> LlavaOnevision2Processor:
    """Tokenizer (trained on the tasks' own words, the same every time) and image settings of the mini model."""
    images = Qwen2VLImageProcessorPil(patch_size=14, temporal_patch_size=1, size=IMAGE_PIXELS)
    return LlavaOnevision2Processor(images, _tokenizer())


def mini_config() -> LlavaOnevision2Config:
    """Patch 14, merge 2 and attention groups of four as published; about 0.6 million parameters."""
    tokenizer = _tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in (IMAGE_PAD, VIDEO_PAD, VISION_START, VISION_END)}
    vision = LlavaOnevision2VisionConfig(
        hidden_size=96, intermediate_size=192, num_hidden_layers=1, num_attention_heads=3, out_hidden_size=96,
        image_size=SIDE, initializer_range=INITIAL,
    )  # fmt: skip
    text = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=96, intermediate_size=256, num_hidden_layers=2, num_attention_heads=3,
        num_key_value_heads=3, head_dim=32, max_position_embeddings=4096, initializer_range=INITIAL, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )  # fmt: skip
    return LlavaOnevision2Config(
        vision_config=vision, text_config=text, image_token_id=ids[IMAGE_PAD], video_token_id=ids[VIDEO_PAD],
        vision_start_token_id=ids[VISION_START], vision_end_token_id=ids[VISION_END], tie_word_embeddings=True,
        initializer_range=INITIAL,
    )  # fmt: skip


def mini_model(seed: int = 0) -> LlavaOnevision2ForConditionalGeneration:
    """The model with random weights drawn from `seed`; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaOnevision2ForConditionalGeneration(mini_config())


def give_times_a_code(model: LlavaOnevision2ForConditionalGeneration) -> None:
    """Start the first half of each number's and time tag's embedding from a sine and cosine code of its value, in place.

    "<1.2 seconds>", "1.2" and " 1.2" then begin alike, and near times begin near each other, so that copying a time from the
    prompt into the answer need not be learnt number by number. Periods run from 0.4 to 150 seconds, twice the longest clip.
    """
    table = model.get_input_embeddings().weight
    half = table.shape[1] // 2
    periods = torch.logspace(np.log10(0.4), np.log10(150), half // 2)
    scale = float(table.detach().std()) * 2**0.5
    with torch.no_grad():
        for token, number in _tokenizer().get_vocab().items():
            if match := TIME_TOKEN.fullmatch(token):
                angles = 2 * np.pi * float(match[1]) / periods
                table[number, :half] = scale * torch.cat([angles.sin(), angles.cos()])
