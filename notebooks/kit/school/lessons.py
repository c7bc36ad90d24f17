"""The four stages as the notebooks run them: train what is missing, examine it, say what came of it.

Runs are kept in `runs/train` of the clone, where `python -m kit.school train` keeps them too, and a finished one is used again.
Where the environment variable OV2_MAX_STEPS shortens runs (as the tests of the notebooks do), everything else is small too and
lies in a folder that goes with the process, so that a run cut short never passes for a whole one.
"""

import atexit
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean

import torch
from transformers.utils import logging

from ov2lib.files import project_root
from ov2lib.samples.cache import TokenCache
from ov2lib.samples.sample import Media, Sample
from ov2lib.train.encoding import Example, SampleEncoder
from ov2lib.train.mixture import resolve
from ov2lib.train.prepare import BinDataset, load_prepared
from ov2lib.train.run import STEPS_LIMIT
from ov2lib.train.stages import StageConfig
from ov2lib.train.start import result_of, run_folder
from ov2lib.train.trainer import read_metrics

from ..errors import MiniError
from ..records import read_results
from ..world.stories import CANVASES
from ..world.tasks import RECIPES, stage_samples
from ..world.world import SIDE
from .exam import SAMPLES, examine_run
from .model import mini_processor
from .recipe import mini_stage
from .training import train_mini

SHORT_SAMPLES, SHORT_EXAM = 32, 16  # training samples of a source, and questions, where runs are shortened
# assumed: of training, on any machine; another number adds sums up in another order, and other weights come out
THREADS = 2
OWN_QUESTION, OWN_FRAMES = "What happens?", 8  # about your own video


@dataclass(frozen=True)
class Lesson:
    """One stage, trained.

    Attributes:
        config: what it was trained with.
        output: folder of all runs.
        folder: of this run, see `ov2lib.train.run`.
        start, result: the model before, the model or adapter after.
        metrics: rows of metrics.jsonl, {"step", "loss", "grad_norm", "learning_rate"} by step.
        complete: False where the run was shortened.
    """

    config: StageConfig
    output: Path
    folder: Path
    start: Path
    result: Path
    metrics: tuple[dict, ...]
    complete: bool

    @property
    def processor(self) -> str:
        """What the run was trained on, such as "x86_64, AVX2"; "" where an older run did not say."""
        return json.loads((self.folder / "config.json").read_text())["versions"].get("processor", "")

    @property
    def seconds_per_step(self) -> float:
        """Of the whole run: loading, learning, saving."""
        return next(1 / row["train_steps_per_second"] for row in self.metrics if "train_steps_per_second" in row)

    def facts(self) -> dict:
        """What was trained on, as the run's plan has it, for how many of the stage's steps, and how long that took."""
        steps, seconds = max(row["step"] for row in self.metrics), self.seconds_per_step
        whole = mini_stage(self.config.stage, self.config.variant).steps
        took = {"seconds a step": round(seconds, 2), "minutes": round(steps * seconds / 60, 1)}
        return load_prepared(self.folder / "data").summary | {"steps": steps, "of": whole} | took


def shortened() -> bool:
    """Whether the environment shortens runs."""
    return bool(os.environ.get(STEPS_LIMIT))


def runs_folder(seed: int = 0) -> Path:
    """Where runs of a seed are kept."""
    output = _scratch() if shortened() else project_root() / "runs" / "train"
    return output / f"seed{seed}" if seed else output


@cache
def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ov2-short-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def lesson_config(stage: int, variant: str = "full", seed: int = 0) -> StageConfig:
    """The stage's mini configuration with this seed; with few samples, and one bin a step, where runs are shortened."""
    config = replace(mini_stage(stage, variant), seed=seed)
    if not shortened():
        return config
    few = tuple(replace(source, samples=SHORT_SAMPLES) for source in config.sources)
    return replace(config, sources=few, micro_batch=1, global_batch=1)


def ensure_stage(stage: int, variant: str = "full", seed: int = 0) -> Lesson:
    """Train a stage, and before it, in full, the stages that it builds on; what is there already is used.

    Raises:
        TrainingError: an unknown stage or variant; a folder of runs made with other settings (remove it to train again).
    """
    config, output = lesson_config(stage, variant, seed), runs_folder(seed)
    logging.disable_progress_bar()  # one for each file read or written, otherwise
    with threads():
        for before in range(1, stage):
            train_mini(lesson_config(before, "full", seed), output, media_dir=_media())
        result = train_mini(config, output, media_dir=_media())
    folder = run_folder(output, stage, variant, "mini")
    start = Path(json.loads((folder / "config.json").read_text())["start"]["path"])
    metrics = tuple(read_metrics(folder / "metrics.jsonl"))
    return Lesson(config, output, folder, start, result, metrics, not shortened())


