"""Full benchmarks through lmms-eval: the command of every reported row, and its result files read back.

lmms-eval is never imported here, and it cannot share an environment with ov2lib's video reader: version 0.7.3 wants
`av<16`, ov2lib `av>=18.1`. Give it an environment of its own, run the commands there, and read the files here.

The commands are those of the authors' reproduction guide and run on the branch `llava-onevision2`. The package index's
0.7.3 differs, so mind three traps when you translate them. It spells the codec backend `use_codec=True` and silently
ignores `video_backend=codec`, so the guide's command would sample frames there: a codec command as printed asks the
installed wrapper first, and stops there. With its codec backend it ignores
`timestamp_decimals`, so JumpScore's two decimals are lost. And it lacks the interleaved-subtitle and per-length tasks.

Neither release can hide pixels. The blind arm is the same command through `python -m ov2lib.evaluate.blind`, which
zeroes the normalised pixels at the model's door and leaves time tags, positions and token counts alone.
"""

import json
import math
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..errors import EvaluationError
from ..reported import rows

# published: EvolvingLMMs-Lab/lmms-eval, branch llava-onevision2, read at commit 1e1b37b4605e5b754a844f2ff44a710110a925b3
CHECKPOINT = "lmms-lab-encoder/LLaVA-OneVision-2-8B-Instruct"  # published
NOT_LISTED = "settings not in the guide"
NOT_RECORDED = "not recorded"
# what a printed codec command runs first: does the installed wrapper know the argument that chooses the backend?
GUARD = """\
import inspect, sys
from lmms_eval.models.chat.llava_onevision2 import Llava_OneVision2 as wrapper
if "video_backend" not in inspect.signature(wrapper.__init__).parameters:
    sys.exit("the installed lmms-eval ignores video_backend=codec and would sample frames; install the branch of the guide")
"""


@dataclass(frozen=True)
class Command:
    """One full-scale run.

    Attributes:
        benchmark, split: the reported row (and its part, for VideoMME) that the run reproduces.
        backend: "frames" or "codec".
        env: environment variables it needs.
        argv: the program and its arguments.
        reported: the guide's own score of this run, percent.
    """

    benchmark: str
    split: str
    backend: str
    env: dict[str, str]
    argv: tuple[str, ...]
    reported: float

    def __str__(self) -> str:
        """The command for a shell, quoted; one on codec input begins with `GUARD` and stops where the backend is ignored."""
        line = shlex.join(["env", *(f"{name}={value}" for name, value in self.env.items()), *self.argv])
        return f"{shlex.join(['python', '-c', GUARD])} && {line}" if self.backend == "codec" else line


@dataclass(frozen=True)
class Result:
    """One benchmark (or one split of it) read from a result file.

    Attributes:
        benchmark, split: the reported row.
        value: percent.
        date: day of the run, ISO.
        revision: commit of the checkpoint, if the run was given a snapshot folder or a revision; else "not recorded"
            (lmms-eval does not record what the hub served).
        arm: "sighted" or "blind".
        backend: "frames", "codec", or "not recorded".
        model: checkpoint name or folder as given to the run.
        task, metric: lmms-eval's names.
        samples: how many were scored, if recorded.
        differences: where the run's settings depart from the guide's.
        path: the file.
    """

    benchmark: str
    split: str
    value: float
    date: str
    revision: str
    arm: str
    backend: str
    model: str
    task: str
    metric: str
    samples: int | None
    differences: tuple[str, ...]
    path: str


@dataclass(frozen=True)
class _Target:
    """What a task's number in a result file stands for."""

    benchmark: str
    split: str
    task: str
    metric: str
    scale: float
    subtasks: int = 0
    guide: tuple[dict, ...] = ()


def commands(
    benchmark: str | None = None, blind: bool = False, model: str = CHECKPOINT, output: str = "out", processes: int = 8
) -> tuple[Command, ...]:
    """The guide's full-scale commands: of one reported row, or all; empty where the guide has no settings.

    Args:
        benchmark: a row of the main table; rows with two backends or several splits have several commands.
        blind: the blind arm, pixels zeroed and everything else kept (see the module's text).
        model: checkpoint; a local snapshot folder (…/snapshots/<commit>) makes the revision part of the result file.
        output: folder for results, one subfolder a run.
        processes: GPUs; the guide used 8.

    Raises:
        EvaluationError: no such row in the main table.
    """
    known = [row["benchmark"] for row in rows("benchmarks")]
    if benchmark is not None and benchmark not in known:
        raise EvaluationError(f"no reported row {benchmark!r}; there are {', '.join(known)}")
    runs = [row for row in rows("guide") if benchmark in (None, row["benchmark"])]
    return tuple(_command(row, blind, model, output, processes) for row in runs)


