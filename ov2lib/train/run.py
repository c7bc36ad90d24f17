"""One stage, from its configuration to a saved model.

Every run has a folder `OUTPUT/SCALE/stageK-VARIANT`:

    config.json      the resolved configuration, each value with where it comes from, and the versions used
    data/            the prepared samples, their bins, and a report of what was left out
    checkpoints/     the last two, each complete or absent; the run resumes from the newest
    metrics.jsonl    loss, gradient norm and learning rate by step (tensorboard/ shows the same)
    model/           the result, as `from_pretrained` reads it (adapter/ for LoRA)
"""

import json
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import accelerate
import peft
import torch
import transformers
from accelerate import PartialState
from torch.utils.data import Sampler
from torch.utils.tensorboard import SummaryWriter
from transformers import PrinterCallback, set_seed
from transformers.integrations import TensorBoardCallback

from ..errors import TrainingError
from ..files import check_folder, whole_file, whole_folder
from ..model import LlavaOnevision2Processor
from ..samples.cache import TokenCache
from ..samples.report import MAX_BAD_SHARE, Report
from .bins import LengthPoolSampler, MixSampler
from .collate import Collator
from .encoding import SampleEncoder
from .lora import write_adapter
from .mixture import source_samples
from .parts import make_trainable
from .prepare import BinDataset, Prepared, load_identity, prepare
from .stages import FRAMES_PER_CANVAS, Source, StageConfig
from .start import check_start, context_of, load_start, result_of, run_folder, starting_point
from .trainer import MetricsFile, ProgressBar, StageTrainer, last_checkpoint, on_cpu, training_arguments

OUTPUT = Path("runs/train")
# Fields of the configuration that change the prepared samples.
SHOWN = ("sources", "input_ratio", "front_end", "frames_prompt", "timestamp_decimals", "timestamps", "max_pixels",
         "sequence_length", "packing", "seed")  # fmt: skip
STEPS_LIMIT = "OV2_MAX_STEPS"  # an environment variable that shortens every run, for trying things out


def train(
    config: StageConfig,
    output: Path = OUTPUT,
    start: Path | None = None,
    data: Mapping[str, str] | None = None,
    media_dir: Path | None = None,
    prepare_only: bool = False,
    max_bad_share: float = MAX_BAD_SHARE,
) -> Path:
    """Run one stage to its end, resuming where an earlier run of the same configuration stopped.

    Args:
        config: of `stage_config`, or changed with `dataclasses.replace`.
        output: see the module's first lines.
        start: model or adapter folder to start from; None takes the stage before.
        data: file, folder, shards or dataset by source name.
        media_dir: where media out of shards and tokenized videos are kept; None is `OUTPUT/media`.
        prepare_only: stop when the samples are tokenized and packed, so that many machines need not wait for one.
        max_bad_share: share of samples that may be skipped.

    Returns:
        the folder of the saved model or adapter, or of the prepared data.

    Raises:
        TrainingError: see the functions above; a run of another configuration in the same folder.
    """
    # 1. Where the run is kept and what it starts from
    limit = int(os.environ.get(STEPS_LIMIT) or 0)
    config = replace(config, steps=min(limit, config.steps or limit)) if limit else config
    state = PartialState(cpu=on_cpu())
    output = output.absolute()  # the same run, whichever folder it is resumed from
    folder = run_folder(output, config.stage, config.variant, config.scale)
    with state.main_process_first():
        start = starting_point(config, output, start).absolute()
    # 2. The same run goes on, a finished one is done, and another one is refused
    facts = describe_run(config, start, data or {})
    _refuse_another_run(folder, facts)
    if done := result_of(folder):
        return done
    # 3. What would fail late is checked now
    check_folder(_result(folder, config), TrainingError)
    check_start(start)
    # 4. Prepare the data once
    processor = _as_trained(LlavaOnevision2Processor.from_pretrained(start), config)
    media_dir = media_dir or output / "media"
    encoder = make_encoder(processor, config, media_dir, context_of(start))
    prepared = _prepare_together(config, encoder, data or {}, media_dir, folder, facts, Report(max_bad_share), state)
    if prepare_only:
        return prepared.folder
    # 5. Train from the newest checkpoint
    set_seed(config.seed)
    frozen = config.lora is not None and config.precision == "bf16"  # adapters are float32 over it
    dtype = torch.bfloat16 if frozen else torch.float32
    model = make_trainable(load_start(start, dtype, config.attention)[0], config)
    trainer = _trainer(model, processor, config, folder, prepared, encoder, state)
    newest = last_checkpoint(folder / "checkpoints")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    # 6. Save the result
    return _save_result(trainer, processor, config, folder)


def _trainer(
    model: torch.nn.Module,
    processor: LlavaOnevision2Processor,
    config: StageConfig,
    folder: Path,
    prepared: Prepared,
    encoder: SampleEncoder,
    state: PartialState,
) -> StageTrainer:
    if config.gradient_checkpointing:
        older = "gradient_checkpointing_enable"  # the only name in older versions of transformers
        enable = getattr(model, "activation_checkpointing_enable", None) or getattr(model, older)
        enable({"use_reentrant": False})
    board = SummaryWriter(str(folder / "tensorboard")) if state.is_main_process else None
    trainer = StageTrainer(
        model=model,
        args=training_arguments(config, folder, state.num_processes),
        train_dataset=BinDataset(prepared, encoder),
        data_collator=Collator(processor, config.frames_prompt),
        processing_class=processor,
        callbacks=[MetricsFile(folder / "metrics.jsonl"), TensorBoardCallback(board), ProgressBar(config.label)],
        part_learning_rates=config.part_learning_rates,
        sampler=_sampler(config, prepared),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def describe_run(config: StageConfig, start: Path, data: Mapping[str, str]) -> dict:
    """What decides a run's result: configuration, starting weights, data; and the versions it was made with."""
    weights = sorted(start.glob("*.safetensors"))
    values = json.loads(json.dumps({name: value for name, value in asdict(config).items() if name != "origin"}))
    return {
        "config": values,
        "start": {
            "path": str(start),
            "weights": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in weights],
        },
        "data": {name: str(path) for name, path in sorted(data.items())},
        "origin": config.origin,
        "versions": {
            "python": platform.python_version(),
            "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
            **{package.__name__: package.__version__ for package in (torch, transformers, accelerate, peft)},
        },
    }


