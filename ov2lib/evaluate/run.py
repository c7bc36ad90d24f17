"""Any model on any dataset of the sample schema: answers → scores with intervals. `ov2 evaluate SAMPLES --out DIR …`

    evaluation = evaluate(samples, predict, "runs/a", model="my model", revision="1")

`predict` takes a sample and returns text; it never sees the truth unless it looks for it. An object with `many(samples)` and
`batch_size` is asked for several at a time. `ov2lib.evaluate.predict` makes one from a checkpoint, `kit.school.baselines`
make some without any model.
"""

import datetime
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import __version__
from ..display import html_table
from ..errors import EvaluationError, describe
from ..files import numbered_lines
from ..samples.readers import read_jsonl
from ..samples.report import Report
from ..samples.sample import Sample, id_text
from .intervals import Interval, bootstrap
from .ledger import Ledger
from .scorers import reference, score

FORMAT = "ov2-scores/1"


@dataclass(frozen=True)
class TaskScores:
    """One task of the dataset.

    Attributes:
        samples: how many were scored; the means are over these.
        metrics: the mean of each metric with its interval, headline first.
        failed: how many of the task's samples could not be answered or scored, and count in no mean.
    """

    samples: int
    metrics: dict[str, Interval]
    failed: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What scores.json holds.

    Attributes:
        tasks: by name ("task" or "task/kind"), in order of first appearance.
        bad: {sample id: why it could not be answered or scored}; these count in no mean.
        settings: model, revision, dataset, options, seed, date and version of the run.
    """

    tasks: dict[str, TaskScores]
    bad: dict[str, str]
    settings: dict

    def to_json(self) -> dict:
        """Plain JSON values."""
        return {
            "format": FORMAT,
            **self.settings,
            "tasks": {name: asdict(task) for name, task in self.tasks.items()},
            "bad": self.bad,
        }

    def _repr_html_(self) -> str:
        scores = [
            (name, metric, interval, task.samples, task.failed)
            for name, task in self.tasks.items()
            for metric, interval in task.metrics.items()
        ]
        shown = html_table("Evaluation", scores, ("task", "metric", "mean (95 % interval)", "scored", "failed"))
        return shown + (html_table("Not answered or scored", self.bad.items(), ("sample", "why")) if self.bad else "")


def evaluate(
    samples: Iterable[Sample],
    predict: Callable[[Sample], str],
    folder: str | os.PathLike,
    *,
    model: str,
    revision: str,
    dataset: str = "",
    options: Mapping | None = None,
    seed: int = 0,
    date: str | None = None,
    bad: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Ask for every sample's answer, score it, and keep all of it in `folder` (see `ledger`); a killed run is resumed.

    Args:
        samples: with distinct ids; `task` and `truth` as in `scorers`.
        predict: a sample's answer. Where it raises (a video that cannot be read, a mistake), the sample is bad, and why is
            listed.
        model, revision, dataset: names that stand beside the scores.
        options: what else decides the answers, JSON values.
        seed: of the intervals.
        date: ISO; None takes today's when the run is started for the first time.
        bad: {place: why} of rows of the dataset that gave no sample, to be listed with the other bad ones.
        progress: called with (done, total).

    Raises:
        EvaluationError: no samples, an id twice, or a folder of another run.
    """
    # 1. What is evaluated, exactly: a resumed run must be the same
    samples = list(samples)
    bad = {**(bad or {}), **_untruthful(samples)}
    settings = {
        "model": model, "revision": revision, "ov2lib": __version__, "options": dict(options or {}), "seed": seed,
        "dataset": {"name": dataset, "samples": len(samples), "digest": digest(samples)},
    }  # fmt: skip
    # 2. Answer and score what is not done yet, and write it down batch by batch
    ledger = Ledger(folder, settings, date or datetime.date.today().isoformat())
    waiting = [sample for sample in samples if sample.id not in ledger.done and sample.id not in bad]
    for batch in _batches(waiting, getattr(predict, "batch_size", 1)):
        rows = list(_answer(batch, predict))
        ledger.append(rows)
        bad |= {row["id"]: row["error"] for row in rows if "error" in row}
        if progress:
            progress(len(ledger.done), len(samples))
    # 3. Average over all that was scored
    tasks = summarize([(sample, ledger.done.get(sample.id, {}).get("scores")) for sample in samples], seed)
    evaluation = Evaluation(tasks, bad, {**settings, "date": ledger.date})
    ledger.finish(evaluation.to_json())
    return evaluation


def summarize(scored: Sequence[tuple[Sample, Mapping[str, float] | None]], seed: int = 0) -> dict[str, TaskScores]:
    """Mean and interval of each metric for each task, and for each "task/kind" where `truth` has a kind.

    Samples that show the same media count as one clip in the bootstrap; those whose scores are None count as failed.
    """
    tasks: dict[str, list] = {}
    for sample, scores in scored:
        row = tuple(item.path for item in sample.media) or sample.id, scores
        tasks.setdefault(sample.task, []).append(row)
        if "kind" in sample.truth:
            tasks.setdefault(f"{sample.task}/{sample.truth['kind']}", []).append(row)
    return {task: _task_scores(rows, seed) for task, rows in tasks.items()}


