"""From a plan to shards: the worker that makes one, and the engines that call it.

A shard is written beside its place, synced and renamed; its ledger NNNNN.json comes last. What has no ledger of this plan is
made again, with the same bytes, so that a run may be killed at any moment and started again, on as many machines as there are.
"""

import hashlib
import io
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import BinaryIO

from ..errors import Ov2Error, TrainingError, describe, install_hint
from ..files import whole_file
from ..samples.cache import TokenCache
from ..samples.report import Report
from ..samples.shards import END, entry
from .inputs import local_file
from .plan import Settings, load_plan, load_settings, members, planned_sample

WORKER_MEMORY = 512 << 20  # assumed: bytes that Ray keeps free for each worker; measured below 350 MiB
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ENGINES = ("local", "ray")


def run_corpus(
    folder: Path,
    workers: int = 1,
    engine: str = "local",
    shard: tuple[int, int] = (1, 1),
    progress: Callable[[dict], None] | None = None,
    retry: bool = False,
) -> int:
    """Make the shards that are not there yet; the number of those made.

    Args:
        folder: with a plan.
        workers: processes, each on one thread.
        engine: "local" or "ray".
        shard: (i, n): only the i-th of n parts of the shards, for an array of jobs.
        progress: called with each ledger that comes in, those found first.
        retry: make shards with failed samples again; good samples are taken over.

    Raises:
        TrainingError: no plan; a part that does not exist; a worker that was killed.
        Ov2Error: the disk is full, or the folder cannot be written.
    """
    # 1. What is to do
    plan = load_plan(folder)
    load_settings(plan)
    part, parts = shard
    if engine not in ENGINES or workers < 1 or not 1 <= part <= parts:
        raise TrainingError(f"{workers} workers, engine {engine}, shard {part}/{parts}; see ov2 corpus run --help")
    todo = []
    for number in range(part - 1, plan["shards"], parts):
        ledger = read_ledger(folder, number, plan)
        if ledger is None or (retry and ledger["failed"]):
            todo.append(number)
        elif progress:
            progress(ledger)
    # 2. Do it
    start = _with_ray if engine == "ray" else _with_processes
    for ledger in start(str(folder.absolute()), todo, workers):
        if progress:
            progress(ledger)
    return len(todo)


def tokenize_shard(folder: str, number: int) -> dict:
    """Make one shard and its ledger, and return the ledger; every engine calls this.

    Raises:
        TrainingError: no plan in the folder.
        Ov2Error: the disk is full; of a sample alone, its error goes into the ledger.
    """
    # 1. The plan, and good samples of an earlier try
    place, plan = Path(folder), load_plan(Path(folder))
    settings, before = load_settings(plan), read_ledger(Path(folder), number, plan)
    good = {row["key"]: row for row in (before or {"samples": []})["samples"] if row["status"] == "ok"}
    rows, digest = [], hashlib.sha256()
    with ExitStack() as stack:
        earlier = stack.enter_context(shard_path(place, number).open("rb")) if good else io.BytesIO()
        # 2. One sample after another, straight to the disk
        with whole_file(shard_path(place, number)) as file:
            for member in members(place, number):
                if member["key"] in good:
                    row = good[member["key"]]
                    content = _read_part(earlier, row)
                else:
                    row, content = tokenize_sample(member, settings)
                rows.append(row | {"offset": file.tell()})
                file.write(content)
                digest.update(content)
            file.write(END)
    # 3. The ledger says that the shard stands
    failed = sum(row["status"] != "ok" for row in rows)
    ledger = {"identity": plan["identity"], "shard": number, "ok": len(rows) - failed, "failed": failed}
    ledger |= {"sha256": digest.hexdigest(), "bytes": shard_path(place, number).stat().st_size, "samples": rows}
    with whole_file(ledger_path(place, number)) as file:
        file.write(json.dumps(ledger, indent=1).encode() + b"\n")
    return ledger


