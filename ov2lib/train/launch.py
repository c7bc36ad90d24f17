"""Full-scale runs on existing engines: configurations for `accelerate launch`, and the command that starts a stage.

The configurations come with the package: one GPU, DDP, FSDP2 on 8 and on 256 GPUs.
"""

from importlib.resources import files
from pathlib import Path

from ..errors import TrainingError
from .stages import StageConfig

CONFIGS = ("one_gpu", "ddp_8", "fsdp2_8", "fsdp2_256")
NODE = 8  # GPUs of a machine


def accelerate_config(name: str) -> Path:
    """The file to pass as `accelerate launch --config_file`; `slurm.sh` lies beside it.

    Args:
        name: one of `CONFIGS`.

    Raises:
        TrainingError: another name.
    """
    if name not in CONFIGS:
        raise TrainingError(f"no accelerate configuration {name!r}; there are {', '.join(CONFIGS)}, or pass a file of your own")
    return Path(str(files(__package__) / "accelerate" / f"{name}.yaml"))


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
    import torch

    reasons = []
    if (count := torch.cuda.device_count()) < gpus:
        reasons.append(f"{count} of {gpus} GPUs")
    if not (Path(start) / "config.json").is_file():
        reasons.append(f"no model in {start}")
    if not Path(corpora).is_dir():
        reasons.append(f"no folder {corpora}")
    return reasons
