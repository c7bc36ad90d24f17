"""How sure is a mean? Percentile bootstrap intervals over clips."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EvaluationError

RESAMPLES = 2000  # assumed: the quantiles of 2,000 means move by about a hundredth of the interval from seed to seed
LEVEL = 0.95  # assumed
CHUNK = 100  # resamples at a time, so that a large dataset needs little memory


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval; low and high are None where there is only one clip, which says nothing of others."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{self.value:.2f}" if self.low is None else f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def bootstrap(
    scores: Sequence[float], clips: Sequence[Hashable], seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """The mean of `scores` with a percentile bootstrap interval.

    Questions about one clip share its difficulty, so clips are drawn with replacement, each with all its samples; where every
    sample has its own clip this is the ordinary bootstrap.

    Args:
        scores: one per sample, in [0, 1].
        clips: which clip each sample is about.
        seed: of the draws; the same seed gives the same interval.
        resamples: number of draws.
        level: share of the resampled means inside the interval.

    Raises:
        EvaluationError: no scores, or numbers of scores and clips that differ.
    """
    if not len(scores) or len(scores) != len(clips):
        raise EvaluationError(f"{len(scores)} scores of {len(clips)} samples; give one score per sample, at least one")
    index = {clip: number for number, clip in enumerate(dict.fromkeys(clips))}
    member = [index[clip] for clip in clips]
    sums, sizes = np.bincount(member, weights=scores), np.bincount(member)
    value = float(sums.sum() / sizes.sum())
    if len(sizes) == 1:
        return Interval(value, None, None)
    rng, means = np.random.default_rng(seed), []
    for start in range(0, resamples, CHUNK):
        draws = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=min(CHUNK, resamples - start))
        means.append(draws @ sums / (draws @ sizes))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
