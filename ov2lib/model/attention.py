"""Group-visible attention without a mask over all pairs: patches are cut into runs, and each run attends to itself.

Released behaviour: a grid row [t, h, w] is cut along t into runs of `frame_windows_size` = 4 frames, the remainder being
its own run. Paper: codec tokens see each other iff they share the group κ. Both are lists of runs here. Runs of equal
length form one batch for the attention kernel; runs of nearly equal length are padded to the longest of them, with a mask
over keys [runs, 1, 1, length]. Memory grows with the sum of lengths, never with its square.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch

GRANULE = 64  # our choice: runs are padded together when they round up to the same multiple, so at most 63 patches are wasted


@dataclass(frozen=True)
class Batch:
    """Runs that one kernel call attends to.

    Attributes:
        index: int64 [runs, length], the patch at each place; places past a run's end repeat its last patch.
        lengths: int64 [runs], or None when no place is past a run's end.
    """

    index: torch.Tensor
    lengths: torch.Tensor | None

    def key_mask(self, dtype: torch.dtype) -> torch.Tensor | None:
        """Additive mask [runs, 1, 1, length] that hides the places past a run's end."""
        if self.lengths is None:
            return None
        past = torch.arange(self.index.shape[1], device=self.index.device) >= self.lengths[:, None]
        return torch.zeros(past.shape, dtype=dtype, device=past.device).masked_fill(past, torch.finfo(dtype).min)[:, None, None]


@dataclass(frozen=True)
class Runs:
    """How N patches are cut into runs, planned once per forward pass and shared by all layers.

    Attributes:
        lengths: patches per run; they sum to N.
        order: int64 [N] that puts the patches run after run, or None when they already stand so.
        batches: the kernel calls, empty when the patches stand in runs of one length and are simply reshaped.
        restore: int64 [N], place of every patch in the concatenated output of `batches`; None likewise.
        boundaries: int32 [runs + 1], cumulative lengths, what variable-length kernels take.
    """

    lengths: tuple[int, ...]
    order: torch.Tensor | None
    batches: tuple[Batch, ...]
    restore: torch.Tensor | None
    boundaries: torch.Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Runs":
        """The same runs on another device; accelerate calls this where the vision tower is spread over several."""
        if self.boundaries.device == torch.device(device):
            return self

        def moved(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=non_blocking)

        batches = tuple(Batch(batch.index.to(device), moved(batch.lengths)) for batch in self.batches)
        return Runs(self.lengths, moved(self.order), batches, moved(self.restore), self.boundaries.to(device))


