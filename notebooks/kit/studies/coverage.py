"""How tokens spread over a video's time, against its bits and against events; and a check that positions tell the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ov2lib.codec.analysis import candidates, on_canvas
from ov2lib.codec.gop import BIN_SECONDS, bin_costs
from ov2lib.tokens import MERGE, VisualTokens
from ov2lib.video.packets import Packets
from ov2lib.video.source import Source

NEAR = 0.1  # assumed: seconds around an event that show it
ENOUGH = 9  # assumed: tokens that show an event, a 3x3 field of blocks


@dataclass(frozen=True)
class Coverage:
    """How the packed tokens of a codec front end (whole frames left out) follow bits and events.

    Attributes:
        mismatch: half the sum over bins of |share of tokens - share of P and B bytes|: 0 follows the bits exactly, 1 not at
            all.
        unevenness: standard deviation over mean of the bytes that a packed canvas of each group stands for; 0 is even.
        events_seen: share of events with at least `ENOUGH` tokens within `NEAR` seconds; NaN without events.
    """

    mismatch: float
    unevenness: float
    events_seen: float


def block_times(tokens: VisualTokens) -> np.ndarray:
    """Source time in seconds of every language-model token, float64 [n, tokens per canvas]; NaN for padding."""
    t = tokens.patch_positions[tokens.merge_order][:: MERGE**2, 0].reshape(len(tokens.canvases), -1)
    return np.where(t >= 0, tokens.frame_times[np.maximum(t, 0)], np.nan)


def is_whole(tokens: VisualTokens) -> np.ndarray:
    """bool [n]: canvases that are one whole frame."""
    t = tokens.patch_positions[:, 0].reshape(len(tokens.canvases), -1)
    return t.min(axis=1) == t.max(axis=1)


def packed_times(tokens: VisualTokens) -> np.ndarray:
    """Source times of the tokens on packed canvases, float64, padding left out."""
    times = block_times(tokens)[~is_whole(tokens)]
    return times[~np.isnan(times)]


def group_edges(tokens: VisualTokens, duration: float) -> np.ndarray:
    """Boundaries of the groups in seconds, float64 [groups + 1], from the configuration that the front end left."""
    if "group_edges" in tokens.config:
        return np.array(tokens.config["group_edges"])
    starts = [tokens.config["candidates"][start] for start, _ in tokens.config["groups"]]
    return np.concatenate([[0.0], tokens.frame_times[starts[1:]], [duration]])


def time_shares(tokens: VisualTokens, packets: Packets) -> tuple[np.ndarray, np.ndarray]:
    """Share of the packed tokens and share of the P and B bytes in each bin of half a second, float64 [bins] each."""
    kinds = packets.kind[packets.frame_packet]
    bin_cost = bin_costs(packets.frame_times, packets.frame_sizes, kinds == "I", packets.duration)
    drawn = packed_times(tokens)
    counts = np.bincount((drawn / BIN_SECONDS + 1e-9).astype(int), minlength=len(bin_cost))
    return counts / counts.sum(), bin_cost / bin_cost.sum()


def coverage(tokens: VisualTokens, packets: Packets, events: Sequence[float] = ()) -> Coverage:
    """Measure `Coverage` of codec tokens against the packets of their video; events in seconds."""
    token_share, byte_share = time_shares(tokens, packets)
    kinds, packed, drawn = packets.kind[packets.frame_packet], ~is_whole(tokens), packed_times(tokens)
    edges = group_edges(tokens, packets.duration)
    owner = np.searchsorted(edges[1:-1], packets.frame_times, side="right")
    bytes_of = np.bincount(owner, packets.frame_sizes * (kinds != "I"), len(edges) - 1)
    tokens_of = np.bincount(tokens.group_ids[packed], minlength=len(edges) - 1)
    worth = bytes_of / np.maximum(tokens_of, 1)
    near = [np.count_nonzero(np.abs(drawn - event) <= NEAR) for event in events]
    return Coverage(
        mismatch=float(0.5 * np.abs(token_share - byte_share).sum()),
        unevenness=float(worth.std() / worth.mean()),
        events_seen=float(np.mean(np.array(near) >= ENOUGH)) if near else float("nan"),
    )


def source_frames(tokens: VisualTokens, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Decode source frames again: yields (index, picture uint8 [H, W, 3] at canvas size), ascending.

    Raises:
        VideoError: `tokens.source` cannot be read as video.
    """
    video = on_canvas(Source.open(tokens.source, tokens.config.get("stream")), tokens.config["max_pixels"], tokens.patch_size)
    for frame in candidates(video, np.unique(indices), None, 1):
        yield frame.index, frame.picture


def reread(tokens: VisualTokens) -> np.ndarray:
    """Decode the source again and compare: bool [n*h*w], the patch shows the pixels at its position (padding counts as true).

    Raises:
        VideoError: as `source_frames`.
    """
    size, (h, w) = tokens.patch_size, tokens.grid
    tiles = tokens.canvases.reshape(-1, h, size, w, size, 3).swapaxes(2, 3).reshape(-1, size, size, 3)
    t, row, col = tokens.patch_positions.T
    same = t < 0
    for index, picture in source_frames(tokens, t[t >= 0]):
        source = picture.reshape(h, size, w, size, 3).swapaxes(1, 2)
        mine = np.flatnonzero(t == index)
        same[mine] = (tiles[mine] == source[row[mine], col[mine]]).all(axis=(1, 2, 3))
    return same