def _refuse_another_run(folder: Path, facts: dict) -> None:
    """Compare with the config.json of a run that is there, versions aside."""
    path = folder / "config.json"
    if not path.is_file():
        return
    try:
        before, now = (
            {**run["config"], "start": run["start"], "data": run["data"]} for run in (json.loads(path.read_text()), facts)
        )
        before["sources"] = [asdict(Source(**source)) for source in before["sources"]]  # younger fields at their defaults
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{folder} holds a run of another version ({error!r}); remove it or choose another --output"
        ) from error
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in now.items()
        if name in before and before[name] != value
    ]
    if changed:
        raise TrainingError(f"{folder} holds another run: {'; '.join(changed)}; remove it or choose another --output")


def _write_config(folder: Path, facts: dict) -> None:
    if not (folder / "config.json").is_file():
        with whole_file(folder / "config.json") as file:
            file.write(json.dumps(facts, indent=2).encode() + b"\n")


def _sampler(config: StageConfig, prepared: Prepared) -> Sampler[int] | None:
    """What decides the order of the bins, None where the Trainer's own does."""
    if config.packing == "pool":
        return LengthPoolSampler(prepared.lengths, config.micro_batch, seed=config.seed)
    if not config.mixed:
        return None
    counts = {name: facts["samples"] for name, facts in prepared.sources.items()}
    shares = config.weights(counts)
    sizes = {name: facts["bins"] for name, facts in prepared.sources.items()}
    total = sum(counts.values())
    draws = [round(shares[name] * total / max(counts[name], 1) * size) for name, size in sizes.items()]
    return MixSampler(list(sizes.values()), draws, config.seed)


def make_encoder(processor: LlavaOnevision2Processor, config: StageConfig, media_dir: Path, context: int) -> SampleEncoder:
    """What turns samples into tokens, with a cache of tokenized media; `context` is what the model reads of a sample."""
    images = processor.image_processor
    cache = TokenCache(media_dir / "tokens", images.patch_size, images.size, merge=images.merge_size)
    form = config.frames_prompt, config.timestamp_decimals, config.timestamps
    return SampleEncoder(processor.tokenizer, cache.tokens, *form, context)


def prepare_stage(config, encoder, data, media_dir, folder, report, identity) -> Prepared:
    """The stage's samples, prepared in `folder`."""
    streams = source_samples(config, data, media_dir, report)
    packed = config.packing == "bins"
    return prepare(streams, encoder, config.sequence_length, packed, folder, report, identity, config.mixed)


def _prepare_together(config, encoder, data, media_dir, folder, facts, report, state) -> Prepared:
    """Every process tokenizes its part of the media; the main one then prepares the samples and finds them made."""
    identity = _identity(facts)
    if state.num_processes > 1 and load_identity(folder / "data") != identity:
        tokenize_part(config, encoder, data, media_dir, state.process_index, state.num_processes)
        state.wait_for_everyone()
    with state.main_process_first():
        prepared = prepare_stage(config, encoder, data, media_dir, folder / "data", report, identity)
        _write_config(folder, facts)
    return prepared


def tokenize_part(config, encoder, data, media_dir, number: int, processes: int) -> None:
    """Tokenize every `processes`-th sample's media into the cache; what cannot be used is judged in preparation."""
    for samples in source_samples(config, data, media_dir, Report(1.0)).values():
        for sample in islice(samples, number, None, processes):
            with suppress(Exception):  # whatever a picture or video does, its row is judged in preparation
                for item in sample.media:
                    encoder.tokens_of(item)


def _identity(facts: dict) -> dict:
    """What changes the prepared samples: the data, how they are shown and packed; not how they are learnt from."""
    return {"config": {name: facts["config"][name] for name in SHOWN}, "data": facts["data"]}


def _result(folder: Path, config: StageConfig) -> Path:
    return folder / ("model" if config.lora is None else "adapter")


def _as_trained(processor: LlavaOnevision2Processor, config: StageConfig) -> LlavaOnevision2Processor:
    """The processor with the stage's input form as its default, so that the model is asked as it was taught."""
    processor.video_backend = "codec" if config.input_ratio.get("codec") else "frames"
    for name in ("front_end", "frames_prompt", "timestamp_decimals", "timestamps"):
        setattr(processor, name, getattr(config, name))
    rates = {source.fps for source in config.sources if source.kind == "video"}
    rate = rates.pop() if len(rates) == 1 else None  # corpora shown in several ways leave it open
    processor.seconds_per_canvas = FRAMES_PER_CANVAS / rate if rate else None
    return processor


def _save_result(trainer: StageTrainer, processor: LlavaOnevision2Processor, config: StageConfig, folder: Path) -> Path:
    """The trained model (or adapter) with its processor, written whole by the main process; checkpoints go."""
    target = _result(folder, config)
    state = trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_world_process_zero():
        trained = trainer.accelerator.unwrap_model(trainer.model)
        with whole_folder(target, TrainingError) as scratch:
            if config.lora is None:
                trained.save_pretrained(scratch, state_dict=state)
            else:
                write_adapter(trained, scratch, state)
            processor.save_pretrained(scratch)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return target
