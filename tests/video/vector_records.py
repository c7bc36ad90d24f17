"""Motion vectors as FFmpeg exports them, made by hand."""

import numpy as np

RECORD = np.dtype(
    [
        ("source", "i4"), ("w", "u1"), ("h", "u1"), ("src_x", "i2"), ("src_y", "i2"), ("dst_x", "i2"), ("dst_y", "i2"),
        ("flags", "u8"), ("motion_x", "i4"), ("motion_y", "i4"), ("motion_scale", "u2"),
    ],
    align=True,
)  # fmt: skip


def records(*blocks, scale: int = 4) -> np.ndarray:
    """FFmpeg's records of blocks (list, row, col, height, width, x, y): place and size in pixels, vector in 1/scale pixel."""
    out = np.zeros(len(blocks), RECORD)
    for record, (number, row, col, height, width, x, y) in zip(out, blocks, strict=True):
        record["source"] = 1 if number else -1
        record["w"], record["h"] = width, height
        record["dst_x"], record["dst_y"] = col + width // 2, row + height // 2
        record["motion_x"], record["motion_y"], record["motion_scale"] = x, y, scale
    return out
