"""From what a user hands over (a path, an image, decoded frames, `VisualTokens`) to `VisualTokens`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from transformers.image_utils import load_image

import ov2lib

from ..codec.geometry import canvas_size
from ..errors import ModelError
from ..tokens import FRAMES_PER_GROUP, VisualTokens
from ..video.stream import read_packets

BACKENDS = ("codec", "frames")
FRAME_PIXELS = (200_704, 1_605_632)  # published: pixels per sampled frame, min and max
MAX_FRAMES = 384  # published


@dataclass(frozen=True)
class MediaOptions:
    """How images and videos become visual tokens.

    Attributes:
        video_backend: "codec" (canvases chosen by bit cost, motion and residual) or "frames" (evenly sampled).
        front_end: codec only, "released" (what the published checkpoint is fed), "paper" or "ippp".
        num_canvases: codec only; None leaves the front end's own default.
        target_fps: frames only, frames per second wanted, at most `max_frames` in all.
        num_frames: frames only, frames wanted.
        max_frames: frames only, at most so many where `num_frames` does not say.
        min_pixels, max_pixels: pixels per image, frame or canvas; None leaves the checkpoint's or backend's own default.
    """

    video_backend: str = "codec"
    front_end: str = "released"
    num_canvases: int | None = None
    target_fps: float | None = None
    num_frames: int | None = None
    max_frames: int = MAX_FRAMES
    min_pixels: int | None = None
    max_pixels: int | None = None

    def __post_init__(self):
        if self.video_backend not in BACKENDS:
            raise ModelError(f"video_backend is {self.video_backend!r}; use 'codec' or 'frames'")
        for name in ("num_canvases", "target_fps", "num_frames", "max_frames", "min_pixels", "max_pixels"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ModelError(f"{name} is {value}; it must be positive")


def is_image(item: object) -> bool:
    """One image rather than a list of them."""
    return isinstance(item, (str, Path, Image.Image, VisualTokens)) or (isinstance(item, np.ndarray) and item.ndim < 4)


def is_video(item: object) -> bool:
    """One video rather than a list of them: a path, tokens, an array [T, H, W, 3] or a sequence of frames."""
    if isinstance(item, (list, tuple)):
        return len(item) > 0 and isinstance(item[0], (Image.Image, np.ndarray)) and np.ndim(item[0]) < 4
    return isinstance(item, (str, Path, VisualTokens, np.ndarray))


def flatten(items: object, is_one: Callable[[object], bool]) -> list:
    """One item, a list of items or a list of lists (per prompt) as a flat list."""
    if items is None:
        return []
    if is_one(items):
        return [items]
    if not isinstance(items, (list, tuple)):
        raise ModelError(f"cannot use a {type(items).__name__} as an image or video; pass a path, pictures or VisualTokens")
    return [one for item in items for one in flatten(item, is_one)]


def count_frames(total_frames: int, seconds: float, options: MediaOptions) -> int:
    """How many frames the published video processor samples, never more than there are.

    `target_fps` decides if given, up to `max_frames`; else `num_frames`; else 8 below 10 s, 16 below 30 s, and `max_frames`
    beyond. Which ones is round(linspace(0, T − 1, n)), in `tokenize_frames`.
    """
    if options.target_fps is not None:
        wanted = min(max(1, round(seconds * options.target_fps)), options.max_frames)
    elif options.num_frames is not None:
        wanted = options.num_frames
    else:
        wanted = 8 if seconds < 10 else 16 if seconds < 30 else options.max_frames
    return min(wanted, total_frames)


def fit(image: Image.Image, min_pixels: int, max_pixels: int, patch_size: int) -> np.ndarray:
    """Resize to whole blocks within the pixel budget (`codec.geometry.canvas_size`): uint8 [H, W, 3]."""
    height, width = canvas_size(image.height, image.width, max_pixels, patch_size, min_pixels)
    resized = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.convert("RGB"))


def image_tokens(item: object, min_pixels: int, max_pixels: int, patch_size: int) -> VisualTokens:
    """One image (path, URL, PIL image, uint8 array [H, W, 3], or `VisualTokens` of kind "image").

    Raises:
        ModelError: not an image, or tokens of another kind or patch size.
    """
    if isinstance(item, VisualTokens):
        return _check(item, ("image",), patch_size)
    canvas = fit(_picture(item), min_pixels, max_pixels, patch_size)
    zero = np.zeros(1, dtype=np.int64)
    return _tokens(canvas[None], zero, zero, 1.0, patch_size, "image")


def video_tokens(item: object, options: MediaOptions, metadata: dict | None, patch_size: int) -> VisualTokens:
    """One video (path, decoded frames, or `VisualTokens` of kind "codec" or "frames").

    Args:
        item: a path goes through the chosen backend; tokens and decoded frames are taken as they are.
        metadata: for decoded frames, `fps` of the source and, where not every frame was kept, `frames_indices`.

    Raises:
        ModelError: frames without times, or for the codec backend; tokens of another kind or patch size.
        VideoError: a file that is not a readable video.
    """
    if isinstance(item, VisualTokens):
        return _check(item, BACKENDS, patch_size)
    if not isinstance(item, (str, Path)):
        return _decoded(item, options, metadata, patch_size)
    budget = {name: getattr(options, name) for name in ("min_pixels", "max_pixels") if getattr(options, name) is not None}
    if options.video_backend == "codec":
        if options.num_canvases is not None:
            budget["num_canvases"] = options.num_canvases
        return ov2lib.tokenize_video(item, front_end=options.front_end, patch_size=patch_size, **budget)
    packets = read_packets(item)
    count = count_frames(len(packets.frame_times), packets.duration, options)
    return ov2lib.tokenize_frames(item, num_frames=count, patch_size=patch_size, **budget)


def _picture(item: object) -> Image.Image:
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3:
            raise ModelError(f"an image array is {item.dtype} {item.shape}; expected uint8 [H, W, 3], RGB")
        return Image.fromarray(item)
    try:
        return load_image(str(item) if isinstance(item, Path) else item).convert("RGB")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"cannot read an image from {str(item)[:120]!r}: {error}; pass a picture's path or a PIL image"
        ) from error


def _decoded(frames: object, options: MediaOptions, metadata: dict | None, patch_size: int) -> VisualTokens:
    if options.video_backend == "codec":
        raise ModelError(
            "the codec backend reads a file's bitstream, and decoded frames have none; pass the video's path, or "
            "video_backend='frames'"
        )
    if not isinstance(frames, (Sequence, np.ndarray)) or len(frames) == 0:
        raise ModelError(f"a video is {type(frames).__name__}; pass a path, a sequence of frames, or VisualTokens")
    if not metadata or not metadata.get("fps"):
        raise ModelError(
            "decoded frames carry no times; pass video_metadata=[{'fps': 25.0}], with 'frames_indices' if frames were skipped"
        )
    indices = np.asarray(metadata.get("frames_indices", np.arange(len(frames))), dtype=np.int64)
    if indices.shape != (len(frames),):
        raise ModelError(f"video_metadata has {indices.size} frames_indices for {len(frames)} frames; pass one per frame")
    low, high = options.min_pixels or FRAME_PIXELS[0], options.max_pixels or FRAME_PIXELS[1]
    canvases = np.stack([fit(_picture(frame), low, high, patch_size) for frame in frames])
    groups = np.arange(len(frames)) // FRAMES_PER_GROUP
    return _tokens(canvases, indices, groups, float(metadata["fps"]), patch_size, "frames")


def _tokens(canvases: np.ndarray, t: np.ndarray, group_ids: np.ndarray, fps: float, patch_size: int, kind: str) -> VisualTokens:
    """Tokens of whole pictures: source places are the pictures' own."""
    h, w = canvases.shape[1] // patch_size, canvases.shape[2] // patch_size
    rows, columns = np.divmod(np.tile(np.arange(h * w), len(t)), w)
    positions = np.stack([np.repeat(t, h * w), rows, columns], axis=1)
    times = np.arange(int(t.max()) + 1) / fps
    return VisualTokens(canvases, positions, group_ids, fps, times, patch_size, kind)


def _check(tokens: VisualTokens, kinds: tuple[str, ...], patch_size: int) -> VisualTokens:
    if tokens.kind not in kinds:
        where = "videos" if tokens.kind in BACKENDS else "images"
        raise ModelError(f"visual tokens of kind {tokens.kind!r} were passed as {kinds[-1]!r}; pass them under {where}=")
    if tokens.patch_size != patch_size:
        raise ModelError(f"the tokens have patches of {tokens.patch_size} pixels and the model of {patch_size}; make them anew")
    return tokens
