"""`ov2 plan`: sums by hand, how costs scale, what is said of missing numbers, and the trainable parameters."""

import argparse
import json
from dataclasses import replace

import pytest
import torch

from kit.school.model import mini_config, mini_processor
from kit.school.published import trainable_table
from kit.school.recipe import TOKENS, mini_stage, sample_tokens
from kit.world.tasks import stage_samples
from ov2lib.cli import plan as command
from ov2lib.errors import TrainingError
from ov2lib.model import LlavaOnevision2ForConditionalGeneration
from ov2lib.model.sizes import GROUP, published_config, sample_work, video_cost
from ov2lib.reported import rows
from ov2lib.samples.cache import TokenCache
from ov2lib.train import plan
from ov2lib.train.cost import training_memory
from ov2lib.train.encoding import SampleEncoder
from ov2lib.train.lora import add_lora
from ov2lib.train.parts import set_trainable
from ov2lib.train.plan import make_plan, source_work
from ov2lib.train.stages import Source, stage_config

MODEL = published_config("8b")


def planned(stage=1, variant="full", gpus=128, **settings):
    return make_plan(stage_config(stage, variant), MODEL, gpus, **settings)


def printed(capsys, *argv) -> str:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(arg) for arg in argv])) == 0
    return capsys.readouterr().out


def test_tokens_of_stage_1_are_the_papers_table():
    table = {row["quantity"]: float(row["value"]) for row in rows("caption_buckets") if row["bucket"] == "30s"}
    captions = next(source for source in planned().sources if source.name == "captions_30s")
    assert captions.samples * captions.visual == pytest.approx(table["image_tokens"] * 1e9, rel=0.005)
    assert captions.samples * (captions.text - 30 * plan.TAG) == pytest.approx(table["caption_tokens"] * 1e9)


def test_sums_of_stage_1_by_hand():
    made = planned()
    images, clips = 85_000_000, 4_200_000
    assert made.samples == images + clips
    assert made.visual_tokens == images * 196 + clips * 30 * 196
    tokens = made.visual_tokens + made.text_tokens
    assert made.bins % 128 == 0 and made.bins * 32_768 * 0.99 == pytest.approx(tokens, rel=1e-4)
    assert made.steps == made.bins // 128
    assert sum(source.share for source in made.sources) == pytest.approx(1)
    assert made.hours == pytest.approx(made.total_flops / (128 * 989e12 * 0.4 * 3600))


def test_forward_pass_agrees_with_the_model_card():
    """The cost of seeing a video is counted in two places."""
    config = replace(stage_config(1, "full"), sources=(Source("v", "v", 1, "video", 32, "frames"),))
    card = video_cost(MODEL, "", 32.0, canvases=32, group=4)
    flops = plan.training_flops(MODEL, source_work(config.sources[0], config, MODEL), plan.recipe_of(config))
    assert flops["vision"].forward == card.encoder_flops and flops["connector"].forward == card.connector_flops


@pytest.mark.parametrize(
    ("backend", "pictures"), [("frames", 384), ("codec", 48), (None, 0.5 / 0.875 * 48 + 0.375 / 0.875 * 384)]
)
def test_a_video_costs_what_it_is_shown_as(backend, pictures):
    config = stage_config(4, "full")
    work = source_work(Source("v", "v", 1, "video", 384, backend, 48 if backend == "codec" else None), config, MODEL)
    assert work.patches == pytest.approx(pictures * 784) and work.visual == pytest.approx(pictures * 196)
    assert work.patch_pairs == pytest.approx(pictures * 784 * 4 * 784)
    assert work.text - work.predicted == 384 * plan.TAG


def test_a_video_of_known_length_gives_what_training_takes_of_it():
    """A frame a second, and a canvas for eight of them, up to the source's most."""
    config = stage_config(4, "full")
    for backend, seconds, pictures in (("frames", 57.5, 57.5), ("codec", 64, 8), ("frames", 1000, 384), ("codec", 2, 1)):
        work = source_work(Source("v", "v", 1, "video", 384, backend, seconds=seconds), config, MODEL)
        assert work.visual == pytest.approx(pictures * 196)
        assert work.text - work.predicted == min(seconds, 384) * plan.TAG


