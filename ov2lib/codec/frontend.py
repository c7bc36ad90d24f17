"""From a video file to visual tokens: the paper's front end, fixed windows, and the released chain."""

import os
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..errors import Ov2Error, whole_number
from ..files import path_text
from ..tokens import VisualTokens
from ..video.packets import Packets
from ..video.parallel import usable_cores
from ..video.source import Source
from . import gop, packing, released, scoring
from .analysis import Candidate, Video, bit_prior, candidates, on_canvas, score_motion_residual
from .config import CANVASES_PER_GROUP, FixedConfig, PaperConfig, ReleasedConfig, front_end_config
from .picture_store import PictureStore
from .pictures import inside_bars

P_CANVASES = CANVASES_PER_GROUP - 1
CANDIDATES_PER_CANVAS = 8  # published for the released chain (32 candidate frames for 4 canvases); assumed for the paper's
Progress = Callable[[int, int], None]


def tokenize_video(
    path: str | os.PathLike | Source,
    front_end: str = "paper",
    num_canvases: int = 32,
    max_pixels: int = 153_664,
    patch_size: int = 14,
    *,
    stream: int | None = None,
    damaged: str = "skip",
    workers: int | None = None,
    progress: Progress | None = None,
    **options,
) -> VisualTokens:
    """Turn a video into codec-stream visual tokens.

    >>> tokens = tokenize_video("tests/data/beach_360x640_h264.mp4", num_canvases=8)
    >>> tokens.canvases.shape, tokens.patch_positions.shape, tokens.group_ids.tolist()
    ((8, 504, 280, 3), (5760, 3), [0, 0, 0, 0, 1, 1, 1, 1])

    Args:
        path: any video file that FFmpeg reads, or one that is open.
        front_end: "paper", "ippp" or "released".
        num_canvases: for "paper" and "ippp" a budget that is never exceeded: it buys one group for every four canvases (one
            whole frame and three P-canvases each); what the partition leaves over goes to P-canvases in proportion to what
            the groups cost in bits. For "released" it sets the candidate frames, 8 a canvas; the canvas count follows.
        max_pixels: of a canvas (392 x 392 in the paper's token statistics).
        patch_size: pixels on a patch's side.
        stream, damaged: see `Source.open`. A damaged frame is never shown whole and gives no blocks.
        workers: decoding threads, by default as many as this process may use cores. The result does not depend on it.
        progress: called with (candidate frames done, in all).
        options: further fields of the front end's class in `ov2lib.codec.config`.

    Raises:
        VideoError: the file cannot be read as video.
        Ov2Error: an argument that makes no sense.
    """
    # 1. Check the options before the file is opened
    config = front_end_config(front_end, num_canvases, max_pixels, patch_size, **options)
    workers = usable_cores() if workers is None else whole_number("workers", workers, 1)
    source = path if isinstance(path, Source) else Source.open(path_text(path, Ov2Error), stream, damaged)
    # 2. Choose the canvas, then build canvases the front end's own way
    video = on_canvas(source, config.max_pixels, config.patch_size, config.min_pixels, config.merge)
    build: Callable = _released if isinstance(config, ReleasedConfig) else _grouped
    canvases, positions, groups, details = build(video, config, workers, progress)
    source.damage.warn()
    # 3. Put them into one type, with what they were made from
    return VisualTokens(
        canvases=np.stack(canvases),
        patch_positions=np.concatenate([p.reshape(-1, 3) for p in positions]),
        group_ids=np.array(groups, np.int64),
        fps=source.packets.fps,
        frame_times=source.packets.frame_times,
        patch_size=config.patch_size,
        kind="codec",
        source=source.path,
        config=config.to_dict() | details | ({} if stream is None else {"stream": stream}),
        merge=config.merge,
    )


def score_with_prior(beta: float):
    """The paper's score with the bit-cost prior fused at weight β; β = 0 does not even compute the prior."""
    if beta == 0:
        return score_motion_residual
    return lambda video, batch: scoring.fuse(score_motion_residual(video, batch), bit_prior(video, batch), beta)


@dataclass(frozen=True, eq=False)
class GroupPlan:
    """What one group asks for: its anchor frame, its candidate frames (ascending, the anchor excluded), its P-canvases."""

    anchor: int
    frames: np.ndarray
    p_canvases: int


