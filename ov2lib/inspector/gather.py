"""Everything the inspector's page shows, as JSON values; arrays are packed as deflated numbers of three digits."""

import base64
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .. import __version__
from ..codec.analysis import Video, candidates, on_canvas
from ..codec.config import FRONT_ENDS, PaperConfig
from ..codec.frontend import partition_packets, score_with_prior, tokenize_video
from ..errors import Ov2Error, install_hint
from ..tokens import MERGE, VisualTokens
from ..video.parallel import usable_cores
from ..video.signals import FrameSignals, read_signals
from ..video.source import Source

LAYERS = {"motion x": "px", "motion y": "px", "residual": "levels", "quantiser": "", "bits": "", "score": ""}
NONE = 0xFFFF  # a packed number that means "none"
LEAST, MOST = -6, 9  # powers of ten of a packed number's last digit
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """What the page holds.

    Attributes:
        front_ends: to compare. budgets: canvases to step through.
        start, end: seconds shown; the whole video for None.
        pictures_per_second: of the frames shown; the nearest one stands in between.
        quality: of WebP pictures, 1 to 100.
    """

    front_ends: tuple[str, ...] = tuple(FRONT_ENDS)
    budgets: tuple[int, ...] = (8, 16, 32)
    start: float = 0.0
    end: float | None = None
    pictures_per_second: float = 3.0
    quality: int = 55

    def __post_init__(self):
        end = float("inf") if self.end is None else self.end
        if not 0 <= self.start < end:
            raise Ov2Error(f"seconds {self.start:g} to {self.end:g} make no stretch; give a start before the end")