def test_hours_fall_with_gpus_and_utilisation_and_memory_with_gpus():
    few, many = planned(gpus=8), planned(gpus=128)
    assert few.hours == pytest.approx(16 * many.hours)
    assert planned(utilisation=0.2).hours == pytest.approx(2 * many.hours)
    assert few.memory["FSDP2"].optimizer == pytest.approx(16 * many.memory["FSDP2"].optimizer)
    assert few.memory["DDP"] == many.memory["DDP"], "replicas hold everything"
    assert list(planned(gpus=1).memory) == ["one GPU"]


def test_state_of_full_training_is_16_bytes_a_parameter():
    memory = planned(gpus=1).memory["one GPU"]
    assert memory.weights + memory.gradients + memory.optimizer == 16 * 8_527_213_568


def test_lora_holds_less_and_computes_less():
    lora, full = planned(2, "lora", 1), planned(2, "full", 1)
    assert lora.memory["one GPU"].total < full.memory["one GPU"].total / 2
    trained = 87_293_952 + 33_564_672
    assert lora.memory["one GPU"].optimizer == 8 * trained
    assert lora.flops["vision"].backward == 0 < lora.flops["vision"].forward
    assert 0.5 < lora.total_flops / full.total_flops < 0.8


def test_recomputing_trades_memory_for_flops():
    config = stage_config(1, "full")
    kept = make_plan(replace(config, gradient_checkpointing=False), MODEL, 128)
    again = make_plan(config, MODEL, 128)
    assert kept.total_flops < again.total_flops < 4 / 3 * kept.total_flops
    assert kept.memory["FSDP2"].activations > 5 * again.memory["FSDP2"].activations


def test_steps_replace_the_pass_over_the_data():
    config = replace(stage_config(1, "full"), steps=100)
    made, whole = make_plan(config, MODEL, 128), planned()
    assert made.steps == 100 and made.bins == 12_800
    assert made.total_flops / whole.total_flops == pytest.approx(made.bins / whole.bins, rel=1e-3)
    assert any(note.startswith("100 steps are 0.00 passes") for note in made.assumptions)


def test_what_is_not_published_is_left_out_and_said():
    made = planned(3)
    assert any(
        note.startswith("not counted, as their size is not in our sources: videochat_flash, molmo2, timelens")
        for note in made.assumptions
    )
    assert [source.name for source in made.sources if not source.share] == ["videochat_flash", "molmo2", "timelens"]


def test_a_video_longer_than_a_bin_is_named():
    config = replace(stage_config(3, "full"), sequence_length=32_768)
    notes = make_plan(config, MODEL, 128).assumptions
    assert any(note.startswith("longer than a bin of 32,768") and "captions_10_15min" in note for note in notes)
    assert not any(note.startswith("longer than a bin") for note in planned(3).assumptions)


def test_a_batch_that_gpus_do_not_divide_is_said():
    assert any("does not divide among 256 GPUs" in note for note in planned(gpus=256).assumptions)
    assert not any("does not divide" in note for note in planned(gpus=128).assumptions)


@pytest.mark.parametrize("variant", ["full", "lora"])
def test_trainable_table_counts_what_training_would_train(variant):
    config = stage_config(2, variant)
    with torch.device("meta"):
        model = LlavaOnevision2ForConditionalGeneration(MODEL)
    if config.lora:
        model = add_lora(model, config.lora)
    else:
        set_trainable(model, config.trainable)
    table = {row.part: row for row in trainable_table(config, MODEL)}
    assert table["total"].trained == sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert sum(row.share for part, row in table.items() if part != "total") == pytest.approx(1)
    assert ("adapters" in table) == (variant == "lora")
    assert table["vision"].parameters == 302_913_536 and table["connector"].parameters == 33_564_672


