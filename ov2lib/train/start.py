"""What a stage starts from, and where a run is kept."""

import json
from pathlib import Path

import torch

from ..errors import TrainingError
from ..files import whole_folder
from ..model import (
    LlavaOnevision2Config,
    LlavaOnevision2ForConditionalGeneration,
    LlavaOnevision2MoeConfig,
    LlavaOnevision2Processor,
)
from .lora import BASE, load_adapter, merge
from .stages import StageConfig


def run_folder(output: Path, stage: int, variant: str, scale: str) -> Path:
    """Where a stage's run is kept."""
    return output / scale / f"stage{stage}-{variant}"


def result_of(folder: Path) -> Path | None:
    """The model or adapter that a finished run left, None where there is none."""
    found = [folder / "model" / "config.json", folder / "adapter" / "adapter_config.json"]
    return next((path.parent for path in found if path.is_file()), None)


def check_start(source: Path) -> None:
    """Refuse a folder that holds no model of this architecture, before any heavy work.

    Raises:
        TrainingError: it does not.
    """
    if not (source / "config.json").is_file():
        raise TrainingError(f"{source} holds no model; pass --from a folder that save_pretrained or `ov2 train` wrote")
    kind = json.loads((source / "config.json").read_text()).get("model_type")
    if kind not in (LlavaOnevision2Config.model_type, LlavaOnevision2MoeConfig.model_type):
        raise TrainingError(
            f"{source} holds a model of type {kind!r}, not {LlavaOnevision2Config.model_type!r}; `ov2 assemble` makes one of a "
            "language model and a vision encoder"
        )


def load_start(
    source: Path, dtype: torch.dtype = torch.float32
) -> tuple[LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor]:
    """Model and processor of a folder.

    Weights that are trained are float32, under bf16 too: the optimiser needs master weights, and autocast rounds where it
    computes.

    Raises:
        TrainingError: see `check_start`.
        ModelError: a checkpoint with missing tensors.
    """
    check_start(source)
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(source, dtype=dtype)
    return model, LlavaOnevision2Processor.from_pretrained(source)


def merge_start(adapter: Path, target: Path) -> Path:
    """An adapter merged into the model it was trained on, written to `target` for a stage to start from.

    Raises:
        TrainingError: that model has gone, or the adapter does not fit it.
    """
    if not (target / "config.json").is_file():
        base = Path(json.loads((adapter / BASE).read_text())["base_model"])
        if not (base / "config.json").is_file():
            raise TrainingError(f"{adapter} was trained on {base}, which is not there; bring it back, or merge where it is")
        model, processor = load_start(base)
        with whole_folder(target, TrainingError) as scratch:
            merge(load_adapter(model, adapter)).save_pretrained(scratch)
            processor.save_pretrained(scratch)
    return target


def starting_point(config: StageConfig, output: Path, given: Path | None) -> Path:
    """What the stage starts from: what was given, or the result of the stage before.

    Raises:
        TrainingError: neither is there; the message says how to make it.
    """
    if given is not None:
        if (given / BASE).is_file():
            return merge_start(given, run_folder(output, config.stage, config.variant, config.scale) / "start")
        return given
    before = config.stage - 1
    if before:
        if found := result_of(run_folder(output, before, "full", config.scale)):
            return found
        raise TrainingError(
            f"stage {config.stage} starts from the result of stage {before}, and {output / config.scale} has none; run "
            f"`ov2 train --stage {before} --output {output}` first, or pass --from"
        )
    raise TrainingError(
        "stage 1 starts from LLaVA-OneVision-1.5-8B with OneVision-Encoder; make it with `ov2 assemble` and pass "
        "its folder with --from"
    )
