"""Your own clips, by README's commands: check, plan, train adapters, ask, evaluate, merge; and what the options change."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from kit.school.own import write_data
from ov2lib.cli import main
from ov2lib.errors import TrainingError
from ov2lib.model.adapter import load_folder
from ov2lib.samples.media import MediaOptions, video_tokens
from ov2lib.samples.sample import Media, Sample
from ov2lib.train.attention import BY_SAMPLE
from ov2lib.train.lora import LoraSettings, add_lora
from ov2lib.train.mixture import resolve
from ov2lib.train.prepare import load_prepared
from ov2lib.train.run import _sampler, tokenize_part
from ov2lib.train.stages import Source, own_config
from ov2lib.train.start import load_start

ROOT = Path(__file__).parents[2]
CLIPS = 50  # rendered, a few seconds of 56x56 each
BEACH = ROOT / "tests" / "data" / "beach_360x640_h264.mp4"


def readme_commands() -> list[list[str]]:
    """The commands of README's block on own data, as they stand there, without `ov2`."""
    block = re.search(r"```bash\n(ov2 check mine.jsonl.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("ov2 ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory, start) -> Path:
    """A folder with clips, mine.jsonl and the tiny model under the names of README."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(start, folder / "MODEL")
    write_data(folder, "mine", CLIPS, "train", seed=0)
    shutil.copy(folder / "clips" / "mine-007.mp4", folder / "clips" / "7.mp4")
    return folder


def ov2(*words) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def trained(place) -> Path:
    """The folder after the commands `check`, `plan` and `train`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for command in readme_commands():
            if command[0] in ("check", "plan", "train"):
                ov2(*command)
    return place / "runs" / "train" / "own" / "lora" / "adapter"


def test_readmes_commands_lead_from_clips_to_an_adapter_an_answer_and_a_merged_model(place, trained, monkeypatch, capsys):
    monkeypatch.chdir(place)
    rest = [command for command in readme_commands() if command[0] not in ("check", "plan", "train")]
    assert [command[0] for command in rest] == ["ask", "evaluate", "merge"]
    for command in rest:
        short = ["--max-new-tokens", "2"] if command[0] != "merge" else []  # random weights never end an answer
        assert main(command + short) == 0, capsys.readouterr()
    (task,) = json.loads((place / "scores" / "scores.json").read_text())["tasks"].values()
    assert task["samples"] == CLIPS and (place / "merged" / "config.json").is_file()
    adapted, merged = (load_folder(folder, torch.float32).eval() for folder in (trained, place / "merged"))
    ids = torch.arange(1, 30)[None]
    torch.testing.assert_close(adapted(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-4, rtol=0)


def test_the_check_names_what_is_skipped_and_why_and_what_training_costs(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    rows = (place / "mine.jsonl").read_text().splitlines()[:3]
    bad = json.loads(rows[0]) | {"id": "lost", "media": [{"type": "video", "path": "clips/none.mp4"}]}
    (place / "bad.jsonl").write_text("\n".join([*rows, json.dumps(bad), "no json"]) + "\n")
    assert main(["check", "bad.jsonl", "--from", "MODEL", "--variant", "lora"]) == 1
    out = capsys.readouterr().out
    assert "5 samples: 3 can be used, 2 would be skipped" in out and "lost" in out and "--max-bad-share 0.4" in out
    assert "GiB on one device" in out and "tokens of a sample: as measured" in out
    assert main(["train", "--data", "bad.jsonl", "--from", "MODEL", "--variant", "lora", "--output", str(tmp_path)]) == 2
    assert "2 of 5 samples cannot be used" in capsys.readouterr().err and not list(tmp_path.rglob("adapter"))


def test_a_plan_of_own_data_counts_what_training_packs(place, trained, monkeypatch, capsys):
    monkeypatch.chdir(place)
    ov2("plan", "--data", "mine.jsonl", "--from", "MODEL", "--variant", "lora", "--json")
    plan = json.loads(capsys.readouterr().out)
    prepared = load_prepared(trained.parent / "data")
    (source,) = plan["sources"]
    assert (source["name"], source["samples"]) == ("mine", CLIPS)
    assert plan["visual_tokens"] + plan["text_tokens"] == pytest.approx(prepared.summary["tokens"])


def test_options_replace_the_defaults_and_are_marked(capsys):
    options = "--learning-rate 2e-5 --rank 8 --alpha 4 --epochs 2.5 --sequence-length 4096 --attention eager --precision fp32"
    ov2("train", "--data", "mine=a.jsonl:0.7", "--data", "other=b.jsonl:.3", *options.split(), "--variant", "lora", "--dry-run")
    out = capsys.readouterr().out
    for value in ("2e-05", "rank=8, alpha=4.0", "2.5", "4096", "eager", "fp32", "mine", "other"):
        assert value in out
    assert out.count("assumed: chosen by the caller") >= 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train", "nothing to train on; pass --data PATH --from MODEL, or --recipe"),
        ("train --data a.jsonl:0 --data b.jsonl:1", "with a share of 0; give more than 0, or leave the source out"),
        ("train --data a.jsonl:.5 --data b.jsonl", "some sources have a share and others none"),
        ("train --data a.jsonl --rank 8", "--rank and --alpha are of adapters"),
        ("train --data a.jsonl --epochs 0", "--epochs is 0; give more than 0"),
        ("plan --data a.jsonl", "name its folder with --from"),
        ("train --data a.jsonl", "--from names no model"),
        ("merge nowhere --output out", "nowhere holds no adapter"),
    ],
)
def test_what_is_missing_or_contradictory_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2 and message in capsys.readouterr().err


