"""Kill programs with SIGKILL at random moments of a save and count what is left: run by hand, a few minutes.

    python tests/kill_saves.py                     20 moments of each, seed 0
    python tests/kill_saves.py --seed 1 --moments 5 save

    save       VisualTokens.save over an older folder, again and again
    tokenize   ov2 tokenize --out over an older folder
    train      training runs that save a checkpoint after every step, and the model at the end

After each kill the folder must hold the old content or the new one, whole; a run of training must resume from what is there.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from ov2lib import VisualTokens, mini
from ov2lib.errors import Ov2Error

SAVING = """
import itertools, sys
import numpy as np
from ov2lib import VisualTokens
old = VisualTokens.load(sys.argv[1])
print("ready", flush=True)
for number in itertools.count(1):
    VisualTokens(**{**vars(old), "canvases": np.full_like(old.canvases, number % 256)}).save(sys.argv[1])
"""
TRAINING = """
import sys
from dataclasses import replace
from pathlib import Path
from ov2lib.train import run, trainer
from ov2lib.train.stages import stage_config
trainer.SAVES = 6
config = stage_config(1)
few = tuple(replace(source, samples=24) for source in config.sources)
print("ready", flush=True)
print(run.train(replace(config, steps=6, sources=few, micro_batch=1, global_batch=1), Path(sys.argv[1])))
"""


def killed(command: list[str], wait: float, ready: bool) -> bool:
    """Start a program, kill it `wait` seconds after it is ready (or started); False if it ended before."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if ready:
        process.stdout.readline()
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return process.returncode == -signal.SIGKILL


def is_whole(folder: Path) -> bool:
    """Tokens that load, all of one save."""
    try:
        tokens = VisualTokens.load(folder)
    except Ov2Error as error:
        print(error)
        return False
    return not folder.name == "saved" or len(np.unique(tokens.canvases)) == 1


def try_saves(folder: Path, moments: int, chance: random.Random) -> list[bool]:
    """`VisualTokens.save`, 64 canvases."""
    n = 64
    blank = np.zeros((n, 112, 112, 3), np.uint8)
    places = np.stack([np.repeat(np.arange(n), 64), *np.tile(np.divmod(np.arange(64), 8), n)], axis=1)
    VisualTokens(blank, places, np.zeros(n, np.int64), 1.0, np.arange(n) * 1.0).save(folder / "saved")
    command = [sys.executable, "-c", SAVING, str(folder / "saved")]
    return [killed(command, chance.uniform(0, 1), True) and is_whole(folder / "saved") for _ in range(moments)]


def try_tokenize(folder: Path, moments: int, chance: random.Random) -> list[bool]:
    """`ov2 tokenize --out` of a synthetic clip."""
    clip = str(mini.moving_shapes(duration=2, size=(112, 112)).path)
    command = [sys.executable, "-m", "ov2lib", "tokenize", clip, "--out", str(folder / "made"), "--canvases", "8"]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - began
    outcomes = []
    while len(outcomes) < moments:
        if killed(command, chance.uniform(0.6, 1) * whole, False):
            outcomes.append(is_whole(folder / "made"))
    return outcomes


def try_training(folder: Path, moments: int, chance: random.Random) -> list[bool]:
    """A stage of six steps, each with a checkpoint, resumed after every kill; a new run where one is done."""
    from ov2lib.model import LlavaOnevision2ForConditionalGeneration
    from ov2lib.train.trainer import last_checkpoint

    outcomes, run = [], 0
    while len(outcomes) < moments:
        output = folder / f"train{run}"
        stopped = killed([sys.executable, "-c", TRAINING, str(output)], chance.uniform(0, 40), True)
        stage = output / "mini" / "stage1-full"
        standing = [path for path in (stage / "model", last_checkpoint(stage / "checkpoints")) if path and path.exists()]
        for path in standing:
            LlavaOnevision2ForConditionalGeneration.from_pretrained(path)  # raises where a file is missing or torn
        run += not stopped
        outcomes += [True] if stopped else []
        print(f"  kill {len(outcomes)}, run {run}, whole: {[path.name for path in standing]}")
    return outcomes


def main() -> int:
    """Print counts; status 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"save": try_saves, "tokenize": try_tokenize, "train": try_training}
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="save, tokenize, train (default all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moments", type=int, default=20)
    args = parser.parse_args()
    lost = 0
    for kind in args.kinds or kinds:
        with tempfile.TemporaryDirectory() as folder:
            outcomes = kinds[kind](Path(folder), args.moments, random.Random(args.seed))
            left = [path.name for path in Path(folder).iterdir() if path.name.startswith(".")]
        lost += outcomes.count(False)
        print(
            f"{kind}: {len(outcomes)} kills, {outcomes.count(True)} whole, {outcomes.count(False)} lost or torn; aside: {left}"
        )
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