def test_sizes_and_batch_that_the_caller_knows(capsys):
    known = ["--samples", "molmo2=100000", "--samples", "timelens=20000", "--samples", "videochat_flash=3000000"]
    data = json.loads(printed(capsys, "--recipe", "stage3", "--gpus", 256, "--global-batch", 256, "--json", *known))
    assert {source["name"]: source["samples"] for source in data["sources"]}["timelens"] == 20_000
    assert data["samples"] == planned(3).samples + 3_120_000 and data["bins"] == 256 * data["steps"]
    assert not any("not in our sources" in note or "does not divide" in note for note in data["assumptions"])


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_mini_stages_have_a_plan_of_their_own(stage):
    config = mini_stage(stage)
    made = make_plan(config, mini_config(), measured={source.name: sample_tokens(stage) for source in config.sources})
    assert made.steps == config.steps and made.bins == config.steps * config.global_batch
    tokens = made.visual_tokens + made.text_tokens
    assert tokens == pytest.approx(made.bins * config.sequence_length * plan.FILL)
    assert made.memory["one GPU"].total < 1e9 and "as measured" in made.assumptions[0]


def test_tokens_of_mini_samples_are_as_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("OV2_CACHE", str(tmp_path))
    processor, config = mini_processor(), mini_stage(4)
    images = processor.image_processor
    cache = TokenCache(tmp_path / "tokens", images.patch_size, images.size)
    encoder = SampleEncoder(processor.tokenizer, cache.tokens, config.frames_prompt, config.timestamp_decimals)
    examples = [encoder.encode(sample) for sample in stage_samples(4, "train", 6)]
    visual = sum(int((example.input_ids == processor.image_token_id).sum()) for example in examples)
    assert sum(map(len, examples)) == pytest.approx(6 * sum(TOKENS[4][:2]), rel=0.2)
    assert visual == pytest.approx(6 * TOKENS[4][0], rel=0.5)


def test_printed_plan_holds_numbers_and_assumptions(capsys):
    text = printed(capsys, "--recipe", "stage3", "--gpus", 256)
    made = planned(3, gpus=256)
    assert f"{made.hours:,.4g} hours" in text and f"{made.bins:,}" in text and "not known" in text
    assert all(note in text for note in made.assumptions)


def test_json_holds_the_same(capsys):
    data = json.loads(printed(capsys, "--recipe", "stage1", "--gpus", 128, "--json"))
    made = planned()
    assert data["hours"] == made.hours and data["total_flops"] == made.total_flops
    assert data["total_memory"]["FSDP2"] == made.memory["FSDP2"].total


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--gpus", 0, "gpus is 0; it must be positive"),
        ("--utilisation", 1.5, "utilisation is 1.5; it must be positive, at most 1"),
        ("--gpu-tflops", "nan", "gpu_tflops is nan"),
        ("--gpu-memory", -1, "gpu_memory is -1"),
        ("--global-batch", 0, "--global-batch is 0; give at least 1"),
        ("--samples", "eyes=3", "--samples names 'eyes'; the sources are mid_training_85m"),
        ("--samples", "captions_30s=few", "--samples is 'few'; give a whole number"),
    ],
)
def test_impossible_numbers(capsys, option, value, message):
    with pytest.raises(TrainingError, match=message):
        printed(capsys, "--recipe", "stage1", option, value)


# GiB at the fullest moment of a LoRA step of the 8B on an NVIDIA H200, by tests/benchmarks/train_step.py: samples in the bin,
# canvases and words of each.
MEASURED = {(2, 39, 500): 29.15, (4, 39, 500): 40.89, (1, 474, 5376): 88.25}


@pytest.mark.parametrize(("samples", "canvases", "words"), MEASURED)
def test_memory_of_a_lora_step_is_what_a_gpu_took(samples, canvases, words):
    patches = 28 * 28
    work = sample_work(canvases * patches, GROUP * patches, words, words) * samples
    recipe = plan.recipe_of(stage_config(2, "lora"))
    memory = training_memory(MODEL, plan.part_parameters(MODEL), work, recipe, "one GPU")
    assert memory.total / 2**30 == pytest.approx(MEASURED[samples, canvases, words], rel=0.05)
