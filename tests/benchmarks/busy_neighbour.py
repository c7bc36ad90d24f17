"""What a busy neighbour costs: `python tests/benchmarks/busy_neighbour.py`, on a machine with nothing else running.

Another process keeps one of two cores busy. Each figure is the median time of a front end beside it, on as many workers as the
process may use cores, over its median time with `workers=1` and nothing else running; the free time on all cores stands
beside it. The last line is a training step on two threads beside the neighbour over one alone, with threads that sleep
while they wait (as `ov2 reproduce` and `make lab` set them) and with OpenMP's own way, spinning.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from front_ends import BEACH, FRONT_ENDS, seconds

from ov2lib import tokenize_video

STEPS = """
import sys, time, torch
torch.set_num_threads(2)
layer = torch.nn.TransformerEncoderLayer(96, 4, 192, dropout=0.0, batch_first=True)
model = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
batch, times = torch.randn(4, 128, 96), []
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    model(batch).square().mean().backward()
    times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2])
"""


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def median(work, rounds: int) -> float:
    """Median wall time of a call."""
    return statistics.median(seconds(work) for _ in range(rounds))


def training_step(policy: str, steps: int) -> float:
    """Median seconds of a training step in a process of its own, whose OpenMP waits in this way."""
    env = os.environ | {"OMP_WAIT_POLICY": policy}
    out = subprocess.run([sys.executable, "-c", STEPS, str(steps)], env=env, check=True, capture_output=True, text=True)
    return float(out.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    for front_end in FRONT_ENDS:
        alone = median(lambda name=front_end: tokenize_video(BEACH, name, workers=1), args.rounds)
        free = median(lambda name=front_end: tokenize_video(BEACH, name), args.rounds)
        with neighbour():
            busy = median(lambda name=front_end: tokenize_video(BEACH, name), args.rounds)
        print(f"{front_end}, one worker alone 1: all cores alone {free / alone:.2f}, beside a neighbour {busy / alone:.2f}")
    for policy in ("PASSIVE", "ACTIVE"):
        alone = training_step(policy, args.steps)
        with neighbour():
            busy = training_step(policy, args.steps)
        print(f"a training step on two threads, waiting {policy.lower()}: {busy / alone:.2f} beside a neighbour (alone is 1)")


if __name__ == "__main__":
    main()
