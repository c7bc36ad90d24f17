"""`ov2 train`: one stage, from its configuration to a saved model.

    ov2 train --stage 2 --scale mini                                       # here, on the mini world
    ov2 train --stage 3 --scale 8b --from DIR --data NAME=PATH … --dry-run  # what a cluster would run
    accelerate launch --config_file fsdp2_256.yaml -m ov2lib.train --stage 3 --scale 8b --from DIR --data NAME=PATH …

Every run has a folder `OUTPUT/SCALE/stageK-VARIANT`:

    config.json      the resolved configuration, each value with where it comes from, and the versions used
    data/            the prepared samples, their bins, and a report of what was left out
    checkpoints/     the last two, each complete or absent; the run resumes from the newest
    metrics.jsonl    loss, gradient norm and learning rate by step (tensorboard/ shows the same)
    model/           the result, as `from_pretrained` reads it (adapter/ for LoRA)
"""

import argparse
import glob
import json
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import accelerate
import peft
import torch
import transformers
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from torch.utils.tensorboard import SummaryWriter
from transformers import PrinterCallback, TrainingArguments, set_seed
from transformers.integrations import TensorBoardCallback

from ..errors import TrainingError
from ..files import whole_folder
from ..mini.model import mini_model, mini_processor
from ..mini.tasks import stage_samples
from ..model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor
from .cache import TokenCache
from .collate import Collator
from .encoding import SampleEncoder
from .files import whole_file
from .lora import BASE, load_adapter, merge, save_adapter
from .mixing import choose_backend, mix
from .options import add_stage_arguments, chosen_config, named_value
from .parts import make_trainable
from .prepare import BinDataset, Prepared, prepare
from .readers import read_hf, read_jsonl, read_webdataset
from .report import Report
from .sample import Sample
from .stages import Source, StageConfig
from .trainer import MetricsFile, ProgressBar, StageTrainer, last_checkpoint

OUTPUT = Path("runs/train")
STEPS_LIMIT = "OV2_MAX_STEPS"  # an environment variable that shortens every run, for trying things out
SAVES = 4  # checkpoints in the course of a run, at least


def run_folder(output: Path, stage: int, variant: str, scale: str) -> Path:
    """Where a stage's run is kept."""
    return output / scale / f"stage{stage}-{variant}"


def result_of(folder: Path) -> Path | None:
    """The model or adapter that a finished run left, None where there is none."""
    found = [folder / "model" / "config.json", folder / "adapter" / "adapter_config.json"]
    return next((path.parent for path in found if path.is_file()), None)


def load_start(
    source: Path, dtype: torch.dtype = torch.float32
) -> tuple[LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor]:
    """Model and processor of a folder.

    Weights that are trained are float32, under bf16 too: the optimiser needs master weights, and autocast rounds where it
    computes.

    Raises:
        TrainingError: there is no model.
        ModelError: a checkpoint of another architecture, or with missing tensors.
    """
    if not (source / "config.json").is_file():
        raise TrainingError(f"{source} holds no model; pass --from a folder that save_pretrained or `ov2 train` wrote")
    kind = json.loads((source / "config.json").read_text()).get("model_type")
    if kind != LlavaOnevision2Config.model_type:
        raise TrainingError(
            f"{source} holds a model of type {kind!r}, not {LlavaOnevision2Config.model_type!r}; `ov2 assemble` makes one of a "
            "language model and a vision encoder"
        )
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
            f"`ov2 train --stage {before} --scale {config.scale} --output {output}` first, or pass --from"
        )
    if config.scale == "mini":
        return write_mini_start(output / "mini" / f"start-{config.seed}", config.seed)
    raise TrainingError(
        "stage 1 at scale 8b starts from LLaVA-OneVision-1.5-8B with OneVision-Encoder; make it with `ov2 assemble` and pass "
        "its folder with --from"
    )


def write_mini_start(folder: Path, seed: int) -> Path:
    """A mini model with fresh weights, and its processor."""
    if not (folder / "config.json").is_file():
        with whole_folder(folder, TrainingError) as scratch:
            mini_model(seed).save_pretrained(scratch)
            mini_processor().save_pretrained(scratch)
    return folder


def source_samples(config: StageConfig, data: Mapping[str, str], media_dir: Path, report: Report) -> Iterable[Sample]:
    """The stage's mixture, in training order.

    Raises:
        TrainingError: a source without data, or data for no source.
    """
    if unknown := sorted(data.keys() - {source.name for source in config.sources}):
        names = ", ".join(source.name for source in config.sources)
        raise TrainingError(f"--data names {unknown[0]!r}, which stage {config.stage} does not read; it reads {names}")
    streams = {}
    for source in config.sources:
        if source.name in data:
            stream = read_source(os.fspath(data[source.name]), media_dir, report)
        elif config.scale == "mini":
            stream = _seen(stage_samples(int(source.name[-1]), "train", source.samples, config.seed), report)
        else:
            raise TrainingError(
                f"no data for {source.name!r}; pass --data {source.name}=PATH (data_cards/{source.card}.md says how to get it)"
            )
        streams[source.name] = _resolved(islice(stream, source.samples), source, config)
    return mix(streams, config.weights(), config.seed)


