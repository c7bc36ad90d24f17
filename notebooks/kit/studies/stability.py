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
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pandas as pd

from ov2lib.codec.config import FixedConfig, PaperConfig
from ov2lib.codec.frontend import partition_packets, plan_groups
from ov2lib.codec.gop import Partition, uniform_partition
from ov2lib.files import project_root
from ov2lib.video.encode import Encoding, encode
from ov2lib.video.packets import Packets
from ov2lib.video.parallel import usable_cores
from ov2lib.video.source import read_packets

from .. import world
from ..records import read_results, write_results

SIZE, FPS = (96, 160), 10
BUDGETS = (32, 128)  # canvases
KINDS = {"jump rope": world.jump_rope, "moving shapes": world.moving_shapes, "camera cuts": world.camera_cuts}
STILL, MEDLEY, STILLS, REAL_KIND = "still", "medley", "medley with stills", "real"
PART = (5, 60)  # seconds that a part of a medley lasts, at least and at most
REAL = "tests/data/beach_360x640_h264.mp4"
SEEDS = {30: 4, 120: 4, 600: 2}  # seconds → seeds
LENGTHS = [(seconds, seed) for seconds, count in SEEDS.items() for seed in range(count)]
CLIPS = {STILLS: [(3600, 0), *LENGTHS], REAL_KIND: [(16, 0)], **dict.fromkeys([*KINDS, MEDLEY], LENGTHS)}  # the longest first
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
STEADY, CHANGING = "one pace", "changing pace"
NAMED = {16: "16 s", 30: "30 s", 120: "2 min", 600: "10 min", 3600: "1 h"}
MEASURES = ("bytes", "events", "agreement")
ADAPTIVE, PACKAGE, FIXED, AS_MANY = "adaptive", "adaptive, logarithms", "fixed", "fixed, as many as adaptive"
SHOWN = (ADAPTIVE, FIXED)


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


def rendered(kind: str, seconds: int, seed: int, folder: Path) -> Clip:
    """A clip of one of the `KINDS` or a medley: parts of all kinds, some of them stills if so named, as the pace changes."""
    # 1. A clip of one kind
    name = f"{kind} {seconds} {seed}"
    if kind in KINDS:
        clip = KINDS[kind](seconds, seed, SIZE, FPS, quality=PLAIN.quality, gop=PLAIN.gop)
        return Clip(clip.path, name, kind, clip.event_times)
    # 2. Parts of random kinds and lengths, one after the other
    names = [*KINDS, STILL] if kind == STILLS else list(KINDS)
    rng, shots, events, now = np.random.default_rng(seed), [], [], 0
    while now < seconds:
        length, drawn = min(int(rng.integers(*PART)), seconds - now), str(rng.choice(names))
        part = KINDS.get(drawn, world.moving_shapes)(length, int(rng.integers(1000)), SIZE, FPS)
        shown = pictures(part.path)
        shots.append(repeat(next(shown), length * FPS) if drawn == STILL else shown)
        events += [] if drawn == STILL else [now + time for time in part.event_times]
        now += length
    path = folder / "medley.mp4"
    encode(chain.from_iterable(shots), path, SIZE, FPS, PLAIN)
    return Clip(path, name, kind, tuple(events))


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


def results() -> pd.DataFrame:
    """The committed run, one row a clip, change, budget and arm.

    `pace` says whether the clip's kind changes its pace, `case` that and how long the clip is.
    """
    table = pd.DataFrame(read_results("stability")[0]).replace("nan", np.nan)
    table = table.astype(dict.fromkeys(("seconds", "canvases", "groups"), int) | dict.fromkeys(MEASURES, float))
    pace = table["kind"].map({REAL_KIND: "real clip", MEDLEY: CHANGING, STILLS: CHANGING}).fillna(STEADY)
    return table.assign(pace=pace, case=pace + ", " + table["seconds"].map(NAMED))


def cases(table: pd.DataFrame) -> list[str]:
    """The cases of `results` by pace and length."""
    return table.sort_values(["pace", "seconds"], ascending=[False, True])["case"].drop_duplicates().tolist()


def of_arm(table: pd.DataFrame, shown: str) -> pd.DataFrame:
    """Rows of "adaptive" or "fixed": the fixed windows are as many as the adaptive groups, but where a change is followed."""
    follows = table["change"] != SAME
    return table[table["arm"] == ADAPTIVE] if shown == ADAPTIVE else table[table["arm"] == np.where(follows, FIXED, AS_MANY)]


def differences(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Rows of `results` with the measures of one arm minus those of another, clip by clip."""
    keys = [name for name in table.columns if name not in ("arm", "groups", *MEASURES)]
    arms = (table[table["arm"] == arm].set_index(keys)[list(MEASURES)] for arm in (first, second))
    return next(arms).sub(next(arms)).reset_index().assign(arm=f"{first} - {second}")


def study(job: tuple[str, int, int]) -> list[dict]:
    """`measure` of one clip, by kind, seconds and seed; files that only it needs are gone afterwards."""
    kind, seconds, seed = job
    with TemporaryDirectory() as folder:
        clip = Clip(project_root() / REAL, "beach", REAL_KIND) if kind == REAL_KIND else rendered(*job, Path(folder))
        return measure(clip, Path(folder))


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description="Adaptive groups against fixed ones: how even, and how steady.")
    parser.add_argument("--output", type=Path, default=Path("runs/stability"), help="folder of the study")
    folder = parser.parse_args().output
    jobs = [(kind, *length) for kind, lengths in CLIPS.items() for length in lengths]
    with ProcessPoolExecutor(usable_cores()) as workers:
        rows = list(chain.from_iterable(workers.map(study, jobs)))
    folder.mkdir(parents=True, exist_ok=True)
    write_results(rows, folder, "stability", sorted({seed for *_, seed in jobs}), "kit.studies.stability")


if __name__ == "__main__":
    main()
