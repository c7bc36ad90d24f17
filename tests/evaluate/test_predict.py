"""A checkpoint answers samples: batches equal singles, blind changes pixels only, overrides win, prompts as in training."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kit.school.tokenizer import train_tokenizer
from ov2lib import ModelError, VisualTokens
from ov2lib.cli import evaluate as command
from ov2lib.evaluate.predict import Predictor, fingerprint, load_predictor
from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor
from ov2lib.samples import media
from ov2lib.samples.sample import Media, Sample
from ov2lib.train.encoding import SampleEncoder

TINY = Path(__file__).parents[1] / "data" / "golden" / "tiny_p14m2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tiny configuration with random weights and a vocabulary for the mini tokenizer."""
    path = tmp_path_factory.mktemp("model")
    processor = LlavaOnevision2Processor(
        tokenizer=train_tokenizer(["When does it jump?", "Which colour?"] * 2, max_seconds=2.0)
    )
    config = LlavaOnevision2Config.from_pretrained(TINY)
    config.image_token_id = processor.image_token_id
    config.text_config.vocab_size = len(processor.tokenizer)
    torch.manual_seed(3)
    LlavaOnevision2ForConditionalGeneration(config).save_pretrained(path)
    processor.save_pretrained(path)
    return path


def fake_video(path, kind="codec", **options) -> VisualTokens:
    """Two canvases of one block each, whose source frames depend on the file's name."""
    first = len(str(path)) % 5
    frames = np.repeat([first, first + 4], 4)
    positions = np.stack([frames, np.tile([0, 0, 1, 1], 2), np.tile([0, 1], 4)], -1)
    pixels = np.random.default_rng(first).integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)
    return VisualTokens(pixels, positions, np.zeros(2, np.int64), 10.0, np.arange(10) / 10, 14, kind)


@pytest.fixture
def calls(monkeypatch):
    """How videos were tokenized: (backend, options) each."""
    made = []

    def codec(path, **options):
        made.append(("codec", options))
        return fake_video(path)

    def frames(path, **options):
        made.append(("frames", options))
        return fake_video(path, "frames")

    monkeypatch.setattr(media, "tokenize_video", codec)
    monkeypatch.setattr(media, "tokenize_frames", frames)
    return made