def command_table(blind: bool = False) -> list[dict]:
    """Every reported row with its command, or `NOT_LISTED`: rows for a table, in the main table's order.

    Fields: category, benchmark, split, backend, task, budget (frames or canvases), min_pixels, max_pixels,
    timestamp_decimals, command, note.
    """
    table = []
    for about in rows("benchmarks"):
        common = {"category": about["category"], "benchmark": about["benchmark"]}
        settings = [row for row in rows("guide") if row["benchmark"] == about["benchmark"]]
        for row, run in zip(settings, commands(about["benchmark"], blind), strict=True):
            names = ("split", "backend", "task", "budget", "min_pixels", "max_pixels", "timestamp_decimals")
            table.append(common | {name: row[name] for name in names} | {"command": str(run), "note": about["note"]})
        if not settings:
            empty = dict.fromkeys(("split", "backend", "budget", "min_pixels", "max_pixels", "timestamp_decimals"), "")
            table.append(common | empty | {"task": about["task"], "command": NOT_LISTED, "note": about["note"]})
    return table


def read_results(*paths: str | Path) -> list[Result]:
    """Read lmms-eval result files into results for `ov2lib.reported.compare`.

    Args:
        paths: `…_results.json` files, `…_sam2_metrics.json` files of the tracking tasks' second stage, or folders to
            search for both.

    A number enters only whole: a task of many parts (MV-Bench, BLINK) needs all of them. Tasks that no reported row
    uses are passed over.

    Raises:
        EvaluationError: nothing to read, a file that is no result file of a known version, a run with a limit or an
            offset, a missing metric, or a number outside 0–100.
    """
    files = [file for path in paths for file in _result_files(Path(path))]
    return [result for file in files for result in _read_file(file)]


def _command(row: dict, blind: bool, model: str, output: str, processes: int) -> Command:
    # 1. The model's arguments
    codec = row["backend"] == "codec"
    name = f"{row['task']}_{row['backend']}_{row['budget']}" + ("_blind" if blind else "")
    arguments = {
        "pretrained": model,
        "trust_remote_code": "True",  # the published wrapper loads the checkpoint's own code
        "attn_implementation": "flash_attention_2",
        "messages_format": "timestamp",
        **({"timestamp_decimals": row["timestamp_decimals"]} if codec else {}),
        "fps": "1",
        "max_num_frames": row["budget"],
        "min_pixels": row["min_pixels"],
        "max_pixels": row["max_pixels"],
        "video_backend": row["backend"],
        **({"codec_target_canvas": row["budget"]} if codec else {}),
    }
    # 2. The environment: codec settings and subtitles
    env = {"TOKENIZERS_PARALLELISM": "false"}
    if codec:  # published: the tuned codec settings of the guide, and a cache so that runs share canvases
        env |= {"LLAVA_CODEC_ONLINE_TUNED": "1", "ONLINE_CODEC_CACHE_DIR": f"{output}/canvases_{row['task']}_{row['budget']}"}
    if row["interleaved_subtitles"] == "1":
        env |= {"LMMS_IL_NOPREFIX": "1", "LMMS_IL_FILTER_NOISE": "1"}
    # 3. The command line
    argv = (
        "accelerate", "launch", f"--num_processes={processes}", "-m", "ov2lib.evaluate.blind" if blind else "lmms_eval",
        "--model", "llava_onevision2", "--model_args", ",".join(f"{key}={value}" for key, value in arguments.items()),
        "--tasks", row["task"], "--batch_size", "1", "--log_samples", "--output_path", f"{output}/{name}/",
    )  # fmt: skip
    return Command(row["benchmark"], row["split"], row["backend"], env, argv, float(row["value"]))


def _targets() -> list[_Target]:
    """Known tasks: the guide's (with its settings), then the release's where the name is another."""
    guide: dict[tuple, list[dict]] = {}
    for row in rows("guide"):
        key = (row["benchmark"], row["split"], row["task"], row["task_metric"], float(row["task_scale"]))
        guide.setdefault(key, []).append(row)
    targets = [_Target(*key, guide=tuple(settings)) for key, settings in guide.items()]
    known = {target.task for target in targets}
    for row in rows("benchmarks"):
        if row["task_metric"] and row["task"] not in known:
            parts = int(row["subtasks"] or 0)
            targets.append(_Target(row["benchmark"], "", row["task"], row["task_metric"], float(row["task_scale"]), parts))
    return targets


def _result_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted([*path.rglob("*_results.json"), *path.rglob("*_sam2_metrics.json")])
    if not files:
        raise EvaluationError(f"{path}: no *_results.json or *_sam2_metrics.json there; run lmms-eval with --output_path")
    return files