def read_source(place: str, media_dir: Path, report: Report) -> Iterable[Sample]:
    """Samples of a JSONL file, of tar shards (one, a folder of them, or a pattern), or else of a Hugging Face dataset."""
    if place.endswith((".jsonl", ".json")):
        return read_jsonl(place, report)
    shards = sorted(glob.glob(os.path.join(place, "*.tar*") if os.path.isdir(place) else place))
    if shards and all(".tar" in Path(shard).suffixes for shard in shards):
        return read_webdataset(shards, media_dir, report)
    return read_hf(place, media_dir, report)


def _seen(samples: Iterable[Sample], report: Report) -> Iterable[Sample]:
    for sample in samples:
        report.see()
        yield sample


def _resolved(samples: Iterable[Sample], source: Source, config: StageConfig) -> Iterable[Sample]:
    return (resolve(sample, source, config) for sample in samples)


def resolve(sample: Sample, source: Source, config: StageConfig) -> Sample:
    """The sample with every option that its media leave open filled in from its source and stage."""
    media = []
    for item in sample.media:
        options = {}  # images keep the processor's own bounds
        if item.kind == "video":
            backend = item.options.get("video_backend") or source.backend
            backend = backend or choose_backend(sample.id, config.input_ratio, config.seed)
            codec = {"front_end": config.front_end} | ({"num_canvases": source.num_canvases} if source.num_canvases else {})
            frames = {"num_frames": source.max_frames} if source.max_frames else {}
            options = {"max_pixels": config.max_pixels, "video_backend": backend} | (codec if backend == "codec" else frames)
        media.append(replace(item, options=options | item.options))
    return replace(sample, media=tuple(media))


def on_cpu() -> bool:
    """Whether to train on the CPU: the launcher asks for it, or there is nothing else. Several processes must agree on it."""
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def training_arguments(config: StageConfig, folder: Path, processes: int) -> TrainingArguments:
    """The stage's settings in the Trainer's words."""
    steps = config.steps or 0
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=config.accumulation(processes),
        use_cpu=on_cpu(),
        max_steps=steps or -1,
        num_train_epochs=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr": config.min_learning_rate},
        warmup_steps=config.warmup_fraction,
        adam_beta1=config.betas[0],
        adam_beta2=config.betas[1],
        adam_epsilon=config.eps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip,
        bf16=config.precision == "bf16",
        logging_steps=1 if config.scale == "mini" else 10,
        logging_nan_inf_filter=False,
        save_steps=1.0 / SAVES if config.scale == "mini" else 500,
        save_total_limit=2,
        seed=config.seed,
        data_seed=config.seed,
        remove_unused_columns=False,
        # Sharded gradients are added up after every micro-batch; otherwise each device would keep them whole, 32 GiB at 8B.
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": parse_flag_from_env("ACCELERATE_USE_FSDP")}},
        ddp_find_unused_parameters=False,  # there are none: `Collator` sees to it
        dataloader_drop_last=True,
        dataloader_num_workers=0 if config.scale == "mini" else 8,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,  # `ProgressBar` instead
    )


