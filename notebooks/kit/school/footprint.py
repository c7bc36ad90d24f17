"""What a training step takes, measured on this machine's CPU: seconds, bytes in memory, bytes on disk; full beside LoRA."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from ov2lib.train.collate import Collator
from ov2lib.train.lora import save_adapter
from ov2lib.train.parts import make_trainable
from ov2lib.train.start import load_start

from .lessons import Lesson, bins
from .published import count_trained
from .recipe import mini_stage


@dataclass(frozen=True)
class Footprint:
    """One variant of a stage.

    Attributes:
        variant: "full" or "lora".
        parameters, trained: of the model with its adapters.
        seconds: per step of one micro-batch, the median: forward, backward, optimiser.
        weights, gradients, moments: bytes of the parameters, of their gradients, and of AdamW's two moments.
        activations: bytes kept between the forward and the backward pass, the most of all steps.
        disk: bytes of the saved model or adapter.
    """

    variant: str
    parameters: int
    trained: int
    seconds: float
    weights: int
    gradients: int
    moments: int
    activations: int
    disk: int

    @property
    def memory(self) -> int:
        """Bytes at the end of the forward pass: weights, gradients, moments, activations."""
        return self.weights + self.gradients + self.moments + self.activations


def footprint(lesson: Lesson, variant: str, steps: int = 6) -> Footprint:
    """Take a few steps from where the lesson started, on its own bins; nothing is kept.

    Args:
        lesson: whose start and data are used, whatever its variant.
        variant: "full" or "lora".
        steps: at least 2; the first warms up and is not timed.
    """
    # 1. Model and optimiser as the stage has them
    config = mini_stage(lesson.config.stage, variant)
    torch.manual_seed(config.seed)
    base, processor = load_start(lesson.start)
    model = make_trainable(base, config).train()
    counts = count_trained(model).values()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learned, config.learning_rate, config.betas, config.eps, config.weight_decay)
    # 2. A few steps, timed, with what the forward pass keeps for the backward
    data, collate = bins(lesson), Collator(processor, config.frames_prompt)
    size, times, kept = lesson.config.micro_batch, [], 0
    for number in range(steps):
        batch = collate([data[(number * size + place) % len(data)] for place in range(size)])
        start = time.perf_counter()
        record = _Kept(model)
        with record:
            model(**batch, use_cache=False, bin_loss=True)["loss"].backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
        kept = max(kept, record.bytes)
        if number < steps - 1:
            optimiser.zero_grad()
    # 3. Bytes by kind
    moments = [value for state in optimiser.state.values() for value in state.values() if value.ndim]
    return Footprint(
        variant, sum(stored for stored, _ in counts), sum(trained for _, trained in counts), median(times[1:]),
        _bytes(model.parameters()), _bytes(parameter.grad for parameter in learned), _bytes(moments), kept,
        _on_disk(model, variant),
    )  # fmt: skip


def _bytes(tensors) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _on_disk(model: torch.nn.Module, variant: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "saved"
        save_adapter(model, place) if variant == "lora" else model.save_pretrained(place)
        return sum(path.stat().st_size for path in place.glob("*.safetensors"))


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts what PyTorch keeps for the backward pass: each storage once, parameters left out."""

    def __init__(self, model: torch.nn.Module):
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.bytes = 0
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor
