"""Are adaptive groups more stable than fixed ones? Two meanings of the word, measured from packets alone (notebook 01).

*Even*: does a token stand for as many bytes, and as many events, in one group as in another? The spread over a clip's groups is
the coefficient of variation, standard deviation over mean; 0 is even.

*Steady*: are the groups the same when the same video is encoded again, cut at its start, or shown at another frame rate? A
moment's group before and after is compared by the share of time that both hold of what either holds, averaged over all moments.

    python -m kit.studies.stability --output runs/stability

Copies of its stability.csv and stability.json are in `notebooks/kit/school/results/`.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path

import av
import numpy as np

from ov2lib.codec.config import CANVASES_PER_GROUP, FixedConfig, PaperConfig
from ov2lib.codec.frontend import partition_packets, plan_groups
from ov2lib.codec.gop import Partition, uniform_partition
from ov2lib.evaluate.intervals import Interval, bootstrap
from ov2lib.files import project_root
from ov2lib.video.encode import Encoding, encode
from ov2lib.video.packets import Packets
from ov2lib.video.source import read_packets

from .. import world
from ..school.exam import write_results

SIZE, FPS = (96, 160), 10
BUDGETS = (32, 128)  # canvases
CLIPS = {30: 4, 120: 3, 600: 2, 3600: 1}  # seconds → clips of each kind
KINDS = {"jump rope": world.jump_rope, "moving shapes": world.moving_shapes, "camera cuts": world.camera_cuts}
STILL, MEDLEY, STILLS = "still", "medley", "medley with stills"
LONGEST = 3600  # seconds: of these, only one kind is painted
PART = (5, 60)  # seconds that a part of a medley lasts, at least and at most
REAL = "tests/data/beach_360x640_h264.mp4"
PLAIN = Encoding(quality=23, gop=50)
CUT = 1 / 8  # of a clip
SLOW = 5  # frames per second
SAME, CUT_OFF, SLOWER = "none", "first eighth cut off", "5 frames a second"
CHANGES = {
    "CRF 33 for 23": replace(PLAIN, quality=33),
    "no B frames, fewer key frames": replace(PLAIN, bframes=0, gop=250),
    "HEVC for H.264": Encoding("hevc", quality=26, gop=50),
    CUT_OFF: PLAIN,
    SLOWER: PLAIN,
}
ADAPTIVE, PACKAGE, FIXED, AS_MANY = "adaptive", "adaptive, logarithms", "fixed", "fixed, as many as adaptive"


@dataclass(frozen=True)
class Clip:
    """A video file, its name and kind, and its known events in seconds."""

    path: Path
    name: str
    kind: str
    events: tuple[float, ...] = ()


# Measures


def spread(values: np.ndarray) -> float:
    """Standard deviation over mean; NaN where all is zero."""
    return float(np.std(values) / np.mean(values)) if np.any(values) else float("nan")


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """How alike two partitions of one span are: of each moment's two groups, the time they share over the time of both."""
    pieces = np.union1d(first, second)
    middles = (pieces[:-1] + pieces[1:]) / 2
    i, j = (np.searchsorted(edges, middles) - 1 for edges in (first, second))
    shared = np.minimum(first[i + 1], second[j + 1]) - np.maximum(first[i], second[j])
    both = np.maximum(first[i + 1], second[j + 1]) - np.minimum(first[i], second[j])
    return float(np.average(shared / both, weights=np.diff(pieces)))


def partitions(packets: Packets, canvases: int) -> dict[str, Partition]:
    """The groups of one video, by adaptive cuts and by fixed windows."""
    adaptive = partition_packets(packets, PaperConfig(num_canvases=canvases))
    return {
        ADAPTIVE: adaptive,
        PACKAGE: partition_packets(packets, PaperConfig(num_canvases=canvases, cost="log1p", smooth=1)),
        FIXED: partition_packets(packets, FixedConfig(num_canvases=canvases)),
        AS_MANY: uniform_partition(adaptive.bin_cost, packets.duration, len(adaptive)),
    }


def evenness(packets: Packets, partition: Partition, canvases: int, events: Sequence[float]) -> dict[str, float]:
    """Spread over groups of the P and B bytes, and of the events, that a token stands for; tokens are as many as canvases."""
    groups = len(partition)
    tokens = np.array([1 + plan.p_canvases for plan in plan_groups(packets, partition, canvases)])
    weights = packets.frame_sizes * (packets.kind[packets.frame_packet] != "I")
    size = np.bincount(partition.group_of(packets.frame_times), weights, groups)
    count = np.bincount(partition.group_of(np.array(events)), minlength=groups)
    return {"bytes": spread(size / tokens), "events": spread(count / tokens)}


# Clips


