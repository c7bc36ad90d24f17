"""From what a user hands over (a path, a picture, decoded frames, `VisualTokens`) to `VisualTokens`."""

import math
import mimetypes
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..codec.config import CANVASES_PER_GROUP, CanvasConfig
from ..codec.frontend import tokenize_video
from ..codec.sampled import tokenize_frames, tokenize_image
from ..errors import ModelError
from ..tokens import FRAMES_PER_GROUP, MERGE, VisualTokens
from ..video.images import is_animation
from ..video.source import Source

BACKENDS = {  # name: the options that only it reads
    "codec": ("front_end", "num_canvases", "seconds_per_canvas"),
    "frames": ("num_frames", "fps"),
}
VIDEO_SUFFIXES = (
    ".3g2 .3gp .asf .avi .divx .f4v .flv .gif .h264 .hevc .ivf .m2ts .m2v .m4v .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf"
    " .ogv .rm .rmvb .ts .vob .webm .wmv .y4m"
)
IMAGE_SUFFIXES = ".avif .bmp .jfif .jp2 .jpe .jpeg .jpg .pgm .png .ppm .qoi .tga .tif .tiff .webp"
KINDS = {  # what a file's suffix says it is; a GIF may also be a still image
    **dict.fromkeys(VIDEO_SUFFIXES.split(), "video"),
    **dict.fromkeys(IMAGE_SUFFIXES.split(), "image"),
}
IMAGE_PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 4_000_000}  # published maximum; the minimum is Qwen2-VL's
FRAME_PIXELS = {"min_pixels": 200_704, "max_pixels": 1_605_632}  # published: video processor of the 8B checkpoint
FRONT_END = "released"
MAX_CANVAS = 1 << 24  # assumed: pixels; 21,399 tokens, four times the published maximum
MAX_FRAME_INDEX = 10_000_000  # assumed: 46 hours at 60 fps; bounds the memory for frame times


def kind_of(path: str | os.PathLike) -> str:
    """What a file's suffix says it is, "image" or "video"; a GIF is a video where it moves."""
    suffix = Path(path).suffix.lower()
    if suffix == ".gif":
        return "video" if is_animation(path) else "image"
    if suffix in KINDS:
        return KINDS[suffix]
    kind = mimetypes.guess_type(f"a{suffix}")[0] or ""
    return "image" if kind.startswith("image/") else "video"


