"""A tiny random model, its processor, and an encoder of samples."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_cases import TEXT, TWO_ROUNDS, VIDEO, tokens_of

from kit.school.tokenizer import train_tokenizer
from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor
from ov2lib.train.encoding import SampleEncoder


@pytest.fixture(scope="session")
def processor() -> LlavaOnevision2Processor:
    words = [text for sample in (TWO_ROUNDS, TEXT, VIDEO) for _, text in sample.messages]
    return LlavaOnevision2Processor(tokenizer=train_tokenizer(words * 2, vocab_size=400))


@pytest.fixture(scope="session")
def encoder(processor) -> SampleEncoder:
    return SampleEncoder(processor.tokenizer, tokens_of)


def make_config(processor: LlavaOnevision2Processor) -> LlavaOnevision2Config:
    """A new one each time: a model that changes its dtype changes its configuration's, and another test must not see that."""
    text = {
        "vocab_size": len(processor.tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
    }  # fmt: skip
    vision = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "out_hidden_size": 32,
        "patch_size": 14,
    }  # fmt: skip
    ids = {"image_token_id": processor.image_token_id, "video_token_id": processor.video_token_id}
    return LlavaOnevision2Config(text_config=text, vision_config=vision, **ids)


@pytest.fixture
def tiny_config(processor) -> LlavaOnevision2Config:
    return make_config(processor)


@pytest.fixture
def tiny(tiny_config) -> LlavaOnevision2ForConditionalGeneration:
    torch.manual_seed(0)
    return LlavaOnevision2ForConditionalGeneration(tiny_config).eval()


@pytest.fixture(scope="session")
def start(tmp_path_factory, processor) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("start")
    LlavaOnevision2ForConditionalGeneration(make_config(processor)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for number in range(48):
        colour = np.random.default_rng(number).integers(0, 256, 3, dtype=np.uint8)
        Image.fromarray(np.broadcast_to(colour, (28, 28, 3)).copy()).save(folder / f"{number}.png")
        answer = ["three jumps", "a figure", "two"][number % 3]
        messages = [{"role": "user", "content": "<image>What is this?"}, {"role": "assistant", "content": answer}]
        media = [{"type": "image", "path": f"{number}.png", "options": {"min_pixels": 784}}]
        rows.append({"id": f"sample-{number}", "messages": messages, "media": media})
    path = folder / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