def _read_part(shard: BinaryIO, row: dict) -> bytes:
    shard.seek(row["offset"])
    return shard.read(row["bytes"])


def tokenize_sample(member: dict, settings: Settings) -> tuple[dict, bytes]:
    """A sample's row of the ledger and its part of the shard, empty where it failed."""
    # 1. The ledger's row before any media are read
    sample, begun = planned_sample(member), time.perf_counter()
    maker = TokenCache("", settings.patch_size, workers=1)
    row = {"key": member["key"], "id": sample.id, "status": "ok", "tokens": 0}
    row["video_seconds"] = sum(one.get("seconds", 0) for one in member["facts"])
    # 2. Tokenize every media item and write them with the options that made them
    content = b""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            visuals, media = [], []
            for item in sample.media:
                with local_file(item.path) as path:
                    visuals.append(maker.fresh(replace(item, path=path), settings.options))
                options = maker.options(item, settings.options)
                kept = {name: value for name, value in options.items() if value is not None}
                media.append(replace(item, options=item.options | kept))
            content = entry(member["key"], replace(sample, media=tuple(media)), visuals, settings.picture)
            row["tokens"] = sum(tokens.num_tokens for tokens in visuals)
        except Exception as error:  # whatever a file does
            Report(1.0).skip(sample.id, error)  # raises what is no sample's fault, such as a full disk
            row |= {"status": "failed", "reason": " ".join(describe(error).split())}
    # 3. Keep the first warning, and note what the sample took
    if heard:
        row["warning"] = " ".join(str(heard[0].message).split())
    return row | {"bytes": len(content), "seconds": round(time.perf_counter() - begun, 4)}, content


def _with_processes(folder: str, numbers: list[int], workers: int) -> Iterator[dict]:
    if workers == 1 or len(numbers) <= 1:
        yield from (tokenize_shard(folder, number) for number in numbers)
        return
    # 1. Fresh processes: a fork would take over what threads of this one hold
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(min(workers, len(numbers)), get_context("spawn"), _end_with_parent) as pool:
        futures = [pool.submit(tokenize_shard, folder, number) for number in numbers]
        # 2. Ledgers as they come; the first error ends the run
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise TrainingError(
                "a worker was killed, perhaps for want of memory; what is done stays, run the same command again with fewer "
                "--workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for work for ever."""

    def watch() -> None:
        parent_process().join()  # type: ignore[union-attr]
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _with_ray(folder: str, numbers: list[int], workers: int) -> Iterator[dict]:
    """Numbers of shards go through Ray's store, and ledgers come back; pixels never do."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise Ov2Error(f"--engine ray needs Ray; {install_hint('ray')}") from error
    if not ray.is_initialized():
        here = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers}
        ray.init(log_to_driver=False, **here)
    if not numbers:
        return

    def work(row: dict) -> dict:
        return {"ledger": json.dumps(tokenize_shard(folder, row["number"]))}

    rows = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
    made = rows.map(work, num_cpus=1, memory=WORKER_MEMORY, concurrency=workers)
    yield from (json.loads(row["ledger"]) for row in made.iter_rows())


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard is."""
    return folder / f"{number:05d}.tar"


def ledger_path(folder: Path, number: int) -> Path:
    """Where its ledger is."""
    return folder / f"{number:05d}.json"


def read_ledger(folder: Path, number: int, plan: dict) -> dict | None:
    """The ledger of a shard that stands, None where it has to be made."""
    try:
        ledger = json.loads(ledger_path(folder, number).read_text())
        whole = ledger["identity"] == plan["identity"] and ledger["bytes"] == shard_path(folder, number).stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ledger if whole else None


def all_ledgers(folder: Path) -> list[dict]:
    """The ledgers of all shards that stand."""
    plan = load_plan(folder)
    ledgers = (read_ledger(folder, number, plan) for number in range(plan["shards"]))
    return [ledger for ledger in ledgers if ledger is not None]
