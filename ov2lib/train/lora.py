"""Settings of the LoRA variant."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoraSettings:
    """Adapters on the seven linear layers of the language model.

    Attributes:
        rank, alpha, dropout: of each adapter.
        train_connector: the connector is trained too, in full.
    """

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.05
    train_connector: bool = True
