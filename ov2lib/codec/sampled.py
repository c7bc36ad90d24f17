"""Sampled frames and still images through the same visual-token interface."""

import os
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from ..display import Shown
from ..errors import Ov2Error, real_number, whole_number
from ..files import path_text
from ..geometry import MIN_PIXELS, canvas_size
from ..tokens import FRAMES_PER_GROUP, MERGE, VisualTokens
from ..video.images import MAX_PIXELS, open_image
from ..video.parallel import usable_cores
from ..video.source import Source
from .analysis import candidates, on_canvas
from .packing import whole_frame

MAX_FRAMES = 384  # published: video processor of the 8B checkpoint
SHORT, MEDIUM = (10.0, 8), (30.0, 16)  # published: (duration below this many seconds, number of frames)
IMAGE_MAX_PIXELS = 4_000_000  # published: image processor of the 8B checkpoint


@dataclass(frozen=True)
class FramesConfig(Shown):
    """How frames are sampled; dumped beside the result. None for `num_frames` and `fps` takes the published rule."""

    num_frames: int | None = None
    fps: float | None = None
    max_pixels: int = 153_664
    patch_size: int = 14
    min_pixels: int = MIN_PIXELS
    merge: int = MERGE
    front_end: str = "frames"

    def __post_init__(self):
        least = {"num_frames": 1, "max_pixels": 1, "patch_size": 1, "min_pixels": 0, "merge": 1}
        given = {name: limit for name, limit in least.items() if name != "num_frames" or self.num_frames is not None}
        for name, limit in given.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), limit))
        if self.fps is not None:
            object.__setattr__(self, "fps", real_number("fps", self.fps, positive=True))


def sample_indices(total: int, duration: float, num_frames: int | None = None, fps: float | None = None) -> np.ndarray:
    """Source frames to take, int64 ascending: round(linspace(0, T - 1, n)), as the published video processor does.

    n = duration · fps when a rate is given (at most `num_frames`, or 384), else `num_frames`, else 8 under 10 s, 16 under 30 s,
    else 384; never more than the video has.

    Raises:
        Ov2Error: one that is not positive.
    """
    most = MAX_FRAMES if num_frames is None else whole_number("num_frames", num_frames, 1)
    if fps is not None:
        count = round(min(max(duration * real_number("fps", fps, positive=True), 1), most))
    elif num_frames is not None:
        count = most
    else:
        count = next((frames for seconds, frames in (SHORT, MEDIUM) if duration < seconds), MAX_FRAMES)
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


def tokenize_frames(
    path: str | os.PathLike | Source,
    num_frames: int | None = None,
    fps: float | None = None,
    max_pixels: int = 153_664,
    patch_size: int = 14,
    min_pixels: int = MIN_PIXELS,
    *,
    stream: int | None = None,
    damaged: str = "skip",
    workers: int | None = None,
    merge: int = MERGE,
) -> VisualTokens:
    """Sample whole frames of a video evenly; groups are four frames in a row.

    Args:
        path: any video file that FFmpeg reads, or one that is open.
        num_frames: how many, or at most with `fps`: how many a second; the published rule where neither is given
            (`sample_indices`).
        min_pixels, max_pixels: of a frame; patch_size: pixels.
        stream, damaged: see `Source.open`. A sampled frame that is damaged is left out.
        workers: decoding threads, by default as many as this process may use cores.
        merge: patches on a block's side.

    Raises:
        VideoError: the file cannot be read as video.
        Ov2Error: an argument that makes no sense.
    """
    # 1. Choose frames by number
    config = FramesConfig(num_frames, fps, max_pixels, patch_size, min_pixels, merge)
    source = path if isinstance(path, Source) else Source.open(path_text(path, Ov2Error), stream, damaged)
    packets = source.packets
    indices = sample_indices(len(packets.frame_times), packets.duration, config.num_frames, config.fps)
    # 2. Decode and scale them; damaged ones are left out unless there is nothing else
    video = on_canvas(source, config.max_pixels, config.patch_size, config.min_pixels, config.merge)
    sampled = list(candidates(video, indices, None, workers or usable_cores()))
    source.damage.warn()
    frames = [frame for frame in sampled if not frame.damaged] or sampled
    # 3. Every patch of every frame, four frames to a group
    places = [whole_frame(f.index, video.height, video.width, video.patch_size).reshape(-1, 3) for f in frames]
    return VisualTokens(
        canvases=np.stack([f.picture for f in frames]),
        patch_positions=np.concatenate(places),
        group_ids=np.arange(len(frames)) // FRAMES_PER_GROUP,
        fps=packets.fps,
        frame_times=packets.frame_times,
        patch_size=config.patch_size,
        kind="frames",
        source=source.path,
        config=asdict(config) | ({} if stream is None else {"stream": stream}),
        merge=config.merge,
    )


def tokenize_image(
    image: str | os.PathLike | Image.Image | np.ndarray,
    max_pixels: int = IMAGE_MAX_PIXELS,
    patch_size: int = 14,
    min_pixels: int = MIN_PIXELS,
    merge: int = MERGE,
) -> VisualTokens:
    """One image as visual tokens: one canvas, t = 0, a group of its own.

    >>> tokenize_image(np.zeros((480, 640, 3), np.uint8)).summary()["canvas_size"]
    '644x476'

    Args:
        image: a file, a PIL image, or uint8 [H, W, 3] RGB; `ov2lib.video.images` says how others become 8-bit RGB.
        min_pixels, max_pixels: of the canvas; patch_size: pixels; merge: patches on a block's side.

    Raises:
        ImageError: not readable as an image, or an array of another kind.
        Ov2Error: an aspect ratio beyond 200, bounds that make no sense, or a canvas of more than `images.MAX_PIXELS` pixels.
    """
    # 1. The picture as 8-bit RGB
    max_pixels, patch_size = whole_number("max_pixels", max_pixels, 1), whole_number("patch_size", patch_size, 1)
    min_pixels = whole_number("min_pixels", min_pixels, 0)
    picture = open_image(image)
    # 2. Scale it to a size that whole blocks fill
    height, width = canvas_size(picture.height, picture.width, max_pixels, patch_size, min_pixels, merge)
    if height * width > MAX_PIXELS:
        raise Ov2Error(f"the canvas would have {width}x{height} pixels, at most {MAX_PIXELS} are made; lower min_pixels")
    canvas = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    # 3. One canvas, a group of its own
    return VisualTokens(
        canvases=canvas[None],
        patch_positions=whole_frame(0, height, width, patch_size).reshape(-1, 3),
        group_ids=np.zeros(1, np.int64),
        fps=1.0,
        frame_times=np.zeros(1),
        patch_size=patch_size,
        kind="image",
        source=os.fspath(image) if isinstance(image, str | os.PathLike) else "",
        config={"front_end": "image", "max_pixels": max_pixels, "patch_size": patch_size},
        merge=merge,
    )
