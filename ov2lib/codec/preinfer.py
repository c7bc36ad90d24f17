"""The folder that consumers of the published checkpoints read: canvases, their source positions, and meta.json.

The authors' program `cv-preinfer` (codec-video-prep 0.2.5) writes it, and the checkpoint's own code, vLLM, lmms-eval and others
start that program and read what it leaves:

    canvas_000.jpg …          in order
    src_patch_position.npy    int32 [canvases * h * w, 3]: source frame, patch row, patch column, in raster order
    frame_ids.npy             int32 [candidates]: source frames that could give blocks
    meta.json                 frame rate, sizes, groups; written last

A canvas is all padding or has none, because some readers refuse half of one.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .. import __version__
from ..display import Shown
from ..errors import Ov2Error, TokensError, whole_number
from ..files import open_regular, whole_folder
from ..tokens import DAMAGE, MAX_CANVAS_BYTES, MERGE, VisualTokens, read_array, read_json
from ..video.source import Source
from . import released
from .frontend import CANDIDATES_PER_CANVAS, P_CANVASES, tokenize_video

FORMATS = ("jpg", "png", "npy")
QUALITY = 95  # published: of JPEG canvases
MAX_PIXELS = 150_000  # published: default of the program
NORM_THRESHOLD = 2_250_000.0  # published: what clamped_sqrt_bpppf multiplies
MAX_FRAMES = 1 << 24  # assumed: of a video, 77 hours at 60 fps; bounds the memory for their times
CLAMP = (0.015, 0.09)  # published: bits per pixel per frame that it takes at least and at most
THRESHOLD_MODES = ("legacy", "auto", "fixed", "clamped_sqrt_bpppf")
STOPS = {"gain": "readiness_threshold_low_gain", "ready": "readiness_threshold", "limit": "max_group_frames"}


@dataclass(frozen=True)
class PreinferOptions(Shown):
    """Options of the program, by its own names.

    Attributes:
        num_sampled_frames: candidate frames, at most those of the video.
        patch, max_pixels: pixels on a patch's side, and of a canvas at most. block_size: patches on a block's side, the model's
            `spatial_merge_size`.
        min_group_frames: 8, the only value offered. max_group_frames: longest group, in candidates.
        avoid_keyframes: candidates move off key frames.
        bitcost_grid: "adaptive", or "sub" as in the paper's evaluation; "mb" and "ctu" are what "adaptive" is for H.264 and for
            HEVC and VP9.
        canvas_format: "jpg", "png" or "npy".
        readiness_sum_threshold, readiness_sum_threshold_mode, readiness_norm_sum_threshold: "auto" estimates the threshold;
            "legacy" does where the given one is 0; "fixed" takes it; "clamped_sqrt_bpppf" scales the third by the root of the
            bits per pixel and frame.

    Raises:
        Ov2Error: a mode that is not offered.
    """

    num_sampled_frames: int = 256
    patch: int = 14
    max_pixels: int = MAX_PIXELS
    min_group_frames: int = released.MIN_FRAMES
    max_group_frames: int = released.MAX_FRAMES
    avoid_keyframes: bool = True
    bitcost_grid: str = "adaptive"
    canvas_format: str = "jpg"
    block_size: int = MERGE
    readiness_sum_threshold: float = 0.0
    readiness_sum_threshold_mode: str = "legacy"
    readiness_norm_sum_threshold: float = NORM_THRESHOLD

    def __post_init__(self):
        for name, offered in (
            ("canvas_format", FORMATS),
            ("readiness_sum_threshold_mode", THRESHOLD_MODES),
            ("bitcost_grid", ("adaptive", "sub", "mb", "ctu")),
            ("min_group_frames", (released.MIN_FRAMES,)),
        ):
            if getattr(self, name) not in offered:
                raise Ov2Error(f"{name}={getattr(self, name)!r} is not offered; use {', '.join(map(str, offered))}")
        whole_number("num_sampled_frames", self.num_sampled_frames, 1)

    def threshold(self, density: float) -> float | None:
        """What a group's best blocks must add up to, None where it is estimated; density in bits per pixel and frame."""
        if self.readiness_sum_threshold_mode == "clamped_sqrt_bpppf":
            return self.readiness_norm_sum_threshold * density**0.5
        if self.readiness_sum_threshold_mode == "fixed":
            return self.readiness_sum_threshold
        return (self.readiness_sum_threshold or None) if self.readiness_sum_threshold_mode == "legacy" else None


