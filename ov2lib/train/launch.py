"""Configurations for `accelerate launch` that come with the package: one GPU, DDP, FSDP2 on 8 and on 256 GPUs."""

from importlib.resources import files
from pathlib import Path

from ..errors import TrainingError

CONFIGS = ("one_gpu", "ddp_8", "fsdp2_8", "fsdp2_256")


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
