"""Feed damaged files to every reader and count what comes of it.

    python tests/fuzz.py 1 10000                              10,000 damaged videos of seed 1
    python tests/fuzz.py 1-4 250 --images                     250 damaged still images of each of four seeds
    python tests/fuzz.py --seed 1 --index 17 --keep bad.mp4   that one again, with its tracebacks

A damaged file is *read* when a reader makes something of it, *refused* when every one says why in one line (an `Ov2Error`).
Anything else is a failure: a *wrong error* (another exception, or a numpy warning), a *crash* (the process dies), a *hang*
(a reader takes over 20 s) or too much *memory* (over 1 GiB resident). Readers run in child processes, each of which serves
many files in turn: a crash or a hang costs one child. Files depend on the seed and the index alone.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from mutate import mutate
from zoo.pairs import IMAGES, VIDEOS

from ov2lib import Ov2Error, read_signals, tokenize_frames, tokenize_image, tokenize_video
from ov2lib.cli import inspect
from ov2lib.codec.config import FRONT_ENDS
from ov2lib.video.parallel import usable_cores

SECONDS = 20  # that one reader may take
MEMORY = 1024  # MiB that a child may hold
ADDRESS_SPACE = 6 << 30  # bytes after which a child cannot get more, so that the machine lives
LIFE = 500  # files after which a child is replaced, so that what libraries leak is not blamed on a file
FAILURES = ("wrong error", "crash", "hang", "memory")
OUTCOMES = ("read", "refused", *FAILURES)


@dataclass(frozen=True)
class Case:
    """One damaged file: number `index` of `seed`, made from the pair `name`; still: of an image format."""

    seed: int
    index: int
    still: bool = False

    @property
    def name(self) -> str:
        names = list(IMAGES if self.still else VIDEOS)
        return names[self.index % len(names)]

    def make(self, folder: Path) -> Path:
        """Write the healthy file of the pair."""
        return (IMAGES if self.still else VIDEOS)[self.name](folder)

    def damage(self, healthy: Path, folder: Path) -> tuple[Path, str]:
        """Damage the healthy file into `folder`; returns the path and what was done."""
        data, what = mutate(healthy.read_bytes(), Random(f"{self.seed} {self.index}"))
        path = folder / f"damaged{healthy.suffix}"
        path.write_bytes(data)
        return path, what

    def __str__(self):
        return f"--seed {self.seed} --index {self.index}{' --images' * self.still}"


@dataclass(frozen=True)
class Reading:
    """What one reader made of a case: one of `OUTCOMES`; why: where it failed and how."""

    reader: str
    outcome: str
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """What all readers made of a case, and the most MiB that their process held until then."""

    case: Case
    readings: tuple[Reading, ...]
    memory: int = 0

    @property
    def worst(self) -> Reading:
        """The failure that counts; without one, a reader that made something of the file if there is one."""
        order = ("refused", "read", *FAILURES)
        return max(self.readings, key=lambda reading: order.index(reading.outcome))


# --- in the child ---------------------------------------------------------------------------------------------------


def readers(path: Path, index: int) -> dict:
    """The readers of a file by name; the front end and its threads change from file to file."""
    front_end = list(FRONT_ENDS)[index // 7 % len(FRONT_ENDS)]
    video = {"num_canvases": 4 + index % 5, "workers": 1 + index % 2}
    inspect.add_arguments(inspect_arguments := argparse.ArgumentParser())
    return {
        f"tokenize_video({front_end})": lambda: tokenize_video(path, front_end, **video),
        "read_signals": lambda: [frame.residual for frame in read_signals(path)],
        "inspect": lambda: inspect.run(inspect_arguments.parse_args([str(path)])),
        "tokenize_frames": lambda: tokenize_frames(path, num_frames=4),
        "tokenize_image": lambda: tokenize_image(path),
    }


def attempt(reader) -> tuple[str, str]:
    """Run one reader: its outcome, and for a wrong error what and where."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            reader()
        return "read", ""
    except Ov2Error as error:
        lines = str(error).splitlines()
        return ("refused", "") if len(lines) == 1 else ("wrong error", f"a message of {len(lines)} lines: {str(error)[:200]!r}")
    except MemoryError as error:
        return "memory", place(error)
    except Exception as error:  # the point of the exercise: whatever else a reader lets through
        return "wrong error", place(error)


