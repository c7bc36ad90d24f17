"""Hugging Face's `Trainer` for a stage: its settings, the bin-mean loss, packed batches, and checkpoints that are whole.

The loop, accumulation, mixed precision, clipping, schedule, resume and every distributed engine are Trainer's and accelerate's.
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from accelerate.utils import parse_flag_from_env
from safetensors import SafetensorError
from torch import nn
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments

from ..errors import TrainingError
from ..files import sync_tree, whole_file
from .parts import part_of
from .stages import StageConfig

COMPLETE = "complete"  # a file in every checkpoint that was written to its end
SAVES = 4  # checkpoints in the course of a run, at least


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
        num_train_epochs=config.epochs,
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
        logging_steps=10 if config.scale == "8b" else 1,
        logging_nan_inf_filter=False,
        save_steps=500 if config.scale == "8b" else 1.0 / SAVES,
        save_total_limit=2,
        seed=config.seed,
        data_seed=config.seed,
        remove_unused_columns=False,
        # Sharded gradients are added up after every micro-batch; otherwise each device would keep them whole, 32 GiB at 8B.
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": parse_flag_from_env("ACCELERATE_USE_FSDP")}},
        ddp_find_unused_parameters=False,  # there are none: `Collator` sees to it
        dataloader_drop_last=True,
        dataloader_num_workers=8 if config.scale == "8b" else 0,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,  # `ProgressBar` instead
    )


class StageTrainer(Trainer):
    """Trains on batches of `ov2lib.train.collate`.

    Args:
        part_learning_rates: learning rate by part ("vision", "connector", "language"); the others have `args.learning_rate`.
        sampler: of `ov2lib.train.bins`, what comes when; None shuffles.
    """

    def __init__(self, *args, part_learning_rates=None, sampler=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.part_learning_rates = dict(part_learning_rates or {})
        self.sampler = sampler
        self.model_accepts_loss_kwargs, self.loss_is_scaled_for_ga = False, False  # ours is a mean over a micro-batch

    def create_accelerator_and_postprocess(self):
        """As transformers', but FSDP2 sums gradients over devices, and returns the loss, in float32 under bf16 too."""
        super().create_accelerator_and_postprocess()
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        if plugin is not None and plugin.fsdp_version == 2 and self.args.bf16:
            policy = replace(plugin.mixed_precision_policy, reduce_dtype=torch.float32, output_dtype=None)
            plugin.mixed_precision_policy = policy

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The bin-mean loss of one micro-batch.

        Raises:
            TrainingError: it is not finite; no step is taken and the last checkpoint stays.
        """
        # No cache: with one, transformers would not look at the positions, and samples in a bin would see each other.
        outputs = model(**inputs, use_cache=False, bin_loss=True)
        loss = outputs["loss"]
        self._require_finite("loss", loss.detach())
        return (loss, outputs) if return_outputs else loss

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Names under weight decay: neither biases nor anything one-dimensional."""
        return [name for name, parameter in model.named_parameters() if parameter.ndim > 1]

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """One group per part and decay, so that parts may have learning rates of their own."""
        if self.optimizer is None:  # type: ignore[has-type]
            # 1. Parameters by part of the model and by whether they decay
            trained = self.model if model is None else model
            decayed = set(self.get_decay_parameter_names(trained))
            groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
            for name, parameter in trained.named_parameters():
                if parameter.requires_grad:
                    groups.setdefault((part_of(name), name in decayed), []).append(parameter)
            # 2. One group for each, with its own rate
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, trained)
            self.optimizer = kind(
                [
                    {
                        "params": parameters,
                        "weight_decay": self.args.weight_decay if decay else 0.0,
                        "lr": self.part_learning_rates.get(part, self.args.learning_rate),
                    }
                    for (part, decay), parameters in groups.items()
                ],
                **settings,
            )
        return self.optimizer

    def _get_learning_rate(self) -> float:
        """What is logged: the highest of the parts' rates."""
        return max(self.lr_scheduler.get_last_lr())

    def _get_train_sampler(self, train_dataset=None):
        return super()._get_train_sampler(train_dataset) if self.sampler is None else self.sampler

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        self._require_finite("gradient", torch.as_tensor(norm))
        return norm

    def _require_finite(self, what: str, value: torch.Tensor) -> None:
        if not bool(torch.isfinite(value).all()):
            raise TrainingError(
                f"the {what} is {float(value):g} at step {self.state.global_step + 1}; the weights are untouched and the last "
                f"checkpoint is {last_checkpoint(self.args.output_dir) or 'not there yet'}; lower the learning rate or look at "
                "the samples of this step, and run again to resume"
            )

    def _save(self, output_dir=None, state_dict=None):
        super()._save(output_dir, state_dict)
        pickled = Path(output_dir or self.args.output_dir) / "training_args.bin"
        pickled.unlink(missing_ok=True)  # a pickle nobody needs: the run's config.json says the same

    def _save_checkpoint(self, model, trial):
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        before = last_checkpoint(self.args.output_dir)
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                sync_tree(folder)
                (folder / COMPLETE).touch()
        except (OSError, SafetensorError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            shutil.rmtree(folder, ignore_errors=True)
            raise TrainingError(
                f"cannot save {folder}: {error}; the checkpoint before is {before or 'none'}, intact; free some space and run "
                "again to resume"
            ) from error


def last_checkpoint(folder: str | os.PathLike) -> Path | None:
    """The newest checkpoint in a run that was written to its end; None where there is none."""
    folders = [path.parent for path in Path(folder).glob(f"checkpoint-*/{COMPLETE}")]
    return max(folders, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


class MetricsFile(TrainerCallback):
    """Appends every logged value to a JSONL file; on resume, lines past the checkpoint are dropped first.

    Args:
        path: the file.
    """

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        kept = [row for row in read_metrics(self.path) if row["step"] <= state.global_step] if state.global_step else []
        with whole_file(self.path) as file:
            file.writelines(json.dumps(row).encode() + b"\n" for row in kept)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


class ProgressBar(TrainerCallback):
    """One line on stderr with the steps and the loss: Trainer's own bar prints every logged row, and is HTML in a notebook.

    Args:
        name: what is trained.
    """

    def __init__(self, name: str):
        self.name, self.bar = name, None

    def on_train_begin(self, args, state, control, **kwargs):
        hidden = not state.is_world_process_zero
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.name, disable=hidden, mininterval=1)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in (logs or {}):
            self.bar.set_postfix_str(f"loss {logs['loss']:.3f}", refresh=False)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update()

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


def read_metrics(path: Path) -> list[dict]:
    """Rows of a metrics file, {"step", "loss", "learning_rate", …}; a last line torn by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