@contextmanager
def threads(count: int = THREADS) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def finished(stage: int) -> Path | None:
    """The model that a whole run of this stage left, None where there is none."""
    return result_of(run_folder(runs_folder(), stage, "full", "mini"))


def _media() -> Path:
    return runs_folder() / "media"  # one cache for all seeds and stages


def examine_lesson(lesson: Lesson) -> list[dict]:
    """Held-out scores before and after; rows of `kit.school.exam.examine_run`."""
    questions = SAMPLES if lesson.complete else SHORT_EXAM
    return examine_run(lesson.output, lesson.config.stage, lesson.config.variant, questions, lesson.config.seed)


def verdicts(rows: Iterable[dict], stage: int) -> dict[str, list[str]]:
    """Kinds of question by what their 95 % intervals say; two that overlap say nothing.

    Returns:
        "learnt": the stage's own, better after it than before; "sight": better than with black pixels; "above constant" and
        "above tags": better than the best constant answer, and than the rule that reads time tags; "forgotten": of the stage
        before, worse than before this one.
    """
    scores = {(row["after"], row["stage"], row["task"], row["arm"]): row for row in rows}

    def above(one: tuple[int, int, str], other: tuple[int, int, str]) -> list[str]:
        """Tasks where one (after, asked, arm) is better than the other."""
        tasks = dict.fromkeys(task for _, _, task, _ in scores)
        pairs = ((task, *(scores.get((*place[:2], task, place[2])) for place in (one, other))) for task in tasks)
        return [task for task, better, worse in pairs if better and worse and better["low"] > worse["high"]]

    now = (stage, stage, "sighted")
    return {
        "learnt": above(now, (stage - 1, stage, "sighted")),
        "sight": above(now, (stage, stage, "blind")),
        "above constant": above(now, (stage, stage, "constant")),
        "above tags": above(now, (stage, stage, "tags")),
        "forgotten": above((stage - 1, stage - 1, "sighted"), (stage, stage - 1, "sighted")),
    }


def longer_run(stage: int) -> tuple[list[dict], str]:
    """A stage's part of the committed longer run, over its seeds, and how it was made.

    Returns:
        rows as `examine_run` has them, with the mean over seeds as "score", the least and largest seed as "low" and "high";
        none, and a line that says so, where no such run is committed.
    """
    try:
        results, facts = read_results("stages")
    except MiniError:
        return [], "no longer run is committed yet; python -m kit.school.exam makes one"
    groups = defaultdict(list)
    for row in results:
        if stage in (int(row["after"]), int(row["after"]) + 1) and int(row["stage"]) in (stage - 1, stage):
            groups[int(row["after"]), int(row["stage"]), row["task"], row["metric"], row["arm"]].append(float(row["score"]))
    names = ("after", "stage", "task", "metric", "arm")
    rows = [
        dict(zip(names, key, strict=True)) | {"score": fmean(scores), "low": min(scores), "high": max(scores)}
        for key, scores in groups.items()
        if key[0] in (stage - 1, stage)
    ]
    made = f"{facts['command']} (commit {facts['commit']}, {facts['device']}, {facts['date']})"
    return rows, f"{len(facts['seeds'])} seeds: {made}"


def encoder(config: StageConfig) -> SampleEncoder:
    """What turns samples into the mini model's inputs."""
    processor = mini_processor()
    images = processor.image_processor
    tokens = TokenCache(_media() / "tokens", images.patch_size, images.size).tokens
    return SampleEncoder(processor.tokenizer, tokens, config.frames_prompt, config.timestamp_decimals, config.timestamps)


def bins(lesson: Lesson) -> BinDataset:
    """What the stage was trained on, bin by bin."""
    return BinDataset(load_prepared(lesson.folder / "data"), encoder(lesson.config))


def examples(config: StageConfig, video: str = "") -> list[Example]:
    """One conversation about each kind of scene of the stage, encoded; then one about your own video, if there is one."""
    kinds = {build: number for number, build in reversed(list(enumerate(RECIPES[config.stage])))}
    drawn = stage_samples(config.stage, "train", len(RECIPES[config.stage]), config.seed)
    samples = [resolve(drawn[number], config.sources[0], config) for number in sorted(kinds.values())]
    if video:
        samples.append(_own(video, config))
    encode = encoder(config).encode
    return [encode(sample) for sample in samples]


def _own(video: str, config: StageConfig) -> Sample:
    """Your video as a sample, at the mini world's size: as canvases in stage 4, sampled frames before it."""
    pixels = {"max_pixels": 4 * SIDE**2}
    codec = {"video_backend": "codec", "front_end": config.front_end, "num_canvases": CANVASES}
    frames = {"video_backend": "frames", "num_frames": OWN_FRAMES}
    media = Media("video", video, pixels | (codec if config.stage == 4 else frames))
    return Sample("your video", (("user", f"<video>\n{OWN_QUESTION}"), ("assistant", "…")), (media,))