def partition_packets(packets: Packets, config: PaperConfig) -> gop.Partition:
    """The groups of "paper" and "ippp" for a canvas budget, from packets alone."""
    counted = packets.owner >= 0  # hidden pictures count to the frame they are sent for
    times = packets.frame_times[packets.owner[counted]]
    args = (times, packets.share[counted], (packets.kind == "I")[counted], packets.duration)
    bin_cost = gop.bin_costs(*args, cost=config.cost, smooth=config.smooth)
    groups = max(1, config.num_canvases // CANVASES_PER_GROUP)
    if isinstance(config, FixedConfig):
        return gop.uniform_partition(bin_cost, packets.duration, groups)
    return gop.partition_within(bin_cost, packets.duration, groups)


def plan_groups(packets: Packets, partition: gop.Partition, num_canvases: int) -> list[GroupPlan]:
    """Anchors, candidates and canvases of every group that holds a frame.

    The anchor is the frame nearest the middle of the group's middle bin. Candidates are spread evenly over the group's
    reference frames that are no key frames (they decode fastest and carry the motion), eight for each canvas; where there
    are few of those, over all its frames but key frames, else over all.
    """
    times, owner = packets.frame_times, partition.group_of(packets.frame_times)
    members = [np.flatnonzero(owner == k) for k in range(len(partition))]
    costs = [partition.costs[k] for k, m in enumerate(members) if len(m)]
    anchors = [int(m[np.argmin(np.abs(times[m] - partition.anchors[k]))]) for k, m in enumerate(members) if len(m)]
    members = [m for m in members if len(m)]
    shares = share_canvases(np.array(costs), np.array([len(m) - 1 for m in members]), num_canvases)
    is_key = packets.key[packets.frame_packet]
    is_reference = packets.reference[packets.frame_packet]
    plans = []
    for anchor, frames, p_canvases in zip(anchors, members, shares.tolist(), strict=True):
        count = CANDIDATES_PER_CANVAS * (1 + p_canvases)
        others = frames[frames != anchor]
        pools = (others[~is_key[others] & is_reference[others]], others[~is_key[others]], others)
        pool = next((p for p in pools if len(p) >= max(2 * p_canvases, 1)), others)
        picks = pool if len(pool) <= count else pool[np.linspace(0, len(pool) - 1, count).round().astype(int)]
        plans.append(GroupPlan(anchor, picks, p_canvases))
    return plans


def share_canvases(costs: np.ndarray, frames: np.ndarray, num_canvases: int) -> np.ndarray:
    """P-canvases per group, int64: up to three each, the rest in proportion to what the groups cost in bits.

    Args:
        costs: what each group spends. frames: candidate frames each has; a group never gets more canvases than frames.
        num_canvases: the budget, one I-canvas for each group included.
    """
    shares = np.minimum(P_CANVASES, frames)
    costs = costs if np.any(costs) else np.ones(len(costs))
    rest = num_canvases - len(costs)
    while shares.sum() > rest:  # a budget under four canvases a group: take from those that have most, the cheapest first
        shares[np.lexsort((costs, -shares))[0]] -= 1
    rest -= int(shares.sum())
    while rest and (shares < frames).any():
        due = np.where(shares < frames, costs / (shares + 1), -1.0)  # highest averages, so nobody waits for a full quota
        shares[int(np.argmax(due))] += 1
        rest -= 1
    return shares


def _grouped(video: Video, config: PaperConfig, workers: int, progress: Progress | None):
    packets = video.source.packets
    partition = partition_packets(packets, config)
    plans = plan_groups(packets, partition, config.num_canvases)
    targets = np.unique(np.concatenate([np.append(p.frames, p.anchor) for p in plans]))
    canvases, positions, groups = [], [], []
    scored = candidates(video, targets, score_with_prior(config.beta), workers, measures=config.beta > 0)
    with closing(_counted(scored, len(targets), progress)) as stream:
        for group, plan in enumerate(plans):
            frames = [next(stream) for _ in range(len(plan.frames) + 1)]
            made, places = pack_group(frames, plan.anchor, plan.p_canvases, video, config)
            canvases += made
            positions += places
            groups += [group] * len(made)
    occupied = np.unique(partition.group_of(packets.frame_times))  # a group without a frame belongs to the one before it
    edges = [*partition.edges[occupied].tolist(), float(partition.edges[-1])]
    details = {"group_edges": edges, "quota": partition.quota} | _read_from(video.source)
    return canvases, positions, groups, details


def _read_from(source: Source) -> dict:
    """What the configuration says of the stream: its codec, and where each signal comes from."""
    return {"codec": source.codec, "origins": source.origins}


def _counted(stream: Generator[Candidate], total: int, progress: Progress | None) -> Generator[Candidate]:
    with closing(stream):  # whatever is raised here, no thread lives on
        for done, candidate in enumerate(stream, start=1):
            if progress:
                progress(done, total)
            yield candidate


def pack_group(frames: list[Candidate], anchor: int, p_canvases: int, video: Video, config: PaperConfig):
    """Canvases and positions of one group: its anchor whole, its best blocks around it, in time order.

    A bad anchor is replaced by the good frame nearest in time; bad frames give no blocks (if all are bad they stay).
    """
    good = [f for f in frames if f.good] or frames
    whole = min(good, key=lambda f: (abs(f.index - anchor), f.index))
    rest = [f for f in good if f is not whole]
    rows, cols = whole.scores.shape
    canvases, positions = [whole.picture], [packing.whole_frame(whole.index, video.height, video.width, video.patch_size)]
    if not rest or not p_canvases:
        return canvases, positions
    times = np.array([f.index for f in rest])
    attenuated = packing.attenuate(np.stack([f.scores.ravel() for f in rest]), config.attenuation)
    usable = inside_bars([whole.picture, *(f.picture for f in rest)], video.block).ravel()
    before = int((times < whole.index).sum())
    selection, ahead = packing.arrange(attenuated, before, p_canvases, rows * cols, usable, config.peak)
    pictures = [f.picture for f in rest]
    packed = [packing.place_blocks(pictures, times, blocks, video.patch_size, video.merge) for blocks in selection]
    packed.insert(ahead, (canvases[0], positions[0]))
    return [c for c, _ in packed], [p for _, p in packed]


def _released(video: Video, config: ReleasedConfig, workers: int, progress: Progress | None):
    # 1. Candidate frames, off key frames
    packets = video.source.packets
    keys = np.flatnonzero(packets.key[packets.frame_packet]) if config.avoid_keyframes else None
    count = config.num_candidates or CANDIDATES_PER_CANVAS * config.num_canvases
    frames = released.candidate_frames(len(packets.frame_times), count, keys)
    # 2. Score them; pictures wait on disk, as groups are known only afterwards
    stream = candidates(video, frames, partial(bit_prior, grid=config.grid), workers, compares=False)
    with PictureStore() as store, closing(_counted(stream, len(frames), progress)) as counted:
        scores, good = [], []
        for candidate in counted:
            store.append(candidate.picture)
            scores.append(candidate.scores.ravel())
            good.append(candidate.good)
        # 3. Group and select
        blocks = np.stack(scores)
        threshold = config.threshold
        if threshold is None:
            threshold = released.readiness_threshold(blocks, P_CANVASES * blocks.shape[1])
        selection = select_released(blocks, np.array(good), config.max_group_frames, threshold)
        canvases, positions, groups, details = _pack_released(store, frames, selection, video)
        return canvases, positions, groups, details | {"threshold": threshold}


def select_released(
    scores: np.ndarray, good: np.ndarray, max_group_frames: int = released.MAX_FRAMES, threshold: float | None = None
):
    """The released selection on block scores float32 [n, blocks]: list of (group, anchor, blocks) with candidates from 0.

    blocks int64 [k, 2] as (candidate, block). A video too short for one group (under eight candidates) becomes one group,
    where the authors' engine gives up.
    """
    budget = P_CANVASES * scores.shape[1]
    threshold = released.readiness_threshold(scores, budget) if threshold is None else threshold
    groups = released.build_groups(scores, budget, threshold, max_group_frames)
    groups = groups or [released.ReadinessGroup(0, len(scores), 0.0, "limit")]
    out = []
    for group in groups:
        part = slice(group.start, group.end)
        anchor, blocks = released.select_blocks(scores[part], budget, good[part])
        out.append((group, anchor + group.start, blocks + [group.start, 0]))
    return out


def _pack_released(store: PictureStore, frames: np.ndarray, selection: list, video: Video):
    capacity = (video.height // video.block) * (video.width // video.block)
    canvases, positions, groups = [], [], []
    for k, (group, anchor, blocks) in enumerate(selection):
        pictures, times = store.read(group.start, group.end), frames[group.start : group.end]
        flat = (blocks[:, 0] - group.start) * capacity + blocks[:, 1]
        runs = [flat[i * capacity : (i + 1) * capacity] for i in range(packing.canvases_filled(len(flat), capacity))]
        made = [packing.place_blocks(pictures, times, run, video.patch_size, video.merge) for run in runs]
        whole = packing.whole_frame(int(frames[anchor]), video.height, video.width, video.patch_size)
        canvases += [pictures[anchor - group.start]] + [c for c, _ in made]
        positions += [whole] + [p for _, p in made]
        groups += [k] * (1 + len(made))
    bounds = [[g.start, g.end] for g, _, _ in selection]
    details = {"candidates": frames.tolist(), "groups": bounds, "stops": [g.stop for g, _, _ in selection]}
    return canvases, positions, groups, details | _read_from(video.source)
