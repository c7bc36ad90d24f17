"""What a mini model can do: held-out scores of a stage's questions, beside what can be had without seeing anything.

| arm | answers |
|---|---|
| sighted | the model's |
| blind | the model's with every pixel value at zero; time tags, positions and token counts stay |
| constant | for each kind of question the one answer that scores best on the training world |
| permuted | the true answers, dealt out to other samples of the kind: chance that knows how answers are distributed |
| tags | jump times by a rule fitted on the time tags of the codec's prompt, which say where things move; no pixels, no model |

    python -m kit.school.exam --seeds 0 1 2 --output runs/study

trains the four stages with each seed and writes `scores.csv` and `run.json` (command, versions, device, date) beside the runs;
copies of both in `notebooks/kit/school/results/` are what the notebooks show as the longer run.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from ov2lib import __version__
from ov2lib.evaluate.predict import Predictor
from ov2lib.evaluate.run import Evaluation, evaluate
from ov2lib.model import LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor
from ov2lib.model.adapter import base_of, load_folder
from ov2lib.samples.sample import Sample
from ov2lib.train.stages import STAGES
from ov2lib.train.start import run_folder

from ..records import write_results
from ..world.tasks import stage_samples
from .baselines import BurstRule, fit_bursts, fit_constant, permuted, tags_of
from .recipe import mini_stage
from .training import train_mini

SAMPLES = 240  # held-out questions of a stage
FITTED = 600  # training samples that the constant answers are fitted on
ANSWER_TOKENS = 64
ARMS = ("sighted", "blind", "constant", "permuted", "tags")


def load_result(folder: Path) -> tuple[LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor]:
    """Model (under its adapter, where it has one) and processor of what a run left or started from."""
    return load_folder(folder, torch.float32).eval(), LlavaOnevision2Processor.from_pretrained(base_of(folder))


def examine(
    folder: Path, stage: int, notes: Path, samples: int = SAMPLES, arms: Iterable[str] = ARMS, seed: int = 0
) -> list[dict]:
    """Scores of one model on the held-out questions of one stage.

    Args:
        folder: a model or adapter, see `load_result`.
        stage: whose questions are asked.
        notes: folder for every answer; one that holds the same examination is read, not asked again.
        samples: how many questions.
        arms: of `ARMS`.
        seed: of the held-out world, and of the intervals.

    Returns:
        one row per kind of question ("task/kind") and arm: {"stage", "task", "metric", "arm", "score", "low", "high",
        "samples"}, the task's headline metric with its 95 % bootstrap interval over clips.
    """
    questions = stage_samples(stage, "test", samples, seed)
    rows = []
    for arm in arms:
        asked = [sample for sample in questions if sample.task == "jump_times"] if arm == "tags" else questions
        if not asked:
            continue
        result = _ask(arm, folder, stage, asked, notes, seed)
        for task, scores in result.tasks.items():
            if "/" not in task:  # a task over all its kinds of question
                continue
            metric, value = next(iter(scores.metrics.items()))
            rows.append(
                {"stage": stage, "task": task, "metric": metric, "arm": arm, "score": round(value.value, 4),
                 "low": round(value.low, 4), "high": round(value.high, 4), "samples": scores.samples}
            )  # fmt: skip
    return rows


def _ask(arm: str, folder: Path, stage: int, questions: list, notes: Path, seed: int) -> Evaluation:
    if arm in ("constant", "tags"):
        options = {"fitted": min(FITTED, 4 * len(questions))}
        known = stage_samples(stage, "train", options["fitted"], seed)
        predict = fit_constant(known) if arm == "constant" else _by_rule(fit_bursts(known, tags_of))
    elif arm == "permuted":
        predict, options = permuted(questions, seed), {}
    else:
        model, processor = load_result(folder)
        form = mini_stage(stage).frames_prompt
        predict = Predictor(model, processor, ANSWER_TOKENS, batch_size=40, blind=arm == "blind", frames_prompt=form)
        options = predict.options
    name, revision = (str(folder.absolute()), _digest(folder)) if arm in ("sighted", "blind") else (arm, __version__)
    where = notes / f"stage{stage}-{arm}"
    return evaluate(
        questions, predict, where, model=name, revision=revision, dataset=f"mini stage {stage}", options=options, seed=seed
    )


def _by_rule(rule: BurstRule) -> Callable[[Sample], str]:
    return lambda sample: rule.answer(tags_of(sample))


def _digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.safetensors")))).hexdigest()[:16]


def examine_run(output: Path, stage: int, variant: str, samples: int = SAMPLES, seed: int = 0) -> list[dict]:
    """A stage's own questions and those of the stage before it, each before the stage was trained ("after" = stage − 1) and
    after it; rows of `examine` with the column "after"."""
    folder = run_folder(output, stage, variant, "mini")
    result = next(path for path in (folder / "model", folder / "adapter") if path.is_dir())
    start = Path(json.loads((folder / "config.json").read_text())["start"]["path"])
    rows = []
    for after, model in ((stage - 1, start), (stage, result)):
        for asked in range(max(1, stage - 1), stage + 1):
            arms = ARMS if (after, asked) == (stage, stage) else ("sighted", "blind")
            notes = model.with_name(f"{model.name}-exam")  # what the next stage, or the other variant, asks again is there
            rows += [{"after": after, **row} for row in examine(model, asked, notes, samples, arms, seed)]
    return rows


def study(seeds: Iterable[int], output: Path, steps: int | None = None) -> list[dict]:
    """Train the four stages one after the other with each seed, and examine each; rows of `examine_run` with the seed."""
    rows = []
    for seed in seeds:
        for stage in STAGES:
            config = mini_stage(stage)
            config = replace(config, seed=seed, steps=steps or config.steps)
            train_mini(config, output / f"seed{seed}", media_dir=output / "media")
            rows += [{"seed": seed, "variant": "full", **row} for row in examine_run(output / f"seed{seed}", stage, "full")]
    # What a stage scores after it is asked again before the next one.
    return [dict(row) for row in dict.fromkeys(tuple(row.items()) for row in rows)]


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description="Train and examine the four mini stages with several seeds.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/study"), help="folder of all runs")
    parser.add_argument("--steps", type=int, help="optimiser steps of each stage, instead of the stage's own")
    args = parser.parse_args()
    write_results(study(args.seeds, args.output, args.steps), args.output, "stages", args.seeds)


if __name__ == "__main__":
    main()