def place(error: BaseException) -> str:
    """One line for an error: its type, its message, and the innermost place of ours and of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}ov2lib{os.sep}" in frame.filename] or frames
    at = {f"{Path(frame.filename).name}:{frame.lineno}": None for frame in (ours[-1], frames[-1])}
    return f"{type(error).__name__}: {' '.join(str(error).split())[:100]} ({', '.join(at)})"


def strict() -> None:
    """Numpy's warnings count as errors; those that a user gets to read do not."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)
    np.seterr(all="warn", under="ignore")


def peak_memory() -> int:
    """Most that this process has ever held, in MiB."""
    try:
        status = Path("/proc/self/status").read_text()  # getrusage would count the parent in
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20  # bytes on macOS


def serve(pipe) -> None:
    """Say that all is loaded; then read files named through the pipe: tell each reader's name, then its outcome and why."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE,) * 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C complain there
    strict()
    pipe.send("loaded")
    for path, index in iter(pipe.recv, None):
        for name, reader in readers(path, index).items():
            pipe.send(name)
            pipe.send(attempt(reader))
        pipe.send(peak_memory())


# --- in the parent --------------------------------------------------------------------------------------------------


class Child:
    """A process that reads files, and another one whenever it dies, hangs or has served enough.

    Args:
        serve: what the process runs.
        seconds: how long it may be silent.
    """

    def __init__(self, serve=serve, seconds: float = SECONDS):
        self.serve, self.seconds, self.process = serve, seconds, None

    def start(self) -> None:
        """Start a process and wait until it has loaded its libraries."""
        context = multiprocessing.get_context("spawn")  # a forked one would share what libraries hold here
        self.pipe, theirs = context.Pipe()
        self.process, self.served = context.Process(target=self.serve, args=(theirs,), daemon=True), 0
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def stop(self, kill: bool = False) -> None:
        """End the process, if there is one; `kill`: it will not end when told."""
        if self.process is not None:
            if kill:
                self.process.kill()
            else:
                self.pipe.send(None)
            self.process.join()
            self.pipe.close()
        self.process = None

    def answer(self):
        """What the process says next.

        Raises:
            TimeoutError: nothing within the time. EOFError: it died.
        """
        if not self.pipe.poll(self.seconds):
            raise TimeoutError
        return self.pipe.recv()

    def read(self, case: Case, path: Path) -> Result:
        """Have every reader read a file."""
        if self.process is None:
            self.start()
        readings, memory, name = [], 0, ""
        # 1. Each reader's name comes before its outcome, so that it is known when the outcome does not come
        try:
            self.pipe.send((path, case.index))
            while isinstance(name := self.answer(), str):
                began = time.perf_counter()
                readings.append(Reading(name, *self.answer(), time.perf_counter() - began))
            memory = name
        except TimeoutError:
            readings.append(Reading(name, "hang", f"over {self.seconds} s", self.seconds))
        except (EOFError, ConnectionError):
            self.process.join()
            readings.append(Reading(name, "crash", f"exit status {self.process.exitcode}"))
        # 2. The last answer is the memory; a process that has failed, or served long enough, makes way for another
        if memory > MEMORY:
            readings.append(Reading("all readers", "memory", "over the limit"))
        self.served += 1
        if not memory or memory > MEMORY:
            self.stop(kill=True)
        elif self.served >= LIFE:
            self.stop()
        return Result(case, tuple(readings), memory)


def fuzz(cases: list[Case], workers: int, progress=lambda results: None) -> list[Result]:
    """Damage and read all cases with that many children; results in no particular order, told to `progress` as they grow."""
    todo, results = iter(cases), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        healthy = {case.name: case.make(Path(folder)) for case in {case.name: case for case in cases}.values()}

        def work(number: int) -> None:
            child, place = Child(), Path(folder, str(number))
            place.mkdir()
            for case in todo:
                path, _ = case.damage(healthy[case.name], place)
                results.append(child.read(case, path))
                progress(results)
            child.stop()

        list(pool.map(work, range(workers)))
    return results


def report(results: list[Result]) -> str:
    """The counts by pair, the slowest readings, then every kind of failure with the first cases that show it."""
    results = sorted(results, key=lambda result: (result.case.seed, result.case.index))
    rows = defaultdict(Counter)
    for result in results:
        rows[result.case.name][result.worst.outcome] += 1
    rows["all"] = sum(rows.values(), Counter())
    lines = [f"{'':<20}" + "".join(f"{outcome:>12}" for outcome in OUTCOMES)]
    lines += [f"{name:<20}" + "".join(f"{counts[outcome]:>12,}" for outcome in OUTCOMES) for name, counts in rows.items()]
    lines.append(f"most memory: {max(result.memory for result in results)} MiB; slowest:")
    readings = [(reading, result.case) for result in results for reading in result.readings]
    for reading, case in sorted(readings, key=lambda pair: -pair[0].seconds)[:3]:
        lines.append(f"    {reading.seconds:.1f} s in {reading.reader}: {case} ({case.name})")
    kinds = defaultdict(list)
    for reading, case in readings:
        if reading.outcome in FAILURES:
            kinds[f"{reading.outcome} in {reading.reader}: {reading.why}"].append(case)
    for kind, cases in sorted(kinds.items(), key=lambda item: -len(item[1])):
        lines += [f"{len(cases)} x {kind}"] + [f"    {case} ({case.name})" for case in cases[:4]]
    return "\n".join(lines)


def tell(results: list[Result], total: int) -> None:
    """Say on stderr how far it is, and each failure when it is seen."""
    last = results[-1]
    if last.worst.outcome in FAILURES:
        print(f"{last.case} ({last.case.name}): {last.worst}", file=sys.stderr)
    if len(results) % 500 == 0:
        print(f"{len(results):,} of {total:,}", file=sys.stderr)


def again(case: Case, keep: str | None) -> int:
    """Make one case again and read it here, with tracebacks."""
    strict()
    with tempfile.TemporaryDirectory() as folder:
        path, what = case.damage(case.make(Path(folder)), Path(folder))
        print(f"{case.name}: {what}")
        if keep:
            Path(keep).write_bytes(path.read_bytes())
        for name, reader in readers(path, case.index).items():
            print(f"--- {name}", flush=True)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    reader()
                print("read")
            except Ov2Error as error:
                print(error)
            except Exception:  # to be looked at
                traceback.print_exc(file=sys.stdout)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run as asked; status 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", nargs="?", help="a seed, or a range such as 1-4")
    parser.add_argument("count", nargs="?", type=int, help="damaged files of each seed")
    parser.add_argument("--images", action="store_true", help="damage still images, not videos")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="child processes")
    parser.add_argument("--seed", type=int, help="make one case again: its seed")
    parser.add_argument("--index", type=int, help="... and its index")
    parser.add_argument("--keep", metavar="FILE", help="... and keep the damaged file")
    args = parser.parse_args(argv)
    if args.index is not None and args.seed is not None:
        return again(Case(args.seed, args.index, args.images), args.keep)
    if args.count is None:
        parser.error("give SEEDS and COUNT, or --seed and --index")
    low, _, high = args.seeds.partition("-")
    seeds = range(int(low), int(high or low) + 1)
    cases = [Case(seed, index, args.images) for seed in seeds for index in range(args.count)]
    results = fuzz(cases, args.workers, lambda results: tell(results, len(cases)))
    print(report(results))
    return int(any(result.worst.outcome in FAILURES for result in results))


if __name__ == "__main__":
    sys.exit(main())
