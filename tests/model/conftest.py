"""The golden checkpoint, and a processor with a mini tokenizer."""

import pytest
import torch
from model_cases import TINY
from safetensors.torch import load_file

from kit.school.tokenizer import train_tokenizer
from ov2lib.model import LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    return load_file(TINY / "cases.safetensors")


@pytest.fixture(scope="session")
def tiny() -> LlavaOnevision2ForConditionalGeneration:
    return LlavaOnevision2ForConditionalGeneration.from_pretrained(TINY).eval()


@pytest.fixture(scope="session")
def processor() -> LlavaOnevision2Processor:
    return LlavaOnevision2Processor(tokenizer=train_tokenizer(["What happens?", "The figure jumps.", "How many jumps?"] * 2))
