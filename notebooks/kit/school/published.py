"""What notebooks 07 to 10 tell of a published stage: what it trains of the 8B, and the command that starts it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ov2lib.errors import TrainingError
from ov2lib.model import LlavaOnevision2Config
from ov2lib.model.sizes import Widths
from ov2lib.train.launch import accelerate_config
from ov2lib.train.parts import PARTS, part_of
from ov2lib.train.plan import part_parameters, recipe_of
from ov2lib.train.stages import StageConfig

NODE = 8  # GPUs of a machine


def count_trained(model: nn.Module) -> dict[str, tuple[int, int]]:
    """(parameters, of them trained) by part, "adapters" for those of LoRA; the copy that peft keeps of a part it trains whole
    is not counted."""
    total, trained = Counter(), Counter()
    for name, parameter in model.named_parameters():
        if ".original_module." in name:
            continue
        part = "adapters" if ".lora_" in name else part_of(name)
        total[part] += parameter.numel()
        if parameter.requires_grad:
            trained[part] += parameter.numel()
    return {part: (count, trained[part]) for part, count in total.items()}


@dataclass(frozen=True)
class TrainableRow:
    """One part: its parameters, how many of them are trained, and their share of all that are trained."""

    part: str
    parameters: int
    trained: int
    share: float


def trainable_table(config: StageConfig, model: LlavaOnevision2Config) -> list[TrainableRow]:
    """What a stage trains, part by part; the last row is the whole model with its adapters."""
    recipe, counts = recipe_of(config), part_parameters(model)
    rows: list[tuple[str, int, int]] = [(part, counts[part], counts[part] if part in recipe.trained else 0) for part in PARTS]
    if recipe.rank:
        adapters = Widths(model).adapters(recipe.rank)
        rows.append(("adapters", adapters, adapters))
    total = sum(trained for *_, trained in rows)
    rows.append(("total", sum(count for _, count, _ in rows), total))
    return [TrainableRow(part, count, trained, trained / total) for part, count, trained in rows]


def launch_command(config: StageConfig, gpus: int, start: str, corpora: str) -> list[str]:
    """What starts a stage on one machine of up to eight GPUs; `slurm.sh` does it on more.

    Args:
        config: of `stage_config`.
        gpus: 1 to 8.
        start: folder of the model to start from.
        corpora: folder that holds one folder for each source, by its name.

    Raises:
        TrainingError: more GPUs than a machine has, or a global batch that does not divide among them.
    """
    if not 1 <= gpus <= NODE:
        slurm = accelerate_config("fsdp2_256").with_name("slurm.sh")
        raise TrainingError(f"{gpus} GPUs; this starts 1 to {NODE} on one machine, and {slurm} is an example for more")
    config.accumulation(gpus)
    name = "one_gpu" if gpus == 1 else "fsdp2_8" if config.lora is None else "ddp_8"
    command = ["accelerate", "launch", "--config_file", str(accelerate_config(name)), "--num_processes", str(gpus)]
    command += ["-m", "ov2lib", "train", "--recipe", f"stage{config.stage}", "--variant", config.variant]
    command += ["--from", start]
    for source in config.sources:
        command += ["--data", f"{source.name}={corpora}/{source.name}"]
    return command


def obstacles(gpus: int, start: str, corpora: str) -> list[str]:
    """Why a stage cannot be started here, in words; empty where it can."""
    reasons = []
    if (count := torch.cuda.device_count()) < gpus:
        reasons.append(f"{count} of {gpus} GPUs")
    if not (Path(start) / "config.json").is_file():
        reasons.append(f"no model in {start}")
    if not Path(corpora).is_dir():
        reasons.append(f"no folder {corpora}")
    return reasons