def _task_scores(rows: list[tuple[object, Mapping[str, float] | None]], seed: int) -> TaskScores:
    scored = [(clip, scores) for clip, scores in rows if scores is not None]
    clips = [clip for clip, _ in scored]
    names = scored[0][1] if scored else ()
    metrics = {name: bootstrap([scores[name] for _, scores in scored], clips, seed) for name in names}
    return TaskScores(len(scored), metrics, len(rows) - len(scored))


def digest(samples: Iterable[Sample]) -> str:
    """SHA-256 of everything the samples say, with the media's file names but not their folders, so that a dataset may move."""
    total = hashlib.sha256()
    for sample in samples:
        row = sample.to_json()
        row["media"] = [{**item, "path": Path(item["path"]).name} for item in row["media"]]
        total.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return "sha256:" + total.hexdigest()


def _untruthful(samples: list[Sample]) -> dict[str, str]:
    """Samples whose truth cannot be scored, found by scoring the truth itself before any model is asked."""
    if not samples:
        raise EvaluationError("there are no samples to evaluate; give at least one")
    seen, bad = set(), {}
    for sample in samples:
        if sample.id in seen:
            raise EvaluationError(f"the id {sample.id!r} stands twice; give every sample its own")
        seen.add(sample.id)
        try:
            score(reference(sample), sample)
        except Exception as error:  # whatever its truth does: this sample fails, the others are scored
            bad[sample.id] = describe(error)
    return bad


def _batches(samples: list[Sample], size: int) -> Iterator[list[Sample]]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


def _answer(batch: list[Sample], predict) -> Iterator[dict]:
    try:
        answers = predict.many(batch) if hasattr(predict, "many") else [predict(sample) for sample in batch]
        scores = [score(text, sample) for text, sample in zip(answers, batch, strict=True)]
    except MemoryError:
        raise  # of the machine, not of a sample: answers given so far are on disk
    except Exception as error:
        if len(batch) == 1:
            yield {"id": batch[0].id, "task": batch[0].task, "error": describe(error)}
        else:  # one bad sample must not cost the others their answer
            for sample in batch:
                yield from _answer([sample], predict)
        return
    for sample, text, scored in zip(batch, answers, scores, strict=True):
        yield {"id": sample.id, "task": sample.task, "prediction": text, "scores": scored}


def read_samples(path: str | os.PathLike, limit: int | None = None) -> tuple[list[Sample], dict[str, str]]:
    """The samples of a JSONL file, and {place: why} of the rows that are none; relative media paths start at its folder.

    Args:
        path: the file.
        limit: read at most this many samples.

    Raises:
        TrainingError: the file cannot be read or holds no sample.
    """
    skipped, samples, bad = Report(max_bad_share=1), {}, {}
    for sample in itertools.islice(read_jsonl(path, skipped), limit):
        if sample.id in samples:
            bad[f"{path}, sample {len(samples) + len(bad) + 1}"] = (
                f"the id {sample.id!r} stands before; give every sample its own"
            )
        else:
            samples[sample.id] = sample
    return list(samples.values()), bad | {place: reason for reason, places in skipped.reasons.items() for place in places}


def given_answers(path: str | os.PathLike) -> tuple[Callable[[Sample], str], dict[str, str]]:
    """Answers of any other program: a JSONL file with `id` and `prediction`.

    Returns:
        A predict function that looks an answer up, and raises `EvaluationError` for a sample that has none, more than one or
        one that is no text; and {place: why} of the lines that name no sample.

    Raises:
        EvaluationError: the file cannot be read.
    """
    # 1. Read every line; a bad one is listed
    answers: dict[str, list] = {}
    bad = {}
    try:
        for number, line in numbered_lines(path):
            row = _object(line)
            if name := id_text(row.get("id")):
                answers.setdefault(name, []).append(row.get("prediction"))
            else:
                bad[f"{path}, line {number}"] = "no JSON object with an id and a prediction"
    except (OSError, UnicodeError) as error:
        raise EvaluationError(f"cannot read {path} ({error}); name a JSONL file") from error

    # 2. Answering is looking up
    def predict(sample: Sample) -> str:
        given = answers.get(sample.id, [])
        if len(given) != 1:
            raise EvaluationError(f"{sample.id}: {path} holds {len(given) or 'no'} answer{'s' * (len(given) > 1)}; give one")
        if not isinstance(given[0], str):
            raise EvaluationError(f"{sample.id}: its answer in {path} is no text")
        return given[0]

    return predict, bad


def _object(line: bytes) -> dict:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    return row if isinstance(row, dict) else {}