@dataclass(frozen=True)
class MediaOptions:
    """How images and videos become visual tokens; None leaves the released default.

    Attributes:
        video_backend: "codec" (canvases chosen by bit cost, motion and residual) or "frames" (evenly sampled); None follows
            from the other options: "frames" where `num_frames` or `fps` is given, otherwise "codec".
        front_end: codec only, "released" (what the published checkpoint is fed; the default), "paper" or "ippp".
        num_canvases: codec only, see `tokenize_video`.
        seconds_per_canvas: codec only, one canvas for so much of the video, at least four and at most `num_canvases`.
        num_frames, fps: frames only, how many (with `fps` at most), or how many a second, see `tokenize_frames`.
        min_pixels, max_pixels: pixels per image, frame or canvas, at most `MAX_CANVAS`.
    """

    video_backend: str | None = None
    front_end: str | None = None
    num_canvases: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    seconds_per_canvas: float | None = None

    def __post_init__(self):
        # 1. The back end: stated, implied by an option, or codec
        if self.video_backend is None:
            object.__setattr__(self, "video_backend", stated_backend(vars(self)) or "codec")
        if self.video_backend not in BACKENDS:
            raise ModelError(f"video_backend is {self.video_backend!r}; use 'codec' or 'frames'")
        # 2. No option that the other back end alone reads
        other = "frames" if self.video_backend == "codec" else "codec"
        if idle := self.given(*BACKENDS[other]):
            name = next(iter(idle))
            raise ModelError(
                f"{name} does nothing with video_backend={self.video_backend!r}; leave it out, or use video_backend={other!r}"
            )
        if self.video_backend == "codec" and self.front_end is None:
            object.__setattr__(self, "front_end", FRONT_END)
        # 3. Numbers in their ranges
        for name in ("num_canvases", "num_frames", "min_pixels", "max_pixels"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, Integral) or isinstance(value, bool) or value < 1):
                raise ModelError(f"{name} is {value!r}; it must be positive, a whole number")
        for name, value in self.given("fps", "seconds_per_canvas").items():
            if not _is_rate(value):
                raise ModelError(f"{name} is {value!r}; it must be positive, a number")
        for name in ("min_pixels", "max_pixels"):
            if (getattr(self, name) or 0) > MAX_CANVAS:
                raise ModelError(f"{name} is {getattr(self, name)}; use at most {MAX_CANVAS}")

    def given(self, *names: str) -> dict:
        """Those of the named options that are set."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def stated_backend(options: Mapping) -> str | None:
    """The video backend that options name or imply; None where they leave it open."""
    implied = (name for name, own in BACKENDS.items() if any(options.get(option) is not None for option in own))
    return options.get("video_backend") or next(implied, None)


def override(options: Mapping, overrides: Mapping) -> dict:
    """Options with others laid over them; where these choose a backend, what only another one reads goes."""
    backend = stated_backend(overrides)
    idle = [name for other, own in BACKENDS.items() if backend not in (None, other) for name in own]
    left = {name: value for name, value in options.items() if name not in idle}
    return left | ({"video_backend": backend} if backend else {}) | dict(overrides)


def is_image(item: object) -> bool:
    """One image rather than a list of them."""
    return isinstance(item, (str, Path, Image.Image, VisualTokens)) or (isinstance(item, np.ndarray) and item.ndim < 4)


def is_video(item: object) -> bool:
    """One video rather than a list of them: a path, tokens, an array [T, H, W, 3] or a sequence of frames."""
    if isinstance(item, (list, tuple)):
        return len(item) > 0 and _is_frame(item[0])
    return isinstance(item, (str, Path, VisualTokens, np.ndarray))


def _is_frame(item: object) -> bool:
    """A picture, an array [H, W, 3], or the path of a still image: a video's frame where it stands in a list."""
    if isinstance(item, (str, Path)):
        return KINDS.get(Path(item).suffix.lower()) == "image"
    return isinstance(item, Image.Image) or (isinstance(item, np.ndarray) and item.ndim < 4)


def flatten(items: object, is_one: Callable[[object], bool]) -> list:
    """One item, a list or array of items or a list of lists (per prompt) as a flat list."""
    if items is None:
        return []
    if is_one(items):
        return [items]
    if not isinstance(items, (list, tuple, np.ndarray)):
        raise ModelError(f"cannot use a {type(items).__name__} as an image or video; pass a path, pictures or VisualTokens")
    return [one for item in items for one in flatten(item, is_one)]


def image_tokens(item: object, min_pixels: int, max_pixels: int, patch_size: int, merge: int = MERGE) -> VisualTokens:
    """One image (path, PIL image, uint8 array [H, W, 3], or `VisualTokens` of kind "image").

    Raises:
        ModelError: tokens of another kind or patch size.
        Ov2Error: not an image, see `tokenize_image`.
    """
    if isinstance(item, VisualTokens):
        return _check(item, ("image",), patch_size, merge)
    return tokenize_image(item, max_pixels=max_pixels, patch_size=patch_size, min_pixels=min_pixels, merge=merge)


def video_tokens(
    item: Any, options: MediaOptions, metadata: dict | None, patch_size: int, workers: int | None = None, merge: int = MERGE
) -> VisualTokens:
    """One video (path, decoded frames, or `VisualTokens` of kind "codec" or "frames").

    Args:
        item: a path goes through the chosen backend; tokens and decoded frames are taken as they are.
        metadata: for decoded frames, `fps` of the source and, where not every frame was kept, `frames_indices`.
        workers: threads that decode a file, by default as many as the process may use cores.
        merge: patches on the side of a block.

    Raises:
        ModelError: no frames, frames without times or out of order, or for the codec backend; tokens of another kind or patch
            size.
        VideoError: a file that is not a readable video.
    """
    if isinstance(item, VisualTokens):
        return _check(item, tuple(BACKENDS), patch_size, merge)
    if not isinstance(item, (str, Path)):
        return _decoded(item, options, metadata, patch_size, merge)
    size: dict[str, Any] = {"patch_size": patch_size, "workers": workers, "merge": merge}
    if options.video_backend == "codec":
        settings = options.given("num_canvases", "min_pixels", "max_pixels")
        if options.seconds_per_canvas:
            item = Source.open(item)
            canvases = max(CANVASES_PER_GROUP, math.ceil(item.packets.duration / options.seconds_per_canvas))
            settings["num_canvases"] = min(canvases, options.num_canvases or CanvasConfig.num_canvases)
        return tokenize_video(item, front_end=options.front_end or FRONT_END, **size, **settings)
    return tokenize_frames(item, **size, **FRAME_PIXELS | options.given("num_frames", "fps", "min_pixels", "max_pixels"))