def run_preinfer(
    video: str | os.PathLike, out_dir: str | os.PathLike, *, progress: Callable[[int, int], None] | None = None, **options
) -> dict:
    """Choose a video's canvases by the released chain and write them for a consumer of the published checkpoints.

    Args:
        video: any file that FFmpeg reads.
        out_dir: made whole or not at all; one that this function wrote is replaced.
        progress: called with (candidates done, in all).
        options: fields of `PreinferOptions`.

    Returns:
        what meta.json holds.

    Raises:
        VideoError: the file cannot be read as video.
        Ov2Error: a mode that is not offered, or an argument that makes no sense.
    """
    begun = time.perf_counter()
    # 1. Open the video; its bit rate decides one kind of threshold
    asked = PreinferOptions(**options)
    source = Source.open(video)
    stream = _stream(source)
    density = stream["bits_per_pixel_per_frame_clamped"]
    # 2. Choose and pack
    tokens = tokenize_video(
        source, "released", max(4, asked.num_sampled_frames // CANDIDATES_PER_CANVAS), asked.max_pixels, asked.patch,
        num_candidates=min(asked.num_sampled_frames, len(source.packets.frame_times)), progress=progress,
        max_group_frames=asked.max_group_frames, avoid_keyframes=asked.avoid_keyframes, threshold=asked.threshold(density),
        grid="sub" if asked.bitcost_grid == "sub" else "adaptive", merge=asked.block_size,
    )  # fmt: skip
    # 3. Write them, with what was asked for and what came of it
    config = asdict(asked)
    same = (
        "avoid_keyframes",
        "max_group_frames",
        "bitcost_grid",
        "readiness_sum_threshold_mode",
        "readiness_norm_sum_threshold",
    )
    details = stream | {name: config[name] for name in same} | {
        "config": config, "readiness_norm_sum_threshold": float(asked.readiness_norm_sum_threshold),
        "readiness_sum_threshold": float(tokens.config["threshold"]),
        "readiness_threshold_norm_factor": density**0.5, "timings": {"total_sec": time.perf_counter() - begun},
    }  # fmt: skip
    if not asked.avoid_keyframes:
        details["keyframes_found"] = 0  # nobody looked for them
    return write_preinfer(tokens, out_dir, asked.canvas_format, details)


def _stream(source: Source) -> dict:
    """What meta.json says of the stream: sizes, bit rates, key frames."""
    packets = source.packets
    frames, (height, width) = len(packets.frame_times), source.display.shown
    seconds = frames / packets.fps
    bit_rate = float(8 * packets.size.sum() / seconds)
    density = bit_rate / packets.fps / (height * width)
    metadata = {
        "total_frames": frames, "fps": float(packets.fps), "height": height, "width": width, "codec_name": source.codec,
        "stream_bit_rate": bit_rate, "format_bit_rate": float(8 * os.path.getsize(source.path) / seconds), "duration": seconds,
    }  # fmt: skip
    return {
        "metadata": metadata, "video_bit_rate": bit_rate, "bits_per_frame": bit_rate / packets.fps,
        "bits_per_pixel_per_frame": density, "bits_per_pixel_per_frame_clamped": min(max(density, CLAMP[0]), CLAMP[1]),
        "orig_hw": [height, width], "stream_hw": [height, width],
        "keyframes_found": int(packets.key[packets.frame_packet].sum()),
    }  # fmt: skip


def _check(name: str, value: object, offered: tuple) -> None:
    if value not in offered:
        raise Ov2Error(f"{name}={value!r} is not offered; use {', '.join(map(str, offered))}")


def write_preinfer(
    tokens: VisualTokens, out_dir: str | os.PathLike, canvas_format: str = "jpg", details: dict | None = None
) -> dict:
    """Write codec tokens as the folder described above; what meta.json holds.

    Raises:
        TokensError: tokens of another kind, or a folder that this function did not write.
    """
    if tokens.kind != "codec":
        raise TokensError(f"tokens of kind {tokens.kind!r} have no canvases; this layout is for codec tokens")
    canvases, positions = without_gaps(tokens)
    names = [f"canvas_{number:03d}.{canvas_format}" for number in range(len(canvases))]
    meta = describe(tokens, names, out_dir) | (details or {})
    with whole_folder(Path(out_dir), TokensError, _stranger) as folder:
        for name, canvas in zip(names, canvases, strict=True):
            if canvas_format == "npy":
                np.save(folder / name, canvas)
            else:
                Image.fromarray(canvas).save(folder / name, quality=QUALITY)
        np.save(folder / "src_patch_position.npy", positions.astype(np.int32))
        np.save(folder / "frame_ids.npy", np.array(candidates_of(tokens), np.int32))
        (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    return meta


def candidates_of(tokens: VisualTokens) -> list[int]:
    """Source frames that could give blocks; where the front end did not say, those that did."""
    frames = tokens.patch_positions[:, 0]
    return tokens.config.get("candidates") or np.unique(frames[frames >= 0]).tolist()


def without_gaps(tokens: VisualTokens) -> tuple[np.ndarray, np.ndarray]:
    """Canvases and positions whose half-empty canvases are filled up from the first canvas of their group, the whole frame.

    Canvases without any patch go.
    """
    (h, w), size = tokens.grid, tokens.patch_size
    canvases = tokens.canvases.copy()
    positions = tokens.patch_positions.reshape(len(canvases), h * w, 3).copy()
    empty = positions[:, :, 0] < 0
    for number in np.flatnonzero(empty.any(axis=1)):
        whole = int(np.argmax(tokens.group_ids == tokens.group_ids[number]))
        positions[number, empty[number]] = positions[whole, empty[number]]
        pixels = empty[number].reshape(h, w).repeat(size, axis=0).repeat(size, axis=1)
        canvases[number][pixels] = canvases[whole][pixels]
    kept = ~empty.all(axis=1)
    return canvases[kept], positions[kept].reshape(-1, 3)


def describe(tokens: VisualTokens, names: list[str], out_dir: str | os.PathLike) -> dict:
    """Keys and types of the authors' meta.json, as far as tokens say them."""
    # 1. Groups as the authors number them, from 0 and in candidate frames
    (h, w), size = tokens.grid, tokens.patch_size
    frames = candidates_of(tokens)
    bounds, stops = tokens.config.get("groups", []), tokens.config.get("stops", [])
    specs = [
        {"group_idx": i, "start": start, "end": end, "frame_count": end - start, "stop_reason": STOPS[stop]}
        for i, ((start, end), stop) in enumerate(zip(bounds, stops, strict=True))
    ]
    # 2. Their fields in their order; what does not exist here has the value of an empty run
    side = [h * size, w * size]
    return {
        "video": tokens.source, "video_hash": hashlib.sha256(os.fsencode(tokens.source)).hexdigest()[:8],
        "codec_selector_version": 1, "config": {}, "metadata": {}, "total_frames": len(tokens.frame_times),
        "orig_hw": side, "processed_hw": side, "resize_hw": side, "padded_hw": side, "pad_bottom_right": [0, 0],
        "fps": float(tokens.fps), "stream_hw": side, "video_bit_rate": 0.0, "bits_per_frame": 0.0,
        "bits_per_pixel_per_frame": 0.0, "bits_per_pixel_per_frame_clamped": 0.0, "sampled_frames": len(frames),
        "sampling_debug": {"frame_sampling_mode": "uniform_count", "sampled_frames": len(frames)},
        "avoid_keyframes": bool(tokens.config.get("avoid_keyframes", False)), "avoid_keyframe_offset": 1, "keyframes_found": 0,
        "grouping_mode": "readiness", "group_size": released.WINDOW, "images_per_group": 1 + P_CANVASES,
        "readiness_sum_threshold_mode": "legacy", "readiness_sum_threshold": 0.0,
        "readiness_norm_sum_threshold": NORM_THRESHOLD, "readiness_threshold_norm_factor": 0.0,
        "bpppf_clamp_min": CLAMP[0], "bpppf_clamp_max": CLAMP[1], "min_group_frames": released.MIN_FRAMES,
        "max_group_frames": int(tokens.config.get("max_group_frames", released.MAX_FRAMES)), "group_limit_debug": {},
        "readiness_coverage_bins": released.TIME_BINS, "readiness_delta_ratio": released.MIN_GAIN, "save_mask_video": False,
        "mask_video_sbs": None, "mask_video_only": None, "patch": size, "block_size": tokens.merge, "bitcost_grid": "adaptive",
        "codec_name": str(tokens.config.get("codec", "")), "bitcost_pct": 99.0, "bitcost_log_scale": True,
        "frame_score_norm_mode": "none", "frame_score_norm_debug": None, "iframe_score_clip_mode": "none",
        "iframe_score_clip_percentile": 95.0, "iframe_score_clip_debug": None, "score_source": "bitcost",
        "decode_backend": f"ov2lib {__version__}", "hb_wb": [h, w], "S_full": h * w, "seq_len": len(frames),
        "num_groups": int(len(np.unique(tokens.group_ids))), "tail_frames": 0, "group_specs": specs,
        "total_images": len(names), "total_patches": len(names) * h * w, "canvas_files": names, "jpg_files": names,
        "out_dir": os.fspath(out_dir), "src_patch_position_sorted_by_t": True, "canvas_pixels_sorted_by_t": True,
        "groups": [spec | {"frame_ids": frames[spec["start"] : spec["end"]]} for spec in specs], "timing_sec": {},
        "group_processing_timing_sec": [], "timings": {},
    }  # fmt: skip


def read_preinfer(directory: str | os.PathLike) -> VisualTokens:
    """The tokens of such a folder, ours or the authors'. Groups are four canvases each, times are frame / fps.

    Sizes are checked before anything is decoded.

    Raises:
        TokensError: a missing or damaged file, or files that contradict each other.
    """
    folder = Path(directory)
    # 1. The small files say how the canvases are to be read
    try:
        meta = read_json(folder / "meta.json")
        positions = read_array(folder / "src_patch_position.npy", "i", 2).astype(np.int64)
        fps, size, count = float(meta["fps"]), int(meta["patch"]), int(meta["images_per_group"])
        if not 0 < fps < np.inf or count < 1:
            raise ValueError(f"{fps} frames a second, {count} canvases a group")
        # 2. Canvases, within bounds
        canvases = _read_canvases(folder, meta["canvas_files"], tuple(size * int(side) for side in meta["hb_wb"]))
        frames = max(int(meta["total_frames"]), int(positions[:, 0].max()) + 1)
        if frames > MAX_FRAMES:
            raise ValueError(f"{frames} frames; at most {MAX_FRAMES} are read")
        # 3. Times are frame index / fps: the folder holds no others
        return VisualTokens(
            canvases=canvases, patch_positions=positions, group_ids=np.arange(len(canvases)) // count, fps=fps,
            frame_times=np.arange(frames) / fps, patch_size=size, kind="codec", source=str(meta.get("video", "")),
            config={"front_end": "released", "codec": str(meta.get("codec_name", "")), "patch_size": size},
            merge=int(meta.get("block_size", MERGE)),
        )  # fmt: skip
    except (*DAMAGE, IndexError, ZeroDivisionError, FloatingPointError) as error:
        why = f"{type(error).__name__}: {error}"
        raise TokensError(f"{folder} is no folder of canvases ({why}); make it again with ov2-preinfer") from error


def _read_canvases(folder: Path, names: list[str], size: tuple[int, ...]) -> np.ndarray:
    """uint8 [canvases, H, W, 3] of the files of those names, each of the given size (H, W)."""
    height, width = size
    if not 0 < 3 * len(names) * height * width <= MAX_CANVAS_BYTES:
        raise ValueError(f"{len(names)} canvases of {width}x{height} are none, or more than {MAX_CANVAS_BYTES} bytes together")
    canvases = np.empty((len(names), height, width, 3), np.uint8)
    for canvas, name in zip(canvases, names, strict=True):
        path = folder / Path(name).name  # never a file of another folder
        if path.suffix == ".npy":
            canvas[:] = read_array(path, "u", 3)
            continue
        with open_regular(path) as file, Image.open(file, formats=("JPEG", "PNG")) as image:
            if image.size != (width, height):
                raise ValueError(f"{path.name} is {image.width}x{image.height}, not {width}x{height}")
            canvas[:] = np.asarray(image.convert("RGB"))
    return canvases


def _stranger(folder: Path) -> str | None:
    """What in a folder is not of this layout, None where there is nothing such."""
    ours = {"meta.json", "src_patch_position.npy", "frame_ids.npy"}
    names = sorted(entry.name for entry in os.scandir(folder))
    return next((repr(name) for name in names if name not in ours and not name.startswith("canvas_")), None)
