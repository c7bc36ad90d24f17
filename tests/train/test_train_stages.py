"""Stage configurations: complete, sourced, equal to the tables they come from; buckets and their token budget."""

from dataclasses import asdict, fields, replace
from json import dumps, loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.school.recipe import mini_stage
from ov2lib import reported
from ov2lib.errors import TrainingError
from ov2lib.train.buckets import bucket_of, buckets
from ov2lib.train.stages import INTERLEAVED, STAGES, VARIANTS, StageConfig, stage_config

ALL = [(stage, variant, build) for stage in STAGES for variant in VARIANTS for build in (stage_config, mini_stage)]


@pytest.mark.parametrize(("stage", "variant", "build"), ALL)
def test_every_value_says_where_it_is_from(stage, variant, build):
    config = build(stage, variant)
    names = [item.name for item in fields(StageConfig) if item.name != "origin"]
    assert [row["field"] for row in config.rows()] == names
    assert {row["kind"] for row in config.rows()} <= {"published", "proxy", "assumed"}
    assert all(row["origin"].strip() for row in config.rows())
    assert (config.lora is None) == (variant == "full")
    assert loads(dumps(asdict(config)))["stage"] == stage  # it can be dumped beside a result


def test_the_8b_takes_the_scripts_values():
    table = {(row["script"], row["field"]): row["value"] for row in reported.rows("training_scripts")}
    for stage, script in ((1, "mid_training.sh"), (2, "instruct_780k.sh"), (3, "instruct_780k.sh"), (4, "instruct_780k.sh")):
        config = stage_config(stage)
        for name, field in (("learning_rate", "lr"), ("min_learning_rate", "min_lr"), ("clip", "clip"), ("eps", "adam_eps"),
                            ("warmup_fraction", "warmup_fraction"), ("weight_decay", "weight_decay")):  # fmt: skip
            assert getattr(config, name) == float(table[script, field])
            assert config.origin[name].startswith(f"proxy: {script}")
        assert "/".join(f"{beta:g}" for beta in config.betas) == table[script, "adam_betas"]
        assert config.precision == table[script, "dtype"] and config.micro_batch == int(table[script, "micro_batch"])
    assert stage_config(1).sequence_length == 32768
    assert stage_config(1).global_batch == 128 and stage_config(2).sequence_length == 32000


def test_what_the_paper_does_not_say_is_not_called_published():
    silent = (
        "learning_rate",
        "global_batch",
        "sequence_length",
        "betas",
        "input_ratio",
        "trainable",
        "lora",
        "packing",
        "seed",
    )
    for stage, variant, build in ALL:
        config = build(stage, variant)
        assert not any(config.origin[name].startswith("published") for name in silent)
        if variant == "lora":
            assert config.origin["lora"].startswith("assumed") and "vision" not in config.trainable


def test_a_bin_holds_the_longest_video_of_its_stage():
    for stage in STAGES:
        config = stage_config(stage)
        shown = [source.num_canvases or source.max_frames for source in config.sources if source.max_frames]
        assert config.sequence_length > max(shown) * 196


def test_sizes_that_nobody_published_stop_a_mixture_until_they_are_counted():
    config = stage_config(3)
    with pytest.raises(TrainingError, match="videochat_flash, molmo2, timelens.*count them"):
        config.weights()
    weights = config.weights({"videochat_flash": 1000, "molmo2": 1000, "timelens": 1000})
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["instruct_22m"] / weights["captions_10_15min"] == pytest.approx(22_000_000 / 350_000)


def test_interleaving_as_section_1_says_changes_the_share_of_images_only():
    config = stage_config(2)
    by_size, mixed = config.weights(), replace(config, input_ratio=INTERLEAVED).weights()
    images = [source.name for source in config.sources if source.kind == "image"]
    assert sum(by_size[name] for name in images) == pytest.approx(46 / 49.4)
    assert sum(mixed[name] for name in images) == pytest.approx(0.125)
    assert mixed["finevision"] / mixed["instruct_22m"] == pytest.approx(24 / 22)
    assert sum(mixed.values()) == pytest.approx(1)


@given(st.integers(1, 512))
def test_micro_batches_add_up_to_the_global_batch_or_are_refused(processes):
    config = stage_config(1)
    if 128 % processes:
        with pytest.raises(TrainingError, match=f"multiple of {processes}"):
            config.accumulation(processes)
    else:
        assert config.accumulation(processes) * processes * config.micro_batch == config.global_batch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": 5}, "stage is 5; use 1, 2, 3, 4"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"trainable": ("vision", "head")}, "trainable names head"),
        ({"input_ratio": {"codec": 0.0}}, "positive share"),
        ({"input_ratio": {"codec": 1.0, "image": -0.1}}, "negative"),
        ({"input_ratio": {"kodak": 1.0}}, "input_ratio names kodak"),
        ({"variant": "lora"}, "adapters belong to the variant 'lora' only"),
        ({"micro_batch": 3}, "no multiple of micro_batch 3"),
        ({"origin": {}}, "see attention, betas, clip"),
        ({"sources": stage_config(1).sources * 2}, "share a name"),
    ],
)
def test_configurations_that_contradict_themselves_are_refused(change, message):
    config = stage_config(1)
    with pytest.raises(TrainingError, match=message):
        replace(config, **change)


@pytest.mark.parametrize("wrong", [(0, "full"), (1, "qlora")])
def test_unknown_stages_are_refused(wrong):
    with pytest.raises(TrainingError, match="there are"):
        stage_config(*wrong)


def test_the_derived_budget_is_the_printed_one():
    for bucket in buckets():
        assert bucket.image_tokens == bucket.clips * bucket.frames * 196
        assert bucket.image_tokens == pytest.approx(bucket.printed_image_tokens, abs=0.051e9)
    assert [round(bucket.caption_tokens_per_clip) for bucket in buckets()] == [714, 852, 1000, 11429]
    assert sum(bucket.image_tokens for bucket in buckets()) == pytest.approx(95.1e9, abs=0.051e9)


@pytest.mark.parametrize(
    ("seconds", "name", "frames"),
    [(5, "30s", 30), (30, "30s", 30), (30.01, "30-60s", 60), (60, "30-60s", 60), (61, "60-180s", 90), (180, "60-180s", 90),
     (181, "10-15min", 384), (700, "10-15min", 384), (7200, "10-15min", 384)],
)  # fmt: skip
def test_a_clip_goes_to_the_bucket_it_does_not_exceed(seconds, name, frames):
    assert (bucket_of(seconds).name, bucket_of(seconds).frames) == (name, frames)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_lengths_that_are_none_are_refused(seconds):
    with pytest.raises(TrainingError, match="has no bucket"):
        bucket_of(seconds)
