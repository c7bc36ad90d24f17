"""The model's three parts, by parameter name: what a stage trains, and at which rate."""

from collections.abc import Iterable

from torch import nn

from ..errors import TrainingError

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
