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
from ..model.adapter import SETTINGS, base_of, load_folder, merge
from .attention import kernels
from .stages import StageConfig

PROCESSOR = "processor_config.json"


def run_folder(output: Path, stage: int, variant: str, scale: str) -> Path:
    """Where a stage's run is kept."""
    return output / scale / (f"stage{stage}-{variant}" if stage else variant)


def result_of(folder: Path) -> Path | None:
    """The model or adapter that a finished run left, None where there is none."""
    files = [folder / "model" / "config.json", folder / "adapter" / "adapter_config.json"]
    return next((path.parent for path in files if path.is_file()), None)


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


def context_of(source: Path) -> int:
    """Tokens that the model of a folder reads of one sample."""
    return LlavaOnevision2Config.from_pretrained(source).text_config.max_position_embeddings


def load_start(
    source: Path, dtype: torch.dtype = torch.float32, attention: str = "sdpa"
) -> tuple[LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor]:
    """Model and processor of a folder.

    Weights that are trained are float32, under bf16 too: the optimiser needs master weights, and autocast rounds where it
    computes.

    Raises:
        TrainingError: see `check_start`; attention kernels that are not installed.
        ModelError: a checkpoint with missing tensors.
    """
    check_start(source)
    try:
        model = LlavaOnevision2ForConditionalGeneration.from_pretrained(
            source, dtype=dtype, attn_implementation=kernels(attention)
        )
    except ImportError as error:
        raise TrainingError(f"--attention {attention} is not installed here ({error}); install it, or use sdpa") from error
    return model, LlavaOnevision2Processor.from_pretrained(source)


def merge_adapter(adapter: Path, target: Path) -> Path:
    """An adapter merged into the model it was trained on, written to `target` as a model folder.

    Raises:
        TrainingError: no adapter there, that model has gone, or the adapter does not fit it.
    """
    base = base_of(adapter)
    if base == adapter:
        raise TrainingError(f"{adapter} holds no adapter; give a folder that `ov2 train --variant lora` wrote")
    with whole_folder(target, TrainingError) as scratch:
        merge(load_folder(adapter)).save_pretrained(scratch)
        LlavaOnevision2Processor.from_pretrained(base if not (adapter / PROCESSOR).is_file() else adapter).save_pretrained(
            scratch
        )
    return target


def starting_point(config: StageConfig, output: Path, given: Path | None) -> Path:
    """What the stage starts from: what was given, or the result of the stage before.

    Raises:
        TrainingError: neither is there; the message says how to make it.
    """
    if given is not None:
        if not (given / SETTINGS).is_file():
            return given
        target = run_folder(output, config.stage, config.variant, config.scale) / "start"
        return target if (target / "config.json").is_file() else merge_adapter(given, target)
    before = config.stage - 1
    if before < 0:
        raise TrainingError("--from names no model; give the folder of the model, or of the adapter, to start from")
    if before:
        if result := result_of(run_folder(output, before, "full", config.scale)):
            return result
        raise TrainingError(
            f"stage {config.stage} starts from the result of stage {before}, and {output / config.scale} has none; run "
            f"`ov2 train --recipe stage{before} --output {output}` first, or pass --from"
        )
    raise TrainingError(
        "stage 1 starts from LLaVA-OneVision-1.5-8B with OneVision-Encoder; make it with `ov2 assemble` and pass "
        "its folder with --from"
    )