def _read_file(path: Path) -> list[Result]:
    # 1. Which kind of file is it?
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read as JSON ({error}); pass lmms-eval's result file") from error
    if isinstance(data, dict) and {"task", "J&F"} <= data.keys():
        return _read_second_stage(path, data)
    fields = {"results": dict, "config": dict, "date": str}
    if not isinstance(data, dict) or any(not isinstance(data.get(name), kind) for name, kind in fields.items()):
        raise EvaluationError(f"{path}: no lmms-eval result file of a known version (0.7.x, or the guide's branch)")
    # 2. Only whole runs count
    if data["config"].get("limit") not in (None, -1) or data["config"].get("offset"):
        raise EvaluationError(f"{path}: a run on part of its samples (limit or offset); only whole runs are compared")
    arguments = _arguments(data["config"].get("model_args"))
    # 3. Every reported row that the file has results for
    results = []
    for target in _targets():
        parts = {task: scores for task, scores in data["results"].items() if fnmatchcase(task, target.task)}
        if parts and target.metric != "J&F":
            results.append(_result(path, data, target, parts, arguments))
    if not results:
        raise EvaluationError(f"{path}: no task of a reported row; it has {', '.join(data['results']) or 'none'}")
    return results


def _result(path: Path, data: dict, target: _Target, parts: dict, arguments: dict[str, str]) -> Result:
    # 1. All tasks of the row, averaged by their samples
    if target.subtasks and len(parts) != target.subtasks:
        raise EvaluationError(f"{path}: {len(parts)} of the {target.subtasks} tasks of {target.benchmark}; run all of them")
    values = [_value(path, task, scores, target) for task, scores in parts.items()]
    counts = [scores.get("samples") for scores in parts.values()]
    counted = all(isinstance(count, int) and count > 0 for count in counts)
    weights = counts if counted else [1] * len(values)
    # 2. How the video was shown
    codec = arguments.get("video_backend") == "codec" or _true(arguments, "use_codec")
    backend = "codec" if codec else "frames"
    return Result(
        benchmark=target.benchmark,
        split=target.split,
        value=sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights),
        date=_day(data["date"]),
        revision=_revision(arguments),
        arm="blind" if _true(arguments, "blind") else "sighted",
        backend=backend if arguments else NOT_RECORDED,
        model=arguments.get("pretrained", NOT_RECORDED),
        task=target.task,
        metric=target.metric,
        samples=sum(counts) if counted else None,
        differences=_differences(target, backend, arguments),
        path=str(path),
    )


def _read_second_stage(path: Path, data: dict) -> list[Result]:
    for target in _targets():
        if target.task == data["task"] and target.metric == "J&F":
            value = _percent(path, data["task"], data["J&F"], target)
            return [
                Result(
                    target.benchmark, "", value, NOT_RECORDED, NOT_RECORDED, "sighted", NOT_RECORDED, NOT_RECORDED,
                    target.task, target.metric, data.get("n"), (), str(path),
                )
            ]  # fmt: skip
    raise EvaluationError(f"{path}: task {data['task']!r} stands behind no reported row")


def _value(path: Path, task: str, scores: dict, target: _Target) -> float:
    values = [value for key, value in scores.items() if key.split(",")[0] == target.metric]
    if not values:
        names = sorted({key.split(",")[0] for key in scores if "," in key and "_stderr" not in key})
        raise EvaluationError(
            f"{path}: task {task} has no {target.metric}, it has {', '.join(names) or 'none'}; a file of another version"
        )
    return _percent(path, task, values[0].get("overall") if isinstance(values[0], dict) else values[0], target)


def _percent(path: Path, task: str, value: Any, target: _Target) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 <= value * target.scale <= 100 + 1e-9:
        raise EvaluationError(f"{path}: {target.metric} of {task} is {value!r}, no score of a known version")
    return value * target.scale


def _arguments(model_args: object) -> dict[str, str]:
    if isinstance(model_args, dict):
        return {key: str(value) for key, value in model_args.items()}
    pairs = (part.split("=", 1) for part in str(model_args or "").split(",") if "=" in part)
    return {key.strip(): value for key, value in pairs}


def _true(arguments: dict[str, str], name: str) -> bool:
    return arguments.get(name, "").lower() in ("true", "1", "yes", "on")


def _day(date: str) -> str:
    try:
        return datetime.strptime(date, "%Y%m%d_%H%M%S").date().isoformat()
    except ValueError:
        return date


def _revision(arguments: dict[str, str]) -> str:
    snapshot = re.search(r"/snapshots/([0-9a-f]{7,40})", arguments.get("pretrained", ""))
    return snapshot[1] if snapshot else arguments.get("revision", NOT_RECORDED)


def _differences(target: _Target, backend: str, arguments: dict[str, str]) -> tuple[str, ...]:
    row = next((row for row in target.guide if row["backend"] == backend), None)
    if row is None:
        return (f"the guide has no {backend} run of this task",) if target.guide else ()
    guide = {"min_pixels": row["min_pixels"], "max_pixels": row["max_pixels"], "fps": "1"}
    if backend == "codec":
        guide |= {"codec_target_canvas": row["budget"], "timestamp_decimals": row["timestamp_decimals"]}
    else:
        guide |= {"max_num_frames": row["budget"]}
    actual = {name: arguments.get(name, "its default") for name in guide}
    return tuple(f"{name} {actual[name]}, guide {value}" for name, value in guide.items() if actual[name] != value)