@pytest.fixture
def samples(tmp_path):
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (56, 56, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    codec = {"video_backend": "codec", "num_canvases": 2}
    answer = ("assistant", "red")
    return [
        Sample("v", (("user", "<video>\nWhen does it jump?"), answer), (Media("video", "v.mp4", codec),), "caption"),
        Sample("i", (("user", "<image>\nWhich colour?"), answer), (Media("image", str(tmp_path / "a.png")),), "caption"),
        Sample("t", (("system", "Be brief."), ("user", "Which?"), answer, ("user", "Which colour?"), answer), (), "caption"),
        Sample(
            "w",
            (("user", "<video>\nWhen?"), answer),
            (Media("video", "wider.mp4", {**codec, "timestamp_decimals": 2}),),
            "caption",
        ),
    ]


def test_batches_equal_singles(folder, samples, calls):
    one, many = (load_predictor(folder, "cpu", max_new_tokens=8, batch_size=size) for size in (1, 4))
    assert many.many(samples) == [one(sample) for sample in samples]
    assert len({*many.many(samples)}) > 1  # they look at what they are asked


def test_prompt_is_chat_without_the_answer(folder, samples):
    predict = load_predictor(folder, "cpu")
    assert predict.prompt(samples[0]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|video_pad|><|vision_end|>When does it jump?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert predict.prompt(samples[2]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\nred<|im_end|>\n"
        "<|im_start|>user\nWhich colour?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_model_reads_what_it_was_trained_on(folder, samples, calls):
    predict = load_predictor(folder, "cpu", frames_prompt="training")
    encoder = SampleEncoder(predict.processor.tokenizer, predict.visual)
    for sample in samples[:3]:
        example = encoder.encode(sample)
        answer = (
            int(torch.nonzero(example.labels >= 0)[-1]) + 1 - len(predict.processor.tokenizer("red<|im_end|>")["input_ids"])
        )
        assert torch.equal(predict.inputs([sample])["input_ids"][0], example.input_ids[:answer])


def test_decimals_of_time_tags_come_from_the_sample(folder, samples, calls):
    predict = load_predictor(folder, "cpu")
    decode = predict.processor.tokenizer.decode
    assert "<0.4 seconds>" in decode(
        predict.inputs([Sample("x", samples[0].messages, (Media("video", "abcd"),))])["input_ids"][0]
    )
    said = []
    hidden = Predictor(predict.model, predict.processor, max_new_tokens=1)
    hidden.model.register_forward_pre_hook(lambda m, a, k: said.append(decode(k["input_ids"][0])), with_kwargs=True)
    hidden(samples[3])
    assert "<0.40 seconds>" in said[0]


def test_blind_zeroes_pixels_and_nothing_else(folder, samples, calls):
    seeing, blind = load_predictor(folder, "cpu"), load_predictor(folder, "cpu", blind=True)
    seen, unseen = seeing.inputs(samples[:2]), blind.inputs(samples[:2])
    assert seen.keys() == unseen.keys()
    assert seen["pixel_values"].abs().sum() > 0 and unseen["pixel_values"].abs().sum() == 0
    for name in seen.keys() - {"pixel_values"}:
        assert torch.equal(seen[name], unseen[name]), name


def test_overrides_win_over_the_sample(folder, samples, calls):
    load_predictor(folder, "cpu").inputs(samples[:1])
    load_predictor(folder, "cpu", overrides={"num_canvases": 7}).inputs(samples[:1])
    load_predictor(folder, "cpu", overrides={"video_backend": "frames", "num_frames": 3}).inputs(samples[:1])
    assert [backend for backend, _ in calls] == ["codec", "codec", "frames"]
    assert [calls[0][1]["num_canvases"], calls[1][1]["num_canvases"], calls[2][1]["num_frames"]] == [2, 7, 3]


def test_videos_of_one_sample_must_agree_on_decimals(folder, samples, calls):
    media = (samples[0].media[0], samples[3].media[0])
    mixed = Sample("two", (("user", "<video><video>Which?"), ("assistant", "red")), media, "caption")
    with pytest.raises(ModelError, match=r"two: .*\[1, 2\] decimals"):
        load_predictor(folder, "cpu")(mixed)
    assert isinstance(load_predictor(folder, "cpu", max_new_tokens=1, overrides={"timestamp_decimals": 2})(mixed), str)


def test_a_folder_without_a_model_is_refused(tmp_path):
    for load in (load_predictor, fingerprint):
        with pytest.raises(ModelError, match="no model in"):
            load(tmp_path / "none")


def test_fingerprint_follows_the_weights(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = bytearray((folder / "model.safetensors").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert fingerprint(tmp_path) == fingerprint(folder)
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert fingerprint(tmp_path) != fingerprint(folder)


def test_command_runs_a_checkpoint(folder, samples, tmp_path, calls, capsys):
    import argparse

    dataset = tmp_path / "data.jsonl"
    dataset.write_text("".join(json.dumps(one.to_json()) + "\n" for one in samples[1:]))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    argv = [dataset, "--model", folder, "--out", tmp_path / "out", "--device", "cpu", "--max-new-tokens", 4, "--blind"]
    argv += ["--batch-size", 2, "--canvases", 5]
    assert command.run(parser.parse_args(list(map(str, argv)))) == 0
    assert "caption" in capsys.readouterr().out
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["options"] == {
        "max_new_tokens": 4, "blind": True, "frames_prompt": "inference", "timestamps": "presentation",
        "media": {"num_canvases": 5},
    }  # fmt: skip
    assert scores["revision"] == fingerprint(folder) and scores["tasks"]["caption"]["samples"] == 3


def test_overrides_that_contradict_each_other_are_refused_before_the_first_sample(folder):
    with pytest.raises(ModelError, match="num_frames does nothing with video_backend='codec'"):
        load_predictor(folder, "cpu", overrides={"num_canvases": 4, "num_frames": 8})
