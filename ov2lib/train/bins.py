"""Which samples share a row of the batch: bins filled to a capacity, or batches of like length where nothing is packed."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from ..errors import TrainingError


def plan_bins(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing: the longest sample first, each into the bin that it leaves the least room in.

    Open bins are kept by their room, and the distinct rooms in a sorted list that is bisected. The list has at most
    `capacity` entries however many bins there are, so inserting into it stays cheap and n samples cost O(n log n).

    Args:
        lengths: tokens of each sample, each from 1 to `capacity`.
        capacity: tokens a bin holds.

    Returns:
        the samples' indices, bin by bin, in the order in which bins were opened and filled. Of equal lengths the lower
        index comes first and of bins with equal room the one filled last, so that equal input gives equal bins.

    Raises:
        TrainingError: samples that are empty or longer than a bin.
    """
    # 1. No sample may be longer than a bin
    sizes = _checked(lengths)
    too_long = np.flatnonzero(sizes > capacity)
    if len(too_long):
        named = ", ".join(f"{index} ({sizes[index]} tokens)" for index in too_long[:5])
        rest = f" and {len(too_long) - 5} more" if len(too_long) > 5 else ""
        raise TrainingError(f"longer than a bin of {capacity}: samples {named}{rest}; cut their last rounds or leave them out")
    # 2. Longest first, each into the open bin with the least room that still fits
    bins, by_room, rooms = [], {}, []
    for index in np.argsort(-sizes, kind="stable").tolist():
        length = int(sizes[index])
        place = bisect_left(rooms, length)
        if place == len(rooms):
            number, room = len(bins), capacity
            bins.append([])
        else:
            room = rooms[place]
            number = by_room[room].pop()
            if not by_room[room]:
                del by_room[room], rooms[place]
        # 3. Keep the open bins sorted by their room
        bins[number].append(index)
        room -= length
        if room and room not in by_room:
            insort(rooms, room)
        if room:
            by_room.setdefault(room, []).append(number)
    return bins


def utilisation(bins: Sequence[Sequence[int]], lengths: Sequence[int], capacity: int) -> float:
    """Share of the bins' places that hold a sample's token, 0 where there are no bins."""
    used = sum(lengths[index] for members in bins for index in members)
    return used / (len(bins) * capacity) if bins else 0.0


class LengthPoolSampler(Sampler[int]):
    """Indices whose batches hold samples of like length, in another order every epoch: for batches that are not packed.

    An epoch is shuffled and cut into pools; each pool is sorted by length and cut into batches; then the batches are
    shuffled. Indices come one by one, as `Trainer` and `DataLoader` expect, and every `batch_size` in a row are a batch:
    the one short batch, if there is one, comes last.

    Args:
        lengths: tokens of each sample.
        batch_size: samples a batch.
        pool: samples a pool, a multiple of `batch_size`; 1,000 to 10,000 in the public recipes. A large one pads less, a
            small one mixes lengths better over an epoch.
        seed: of the shuffles, with the epoch.

    Raises:
        TrainingError: a pool that is no multiple of the batch, an empty sample.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, pool: int = 1000, seed: int = 0):
        if batch_size < 1 or pool < 1 or pool % batch_size:
            raise TrainingError(f"a pool of {pool} is no multiple of the batch, {batch_size}; choose one that is")
        self.lengths, self.batch_size, self.pool, self.seed, self.epoch = _checked(lengths), batch_size, pool, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives; accelerate calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        pools = [order[start : start + self.pool] for start in range(0, len(order), self.pool)]
        order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools] or [order])
        whole = len(order) - len(order) % self.batch_size
        batches = random.permutation(order[:whole].reshape(-1, self.batch_size))
        yield from [*batches.ravel().tolist(), *order[whole:].tolist()]


class MixSampler(Sampler[int]):
    """Bins of an epoch, a given number from each source, in another order every epoch.

    A source's bins are all drawn before any is drawn again: what one epoch leaves out, the next ones give.

    Args:
        sizes: bins of each source, which stand one source after another.
        draws: bins of each source in an epoch.
        seed: of the order, with the epoch.
    """

    def __init__(self, sizes: Sequence[int], draws: Sequence[int], seed: int = 0):
        self.sizes, self.draws, self.seed, self.epoch = list(sizes), list(draws), seed, 0

    def __len__(self) -> int:
        return sum(self.draws)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives; accelerate calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        epoch, first = [], 0
        for source, (size, count) in enumerate(zip(self.sizes, self.draws, strict=True)):
            # Every round over the source has an order of its own; an epoch is a piece of round after round
            for place in range(self.epoch * count, (self.epoch + 1) * count):
                if place == self.epoch * count or place % size == 0:
                    order = np.random.default_rng([self.seed, source, place // size]).permutation(size)
                epoch.append(first + int(order[place % size]))
            first += size
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(epoch).tolist()


def _checked(lengths: Sequence[int]) -> np.ndarray:
    sizes = np.asarray(lengths, dtype=np.int64)
    if len(sizes) and sizes.min() < 1:
        raise TrainingError(f"sample {int(sizes.argmin())} has {sizes.min()} tokens; leave empty samples out")
    return sizes
