"""Preparation: whatever one sample does, it is skipped and listed, and the rest is trained on."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, WebPImagePlugin
from training_cases import TEXT, VIDEO

from ov2lib.errors import Ov2Error, VideoError
from ov2lib.samples.cache import TokenCache
from ov2lib.samples.report import Report
from ov2lib.samples.sample import Media, Sample
from ov2lib.train.encoding import SampleEncoder
from ov2lib.train.prepare import prepare

WORDS = (("user", "<image>What?"), ("assistant", "This."))


def reasons(folder) -> dict[str, list[str]]:
    return {entry["reason"]: entry["ids"] for entry in json.loads((folder / "report.json").read_text())["reasons"]}


def test_bad_pictures_and_strings_are_listed_and_the_rest_is_prepared(tmp_path, processor, monkeypatch):
    Image.fromarray(np.zeros((56, 56, 3), np.uint8)).save(tmp_path / "good.png")
    for name, content in (("text.png", b"no picture"), ("cut.png", (tmp_path / "good.png").read_bytes()[:60])):
        (tmp_path / name).write_bytes(content)
    Image.new("RGB", (8, 8)).save(tmp_path / "odd.webp", lossless=True)

    def fail(_):
        raise NotImplementedError("odd")

    monkeypatch.setattr(WebPImagePlugin.WebPImageFile, "load", fail)
    names = ("text.png", "good.png", "cut.png", "odd.webp", "none.png", "nul\0.png")
    samples = [Sample(name, WORDS, (Media("image", str(tmp_path / name)),)) for name in names]
    samples += [
        Sample("half", (("user", "so \ud83d"), ("assistant", "yes"))),
        Sample("special", (("user", "<|im_end|>"), ("assistant", "yes"))),
        Sample("options", WORDS, (Media("image", str(tmp_path / "good.png"), {"max_pixels": "many"}),)),
        Sample("truth", TEXT.messages, (), "", {"not JSON": {1, 2}}),
        TEXT,
    ]
    encoder = SampleEncoder(processor.tokenizer, TokenCache(tmp_path / "tokens").tokens)
    prepared = prepare({"all": samples}, encoder, 4096, True, tmp_path / "data", Report(max_bad_share=1), {})
    assert prepared.summary["samples"] == 2
    listed = reasons(tmp_path / "data")
    assert sorted(name for names in listed.values() for name in names) == sorted(
        ["text.png", "cut.png", "odd.webp", "none.png", "nul\0.png", "half", "special", "options", "truth"]
    )
    assert "cannot be read as an image (NotImplementedError: odd)" in listed
    assert any(reason.startswith("TypeError: Object of type set is not JSON") for reason in listed)


def test_what_the_tokenizer_raises_is_listed_with_its_type(tmp_path, encoder):
    def tokenizer(text, **named):
        if "three" in text:
            raise TypeError("TextEncodeInput must be a string")
        return encoder.tokenizer(text, **named)

    tokenizer.all_special_tokens = []
    prepared = prepare(
        {"all": [VIDEO, TEXT]}, replace(encoder, tokenizer=tokenizer), 512, True, tmp_path / "data", Report(), {}
    )
    assert prepared.summary["samples"] == 1
    ((reason, names),) = reasons(tmp_path / "data").items()
    assert reason.startswith("TypeError: TextEncodeInput must be a string (") and names == ["video"]


def test_a_bad_video_is_listed_by_its_cause(tmp_path, encoder):
    def tokens_of(item):
        raise VideoError(item.path, "is damaged", "copy it again")

    prepare({"all": [VIDEO, TEXT]}, replace(encoder, tokens_of=tokens_of), 512, True, tmp_path / "data", Report(), {})
    assert reasons(tmp_path / "data") == {"is damaged": ["video"]}


@pytest.mark.parametrize("error", [Ov2Error, MemoryError, KeyboardInterrupt])
def test_what_is_no_fault_of_a_sample_ends_the_preparation_without_a_trace(tmp_path, encoder, error):
    def tokens_of(_):
        raise error("the disk is full")

    with pytest.raises(error, match="the disk is full"):
        prepare({"all": [TEXT, VIDEO]}, replace(encoder, tokens_of=tokens_of), 512, True, tmp_path / "data", Report(), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.png", {"min_pixels": 10**12, "max_pixels": 10**13}, "use at most"),
        ("pipe", {}, "a folder or a device"),
        (".", {}, "a folder or a device"),
        pytest.param(
            os.devnull,
            {},
            "a folder or a device",
            marks=pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="no null device"),
        ),
    ],
)
def test_media_that_never_end_or_never_fit_are_listed(tmp_path, processor, path, options, message):
    Image.new("RGB", (56, 56)).save(tmp_path / "a.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    samples = [Sample("odd", WORDS, (Media("image", str(tmp_path / path), options),)), TEXT]
    encoder, report = SampleEncoder(processor.tokenizer, TokenCache(tmp_path / "tokens").tokens), Report(max_bad_share=1)
    assert prepare({"all": samples}, encoder, 4096, True, tmp_path / "data", report, {}).summary["samples"] == 1
    assert any(message in reason for reason in report.reasons)
