"""The model's three parts, by parameter name: what a stage trains, and at which rate."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import TrainingError
from .lora import add_lora

if TYPE_CHECKING:
    from torch import nn

    from .stages import StageConfig

PARTS = ("vision", "connector", "language")


def part_of(name: str) -> str:
    """ "vision", "connector" or "language" (output head included) for a parameter name of the published layout."""
    if ".visual.merger." in f".{name}":
        return "connector"
    return "vision" if ".visual." in f".{name}" else "language"


def set_trainable(model: "nn.Module", parts: Iterable[str]) -> None:
    """Let gradients flow into these parts only.

    Raises:
        TrainingError: an unknown part, or none.
    """
    names = set(parts)
    if not names or names - set(PARTS):
        raise TrainingError(f"trainable parts are {sorted(names)}; choose from {', '.join(PARTS)}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in names)


def make_trainable(model: "nn.Module", config: "StageConfig") -> "nn.Module":
    """The model with what the stage trains unfrozen, in place; under adapters in the variant "lora"."""
    if config.lora is not None:
        return add_lora(model, config.lora)
    set_trainable(model, config.trainable)
    return model