def plan_runs(lengths: list[int], order: torch.Tensor | None = None, device: torch.device | str = "cpu") -> Runs:
    """Sort runs into batches of (nearly) equal length; `order` (on the CPU) as in `Runs`."""
    # 1. Runs of one length need no table
    starts = [0, *accumulate(lengths)]
    boundaries = torch.tensor(starts, dtype=torch.int32, device=device)
    if len(set(lengths)) <= 1 and order is None:
        return Runs(tuple(lengths), None, (), None, boundaries)
    # 2. Runs of nearly equal length share a batch
    places = torch.arange(starts[-1]) if order is None else order
    buckets: dict[int, list[int]] = {}
    for run, length in enumerate(lengths):
        buckets.setdefault(-(-length // GRANULE), []).append(run)
    # 3. Each batch: which places it reads (padded with the run's last one), and where its results go back
    batches, restore, offset = [], torch.empty_like(places), 0
    for runs in buckets.values():
        size = torch.tensor([lengths[run] for run in runs])
        first = torch.tensor([starts[run] for run in runs])
        steps = torch.arange(int(size.max()))
        index = places[first[:, None] + torch.minimum(steps, size[:, None] - 1)]
        inside = steps < size[:, None]
        restore[index[inside]] = (offset + torch.arange(index.numel())).view_as(index)[inside]
        offset += index.numel()
        batches.append(Batch(index.to(device), None if bool(inside.all()) else size.to(device)))
    return Runs(tuple(lengths), None if order is None else order.to(device), tuple(batches), restore.to(device), boundaries)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    runs: Runs,
    interface: Callable,
    variable_length: bool,
    **kwargs,
) -> torch.Tensor:
    """Full attention within every run, through one of transformers' attention functions.

    Args:
        query, key, value: [N, heads, D].
        interface: a function of transformers' attention interface ("eager", "sdpa", "flash_attention_2", ...).
        variable_length: the interface takes run boundaries instead of batches (the flash family).
        kwargs: passed on to the interface (scaling, dropout).

    Returns:
        [N, heads, D].
    """
    # 1. Kernels of variable length take all runs at once
    states = (query, key, value)
    if variable_length:
        limits = {"cu_seq_lens_q": runs.boundaries, "cu_seq_lens_k": runs.boundaries}
        limits |= {"max_length_q": max(runs.lengths), "max_length_k": max(runs.lengths)}
        batch = [(s if runs.order is None else s[runs.order]).transpose(0, 1)[None] for s in states]
        output = interface(module, *batch, attention_mask=None, is_causal=False, **limits, **kwargs)[0][0]
        return output if runs.order is None else output[torch.argsort(runs.order)]
    # 2. Runs of one length are a batch as they stand
    if not runs.batches:
        batch = [s.unflatten(0, (len(runs.lengths), -1)).transpose(1, 2) for s in states]
        return interface(module, *batch, attention_mask=None, is_causal=False, **kwargs)[0].flatten(0, 1)
    # 3. Otherwise one call for each batch of nearly equal length
    outputs = []
    for part in runs.batches:
        batch = [s[part.index].transpose(1, 2) for s in states]
        mask = part.key_mask(query.dtype)
        outputs.append(interface(module, *batch, attention_mask=mask, is_causal=False, **kwargs)[0].flatten(0, 1))
    return torch.cat(outputs)[runs.restore]


def released_lengths(grid: list[list[int]], frame_windows_size: int) -> list[int]:
    """Run lengths of the released model: every grid row [t, h, w] in runs of `frame_windows_size` frames and a remainder."""
    return [min(frame_windows_size, t - start) * h * w for t, h, w in grid for start in range(0, t, frame_windows_size)]


def plan_visibility(
    grid: list[list[int]],
    patch_positions: torch.Tensor,
    group_ids: torch.Tensor | None,
    frame_windows_size: int,
    window_patches: int | None,
) -> tuple[Runs, Runs | None]:
    """Which patches see which: the runs of whole groups, and those of spatial windows within groups (None without).

    Args:
        grid: rows [t, h, w].
        patch_positions: int [N, 3], source (t, row, col).
        group_ids: int [N], patches of equal id see each other wherever they stand; None derives them from the grid as
            released.
        frame_windows_size: frames per run of a grid row, used when `group_ids` is None.
        window_patches: side of a spatial window in patches, or None.
    """
    # 1. Whole groups: given, or a fixed number of frames of a grid row
    device = patch_positions.device
    if group_ids is None:
        lengths = released_lengths(grid, frame_windows_size)
        groups = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
        whole = plan_runs(lengths, device=device)
    else:
        groups = torch.unique(group_ids.cpu(), return_inverse=True)[1]
        whole = _runs_of(groups, device)
    # 2. Spatial windows cut each group into squares of the source picture
    if window_patches is None:
        return whole, None
    squares = torch.div(patch_positions[:, 1:].cpu(), window_patches, rounding_mode="floor")
    cells = torch.unique(squares, dim=0, return_inverse=True)[1]
    return whole, _runs_of(groups * (int(cells.max()) + 1) + cells, device)


def _runs_of(ids: torch.Tensor, device: torch.device) -> Runs:
    order = torch.argsort(ids, stable=True)
    lengths = torch.unique_consecutive(ids[order], return_counts=True)[1].tolist()
    sorted_already = bool((ids[1:] >= ids[:-1]).all())
    return plan_runs(lengths, None if sorted_already else order, device)