def _decoded(
    frames: Sequence | np.ndarray, options: MediaOptions, metadata: dict | None, patch_size: int, merge: int
) -> VisualTokens:
    # 1. Decoded frames have no bitstream
    if options.video_backend == "codec":
        raise ModelError(
            "the codec backend reads a file's bitstream, and decoded frames have none; pass the video's path, or "
            "video_backend='frames'"
        )
    # 2. Each frame is an image at its own time
    fps, indices = _times(metadata, len(frames))
    budget = FRAME_PIXELS | options.given("min_pixels", "max_pixels")
    shown = [tokenize_image(frame, patch_size=patch_size, merge=merge, **budget) for frame in frames]
    if len({tokens.canvases.shape for tokens in shown}) > 1:
        raise ModelError("the frames of a video differ in size; pass frames of one size")
    # 3. Together they are one video
    return replace(
        shown[0],
        canvases=np.concatenate([tokens.canvases for tokens in shown]),
        patch_positions=np.concatenate([tokens.patch_positions + [t, 0, 0] for tokens, t in zip(shown, indices, strict=True)]),
        group_ids=np.arange(len(frames)) // FRAMES_PER_GROUP,
        fps=fps,
        frame_times=np.arange(int(indices.max()) + 1) / fps,
        kind="frames",
        config={"front_end": "decoded frames", "patch_size": patch_size, **budget},
    )


def _times(metadata: object, frames: int) -> tuple[float, np.ndarray]:
    """Frame rate of the source, and the index there of each decoded frame."""
    # 1. A frame rate is needed
    if not frames:
        raise ModelError("a video has no frames; pass at least one")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ModelError(f"video_metadata is {metadata!r}; pass one dict per video, such as {{'fps': 25.0}}")
    if not metadata or not metadata.get("fps"):
        raise ModelError(
            "decoded frames carry no times; pass video_metadata=[{'fps': 25.0}], with 'frames_indices' if frames were skipped"
        )
    if not _is_rate(metadata["fps"]):
        raise ModelError(f"video_metadata has fps {metadata['fps']!r}; it must be positive, a number")
    # 2. Places of the frames in the video: given, or one after another
    given = metadata.get("frames_indices")
    try:
        indices = np.arange(frames) if given is None else np.asarray(given)
    except ValueError:  # lists of several lengths
        indices = np.array(None)
    if indices.ndim == 1 and len(indices) != frames:
        raise ModelError(f"video_metadata has {indices.size} frames_indices for {frames} frames; pass one per frame")
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() > MAX_FRAME_INDEX:
        raise ModelError(
            f"frames_indices are not whole numbers from 0 to {MAX_FRAME_INDEX}; pass the frames' places in the video"
        )
    # 3. Time runs forward
    indices = indices.astype(np.int64)
    if (np.diff(indices) < 0).any():
        raise ModelError("frames_indices go backwards; pass frames in the order of time")
    return float(metadata["fps"]), indices


def _is_rate(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf


def _check(tokens: VisualTokens, kinds: tuple[str, ...], patch_size: int, merge: int) -> VisualTokens:
    if tokens.kind not in kinds:
        where = "videos" if tokens.kind in BACKENDS else "images"
        raise ModelError(f"visual tokens of kind {tokens.kind!r} were passed as {kinds[-1]!r}; pass them under {where}=")
    if (tokens.patch_size, tokens.merge) != (patch_size, merge):
        raise ModelError(
            f"the tokens have blocks of {tokens.merge}x{tokens.merge} patches of {tokens.patch_size} pixels and the model of "
            f"{merge}x{merge} of {patch_size}; make them anew, with patch_size={patch_size} and merge={merge}"
        )
    return tokens
