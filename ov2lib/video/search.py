"""Block search between two pictures: the fallback for streams whose vectors no stock decoder exports (HEVC, VP9, AV1, ...).

Coarse to fine: every displacement within reach at half size, then the neighbours of the best one at full size. Pictures
are already scaled to canvas size or half of it, so the reach covers fast motion.
"""

import numpy as np

# The pictures are of canvas size for `read_signals`, and of half of it for the front ends: twice as much on the canvas.
BLOCK = 8  # assumed: pixels of the picture on a block's side
REACH = 6  # assumed: displacements tried at half size, so 12 pixels of the picture (13 once refined)
BIAS = 0.5  # assumed: grey levels per pixel that a displacement must save over standing still, so that noise stays put
NEIGHBOUR = 0.125  # assumed: share of a neighbour's cost; known translations are found by 99 % of the blocks, without it by 89


def block_search(picture: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best vectors and the residual they leave.

    Args:
        picture, reference: uint8 [h, w], the same size.

    Returns:
        vectors int16 [ceil(h / 8), ceil(w / 8), 2] in pixels, (x, y), +x right, +y down, from a block to where it was found
        in the reference; residual float32 [h, w], picture minus moved reference.
    """
    height, width = picture.shape
    rows, cols = -(-height // BLOCK), -(-width // BLOCK)
    margin = 2 * REACH + 2
    target = np.pad(picture, ((0, rows * BLOCK - height), (0, cols * BLOCK - width)), mode="edge").astype(np.float32)
    source = np.pad(reference, ((margin, margin + BLOCK), (margin, margin + BLOCK)), mode="edge").astype(np.float32)
    coarse = _coarse(target, source, margin, rows, cols)
    steps = [(0, 0)] + [(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y]
    tries = [2 * coarse + step for step in np.array(steps)] + [np.zeros_like(coarse)]
    found = [_gather(source, vector, margin) for vector in tries]
    tiles = target.reshape(rows, BLOCK, cols, BLOCK).swapaxes(1, 2)
    cost = np.stack([np.abs(tiles - f).mean(axis=(2, 3)) + _penalty(v) for f, v in zip(found, tries, strict=True)])
    best = cost.argmin(axis=0)
    pick = np.ix_(np.arange(rows), np.arange(cols))
    vectors = np.stack(tries)[best, pick[0], pick[1]]
    residual = (tiles - np.stack(found)[best, pick[0], pick[1]]).swapaxes(1, 2).reshape(rows * BLOCK, cols * BLOCK)
    return vectors.astype(np.int16), residual[:height, :width]


def _penalty(vector: np.ndarray) -> np.ndarray:
    return BIAS * (vector != 0).any(axis=-1)


def _halve(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape
    even = picture[: height // 2 * 2, : width // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _coarse(target: np.ndarray, source: np.ndarray, margin: int, rows: int, cols: int) -> np.ndarray:
    """int [rows, cols, 2]: the best displacement at half size, the shorter one on ties."""
    half, around = _halve(target), _halve(source)
    side, edge = BLOCK // 2, margin // 2
    best = np.full((rows, cols), np.inf, np.float32)
    vectors = np.zeros((rows, cols, 2), np.int64)
    reach = range(-REACH, REACH + 1)
    for x, y in sorted(((x, y) for y in reach for x in reach), key=lambda v: (v[0] ** 2 + v[1] ** 2, v)):
        moved = around[edge + y : edge + y + half.shape[0], edge + x : edge + x + half.shape[1]]
        off = np.abs(half - moved).reshape(rows, side, cols, side)
        cost = _with_neighbours(off.sum(axis=3).sum(axis=1) / side**2) + _penalty(np.array([x, y]))
        better = cost < best
        best[better] = cost[better]
        vectors[better] = x, y
    return vectors


def _with_neighbours(cost: np.ndarray) -> np.ndarray:
    """Each block's cost plus a share of the four blocks' around it: alone, 4x4 pixels at half size are easily mistaken."""
    out = cost.copy()
    out[1:] += NEIGHBOUR * cost[:-1]
    out[:-1] += NEIGHBOUR * cost[1:]
    out[:, 1:] += NEIGHBOUR * cost[:, :-1]
    out[:, :-1] += NEIGHBOUR * cost[:, 1:]
    return out


def _gather(source: np.ndarray, vector: np.ndarray, margin: int) -> np.ndarray:
    """float32 [rows, cols, BLOCK, BLOCK]: each block of the padded reference, displaced by its vector."""
    rows, cols, _ = vector.shape
    y = np.arange(rows)[:, None] * BLOCK + vector[..., 1] + margin
    x = np.arange(cols) * BLOCK + vector[..., 0] + margin
    windows = np.lib.stride_tricks.sliding_window_view(source, (BLOCK, BLOCK))
    return windows[y, x]
