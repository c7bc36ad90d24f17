"""The model's three parts, by parameter name: what a stage trains, and at which rate."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from ..errors import TrainingError
from .lora import add_lora

if TYPE_CHECKING:
    from .stages import StageConfig

PARTS = ("vision", "connector", "language")


def part_of(name: str) -> str:
    """ "vision", "connector" or "language" (output head included) for a parameter name of the published layout."""
    if ".visual.merger." in f".{name}":
        return "connector"
    return "vision" if ".visual." in f".{name}" else "language"


def set_trainable(model: nn.Module, parts: Iterable[str]) -> None:
    """Let gradients flow into these parts only.

    Raises:
        TrainingError: an unknown part, or none.
    """
    chosen = set(parts)
    if not chosen or chosen - set(PARTS):
        raise TrainingError(f"trainable parts are {sorted(chosen)}; choose from {', '.join(PARTS)}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in chosen)


def make_trainable(model: nn.Module, config: "StageConfig") -> nn.Module:
    """The model with what the stage trains unfrozen, in place; under adapters in the variant "lora"."""
    if config.lora is not None:
        return add_lora(model, config.lora)
    set_trainable(model, config.trainable)
    return model


def count_trained(model: nn.Module) -> dict[str, tuple[int, int]]:
    """(parameters, of them trained) by part, "adapters" for those of LoRA; the copy that peft keeps of a part it trains whole
    is not counted."""
    held, trained = Counter(), Counter()
    for name, parameter in model.named_parameters():
        if ".original_module." not in name:
            part = "adapters" if ".lora_" in name else part_of(name)
            held[part] += parameter.numel()
            trained[part] += parameter.numel() * parameter.requires_grad
    return {part: (held[part], trained[part]) for part in (*PARTS, "adapters") if held[part]}
