"""`ov2 ask` on a tiny model folder: the answer, its streaming, and what is refused before the model is loaded."""

import argparse
import shutil

import numpy as np
import pytest
from model_cases import TINY, strip
from PIL import Image

from kit.school.tokenizer import train_tokenizer
from ov2lib import ModelError
from ov2lib.cli import ask as command
from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor
from ov2lib.model import ask as asking
from ov2lib.samples import media


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tiny model with a vocabulary for the mini tokenizer."""
    path = tmp_path_factory.mktemp("model")
    processor = LlavaOnevision2Processor(tokenizer=train_tokenizer(["What happens?"] * 2, max_seconds=2.0))
    config = LlavaOnevision2Config.from_pretrained(TINY)
    config.image_token_id = processor.image_token_id
    config.text_config.vocab_size = len(processor.tokenizer)
    LlavaOnevision2ForConditionalGeneration(config).save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.zeros((56, 56, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def arguments(*argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(arg) for arg in argv])


def test_streams_what_it_answers(folder, image, capsys):
    answer = asking.ask(image, "What happens?", folder, device="cpu", max_new_tokens=6)
    assert capsys.readouterr().out == ""
    assert command.run(arguments(image, "What happens?", "--model", folder, "--device", "cpu", "--max-new-tokens", 6)) == 0
    assert capsys.readouterr().out.strip() == answer.strip()


def test_video_goes_through_the_chosen_backend(folder, tmp_path, monkeypatch):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"not read here")
    made = {}
    monkeypatch.setattr(media, "tokenize_video", lambda path, **o: made.update(o, path=path) or strip([[0, 1], [2, 2]]))
    asking.ask(video, "What happens?", folder, device="cpu", max_new_tokens=2, num_canvases=2)
    options = {"front_end": "released", "num_canvases": 2}
    assert made == {"path": str(video), "patch_size": 14, "merge": 2, "workers": None} | options


@pytest.mark.parametrize(("name", "frames", "kind"), [("a.gif", 2, "video"), ("b.GIF", 1, "image"), ("c.webp", 2, "image")])
def test_a_gif_that_moves_is_a_video(folder, tmp_path, monkeypatch, name, frames, kind):
    pictures = [Image.new("RGB", (56, 56), colour) for colour in ("white", "black")[:frames]]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=100)
    made = []
    for function, as_what in (("tokenize_video", "video"), ("tokenize_image", "image")):
        monkeypatch.setattr(media, function, lambda *_, as_what=as_what, **o: made.append(as_what) or strip([[0, 1], [2, 2]]))
    asking.ask(tmp_path / name, "What happens?", folder, device="cpu", max_new_tokens=2)
    assert made == [kind]


def test_no_model_says_how_to_get_it(image, tmp_path):
    with pytest.raises(ModelError, match=r"no model in .*none; get the released one with `hf download lmms-lab.* --local-dir"):
        asking.ask(image, "?", tmp_path / "none")


@pytest.mark.parametrize(
    ("media", "device", "message"),
    [
        ("none.mp4", "cpu", "none.mp4 does not exist"),
        ("a.png", "cuda:77", "is not available here"),
        ("a.png", "gpu", "is not available"),
    ],
)
def test_refused_before_the_model_is_loaded(folder, image, monkeypatch, media, device, message):
    monkeypatch.setattr(LlavaOnevision2ForConditionalGeneration, "from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ModelError, match=message):
        asking.ask(image.parent / media, "?", folder, device=device)


def test_a_folder_with_a_config_but_no_weights(folder, image, tmp_path):
    shutil.copytree(folder, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelError, match="lacks model.safetensors; get the whole checkpoint"):
        asking.ask(image, "What happens?", tmp_path / "m", device="cpu")
