"""Adapters on disk: what model they belong to, loading one on it, merging it; and loading a folder of either kind.

An adapter folder holds peft's own `adapter_config.json` and `adapter_model.safetensors`, and `base.json`, which names the base
model and its weights' fingerprint. `ov2lib.train.lora` makes them.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForImageTextToText

from ..errors import TrainingError

if TYPE_CHECKING:
    from peft import PeftModel

    from .modeling import LlavaOnevision2ForConditionalGeneration

WEIGHTS, SETTINGS, BASE = "adapter_model.safetensors", "adapter_config.json", "base.json"
PROBES = 64  # values of each tensor that the fingerprint reads


def base_of(folder: str | Path) -> Path:
    """The model folder that an adapter was trained on; a folder that holds no adapter is its own.

    Raises:
        TrainingError: the base has gone, or the adapter's settings are damaged.
    """
    folder = Path(folder)
    if not (folder / SETTINGS).is_file():
        return folder
    try:
        base = Path(json.loads((folder / SETTINGS).read_text())["base_model_name_or_path"] or "")
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{folder / SETTINGS} is damaged ({error!r}); train or copy the adapter again") from error
    if not (base / "config.json").is_file():
        raise TrainingError(f"{folder} was trained on {base}, which is not there; bring it back, or merge where it is")
    return base


def load_folder(folder: str | Path, dtype: torch.dtype | str = "auto") -> "LlavaOnevision2ForConditionalGeneration | PeftModel":
    """The model of a folder; of an adapter folder, its base model with the adapter on it.

    Raises:
        TrainingError: see `base_of` and `load_adapter`.
        ModelError: a checkpoint with missing tensors.
    """
    base = base_of(folder)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=dtype)
    return model if base == Path(folder) else load_adapter(model, folder)


def load_adapter(model: "LlavaOnevision2ForConditionalGeneration", folder: str | Path, trainable: bool = False) -> "PeftModel":
    """Put a saved adapter on its base model, in place.

    Args:
        model: with the weights that the adapter was trained on.
        trainable: train it further; otherwise everything is frozen.

    Raises:
        TrainingError: no adapter there, one that is damaged, of another architecture or of other base weights.
    """
    from peft import PeftModel

    # 1. The files are there and fit, before the model is touched
    folder = Path(folder)
    missing = [name for name in (SETTINGS, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise TrainingError(f"{folder} has no {' and no '.join(missing)}; give a folder that save_adapter wrote")
    _check_shapes(model, folder)
    # 2. The base is the one it was trained on; adapters that a Trainer or somebody else saved do not say
    if (folder / BASE).is_file():
        base = json.loads((folder / BASE).read_text())
        if base["fingerprint"] != fingerprint(model):
            raise TrainingError(
                f"{folder} was trained on the weights {base['fingerprint']} of {base['base_model'] or 'an unnamed model'}, "
                f"and {model.config.name_or_path or 'this model'} has {fingerprint(model)}; load that model"
            )
    # 3. The adapter on its base
    with quiet():
        return in_float32(PeftModel.from_pretrained(model, folder, is_trainable=trainable))


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


def in_float32(model: "PeftModel") -> "PeftModel":
    """Cast what is trained: steps of a small learning rate are lost in bfloat16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the warning about an attribute that peft asks transformers for and that transformers renames."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def fingerprint(model: torch.nn.Module, state: Mapping[str, torch.Tensor] | None = None) -> str:
    """Short name of a model's weights: the same in float32 and bfloat16, with adapters or without.

    A SHA-256 over names, shapes and 64 values of every tensor, rounded to bfloat16; a moment even for the 8B.

    Args:
        model: with or without adapters.
        state: its whole tensors by name, where the model holds only parts of them.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(_base_tensors(model, state or {}).items()):
        values = tensor.detach().flatten()
        probes = values[:: max(1, len(values) // PROBES)].to("cpu", torch.bfloat16)
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + probes.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def _base_tensors(model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Parameters of the model under its adapters, by their names without them."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = {}
    for name, tensor in base.named_parameters():
        if ".lora_" not in name and ".modules_to_save." not in name:
            plain = name.replace(".base_layer.", ".").replace(".original_module.", ".")
            own[plain] = state.get(f"base_model.model.{name}", tensor)
    return own


def _check_shapes(model: torch.nn.Module, folder: Path) -> None:
    """Compare an adapter file's tensors with the modules they adapt."""
    # 1. Shapes of the stored adapter
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as tensors:
            stored = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}
    except SafetensorError as error:
        raise TrainingError(f"{folder / WEIGHTS} is damaged ({error}); train or copy the adapter again") from error
    # 2. Each must fit the module it adapts: A reads its input, B writes its output
    own = {name: tuple(tensor.shape) for name, tensor in model.named_parameters(remove_duplicate=False)}  # a tied head too
    for name, shape in stored.items():
        module, _, side = name.removeprefix("base_model.model.").rpartition(".lora_")
        whole = own.get(f"{module}.weight" if module else side)
        fits = whole == shape
        if module and whole:
            fits = whole[0] == shape[0] if side.startswith("B") else whole[1] == shape[1]
        if not fits:
            raise TrainingError(
                f"{folder}: {name} is {shape} and the model has {whole or 'no such module'}; "
                "it is the adapter of another architecture"
            )
