"""LoRA on the language model with peft: y = W x + (alpha / rank) · B A x, where only A and B learn.

Nothing official exists for LLaVA-OneVision-2, so every setting is community practice for models of this kind (*assumed*).
The vision encoder stays frozen. Adapters that leak into it are a common accident, as its modules may bear the same names; so
targets are one regular expression over whole module names, and their number is checked.

An adapter folder holds peft's own `adapter_config.json` and `adapter_model.safetensors`, which transformers reads (vLLM
refuses them where the connector was trained too; merge these), and `base.json`, which names the base model and its weights'
fingerprint. At rank 32 the 8B's adapter has 87.3 million parameters, 333 MiB in float32 against 32 GiB for the model; a trained
connector adds 33.6 million, 128 MiB.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TrainingError
from ..files import whole_folder

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

    from ..model import LlavaOnevision2ForConditionalGeneration

LINEARS = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)  # with experts: the first four
TARGETS = rf"model\.language_model\.layers\.\d+\.(self_attn|mlp)\.({'|'.join(LINEARS)})"  # of a whole name, as peft matches
CONNECTOR = "merger"  # the module `model.visual.merger`
WEIGHTS, SETTINGS, BASE = "adapter_model.safetensors", "adapter_config.json", "base.json"
PROBES = 64  # values of each tensor that the fingerprint reads


@dataclass(frozen=True)
class LoraSettings:
    """What is adapted, and how much.

    Attributes:
        rank: of A and B; community practice is 16 to 64 (*assumed*).
        alpha: numerator of the scale alpha / rank; None is twice the rank (*assumed*).
        dropout: on the adapter's input while training (*assumed*).
        train_connector: train the connector whole, beside the adapters; practice knows both (*assumed*).

    Raises:
        TrainingError: a rank or alpha that is not positive, a dropout outside [0, 1).
    """

    rank: int = 32
    alpha: float | None = None
    dropout: float = 0.05
    train_connector: bool = True

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
        TrainingError: other modules than these would be adapted, as in another model. It is unchanged then.
    """
    from peft import LoraConfig, get_peft_model

    # 1. The linears of every language layer, found by name
    targets = [name for name, _ in model.named_modules() if re.fullmatch(TARGETS, name)]
    text = model.config.get_text_config()
    count = 4 if getattr(text, "num_experts", None) else len(LINEARS)
    if len(targets) != count * text.num_hidden_layers:
        raise TrainingError(
            f"LoRA would adapt {len(targets)} modules, not the {count} linears of each of {text.num_hidden_layers} language "
            "layers; give a LlavaOnevision2ForConditionalGeneration"
        )
    # 2. Adapters on them, in float32 whatever the model's precision
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=TARGETS,
        modules_to_save=[CONNECTOR] if settings.train_connector else None,
    )
    with _quiet():
        return _in_float32(get_peft_model(model, config))


def _in_float32(model: "PeftModel") -> "PeftModel":
    """Cast what is trained: steps of a small learning rate are lost in bfloat16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warning about an attribute that peft asks transformers for and that transformers renames."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def adapted_modules(model: "PeftModel") -> list[str]:
    """Names of the base model's modules that carry an adapter."""
    from peft.tuners.lora import LoraLayer

    return [name for name, module in model.get_base_model().named_modules() if isinstance(module, LoraLayer)]


