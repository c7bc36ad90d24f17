"""One of the processes that `test_train_distributed` launches: `two_processes.py LAYOUT OUTPUT START DATA`.

"fsdp2" tells accelerate that this machine's CPU is an accelerator: it shards on those only, while torch shards anywhere. The
run is stopped in its third step, after a checkpoint, and goes on from there; then adapters are trained in bfloat16.
"""

import sys
from pathlib import Path

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FSDPModule
from training_cases import distributed_stage
from transformers import training_args

from ov2lib.model.vision import VisionAttention
from ov2lib.train import run, trainer
from ov2lib.train.trainer import MetricsFile


class Stopped(Exception):
    """The run was stopped."""


def stop(self, args, state, control, model=None, **kwargs):
    blocks = model.model.visual.encoder.layers, model.model.language_model.layers
    assert all(isinstance(block, FSDPModule) for part in blocks for block in part), "layers are not sharded"
    if state.global_step == 3:
        raise Stopped


def look(module, given):
    """Products are in bfloat16 while tables of the rotation stay in float32."""
    if isinstance(module, VisionAttention):
        assert module.qkv.weight.dtype == torch.bfloat16
        assert {tensor.dtype for tensor in given[1].keywords.values()} == {torch.float32}


def main(layout: str, output: Path, start: Path, data: Path) -> None:
    places = start, {"pictures": data}
    if layout == "ddp":
        run.train(distributed_stage(), output, *places)
        return
    PartialState._prepare_backend = lambda self, *args: ("gloo", DistributedType.MULTI_GPU)
    training_args.is_torch_bf16_gpu_available = lambda: True
    run.on_cpu = trainer.on_cpu = lambda: False
    MetricsFile.on_step_end = stop
    try:
        run.train(distributed_stage(), output, *places)
    except Stopped:
        del MetricsFile.on_step_end
    else:
        raise AssertionError("the run was not stopped")
    run.train(distributed_stage(), output, *places)
    torch.nn.modules.module.register_module_forward_pre_hook(look)
    run.train(distributed_stage("lora", precision="bf16"), output, *places)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
