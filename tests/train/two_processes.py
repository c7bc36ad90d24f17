"""One of the processes that `test_train_distributed` launches: `two_processes.py LAYOUT OUTPUT START DATA`.

"fsdp2" says to accelerate that this machine's CPU is an accelerator: it shards on those only, while torch shards on any
device. The run is stopped in its third step, after a checkpoint, and goes on from there.
"""

import sys
from pathlib import Path

from accelerate.state import PartialState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FSDPModule
from training_cases import distributed_stage

from ov2lib.train import run
from ov2lib.train.trainer import MetricsFile


class Stopped(Exception):
    """The run was stopped."""


def stop(self, args, state, control, model=None, **kwargs):
    blocks = model.model.visual.encoder.layers, model.model.language_model.layers
    assert all(isinstance(block, FSDPModule) for part in blocks for block in part), "layers are not sharded"
    if state.global_step == 3:
        raise Stopped


def main(layout: str, output: Path, start: Path, data: Path) -> None:
    arguments = distributed_stage(), output, start, {"pictures": data}
    if layout == "fsdp2":
        PartialState._prepare_backend = lambda self, *args: ("gloo", DistributedType.MULTI_GPU)
        run.on_cpu = lambda: False
        MetricsFile.on_step_end = stop
        try:
            run.train(*arguments)
        except Stopped:
            del MetricsFile.on_step_end
        else:
            raise AssertionError("the run was not stopped")
    run.train(*arguments)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