def fingerprint(model: "torch.nn.Module", state: Mapping[str, "torch.Tensor"] | None = None) -> str:
    """Short name of a model's weights: the same in float32 and bfloat16, with adapters or without.

    A SHA-256 over names, shapes and 64 values of every tensor, rounded to bfloat16; a moment even for the 8B.

    Args:
        model: with or without adapters.
        state: its whole tensors by name, where the model holds only parts of them.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(_base_tensors(model, state or {}).items()):
        values = tensor.detach().flatten()
        probes = values[:: max(1, len(values) // PROBES)].to("cpu", torch.bfloat16)
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + probes.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def _base_tensors(model: "torch.nn.Module", state: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Parameters of the model under its adapters, by their names without them."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = {
        name: state.get(f"base_model.model.{name}", tensor)
        for name, tensor in base.named_parameters()
        if ".lora_" not in name and ".modules_to_save." not in name
    }
    return {name.replace(".base_layer.", ".").replace(".original_module.", "."): tensor for name, tensor in own.items()}


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
    # Without the last argument peft asks a hub whether the vocabulary has grown.
    model.save_pretrained(folder, save_embedding_layers=False, state_dict=state)
    name = model.get_base_model().config.name_or_path
    base = {"base_model": name, "architecture": model.config.model_type, "fingerprint": fingerprint(model, state)}
    (folder / BASE).write_text(json.dumps(base, indent=2) + "\n")


def _stranger(folder: Path) -> str | None:
    """What in a folder is not of an adapter that `save_adapter` wrote, None where there is nothing such."""
    if not (folder / BASE).is_file():
        return "no adapter of ours, but something else"
    return next((repr(path.name) for path in folder.iterdir() if path.name not in (WEIGHTS, SETTINGS, BASE, "README.md")), None)


def load_adapter(model: "LlavaOnevision2ForConditionalGeneration", folder: str | Path, trainable: bool = False) -> "PeftModel":
    """Put a saved adapter on its base model, in place.

    Args:
        model: with the weights that the adapter was trained on.
        trainable: train it further; otherwise everything is frozen.

    Raises:
        TrainingError: no adapter there, one that is damaged, of another architecture or of other base weights.
    """
    from peft import PeftModel

    folder = Path(folder)
    missing = [name for name in (SETTINGS, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise TrainingError(f"{folder} has no {' and no '.join(missing)}; give a folder that save_adapter wrote")
    _check_shapes(model, folder)
    if (folder / BASE).is_file():  # adapters that a Trainer saved, or somebody else, have none
        base = json.loads((folder / BASE).read_text())
        if base["fingerprint"] != fingerprint(model):
            raise TrainingError(
                f"{folder} was trained on the weights {base['fingerprint']} of {base['base_model'] or 'an unnamed model'}, "
                f"and {model.config.name_or_path or 'this model'} has {fingerprint(model)}; load that model"
            )
    with _quiet():
        return _in_float32(PeftModel.from_pretrained(model, folder, is_trainable=trainable))


def _check_shapes(model: "torch.nn.Module", folder: Path) -> None:
    """Compare an adapter file's tensors with the modules they adapt, before the model is touched."""
    from safetensors import SafetensorError, safe_open

    # 1. Shapes of the stored adapter
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as tensors:
            held = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}
    except SafetensorError as error:
        raise TrainingError(f"{folder / WEIGHTS} is damaged ({error}); train or copy the adapter again") from error
    # 2. Each must fit the module it adapts: A reads its input, B writes its output
    own = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    for name, shape in held.items():
        stem = name.removeprefix("base_model.model.")
        place, _, side = stem.rpartition(".lora_")
        wanted = own.get(f"{place}.weight" if place else stem)
        given = shape if not place else (shape[0], None) if side.startswith("B") else (None, shape[1])
        if wanted is None or len(given) != len(wanted) or any(a not in (None, b) for a, b in zip(given, wanted, strict=True)):
            raise TrainingError(
                f"{folder}: {name} is {shape} and the model has {wanted or 'no such module'}; "
                "it is the adapter of another architecture"
            )


def merge(model: "PeftModel") -> "LlavaOnevision2ForConditionalGeneration":
    """Add the adapters to the weights they adapt (W + alpha / rank · B A) and return the plain model, changed in place.

    It computes what the adapted model did, to rounding: 1e-5 in float32, and a bfloat16 model's own step otherwise.

    Raises:
        TrainingError: an adapter is not finite.
    """
    try:
        return model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise TrainingError(f"{error}; the training diverged, take an earlier checkpoint") from error
