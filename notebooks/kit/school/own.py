"""A folder of clips and a JSONL, as a reader would have them: what notebook 19 trains on.

The clips are stage 4's roaming things, which no earlier stage has shown; one question about each: where is it at the end?
"""

import io
import json
import shlex
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from ov2lib.cli import main
from ov2lib.samples.sample import Sample, parse_sample

from ..world.scene import Scene
from ..world.stories import roaming
from ..world.tasks import draw

QUESTION = "place"  # the kind of question asked about every clip


def write_data(folder: Path, name: str, count: int, split: str, seed: int) -> Path:
    """`count` clips in `folder/clips` and one sample about each in `folder/NAME.jsonl`.

    Args:
        split: "train" or "test"; no layout of things is in both.
    """
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, len(name)])
    rows = [_row(draw(roaming, split, rng), folder, f"{name}-{number:03d}") for number in range(count)]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _row(scene: Scene, folder: Path, name: str) -> dict:
    asked = next(question for question in scene.questions if question.kind == QUESTION and "end" in question.text)
    media = scene.media()
    shutil.copyfile(media.path, folder / "clips" / f"{name}.mp4")
    return {
        "id": name,
        "task": asked.task,
        "messages": [
            {"role": "user", "content": f"<video>\n{asked.text}"},
            {"role": "assistant", "content": asked.answer},
        ],
        "media": [{"type": "video", "path": f"clips/{name}.mp4", "options": media.options}],
        "truth": asked.truth,
    }


def read_samples(path: Path) -> list[Sample]:
    """The samples of a JSONL."""
    return [parse_sample(json.loads(line), path.parent) for line in path.read_text().splitlines()]


def accuracy(folder: Path) -> dict:
    """Mean and interval of the one task in a folder that `ov2 evaluate` wrote: {"score", "low", "high", "samples"}."""
    (task,) = json.loads((folder / "scores.json").read_text())["tasks"].values()
    interval = task["metrics"]["accuracy"]
    return {"score": interval["value"], "low": interval["low"], "high": interval["high"], "samples": task["samples"]}


def ov2(words: str) -> int:
    """Run a line of the shell in this process; print it and what it prints, paths from this folder on. Returns its status."""
    print(f"$ ov2 {words}")
    with redirect_stdout(io.StringIO()) as printed:
        status = main(shlex.split(words))
    print(printed.getvalue().replace(f"{Path.cwd()}/", "").strip())
    return status
