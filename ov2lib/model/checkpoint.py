"""Checkpoint files: what tensors a folder holds, whether they fit, and weights of the stand-alone encoder.

Only headers are read until everything is known to fit; tensors are safetensors, never pickle.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..errors import ModelError

HUB_MODEL = "lmms-lab-encoder/LLaVA-OneVision-2-8B-Instruct"  # published, the released 8B


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies, its name there, and what it is; `dtype` as safetensors writes it, for instance "BF16"."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str

    def read(self) -> torch.Tensor:
        """The tensor."""
        with safe_open(self.file, framework="pt") as tensors:
            return tensors.get_tensor(self.name)


def checkpoint_tensors(directory: str | Path) -> dict[str, Stored]:
    """Every tensor in a checkpoint folder by name, from the headers of its safetensors files.

    Raises:
        ModelError: no such files, one that the index names is missing, or a damaged one.
    """
    return {name: stored for file in _files(Path(directory)) for name, stored in _header(file).items()}


def checkpoint_shapes(directory: str | Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a checkpoint folder; see `checkpoint_tensors`."""
    return {name: stored.shape for name, stored in checkpoint_tensors(directory).items()}


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        files = [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    else:
        files = [folder / "model.safetensors"]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(
            f"{folder} lacks {', '.join(missing)}; get the whole checkpoint with `hf download NAME --local-dir {folder}` (the "
            f"released 8B is {HUB_MODEL})"
        )
    return files


def _header(file: Path) -> dict[str, Stored]:
    try:
        with safe_open(file, framework="pt") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}
            return {name: Stored(file, name, tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()}
    except SafetensorError as error:
        raise ModelError(f"{file} is damaged ({error}); get it again") from error


def unreadable(source: str | Path, error: Exception) -> Exception:
    """What to raise where transformers could not read a checkpoint: the cause and the remedy, if it is a folder of ours."""
    folder = Path(source)
    if not (folder / "config.json").is_file():
        return error
    try:
        checkpoint_tensors(folder)
    except ModelError as known:
        return known
    return ModelError(f"{folder}: {error}")


def refuse_gaps(model: Any, info: Any, may_differ: bool) -> None:
    """Refuse a model that was not filled whole.

    Args:
        info: transformers' loading info.
        may_differ: whether tensors of another shape may stay as initialised.

    Raises:
        ModelError: naming the first missing or misshaped tensors and how many there are.
    """
    shapes = {name: (tuple(stored), tuple(needed)) for name, stored, needed in sorted(info["mismatched_keys"])}
    missing = sorted(info["missing_keys"] - shapes.keys())
    _refuse(model.name_or_path, missing, len(model.state_dict()), {} if may_differ else shapes)


def compare_shapes(needed: dict[str, tuple[int, ...]], stored: dict[str, tuple[int, ...]], where: str) -> None:
    """Refuse tensors that do not fit; those that are stored and not needed are left to the caller.

    Raises:
        ModelError: naming the first missing or misshaped tensors and how many there are.
    """
    missing = [name for name in needed if name not in stored]
    shapes = {name: (stored[name], shape) for name, shape in needed.items() if stored.get(name, shape) != shape}
    _refuse(where, missing, len(needed), shapes)


def _refuse(where: str, missing: list[str], total: int, shapes: dict[str, tuple]) -> None:
    """Raise for missing tensors, or else for those that differ in shape (stored, needed)."""
    if missing:
        raise ModelError(
            f"{where} lacks {len(missing)} of {total} tensors, first {missing[0]}; get the whole checkpoint, or the one that "
            "belongs to this config.json"
        )
    for name, (stored, needed) in shapes.items():
        raise ModelError(
            f"{where}: {len(shapes)} tensors have another shape, first {name} is {stored}, the model has {needed}; "
            "config.json is another model's"
        )


def load_encoder(visual: torch.nn.Module, directory: str | Path) -> None:
    """Load a stand-alone OneVision-Encoder checkpoint into the vision encoder, in place.

    Its attention has q_proj, k_proj, v_proj and out_proj, which are fused into qkv and proj; its pooling head and final
    norm (`head.*`, `layernorm_post.*`) have no place here and are dropped. The connector is left as it is.

    Args:
        visual: a `LlavaOnevision2VisionModel`.
        directory: folder with the encoder's safetensors.

    Raises:
        ModelError: a tensor is missing or has another shape; nothing has been changed then.
    """
    fused = read_encoder(directory)
    needed = {name: tuple(t.shape) for name, t in visual.state_dict().items() if not name.startswith("merger.")}
    compare_shapes(needed, {name: tuple(t.shape) for name, t in fused.items()}, str(directory))
    visual.load_state_dict({name: fused[name] for name in needed}, strict=False)


def read_encoder(directory: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of a stand-alone OneVision-Encoder checkpoint under our names, without `visual.` before them.

    Raises:
        ModelError: damaged files, or a q, k or v without the other two.
    """
    return fuse_encoder({name: stored.read() for name, stored in checkpoint_tensors(directory).items()})


def fuse_encoder(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of the stand-alone encoder to ours: q, k, v concatenated along the output channels, out_proj renamed."""
    fused = {}
    for name, tensor in tensors.items():
        if name.startswith(("head.", "layernorm_post.")) or ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            parts = [name.replace("q_proj", part) for part in ("q_proj", "k_proj", "v_proj")]
            absent = [part for part in parts if part not in tensors]
            if absent:
                raise ModelError(f"the encoder checkpoint lacks {absent[0]}; get the whole checkpoint")
            fused[name.replace("q_proj", "qkv")] = torch.cat([tensors[part] for part in parts])
        else:
            fused[name.replace(".out_proj.", ".proj.")] = tensor
    return fused
