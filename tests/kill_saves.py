"""Kill programs with SIGKILL at random moments of a save and count what is left: run by hand, a few minutes.

    python tests/kill_saves.py                     20 moments of each, seed 0
    python tests/kill_saves.py --seed 1 --moments 5 save

    save       VisualTokens.save over an older folder, again and again
    tokenize   ov2 tokenize --out over an older folder
    train      training runs that save a checkpoint after every step, and the model at the end (OMP_NUM_THREADS=1)

After each kill the folder must hold the old content or the new one, whole; a run of training must resume from what is there.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from kit import world
from ov2lib import VisualTokens
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
    clip = str(world.moving_shapes(duration=2, size=(112, 112)).path)
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
    """A tiny stage that saves a checkpoint after every step, resumed after every kill; a new run where one is done."""
    from safetensors.torch import load_file

    sys.path.insert(0, str(Path(__file__).parent / "train"))
    from training_cases import tiny_stage

    from conftest import make_config
    from kit.school.model import mini_processor
    from ov2lib.model import LlavaOnevision2ForConditionalGeneration
    from ov2lib.train import trainer
    from ov2lib.train.run import train

    processor, trainer.SAVES = mini_processor(), 8
    for part in (LlavaOnevision2ForConditionalGeneration(make_config(processor)), processor):
        part.save_pretrained(folder / "start")
    with (folder / "samples.jsonl").open("w") as file:
        for number in range(48):
            turns = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "two " * (1 + number % 3)}]
            file.write(json.dumps({"id": number, "messages": turns, "media": []}) + "\n")

    def go(output: Path) -> None:
        train(tiny_stage(), output, folder / "start", {"pictures": folder / "samples.jsonl"})

    began = time.monotonic()
    go(folder / "first")
    whole, outcomes, run, seen = time.monotonic() - began, [], 0, Counter()
    while len(outcomes) < moments:
        output = folder / f"train{run}"
        child = os.fork()  # torch is imported once, and has started no threads
        if not child:
            sys.stdout = sys.stderr = open(os.devnull, "w")
            go(output)
            os._exit(0)
        time.sleep(chance.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        stopped = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        stage = output / "mini" / "stage1-full"
        standing = [
            path for path in (stage / "model", trainer.last_checkpoint(stage / "checkpoints")) if path and path.exists()
        ]
        for path in standing:  # each raises where a file is missing or torn
            LlavaOnevision2ForConditionalGeneration.from_pretrained(path)
            load_file(path / "model.safetensors")
            seen[path.name] += 1
        run += not stopped
        outcomes += [True] if stopped else []
    go(folder / f"train{run}")  # the last one too can be brought to its end
    print(f"  found whole: {dict(seen)}; runs brought to their end: {run + 1}")
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