def pictures(path: Path, start: int = 0, step: int = 1) -> Iterator[np.ndarray]:
    """Every `step`-th picture of a file from number `start` on, uint8 [H, W, 3]."""
    with av.open(str(path)) as container:
        for frame in islice(container.decode(video=0), start, None, step):
            yield frame.to_ndarray(format="rgb24")


def medley(kind: str, seconds: int, seed: int, folder: Path) -> Clip:
    """Parts of all kinds one after the other, some of them stills if the kind says so: a video that changes its pace."""
    names = [*KINDS, STILL] if kind == STILLS else list(KINDS)
    rng, shots, events, now = np.random.default_rng(seed), [], [], 0
    while now < seconds:
        length, name = min(int(rng.integers(*PART)), seconds - now), str(rng.choice(names))
        part = KINDS.get(name, world.moving_shapes)(length, int(rng.integers(1000)), SIZE, FPS)
        shown = pictures(part.path)
        shots.append(repeat(next(shown), length * FPS) if name == STILL else shown)
        events += [] if name == STILL else [now + time for time in part.event_times]
        now += length
    path = folder / "medley.mp4"
    encode(chain.from_iterable(shots), path, SIZE, FPS, PLAIN)
    return Clip(path, f"{kind} {seconds} {seed}", kind, tuple(events))


def rendered(seconds: int, seed: int, folder: Path) -> Iterator[Clip]:
    """A clip of every kind; of the longest, the one whose pace changes most."""
    if seconds < LONGEST:
        for kind, make in KINDS.items():
            clip = make(seconds, seed, SIZE, FPS, quality=PLAIN.quality, gop=PLAIN.gop)
            yield Clip(clip.path, f"{kind} {seconds} {seed}", kind, clip.event_times)
        yield medley(MEDLEY, seconds, seed, folder)
    yield medley(STILLS, seconds, seed, folder)


def changed(path: Path, change: str, packets: Packets, folder: Path) -> tuple[Path, float]:
    """The video encoded again with one of `CHANGES`, and the second at which it now begins."""
    rate, cut = round(packets.fps), int(len(packets.frame_times) * CUT) if change == CUT_OFF else 0
    step = rate // SLOW if change == SLOWER else 1
    size = next(pictures(path)).shape[:2]
    target = folder / "changed.mp4"
    encode(pictures(path, cut, step), target, size, rate // step, CHANGES[change])
    return target, float(packets.frame_times[cut])


# The study


def measure(clip: Clip, folder: Path) -> list[dict]:
    """Rows of one clip: as it is, with its evenness, and changed, with the agreement of its groups before and after."""
    # 1. As it is; groups mirrored in time say how alike unrelated groups of these lengths are
    packets = read_packets(clip.path)
    name = {"clip": clip.name, "kind": clip.kind, "seconds": round(packets.duration)}
    before = {canvases: partitions(packets, canvases) for canvases in BUDGETS}
    rows = []
    for canvases, arms in before.items():
        for arm, part in arms.items():
            mirrored = packets.duration - part.edges[::-1]
            rows.append(
                name
                | {"change": SAME, "canvases": canvases, "arm": arm, "groups": len(part)}
                | evenness(packets, part, canvases, clip.events)
                | {"agreement": agreement(part.edges, mirrored)}
            )
    # 2. Changed; both partitions on the time that both files show
    for change in CHANGES:
        path, start = changed(clip.path, change, packets, folder)
        other = read_packets(path)
        stop = min(packets.duration - start, other.duration)
        for canvases, arms in before.items():
            for arm, part in partitions(other, canvases).items():
                pair = (np.unique(np.clip(edges, 0, stop)) for edges in (arms[arm].edges - start, part.edges))
                rows.append(
                    name
                    | {"change": change, "canvases": canvases, "arm": arm, "groups": len(part)}
                    | evenness(other, part, canvases, [time - start for time in clip.events if time >= start])
                    | {"agreement": agreement(*pair)}
                )
    return [{key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()} for row in rows]


def mean(rows: Sequence[dict], measure: str) -> Interval:
    """The mean of a measure with its interval over clips; rows without a number are left out."""
    known = [row for row in rows if row[measure] == row[measure]]
    return bootstrap([row[measure] for row in known], [row["clip"] for row in known])


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description="Adaptive groups against fixed ones: how even, and how steady.")
    parser.add_argument("--output", type=Path, default=Path("runs/stability"), help="folder of the study")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    rows = measure(Clip(project_root() / REAL, "beach", "real"), folder)
    for seconds, count in CLIPS.items():
        for seed in range(count):
            for clip in rendered(seconds, seed, folder):
                rows += measure(clip, folder)
                print(clip.name, flush=True)
    write_results(rows, folder, "stability", list(range(max(CLIPS.values()))), "kit.studies.stability")


if __name__ == "__main__":
    main()