def train(
    config: StageConfig,
    output: Path = OUTPUT,
    start: Path | None = None,
    data: Mapping[str, str] | None = None,
    media_dir: Path | None = None,
) -> Path:
    """Run one stage to its end, resuming where an earlier run of the same configuration stopped.

    Args:
        config: of `stage_config`, or changed with `dataclasses.replace`.
        output: see the module's first lines.
        start: model or adapter folder to start from; None takes the stage before.
        data: file, folder, shards or dataset by source name; the mini world needs none.
        media_dir: where media out of shards and tokenized videos are kept; None is `OUTPUT/media`.

    Returns:
        the folder of the saved model or adapter.

    Raises:
        TrainingError: see the functions above; a run of another configuration in the same folder.
    """
    limit = int(os.environ.get(STEPS_LIMIT) or 0)
    config = replace(config, steps=min(limit, config.steps or limit)) if limit else config
    state = PartialState(cpu=on_cpu())
    output = output.absolute()  # the same run, whichever folder it is resumed from
    folder = run_folder(output, config.stage, config.variant, config.scale)
    with state.main_process_first():
        start = starting_point(config, output, start).absolute()
    facts = describe_run(config, start, data or {})
    _refuse_another_run(folder, facts)
    if done := result_of(folder):
        return done
    set_seed(config.seed)
    frozen = config.lora is not None and config.precision == "bf16"  # adapters are float32 over it
    model, processor = load_start(start, torch.bfloat16 if frozen else torch.float32)
    images = processor.image_processor
    cache = TokenCache((media_dir or output / "media") / "tokens", images.patch_size, images.size)
    encoder = SampleEncoder(processor.tokenizer, cache.tokens, config.frames_prompt, config.timestamp_decimals)
    with state.main_process_first():
        prepared = _prepare(config, encoder, data or {}, media_dir or output / "media", folder, facts)
        _write_config(folder, facts)
    model = make_trainable(model, config)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    board = SummaryWriter(str(folder / "tensorboard")) if state.is_main_process else None
    trainer = StageTrainer(
        model=model,
        args=training_arguments(config, folder, state.num_processes),
        train_dataset=BinDataset(prepared, encoder),
        data_collator=Collator(processor, config.frames_prompt),
        processing_class=processor,
        callbacks=[MetricsFile(folder / "metrics.jsonl"), TensorBoardCallback(board), ProgressBar(f"stage {config.stage}")],
        part_learning_rates=config.part_learning_rates,
        pool_lengths=prepared.lengths if config.packing == "pool" else None,
    )
    trainer.remove_callback(PrinterCallback)
    newest = last_checkpoint(folder / "checkpoints")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    return _save_result(trainer, processor, config, folder)


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
            **{package.__name__: package.__version__ for package in (torch, transformers, accelerate, peft)},
        },
    }


def _refuse_another_run(folder: Path, facts: dict) -> None:
    """Compare with the config.json of a run that is there, versions aside."""
    path = folder / "config.json"
    if not path.is_file():
        return
    before, now = (
        {**found["config"], "start": found["start"], "data": found["data"]} for found in (json.loads(path.read_text()), facts)
    )
    changed = [f"{name} was {before.get(name)!r} and is {value!r}" for name, value in now.items() if before.get(name) != value]
    if changed:
        raise TrainingError(f"{folder} holds another run: {'; '.join(changed)}; remove it or choose another --output")


def _write_config(folder: Path, facts: dict) -> None:
    if not (folder / "config.json").is_file():
        with whole_file(folder / "config.json") as file:
            file.write(json.dumps(facts, indent=2).encode() + b"\n")


def _prepare(config, encoder, data, media_dir, folder, facts) -> Prepared:
    report = Report()
    samples = source_samples(config, data, media_dir, report)
    identity = {"config": facts["config"], "data": facts["data"]}
    packed = config.packing == "bins"
    return prepare(samples, encoder, config.sequence_length, packed, folder / "data", report, identity)


def _save_result(trainer: StageTrainer, processor: LlavaOnevision2Processor, config: StageConfig, folder: Path) -> Path:
    """The trained model (or adapter) with its processor, written whole by the main process; checkpoints go."""
    target = folder / ("model" if config.lora is None else "adapter")
    state = trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_world_process_zero():
        trained = trainer.accelerator.unwrap_model(trainer.model)
        with whole_folder(target, TrainingError) as scratch:
            if config.lora is None:
                trained.save_pretrained(scratch, state_dict=state)
            else:
                save_adapter(trained, scratch, state)
            processor.save_pretrained(scratch)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `ov2 train`."""
    add_stage_arguments(parser, scale="mini")
    parser.add_argument(
        "--from", dest="start", type=Path, metavar="DIR", help="model or adapter to start from (default: the stage before)"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME=PATH", help="where a source's samples are; once per source"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"folder of all runs (default {OUTPUT})")
    parser.add_argument("--media", type=Path, metavar="DIR", help="cache of tokenized videos (default OUTPUT/media)")
    parser.add_argument("--seed", type=int, help="of data order and new weights, instead of the stage's")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")


def run(args: argparse.Namespace) -> int:
    """Train one stage, or say what would be trained."""
    config = chosen_config(args)
    data = dict(named_value(text, "--data") for text in args.data)
    if args.dry_run:
        print(describe(config))
        return 0
    print(train(config, args.output, args.start, data, args.media))
    return 0


def describe(config: StageConfig) -> str:
    """What `--dry-run` prints: every value with where it comes from."""
    lines = [f"stage {config.stage}, {config.name}: scale {config.scale}, variant {config.variant}", ""]
    for row in config.rows():
        if row["field"] == "sources":
            lines.append(f"{'sources':<24}{'':<40}{row['kind']}: {row['origin']}")
            lines += [f"  {source.name:<40}{source.samples or 'not published':>14} {source.kind}" for source in row["value"]]
        else:
            lines.append(f"{row['field']:<24}{str(row['value']):<40}{row['kind']}: {row['origin']}")
    return "\n".join(lines)