def gather(source: Source, settings: Settings, progress: Progress = lambda what, done, total: None) -> dict:
    """Read a video for the page.

    Returns:
        JSON values: facts, `packets`, `pictures`, `layers` (one value for each 28 x 28 block of the canvas and frame) and, for
        each front end and budget, `selections` (canvases and where each of their blocks comes from).

    Raises:
        VideoError: the file cannot be read as video.
        Ov2Error: no frame in the stretch of seconds.
    """
    # 1. The frames in view
    packets = source.packets
    end = packets.duration if settings.end is None else min(settings.end, packets.duration)
    frames = np.flatnonzero((packets.frame_times >= settings.start) & (packets.frame_times <= end))
    if not len(frames):
        raise Ov2Error(f"no frame between {settings.start:g} and {end:g} s; the video is {packets.duration:.3f} s long")
    # 2. What each front end chooses, at each step of the budget
    selections = []
    work = [(name, budget) for name in settings.front_ends for budget in settings.budgets]
    for done, (name, budget) in enumerate(work, start=1):
        selections.append(_selection(tokenize_video(source, name, budget), name, budget, settings))
        progress("front ends", done, len(work))
    # 3. Signals, scores and pictures of the frames
    anchors = {frame for selection in selections for frame in selection["anchors"]}
    kinds = packets.kind[packets.frame_packet].tolist()  # of some codecs only decoding tells
    video = on_canvas(source, PaperConfig.max_pixels, PaperConfig.patch_size)
    layers, pictures, origins = _frames(video, frames, anchors, kinds, settings, progress)
    # 4. The time line
    partition = partition_packets(packets, PaperConfig())
    name = os.fsencode(Path(source.path).name).decode(errors="replace")  # a file's name need not be text
    return {
        "name": name, "codec": source.codec, "version": __version__, "origins": origins,
        "shown": list(source.display.shown), "canvas": [video.height, video.width], "block": video.block,
        "grid": [video.height // video.block, video.width // video.block],
        "fps": packets.fps, "duration": packets.duration, "start": float(settings.start), "end": float(end),
        "frames": frames.tolist(), "times": packets.frame_times[frames].tolist(),
        "packets": {
            "times": packets.frame_times.round(4).tolist(), "bytes": packets.frame_sizes.tolist(),
            "kinds": "".join(kinds),
        },
        "bins": {"seconds": partition.bin_seconds, "cost": partition.bin_cost.round(1).tolist()},
        "units": LAYERS, "layers": layers, "pictures": pictures, "selections": selections,
    }  # fmt: skip


def _frames(video: Video, frames: np.ndarray, anchors: set[int], kinds: list, settings: Settings, progress: Progress):
    """Layers [frames, rows, cols], pictures by frame, and where the signals come from; fills in kinds of frames."""
    source = video.source
    rows, cols = video.height // video.block, video.width // video.block
    values = {name: np.full((len(frames), rows, cols), np.nan, np.float32) for name in LAYERS}
    place = {int(frame): i for i, frame in enumerate(frames)}
    # 1. Scores and pictures, in one pass
    pictures, latest = [], -np.inf
    scored = candidates(video, frames, score_with_prior(0.0), usable_cores())
    with closing(scored):
        for i, candidate in enumerate(scored):
            values["score"][i] = candidate.scores
            time = source.packets.frame_times[candidate.index]
            if candidate.index in anchors or time - latest >= 1 / settings.pictures_per_second - 1e-6:
                pictures.append({"frame": candidate.index, "src": _webp(candidate.picture, settings.quality)})
                latest = time
            progress("scores", i + 1, len(frames))
    # 2. Signals, in another
    origins: dict[str, str] = {}
    for signals in _until(read_signals(source, size=(video.height, video.width)), int(frames[-1])):
        if signals.index in place:
            origins, kinds[signals.index] = signals.origins, signals.kind
            _fill(values, place[signals.index], signals, (rows, cols))
            progress("signals", place[signals.index] + 1, len(frames))
    return {name: pack(layer) for name, layer in values.items()}, pictures, origins


def _until(stream: Iterator[FrameSignals], last: int) -> Iterator[FrameSignals]:
    with closing(stream):  # type: ignore[type-var]
        for signals in stream:
            if signals.index > last:
                return
            yield signals


def _fill(values: dict[str, np.ndarray], i: int, signals: FrameSignals, grid: tuple[int, int]) -> None:
    pixels = signals.luma.shape
    if signals.motion is not None:
        values["motion x"][i], values["motion y"][i] = (
            mean_on_blocks(signals.motion[..., axis], grid, pixels) for axis in (0, 1)
        )
    if signals.residual is not None:
        values["residual"][i] = mean_on_blocks(np.abs(signals.residual), grid)
    if signals.qp is not None:
        values["quantiser"][i] = mean_on_blocks(signals.qp, grid, pixels)
    if signals.bits is not None:
        values["bits"][i] = sum_on_blocks(signals.bits, grid, pixels)


def sum_on_blocks(values: np.ndarray, grid: tuple[int, int], pixels: tuple[int, int] | None = None) -> np.ndarray:
    """What falls on each of `grid` equal blocks of a picture when every cell of a map is spread evenly over its area.

    pixels: (height, width) of the picture; a map of its 8 x 8 or 16 x 16 cells may reach beyond its edge. None: it does not.
    """
    axes = []
    for axis, (cells, blocks) in enumerate(zip(values.shape, grid, strict=True)):
        inside = [pixels[axis] / side for side in (8, 16) if pixels and -(-pixels[axis] // side) == cells]
        edges = np.linspace(0, inside[0] if inside else cells, blocks + 1)
        edges[-1] = cells  # what lies beyond the edge counts to the last block
        first = np.arange(cells)
        axes.append(np.clip(np.minimum(edges[1:, None], first + 1) - np.maximum(edges[:-1, None], first), 0, None))
    return axes[0] @ values.astype(np.float64) @ axes[1].T


def mean_on_blocks(values: np.ndarray, grid: tuple[int, int], pixels: tuple[int, int] | None = None) -> np.ndarray:
    """The mean of a map over each of `grid` equal blocks, see `sum_on_blocks`."""
    return sum_on_blocks(values, grid, pixels) / sum_on_blocks(np.ones(values.shape), grid, pixels)


def _selection(tokens: VisualTokens, front_end: str, budget: int, settings: Settings) -> dict:
    """The canvases whose group lies in view, and the blocks on them in the order of the tokens."""
    # 1. Source (t, h, w) of every block on every canvas; real blocks are numbered as their tokens are
    h, w = (side // MERGE for side in tokens.grid)
    blocks = tokens.patch_positions.reshape(len(tokens.canvases), *tokens.grid, 3)[:, ::MERGE, ::MERGE].reshape(-1, h * w, 3)
    real = blocks[..., 0] >= 0
    numbers = np.where(real, np.cumsum(real).reshape(real.shape) - 1, -1)
    # 2. Canvases of the groups in view
    times = tokens.frame_times
    end = times[-1] if settings.end is None else settings.end
    canvases, spans, starts = [], {}, []
    for group in np.unique(tokens.group_ids).tolist():
        mine = np.flatnonzero(tokens.group_ids == group)
        seconds = times[blocks[mine][real[mine]][:, 0]]
        starts.append(float(seconds.min()))
        if seconds.max() >= settings.start and seconds.min() <= end:
            spans[group] = [starts[-1], float(seconds.max())]
            canvases += mine.tolist()
    # 3. An anchor canvas shows one frame whole
    whole = [int(b[0, 0]) for b in blocks[canvases] if (b[:, 0] == b[0, 0]).all()]
    return {
        "front end": front_end, "budget": budget, "tokens": int(real.sum()), "groups": spans, "anchors": whole,
        "edges": tokens.config.get("group_edges", starts), "prompt": _prompt(tokens),
        "canvases": [
            {
                "number": i, "group": int(tokens.group_ids[i]), "src": _webp(tokens.canvases[i], settings.quality),
                "blocks": (blocks[i] // [1, MERGE, MERGE]).tolist(), "tokens": numbers[i].tolist(),
            }
            for i in canvases
        ],
    }  # fmt: skip


def _prompt(tokens: VisualTokens) -> str:
    try:
        from ..model.prompt import IMAGE_PAD, visual_text
    except ModuleNotFoundError:  # the base install has no torch, which the model's package needs
        return f"(writing the prompt needs torch; {install_hint('model')})"
    return visual_text(tokens).replace(IMAGE_PAD, "▦")


def pack(values: np.ndarray) -> dict:
    """A float array rounded to three significant digits, as deflated 16-bit codes: 10 bits of digits, 4 of their power of ten,
    1 of sign. A linear scale would round small values beside large ones away. NaN is `NONE`."""
    known = values[np.isfinite(values)].astype(np.float64)
    # 1. Three digits, and the power of ten of the last one; 999.7 has a digit more than it seems
    size = np.abs(known)
    power = np.floor(np.log10(np.maximum(size, 10.0**LEAST))).astype(int) - 2
    power += np.round(size / 10.0**power) > 999
    power = power.clip(LEAST, MOST)
    digits = np.round(size / 10.0**power).astype(int).clip(0, 999)
    negative = (known < 0) & (digits > 0)
    # 2. Codes, and the range for the colours
    codes = np.full(values.shape, NONE, "<u2")
    codes[np.isfinite(values)] = negative << 14 | power - LEAST << 10 | digits
    rounded = np.where(negative, -1.0, 1.0) * digits * 10.0**power
    low, high = (float(rounded.min()), float(rounded.max())) if known.size else (0.0, 0.0)
    data = base64.b64encode(zlib.compress(codes.tobytes(), 9)).decode()
    return {"shape": list(values.shape), "low": low, "high": high, "least": LEAST, "none": NONE, "data": data}


def _webp(picture: np.ndarray, quality: int) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
