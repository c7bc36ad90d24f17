"""A tiny random model, its processor, and an encoder of samples."""

import pytest
import torch
from training_cases import TEXT, TWO_ROUNDS, VIDEO, tokens_of

from ov2lib.mini.tokenizer import train_tokenizer
from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor
from ov2lib.train.encoding import SampleEncoder


@pytest.fixture(scope="session")
def processor() -> LlavaOnevision2Processor:
    words = [text for sample in (TWO_ROUNDS, TEXT, VIDEO) for _, text in sample.messages]
    return LlavaOnevision2Processor(tokenizer=train_tokenizer(words * 2, vocab_size=400))


@pytest.fixture(scope="session")
def encoder(processor) -> SampleEncoder:
    return SampleEncoder(processor.tokenizer, tokens_of)


@pytest.fixture(scope="session")
def tiny_config(processor) -> LlavaOnevision2Config:
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
def tiny(tiny_config) -> LlavaOnevision2ForConditionalGeneration:
    torch.manual_seed(0)
    return LlavaOnevision2ForConditionalGeneration(tiny_config).eval()
