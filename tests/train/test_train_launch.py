"""The shipped accelerate configurations, read by accelerate itself, fit the model they are for."""

import argparse
import re
import subprocess

import pytest
import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from kit.school.published import launch_command, obstacles
from ov2lib.cli import train
from ov2lib.errors import TrainingError
from ov2lib.model import LlavaOnevision2ForConditionalGeneration
from ov2lib.model.sizes import published_config
from ov2lib.train.launch import CONFIGS, accelerate_config
from ov2lib.train.stages import stage_config

FSDP = [name for name in CONFIGS if name.startswith("fsdp")]
SLURM = accelerate_config("one_gpu").with_name("slurm.sh")


@pytest.mark.parametrize(
    ("name", "kind", "processes", "machines"),
    [("one_gpu", "NO", 1, 1), ("ddp_8", "MULTI_GPU", 8, 1), ("fsdp2_8", "FSDP", 8, 1), ("fsdp2_256", "FSDP", 256, 32)],
)
def test_accelerate_reads_them(name, kind, processes, machines):
    config = load_config_from_file(str(accelerate_config(name)))  # refuses unknown keys
    assert (config.distributed_type, config.num_processes, config.num_machines) == (kind, processes, machines)
    assert config.mixed_precision == stage_config(1).precision


def plugin_of(name: str, monkeypatch) -> FullyShardedDataParallelPlugin:
    """What a process that `accelerate launch` starts would make of the file."""
    command = ["--config_file", str(accelerate_config(name)), "-m", "ov2lib", "train", "--recipe", "stage1"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    for key, value in prepare_multi_gpu_env(args).items():
        if key.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(key, value)
    return FullyShardedDataParallelPlugin()


@pytest.mark.parametrize("name", FSDP)
def test_fsdp_cuts_the_model_into_its_layers(name, monkeypatch):
    plugin = plugin_of(name, monkeypatch)
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "SHARDED_STATE_DICT"
    wrapped = set(plugin.transformer_cls_names_to_wrap)
    with torch.device("meta"):
        model = LlavaOnevision2ForConditionalGeneration(published_config("8b"))
    counts = {cls: sum(type(module).__name__ == cls for module in model.modules()) for cls in wrapped}
    assert counts == {"VisionBlock": 24, "Qwen3DecoderLayer": 36}
    assert wrapped <= set(model._no_split_modules)


@pytest.mark.parametrize("name", FSDP)
def test_activations_are_recomputed_once(name, monkeypatch):
    assert stage_config(1).gradient_checkpointing
    assert not plugin_of(name, monkeypatch).activation_checkpointing  # the Trainer refuses both


def test_unknown_configurations_are_refused():
    with pytest.raises(TrainingError, match="no accelerate configuration 'ddp'; there are one_gpu"):
        accelerate_config("ddp")


def test_the_slurm_example_is_a_script_and_its_batch_fits_its_machines():
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    text = SLURM.read_text()
    nodes, gpus, batch = (int(re.search(rf"--{name}[= ](\d+)", text)[1]) for name in ("nodes", "gpus-per-node", "global-batch"))
    config = load_config_from_file(str(accelerate_config(re.search(r'accelerate_config\("(\w+)"\)', text)[1])))
    assert (nodes, nodes * gpus) == (config.num_machines, config.num_processes)
    assert batch % (nodes * gpus) == 0


@pytest.mark.parametrize(("variant", "gpus", "kind"), [("full", 8, "FSDP"), ("lora", 8, "MULTI_GPU"), ("lora", 1, "NO")])
def test_the_command_of_a_stage_is_one_that_accelerate_and_the_stage_take(variant, gpus, kind):
    config = stage_config(3, variant)
    program, verb, *rest = launch_command(config, gpus, "start", "corpora")
    args = launch_command_parser().parse_args(rest)
    assert (program, verb, args.training_script) == ("accelerate", "launch", "ov2lib")
    assert load_config_from_file(args.config_file).distributed_type == kind and args.num_processes == gpus
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    name, *options = args.training_script_args
    own = parser.parse_args(options)
    assert (name, own.recipe, own.variant, own.start.name) == ("train", "stage3", variant, "start")
    assert [text.partition("=")[0] for text in own.data] == [source.name for source in config.sources]


def test_a_command_for_more_than_a_machine_is_refused():
    with pytest.raises(TrainingError, match="1 to 8 on one machine, and .*slurm.sh"):
        launch_command(stage_config(1), 16, "start", "corpora")


def test_what_keeps_a_command_from_starting_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    reasons = obstacles(8, str(tmp_path), str(tmp_path / "none"))
    assert [reason.split()[0] for reason in reasons] == ["2", "no", "no"]
    (tmp_path / "config.json").touch()
    assert obstacles(2, str(tmp_path), str(tmp_path)) == []
