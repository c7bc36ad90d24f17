"""LoRA on the language model with peft: y = W x + (alpha / rank) · B A x, where only A and B learn.

Nothing official exists for LLaVA-OneVision-2, so every setting is community practice for models of this kind (*assumed*).
The vision encoder stays frozen. Adapters that leak into it are a common accident, as its modules may bear the same names; so
targets are one regular expression over whole module names, and their number is checked.

At rank 32 the 8B's adapter has 87.3 million parameters, 333 MiB in float32 against 32 GiB for the model; a trained connector
adds 33.6 million, 128 MiB. transformers reads an adapter folder; vLLM refuses one whose connector was trained too: merge it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TrainingError
from ..files import whole_folder

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

    from ..model import LlavaOnevision2ForConditionalGeneration

# Of a dense layer; with experts the first four.
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TARGETS = rf"model\.language_model\.layers\.\d+\.(self_attn|mlp)\.({'|'.join(LINEARS)})"  # of a whole name, as peft matches
CONNECTOR = "merger"  # the module `model.visual.merger`
NORMS = r"model\.language_model\.(layers\.\d+\..+_?norm|layers\.\d+\..+_layernorm|norm)"  # of a whole name


@dataclass(frozen=True)
class LoraSettings:
    """What is adapted, and how much.

    Attributes:
        rank: of A and B; community practice is 16 to 64 (*assumed*).
        alpha: numerator of the scale alpha / rank; None is twice the rank (*assumed*).
        dropout: on the adapter's input while training (*assumed*).
        train_connector: train the connector whole, beside the adapters; practice knows both (*assumed*).
        train_norms, train_embeddings: train the language model's norms, and its embeddings with the output head, whole too, as
            LongLoRA does (arXiv:2309.12307); plans do not count them.

    Raises:
        TrainingError: a rank or alpha that is not positive, a dropout outside [0, 1).
    """

    rank: int = 32
    alpha: float | None = None
    dropout: float = 0.05
    train_connector: bool = True
    train_norms: bool = False
    train_embeddings: bool = False

    def __post_init__(self):
        if self.alpha is None:
            object.__setattr__(self, "alpha", 2 * self.rank)
        if self.rank < 1 or self.alpha <= 0:
            raise TrainingError(f"LoRA rank is {self.rank} and alpha {self.alpha:g}; both must be positive")
        if not 0 <= self.dropout < 1:
            raise TrainingError(f"LoRA dropout is {self.dropout:g}; it must be in [0, 1)")


def add_lora(model: "LlavaOnevision2ForConditionalGeneration", settings: LoraSettings) -> "PeftModel":
    """Freeze a model and add adapters to the linear layers of every language layer, in place.

    Seven of a dense layer; where a layer has experts, the four of its attention, and the experts stay frozen.

    A is drawn from torch's generator and B is zero, so the model computes as before until it is trained. What is trained is
    float32, over bfloat16 weights too (train these under autocast).

    Returns:
        peft's model around `model`; it trains, generates and has a `.config` as before.

    Raises:
        TrainingError: other modules than these would be adapted, as in another model; a connector to be trained is quantized.
            The model is unchanged then.
    """
    from peft import LoraConfig, get_peft_model

    from ..model.adapter import in_float32, quiet

    # 1. The linears of every language layer, found by name
    targets = [name for name, _ in model.named_modules() if re.fullmatch(TARGETS, name)]
    text = model.config.get_text_config()
    count = 4 if getattr(text, "num_experts", None) else len(LINEARS)
    if len(targets) != count * text.num_hidden_layers:
        raise TrainingError(
            f"LoRA would adapt {len(targets)} modules, not the {count} linears of each of {text.num_hidden_layers} language "
            "layers; give a LlavaOnevision2ForConditionalGeneration"
        )
    connector = (parameter for name, parameter in model.named_parameters() if f".{CONNECTOR}." in name)
    if settings.train_connector and not all(parameter.is_floating_point() for parameter in connector):
        raise TrainingError(
            "the connector is quantized and cannot be trained; keep it out of the quantization with "
            f"llm_int8_skip_modules=['{CONNECTOR}', 'lm_head'], or leave it as it is with train_connector=False"
        )
    # 2. Adapters on them, in float32 whatever the model's precision
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=TARGETS,
        modules_to_save=_trained_whole(model, settings) or None,
        ensure_weight_tying=settings.train_embeddings and text.tie_word_embeddings,
    )
    with quiet():
        return in_float32(get_peft_model(model, config))


def _trained_whole(model: "LlavaOnevision2ForConditionalGeneration", settings: LoraSettings) -> list[str]:
    """Names of the modules that are trained whole, as peft matches them: by how a module's name ends."""
    whole = [CONNECTOR] if settings.train_connector else []
    if settings.train_norms:
        whole += [name for name, _ in model.named_modules() if re.fullmatch(NORMS, name)]
    if settings.train_embeddings:
        tied = model.config.get_text_config().tie_word_embeddings
        whole += ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
    return whole


def save_adapter(model: "PeftModel", folder: str | Path, state: Mapping[str, "torch.Tensor"] | None = None) -> Path:
    """Write the adapter, and the connector where it was trained; the folder appears whole or not at all.

    Args:
        model: with adapters.
        folder: to write.
        state: the model's whole tensors by name, where it holds only parts of them (FSDP2).

    Raises:
        TrainingError: the folder holds something else, or cannot be written.
    """
    with whole_folder(folder, TrainingError, _stranger) as scratch:
        write_adapter(model, scratch, state)
    return Path(folder)


def write_adapter(model: "PeftModel", folder: Path, state: Mapping[str, "torch.Tensor"] | None = None) -> None:
    """The files of `save_adapter`, written into a folder that is there."""
    from ..model.adapter import BASE, fingerprint

    # Without `save_embedding_layers` peft asks a hub whether the vocabulary has grown.
    model.save_pretrained(folder, save_embedding_layers=False, state_dict=state)
    name = model.get_base_model().config.name_or_path
    base = {"base_model": name, "architecture": model.config.model_type, "fingerprint": fingerprint(model, state)}
    (folder / BASE).write_text(json.dumps(base, indent=2) + "\n")


def _stranger(folder: Path) -> str | None:
    """What in a folder is not of an adapter that `save_adapter` wrote, None where there is nothing such."""
    from ..model.adapter import BASE, SETTINGS, WEIGHTS

    if not (folder / BASE).is_file():
        return "no adapter of ours, but something else"
    return next((repr(path.name) for path in folder.iterdir() if path.name not in (WEIGHTS, SETTINGS, BASE, "README.md")), None)
