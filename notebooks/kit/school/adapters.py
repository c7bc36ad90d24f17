"""LoRA beside full training in the mini world: settings swept at stage 2, and what they left chosen over stages and seeds.

Every run starts from the stage before, trained in full, and is examined on the stage's own held-out questions; the stage
trained in full stands beside it.

    python -m kit.school.adapters --seeds 0 1 2 --output runs/study

uses the runs of `kit.school.exam` in the same folder (and trains what is missing there), and writes adapters.csv and
adapters.json beside them; copies of both are in `notebooks/kit/school/results/`. A killed sweep goes on where it stopped.
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open

from ov2lib.model.adapter import WEIGHTS
from ov2lib.train.lora import LoraSettings
from ov2lib.train.stages import StageConfig
from ov2lib.train.start import result_of, run_folder

from ..records import read_results, write_results
from .exam import SAMPLES, examine
from .recipe import STEPS, mini_stage
from .training import train_mini

NORMS = {"train_norms": True}
EMBEDDINGS = {"train_embeddings": True}
Setting = tuple[int, float, float, dict]  # rank, learning rate, share of full training's steps, what else is trained whole
CHOSEN: Setting = (32, 5e-3, 1.0, {})
SETTINGS: tuple[Setting, ...] = (
    (8, 5e-3, 0.3, {}),
    (8, 5e-3, 1.0, {}),
    CHOSEN,
    (32, 2e-3, 1.0, {}),
    (32, 5e-3, 1.0, EMBEDDINGS),
    (32, 2e-3, 1.0, EMBEDDINGS),
    (32, 5e-3, 1.0, NORMS | EMBEDDINGS),
)
SWEPT = 2  # the stage of the sweep


def with_setting(stage: int, rank: int, rate: float, share: float, others: dict, seed: int = 0) -> StageConfig:
    """The stage's LoRA configuration with one of `SETTINGS`."""
    lora = LoraSettings(rank, dropout=0.0, **others)
    steps = round(share * STEPS[stage])
    return replace(mini_stage(stage, "lora"), lora=lora, learning_rate=rate, steps=steps, seed=seed)


def try_setting(stage: int, setting: tuple, output: Path, seed: int = 0) -> list[dict]:
    """Train and examine one setting; rows of `kit.school.exam.examine` with the setting's columns."""
    config = with_setting(stage, *setting, seed)
    rank, rate, _, others = setting
    name = "-".join([f"rank{rank}", f"{rate:g}", f"{config.steps}", *(f"{key}{value}" for key, value in others.items())])
    start = result_of(run_folder(output / f"seed{seed}", stage - 1, "full", "mini"))
    adapter = train_mini(config, output / "sweep" / name / f"seed{seed}", start, output / "media")
    with safe_open(adapter / WEIGHTS, "pt") as tensors:
        trained = sum(tensors.get_tensor(key).numel() for key in tensors.keys())
    beside = " ".join(key.removeprefix("train_") for key in others if key != "alpha") or "connector"
    facts = {"rank": rank, "alpha": config.lora.alpha, "learning_rate": rate, "steps": config.steps, "beside": beside}
    return _rows(adapter, stage, facts | {"trained": trained}, seed)


def full_training(stage: int, output: Path, seed: int = 0) -> list[dict]:
    """The same columns for the stage trained in full."""
    for before in range(1, stage + 1):
        config = replace(mini_stage(before), seed=seed)
        model = train_mini(config, output / f"seed{seed}", media_dir=output / "media")
    with safe_open(model / "model.safetensors", "pt") as tensors:
        trained = sum(tensors.get_tensor(key).numel() for key in tensors.keys())
    facts = {"rank": 0, "alpha": 0, "learning_rate": config.learning_rate, "steps": config.steps, "beside": "everything"}
    return _rows(model, stage, facts | {"trained": trained}, seed)


def _rows(model: Path, stage: int, facts: dict, seed: int) -> list[dict]:
    # Every seed answers the same questions, as in `exam`, whose notes of full training are read here
    rows = examine(model, stage, model.with_name(f"{model.name}-exam"), SAMPLES, ("sighted",))
    return [{"seed": seed, **facts, **row} for row in rows]


def study(seeds: Iterable[int], output: Path) -> list[dict]:
    """The sweep with the first seed; then each later stage and seed, in full and with the chosen setting."""
    rows = []
    for stage in (2, 3, 4):
        for number, seed in enumerate(seeds):
            rows += full_training(stage, output, seed)
            for setting in SETTINGS if (stage, number) == (SWEPT, 0) else (CHOSEN,):
                rows += try_setting(stage, setting, output, seed)
                write_results(rows, output, "adapters", list(seeds), "kit.school.adapters")
    return rows


def read_adapters() -> tuple[list[dict], dict]:
    """The committed study: its rows with numbers as numbers and "variant", and how it was made.

    A variant is "full" or "lora" (the chosen setting); other settings of the sweep have None.
    """
    results, facts = read_results("adapters")
    rank, rate, share, _ = CHOSEN
    rows = []
    for row in results:
        stage, setting = int(row["stage"]), (int(row["rank"]), float(row["learning_rate"]), int(row["steps"]), row["beside"])
        variant = "lora" if setting == (rank, rate, round(share * STEPS[stage]), "connector") else None
        numbers = {"stage": stage, "seed": int(row["seed"]), "score": float(row["score"]), "trained": int(row["trained"])}
        rows.append(row | numbers | {"variant": "full" if row["beside"] == "everything" else variant})
    return rows, facts


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description="LoRA beside full training in the mini stages.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/study"), help="folder of all runs")
    args = parser.parse_args()
    study(args.seeds, args.output)


if __name__ == "__main__":
    main()