def test_shares_decide_what_an_epoch_draws(place, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    rows = (place / "mine.jsonl").read_text().splitlines()
    (place / "few.jsonl").write_text("\n".join(rows[:10]) + "\n")
    data = ["--data", "mine=mine.jsonl:1", "--data", "few=few.jsonl:3", "--variant", "lora", "--from", "MODEL"]
    longest = max(load_prepared(trained.parent / "data").lengths)  # so that a bin holds one sample
    ov2("train", *data, "--sequence-length", longest, "--output", tmp_path, "--prepare")
    prepared = load_prepared(tmp_path / "own" / "lora" / "data")
    sources = tuple(Source(name, name, None, "video", share=share) for name, share in (("mine", 1.0), ("few", 3.0)))
    sampler = _sampler(own_config(sources), prepared)
    assert [facts["bins"] for facts in prepared.sources.values()] == [CLIPS, 10] and sampler.draws == [15, 45]
    assert len(sampler) == sum(sampler.draws) and set(sampler) <= set(range(len(prepared.bins)))


def test_frames_go_by_length_up_to_the_sources_cap():
    sample = Sample("a", (("user", "<video>?"), ("assistant", "!")), (Media("video", "a.mp4"),))
    source = Source("a", "a", None, "video", 60, "frames")
    (item,) = resolve(sample, source, own_config((source,))).media
    assert (item.options["fps"], item.options["num_frames"]) == (1.0, 60)


def test_canvases_go_by_length_up_to_the_sources_cap():
    """As stage 4 has one canvas for eight frames: here of one a second."""
    sample = Sample("a", (("user", "<video>?"), ("assistant", "!")), (Media("video", str(BEACH)),))
    source = Source("a", "a", None, "video", 64, num_canvases=32)
    (item,) = resolve(sample, source, own_config((source,))).media
    assert (item.options["seconds_per_canvas"], item.options["num_canvases"]) == (8.0, 32)
    exact = replace(sample, media=(Media("video", str(BEACH), {"num_canvases": 6}),))
    assert "seconds_per_canvas" not in resolve(exact, source, own_config((source,))).media[0].options
    shown = {"front_end": "paper", "max_pixels": 28 * 56}
    for seconds, most, canvases in ((8.0, 32, 4), (1.0, 32, 17), (1.0, 10, 10), (1.0, 3, 3)):  # of 16.2 seconds
        options = MediaOptions(seconds_per_canvas=seconds, num_canvases=most, **shown)
        assert video_tokens(BEACH, options, None, 14).config["num_canvases"] == canvases


def test_a_model_trained_by_length_is_asked_by_length(trained):
    processor = AutoProcessor.from_pretrained(trained)
    assert processor.media_options({}).seconds_per_canvas == 8.0
    assert processor.media_options({"num_canvases": 6}).seconds_per_canvas is None
    assert processor.media_options({"num_frames": 6}).seconds_per_canvas is None


def test_kernels_that_are_not_installed_and_rows_they_cannot_read_are_refused(place, monkeypatch, capsys, tmp_path):
    source = Source("a", "a", None, "video")
    config = own_config((source,))
    with pytest.raises(TrainingError, match="reads one packed row at a time"):
        type(config)(**{**vars(config), "attention": "flash_attention_2", "micro_batch": 2})
    monkeypatch.chdir(place)
    words = "train --data mine.jsonl --from MODEL --variant lora --attention flash_attention_2 --steps 1 --output"
    assert main([*words.split(), str(tmp_path)]) == 2
    assert "--attention flash_attention_2 is not installed here" in capsys.readouterr().err


@pytest.mark.parametrize(("attention", "kernel"), [("flex_attention", "flex_attention"), ("sdpa", BY_SAMPLE)])
def test_the_language_model_has_kernels_of_its_own(start, attention, kernel):
    model, _ = load_start(start, attention=attention)
    assert model.config.text_config._attn_implementation == kernel
    assert model.config.vision_config._attn_implementation == "sdpa"


def test_a_quantized_connector_is_refused_with_the_remedy(tiny):
    layer = tiny.model.visual.merger.mlp[0]
    layer.weight = torch.nn.Parameter(torch.zeros(layer.weight.shape, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(TrainingError, match="the connector is quantized .* train_connector=False"):
        add_lora(tiny, LoraSettings(rank=4))
    assert add_lora(tiny, LoraSettings(rank=4, train_connector=False))


def test_a_row_with_a_picture_of_its_own_path_and_a_list_file_train_too(place, tmp_path, monkeypatch):
    Image.fromarray(np.zeros((56, 56, 3), np.uint8)).save(tmp_path / "a.png")
    talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "two"}]
    (tmp_path / "llava.json").write_text(
        json.dumps([{"id": n, "image": "a.png", "conversations": talk} for n in range(4)], indent=1)
    )
    monkeypatch.chdir(tmp_path)
    ov2("train", "--data", "llava.json", "--from", place / "MODEL", "--variant", "lora", "--prepare")
    assert load_prepared(Path("runs/train/own/lora/data")).sources["llava"]["samples"] == 4


def test_processes_share_the_tokenizing_of_media(place, monkeypatch):
    monkeypatch.chdir(place)
    config, parts = own_config((Source("mine", "mine", None, "video"),)), []
    for number in range(2):
        seen = []
        tokenize_part(config, SimpleNamespace(tokens_of=seen.append), {"mine": "mine.jsonl"}, place, number, 2)
        parts.append(len(seen))
    assert parts == [CLIPS // 2, CLIPS // 2]


def test_a_row_that_breaks_in_an_unforeseen_way_does_not_end_the_tokenizing(place, monkeypatch):
    monkeypatch.chdir(place)
    config = own_config((Source("mine", "mine", None, "video", 8),))
    tried = []

    def breaks(item):
        tried.append(item)
        raise RuntimeError("a library's own fault")

    tokenize_part(config, SimpleNamespace(tokens_of=breaks), {"mine": "mine.jsonl"}, place, 0, 1)
    assert len(tried) == CLIPS


def test_a_recipes_plan_is_of_the_model_that_is_named(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    totals = {}
    for model in (["--from", "MODEL"], []):
        ov2("plan", "--recipe", "stage1", *model, "--json")
        totals[bool(model)] = json.loads(capsys.readouterr().out)["total_flops"]
    assert totals[True] < totals[False] / 1000, "the tiny model costs less than the 8B"
    assert main(["plan", "--recipe", "stage1", "--media", "x"]) == 2
    assert "--media is where your data are tokenized" in capsys.readouterr().err


def test_an_adapter_with_damaged_settings_is_one_line(place, trained, tmp_path, capsys):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{")
    assert main(["merge", str(adapter), "--output", str(tmp_path / "merged")]) == 2
    assert "is damaged" in capsys.readouterr().err and not (tmp_path / "merged").exists()
