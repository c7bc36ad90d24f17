"""Canvas size: aspect ratio kept, both sides whole blocks, pixels within bounds."""

import math

from .errors import Ov2Error

MIN_PIXELS = 56 * 56  # published: codec-video-prep, smallest canvas
MAX_PIXELS = 392 * 392  # published: the paper's token statistics count 392x392 frames (196 tokens)
MAX_ASPECT = 200  # published: codec-video-prep refuses longer strips


def canvas_size(
    height: int, width: int, max_pixels: int = MAX_PIXELS, patch_size: int = 14, min_pixels: int = MIN_PIXELS, merge: int = 2
) -> tuple[int, int]:
    """Size (height, width) in pixels of the canvas for a source frame of the given size.

    >>> canvas_size(1080, 1920), canvas_size(640, 360, patch_size=16)
    ((280, 504), (512, 288))

    Sides are rounded to the nearest multiple of `merge * patch_size`; a frame above `max_pixels` is shrunk and rounded down,
    one below `min_pixels` enlarged and rounded up (codec-video-prep, the rule of Qwen2-VL). Never exceeds `max_pixels`.

    Raises:
        Ov2Error: an aspect ratio beyond 200, bounds that not even one block fits, or a patch size or merge below 1.
    """
    block = merge * patch_size
    if min(merge, patch_size) < 1:
        raise Ov2Error(f"patch_size={patch_size}, merge={merge}; each must be at least 1")
    if max_pixels < block * block:
        raise Ov2Error(f"max_pixels={max_pixels} does not hold one {block}x{block} block; use at least {block * block}")
    if not 0 < max(height, width) <= MAX_ASPECT * min(height, width):
        raise Ov2Error(f"a {width}x{height} frame is empty or longer than {MAX_ASPECT}:1; crop it differently")
    h, w = (max(block, round(side / block) * block) for side in (height, width))
    min_pixels = min(min_pixels, max_pixels)
    if h * w > max_pixels:
        scale = math.sqrt(max_pixels / (height * width))
        h, w = (max(block, math.floor(side * scale / block) * block) for side in (height, width))
    elif h * w < min_pixels:
        scale = math.sqrt(min_pixels / (height * width))
        h, w = (math.ceil(side * scale / block) * block for side in (height, width))
    while h * w > max_pixels:  # a strip so long that its short side was raised to one block
        h, w = (h - block, w) if h > w else (h, w - block)
    return h, w
