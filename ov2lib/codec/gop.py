"""Variable-length groups of pictures, cut where the bits are spent (equations 2 to 4).

Packet sizes of P and B pictures are summed in short bins (e_b); a group is closed when it has spent its quota θ, within
bounds on its length, and the cut is moved to the cheapest bin nearby.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..display import html_table
from ..errors import Ov2Error
from .logarithm import log1p

BIN_SECONDS = 0.5  # published: codec-video-prep (Δ; the paper gives only the symbol)
MIN_SECONDS, MAX_SECONDS = 1.5, 6.0  # published: codec-video-prep (L_min, L_max)
SECONDS_PER_GROUP, MAX_GROUPS = 8.0, 16  # published: codec-video-prep, K = clamp(round(duration / 8 s), 1, 16)
COSTS = ("bytes", "log1p")  # see `bin_costs`
VALLEY_BINS = 3  # published: codec-video-prep, W = max(1, min(3, L_max // 3))
ROUNDING = 1e-9  # of a bin: a time this close below a bin's edge lies on it (ticks times time base are not exact)


@dataclass(frozen=True, eq=False)
class Cut:
    """One group in bins: first bin s_k, the bin i_k where it was triggered, the last bin c_k; why: "quota", "max" or "end"."""

    start: int
    trigger: int
    end: int
    why: str


@dataclass(frozen=True, eq=False)
class Partition:
    """Groups that tile [0, duration).

    Attributes:
        edges: float64 [K' + 1], seconds: 0, the cuts, duration. Group k is [edges[k], edges[k+1]).
        anchors: float64 [K'], seconds: the middle of each group's middle bin.
        costs: float64 [K'], what each group spends (sum of its bins).
        cuts: the groups in bins.
        bin_cost: float64 [B], e_b.
        quota: θ.
        bin_seconds: Δ.
    """

    edges: np.ndarray
    anchors: np.ndarray
    costs: np.ndarray
    cuts: tuple[Cut, ...]
    bin_cost: np.ndarray
    quota: float
    bin_seconds: float

    def __len__(self) -> int:
        return len(self.costs)

    def _repr_html_(self) -> str:
        rows = zip(self.edges[:-1], self.edges[1:], self.anchors, self.costs, (cut.why for cut in self.cuts), strict=True)
        return html_table(f"Partition, quota {self.quota:.6g}", rows, ("from s", "to s", "anchor s", "cost", "why"))

    def group_of(self, times: np.ndarray) -> np.ndarray:
        """κ, int64: the group whose interval holds each time in seconds (times outside go to the nearest group)."""
        inner = self.edges[1:-1] - ROUNDING * self.bin_seconds
        return np.searchsorted(inner, times, side="right").astype(np.int64)


def bin_costs(
    times: np.ndarray,
    sizes: np.ndarray,
    is_intra: np.ndarray,
    duration: float,
    bin_seconds: float = BIN_SECONDS,
    cost: str = "bytes",
    smooth: int = 0,
) -> np.ndarray:
    """e_b: what P and B pictures cost in each bin of Δ seconds (equation 2); float64 [ceil(duration / Δ)].

    Args:
        times: presentation times in seconds, the first at 0.
        sizes: bytes.
        is_intra: bool; I pictures are left out.
        duration: seconds.
        cost: "bytes" sums sizes (the paper), "log1p" sums log(1 + size) (the authors' code).
        smooth: average over this many bins to either side (the paper 0, the authors' code 1).

    Raises:
        Ov2Error: another `cost`, or a negative `smooth`.
    """
    if cost not in COSTS or smooth < 0:
        raise Ov2Error(f"cost={cost!r}, smooth={smooth}; cost is 'bytes' or 'log1p', smooth at least 0")
    count = max(1, math.ceil(duration / bin_seconds - ROUNDING))
    weight = log1p(sizes) if cost == "log1p" else np.asarray(sizes, np.float64)
    bins = np.clip((np.asarray(times) / bin_seconds + ROUNDING).astype(np.int64), 0, count - 1)
    e = np.bincount(bins, np.where(is_intra, 0.0, weight), count)
    if smooth:
        reach = np.arange(count)
        sums = np.concatenate([[0.0], np.cumsum(e)])
        low, high = np.maximum(reach - smooth, 0), np.minimum(reach + smooth + 1, count)
        e = (sums[high] - sums[low]) / (high - low)
    return e


def num_groups(duration: float) -> int:
    """K when no budget is given: one group in eight seconds, at least 1 and at most 16."""
    return int(np.clip(round(duration / SECONDS_PER_GROUP), 1, MAX_GROUPS))


def cut_bins(bin_cost: np.ndarray, quota: float, min_bins: int, max_bins: int, valley: int) -> list[Cut]:
    """Equations 3 and 4 on plain arrays: trigger, then the valley around it; the last cut may be short."""
    # 1. Walk over the bins and add up their cost
    cost, cuts, start, spent = bin_cost.tolist(), [], 0, 0.0
    last = len(cost) - 1
    i = 0
    while i <= last:
        spent += cost[i]
        length = i - start + 1
        # 2. When the quota is spent (or the group is long), cut at the cheapest bin nearby, the valley
        if length >= max_bins or (length >= min_bins and spent >= quota):
            why = "max" if length >= max_bins and spent < quota else "quota"
            low, high = max(start + min_bins - 1, i - valley), min(start + max_bins - 1, i + valley, last)
            end = min(range(low, high + 1), key=lambda b: (cost[b], abs(b - i)))
            cuts.append(Cut(start, i, end, why))
            start = i = end + 1
            spent = 0.0
        else:
            i += 1
    # 3. What is left is the last group
    if start <= last:
        cuts.append(Cut(start, last, last, "end"))
    return cuts


def partition(
    bin_cost: np.ndarray,
    duration: float,
    groups: int | None = None,
    bin_seconds: float = BIN_SECONDS,
    min_seconds: float = MIN_SECONDS,
    max_seconds: float = MAX_SECONDS,
) -> Partition:
    """Cut a video into groups (equations 2 to 4).

    Args:
        bin_cost: e_b, float64 [B].
        duration: seconds.
        groups: K, which sets the quota θ = Σ e_b / K (the number of groups that results may differ); None for the
            published rule.
        min_seconds, max_seconds: L_min and L_max.

    Degenerate cases: all costs zero counts every bin as 1; a last group shorter than L_min / 2 joins the one before it.
    """
    # 1. What a group may cost: the video's cost over the number of groups
    bin_cost = np.asarray(bin_cost, np.float64)
    weights = bin_cost if bin_cost.sum() > 0 else np.ones_like(bin_cost)
    quota = float(weights.sum() / (groups or num_groups(duration)))
    # 2. Bounds in whole bins
    min_bins = max(1, math.ceil(min_seconds / bin_seconds - ROUNDING))
    max_bins = max(min_bins, math.ceil(max_seconds / bin_seconds - ROUNDING))
    # 3. Cut; a tail too short to stand alone joins the group before it
    cuts = cut_bins(weights, quota, min_bins, max_bins, max(1, min(VALLEY_BINS, max_bins // 3)))
    if len(cuts) > 1 and duration - cuts[-1].start * bin_seconds < min_seconds / 2:
        tail, before = cuts.pop(), cuts.pop()
        cuts.append(Cut(before.start, before.trigger, tail.end, before.why))
    # 4. From bins to seconds; a group's anchor is the middle of its middle bin
    starts = np.array([c.start for c in cuts])
    edges = np.append(starts * bin_seconds, duration)
    middles = np.array([(c.start + c.end) // 2 for c in cuts])
    return Partition(
        edges=edges,
        anchors=np.minimum((middles + 0.5) * bin_seconds, duration),
        costs=np.add.reduceat(bin_cost, starts),
        cuts=tuple(cuts),
        bin_cost=bin_cost,
        quota=quota,
        bin_seconds=bin_seconds,
    )


def partition_within(bin_cost: np.ndarray, duration: float, max_groups: int, bin_seconds: float = BIN_SECONDS) -> Partition:
    """The finest partition of at most `max_groups` groups, for a canvas budget.

    K starts at `max_groups` and is lowered until the groups fit. Where the budget makes groups longer on average than half
    of L_max, both length bounds are stretched by the same factor, so that L_max stays twice the average (assumed: the
    paper does not say how a budget meets a long video).
    """
    stretch = max(1.0, 2 * duration / (max_groups * MAX_SECONDS))
    bounds = {"min_seconds": stretch * MIN_SECONDS, "max_seconds": stretch * MAX_SECONDS}
    for k in range(max_groups, 0, -1):
        result = partition(bin_cost, duration, k, bin_seconds, **bounds)
        if len(result) <= max_groups:
            return result
    return partition(bin_cost, duration, 1, bin_seconds, duration, duration)  # all is spent early, and the rest is over budget


def uniform_partition(bin_cost: np.ndarray, duration: float, groups: int, bin_seconds: float = BIN_SECONDS) -> Partition:
    """Windows of equal length: the fixed-GOP baseline ("IPPP"), and the fallback for a video without packets."""
    edges = np.linspace(0.0, duration, groups + 1)
    centres = (np.arange(len(bin_cost)) + 0.5) * bin_seconds
    owner = np.clip(np.searchsorted(edges[1:-1], centres, side="right"), 0, groups - 1)
    return Partition(
        edges=edges,
        anchors=(edges[:-1] + edges[1:]) / 2,
        costs=np.bincount(owner, bin_cost, groups),
        cuts=(),
        bin_cost=np.asarray(bin_cost, np.float64),
        quota=float(np.sum(bin_cost) / groups),
        bin_seconds=bin_seconds,
    )
