"""What each ingredient does to the selection: the paper's front end with scores, constants or groups changed (notebook 16).

    python -m kit.studies.selection --output runs/selection

runs it on clips of three kinds. Copies of its selection.csv and selection.json are in `notebooks/kit/school/results/`.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from ov2lib.codec import scoring
from ov2lib.codec.analysis import RESIDUAL_STEP, Batch, Scorer, Video, bit_prior, candidates, on_canvas
from ov2lib.codec.config import FixedConfig, PaperConfig
from ov2lib.codec.frontend import pack_group, partition_packets, plan_groups
from ov2lib.tokens import MERGE
from ov2lib.video.compensate import CELL
from ov2lib.video.parallel import usable_cores
from ov2lib.video.signals import motion_and_residual, motion_size
from ov2lib.video.source import Source

from .. import world
from ..records import write_results
from .coverage import ENOUGH, NEAR

DEFAULT = "motion + residual, as published"
KINDS = {"jump rope": world.jump_rope, "moving shapes": world.moving_shapes, "camera cuts": world.camera_cuts}
SEEDS = range(12)  # clips of each kind
LIKE = {"duration": 10, "size": (180, 320), "fps": 15}
CONFIG = PaperConfig(num_canvases=12)


def weighted(motion: float, residual: float, bits: float) -> Scorer:
    """Block scores a·ΣM̄ + b·ΣR̄ + c·Σ(bit-cost prior); (1, 1, 0) is the paper's."""

    def score(video: Video, batch: Batch) -> np.ndarray:
        height, width = video.coded_canvas
        out = np.float32(bits) * bit_prior(video, batch)
        for i, linked in enumerate(batch.linked):
            if linked.past:
                vectors, change = motion_and_residual(linked, batch.motion, i, video.source, batch.small, past=1)
                filled = tuple(side / CELL for side in motion_size(video.source))
                moved = scoring.resize_and_sum(scoring.normalize_motion(vectors), height, width, video.block, filled)
                changed = scoring.block_sums(scoring.normalize_residual(change), video.block // RESIDUAL_STEP)
                out[i] += np.float32(motion) * moved + np.float32(residual * RESIDUAL_STEP**2) * changed
        return out

    return score


def variants(config: PaperConfig) -> dict[str, tuple[PaperConfig, Scorer]]:
    """The published front end first, then each with one thing changed."""
    paper = weighted(1, 1, 0)
    return {
        DEFAULT: (config, paper),
        "motion only": (config, weighted(1, 0, 0)),
        "residual only": (config, weighted(0, 1, 0)),
        "β = 1: bits added": (config, weighted(1, 1, 1)),
        "bits only": (config, weighted(0, 0, 1)),
        "λ = 0: no attenuation": (replace(config, attenuation=0.0), paper),
        "λ = 1": (replace(config, attenuation=1.0), paper),
        "α = 0: no bonus": (replace(config, peak=0.0), paper),
        "α = 2": (replace(config, peak=2.0), paper),
        "fixed groups": (FixedConfig(**asdict(config)), paper),
    }


def select(path: str | os.PathLike, config: PaperConfig, scorer: Scorer) -> np.ndarray:
    """The blocks on packed canvases as (source frame, block row, block column), int64 [k, 3].

    Raises:
        VideoError: the file cannot be read as video.
    """
    source = Source.open(path)
    video = on_canvas(source, config.max_pixels, config.patch_size)
    selection = []
    for plan in plan_groups(source.packets, partition_packets(source.packets, config), config.num_canvases):
        frames = list(candidates(video, np.union1d(plan.frames, plan.anchor), scorer, 1))
        _, positions = pack_group(frames, plan.anchor, plan.p_canvases, video, config)
        blocks = [places[::MERGE, ::MERGE].reshape(-1, 3) // [1, MERGE, MERGE] for places in positions]
        selection += [places[places[:, 0] >= 0] for places in blocks if np.ptp(places[:, 0])]
    source.damage.warn()
    return np.concatenate(selection) if selection else np.zeros((0, 3), np.int64)


@dataclass(frozen=True)
class Effect:
    """What a variant chose.

    Attributes:
        variant: its name.
        shared: share of its blocks that the published setting chose too.
        frames: source frames with a block; each is one time tag in the prompt.
        events_seen: as `coverage.Coverage`; NaN without events.
    """

    variant: str
    shared: float
    frames: int
    events_seen: float


def compare(path: str | os.PathLike, config: PaperConfig, events: Sequence[float] = ()) -> list[Effect]:
    """Every variant on one video.

    Raises:
        VideoError: as `select`.
    """
    times, published, rows = Source.open(path).packets.frame_times, None, []
    for name, (changed, scorer) in variants(config).items():
        blocks = select(path, changed, scorer)
        own = set(map(tuple, blocks.tolist()))
        published = own if published is None else published
        near = [np.count_nonzero(np.abs(times[blocks[:, 0]] - event) <= NEAR) >= ENOUGH for event in events]
        shared = len(own & published) / max(len(own), 1)
        rows.append(Effect(name, shared, len(np.unique(blocks[:, 0])), float(np.mean(near)) if near else float("nan")))
    return rows


def study(job: tuple[str, int]) -> list[dict]:
    """`compare` on one clip, by kind and seed."""
    kind, seed = job
    clip = KINDS[kind](seed=seed, **LIKE)
    effects = compare(clip.path, CONFIG, clip.event_times)
    return [{"clip": f"{kind} {seed}", "kind": kind} | asdict(effect) for effect in effects]


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description="The selection with scores, constants or groups changed, on many clips.")
    parser.add_argument("--output", type=Path, default=Path("runs/selection"), help="folder of the study")
    folder = parser.parse_args().output
    with ProcessPoolExecutor(usable_cores()) as workers:
        rows = list(chain.from_iterable(workers.map(study, [(kind, seed) for kind in KINDS for seed in SEEDS])))
    folder.mkdir(parents=True, exist_ok=True)
    write_results(rows, folder, "selection", list(SEEDS), "kit.studies.selection")


if __name__ == "__main__":
    main()
