"""`ov2 corpus run` on clips of four codecs, some broken: its time beside bare decodes, its memory, and what kills leave.

    python tests/benchmarks/corpus.py --clips 300 --kills 10

Clips are rendered, 6 s of 360x640, and copied under other names. The bare decodes read the same good files whole with PyAV, on
as many processes as there are workers, one thread each. Killed runs are started again until one ends; their shards must be the
undisturbed run's, byte for byte, with every good clip once and a reason for every broken one. All 150 frames of such a clip are
candidates, so the bare decodes read no frame that the shards can do without.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))
from kit.world import jump_rope  # noqa: E402

CODECS = ("h264", "hevc", "vp9", "mpeg4")
SEEDS, SECONDS, BROKEN = 3, 6.0, 10
OV2 = [sys.executable, "-m", "ov2lib", "corpus"]


def make_clips(folder: Path, count: int) -> list[Path]:
    """Good clips and `BROKEN` bad ones: half of these are cut after 2,000 bytes, half are no videos."""
    made = [jump_rope(SECONDS, seed, codec=codec).path for codec in CODECS for seed in range(SEEDS)]
    folder.mkdir(parents=True)
    good = []
    for number in range(count - BROKEN):
        source = made[number % len(made)]
        good.append(Path(shutil.copy(source, folder / f"{number:04d}{source.suffix}")))
    for number in range(BROKEN):
        content = made[number % len(made)].read_bytes()[:2000] if number % 2 else b"no video"
        (folder / f"broken-{number}.mp4").write_bytes(content)
    return good


def decode(path: Path) -> int:
    """Decode every frame on one thread and do nothing else."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def run(folder: Path, workers: int, kill_after: float | None = None) -> int:
    """Run the plan; its status, or -9 where it was killed with all its workers."""
    command = [*OV2, "run", str(folder), "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def listed(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the good samples in all ledgers, and the reason of each failed one."""
    rows = [row for path in folder.glob("0*.json") for row in json.loads(path.read_text())["samples"]]
    good = sorted(row["id"] for row in rows if row["status"] == "ok")
    return good, {row["id"]: row["reason"] for row in rows if row["status"] != "ok"}


def shards(folder: Path) -> dict[str, bytes]:
    """Content of every shard by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def main(count: int, workers: int, kills: int) -> None:
    """Print the measurements."""
    place = Path(tempfile.mkdtemp())
    good = make_clips(place / "clips", count)
    plan = [*OV2, "plan", str(place / "clips"), "--shard-size", "20", "--out"]
    for name in ("whole", "killed"):
        subprocess.run([*plan, str(place / name)], check=True, stdout=subprocess.DEVNULL)
    # 1. Bare decodes, then the corpus
    start = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        frames = sum(pool.map(decode, good))
    bare = time.perf_counter() - start
    start = time.perf_counter()
    run(place / "whole", workers)
    whole = time.perf_counter() - start
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{len(good)} good clips, {frames:,} frames, {workers} workers: bare decodes {bare:.1f} s, shards {whole:.1f} s")
    print(f"share of the bare decodes' rate: {bare / whole:.2f}; most memory of a process {most:.0f} MiB")
    # 2. Kills at random moments, then to the end
    chance = random.Random(0)
    ends = [run(place / "killed", workers, chance.uniform(0.5, 2 * whole / max(kills, 1))) for _ in range(kills)]
    run(place / "killed", workers)
    same = shards(place / "killed") == shards(place / "whole")
    print(f"{ends.count(-signal.SIGKILL)} of {kills} runs killed; shards byte for byte the same: {same}")
    # 3. Every clip has its row
    for name in ("whole", "killed"):
        once, failed = listed(place / name)
        print(f"{name}: every good clip once: {once == [path.name for path in good]}; {len(failed)} failed, with reasons:")
        print("".join(f"  {clip}: {reason}\n" for clip, reason in sorted(failed.items())), end="")
    shutil.rmtree(place)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    args = parser.parse_args()
    main(args.clips, args.workers, args.kills)
