"""The unified visual-token interface: one type for codec canvases, sampled frames and images.

Equation 1 of the paper writes it C(V) = (X, U, G): canvases X, one record u per patch, and groups G. Here X is
`canvases`, U is `patch_positions` (the source place of each patch, listed in the order of its packed place) and G is
`group_ids`. Nothing downstream needs to know which front end made them.
"""

import json
import math
import os
import struct
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .display import html_table
from .errors import TokensError
from .files import check_folder, current, identity, open_regular, path_text, whole_folder

FORMAT = "ov2-visual-tokens/1"
LAYOUTS = ("ov2", "preinfer")
MERGE = 2  # published: 2x2 patches become one language-model token (LLaVA-OneVision-2-8B, spatial_merge_size)
FRAMES_PER_GROUP = 4  # published: sampled frames see each other in groups of four (frame_windows_size)
MAX_CANVAS_BYTES = 1 << 31  # assumed: of all canvases in one folder, 4,600 of 392x392; also of each array beside them
MAX_JSON_BYTES = 1 << 26  # assumed: of tokens.json
TRIES = 20  # assumed: reads of a folder that other programs replace meanwhile
# What json, numpy and Pillow raise on damaged files, the last five from contents that only look right.
DAMAGE = (
    KeyError, ValueError, OSError, EOFError, TypeError, AttributeError, SyntaxError, tokenize.TokenError, RecursionError,
    MemoryError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class VisualTokens:
    """Canvases and the source place of every patch on them (equation 1).

    Attributes:
        canvases: uint8 [n, H, W, 3], RGB; H and W are multiples of `merge * patch_size`.
        patch_positions: int64 [n*h*w, 3] with h = H / patch_size, w = W / patch_size: (source frame index t, source
            patch row, source patch column) of each patch, raster order within a canvas, canvas after canvas. Rows grow
            downwards, columns to the right, both from 0 at the top left. Padding is -1 on all three axes.
        group_ids: int64 [n], the group κ of each canvas; never decreases.
        fps: frames per second on average; t / fps is the time that the published code writes in the prompt.
        frame_times: float64 [T], presentation time in seconds of source frame t, the first frame at 0.
        patch_size: pixels on a patch's side.
        kind: "codec", "frames" or "image": decides the grid rows and the prompt form.
        source: where the pixels came from (a path), for people.
        config: the resolved configuration of the front end, plain JSON values.
        merge: patches on the side of a block, which becomes one language-model token.
    """

    canvases: np.ndarray
    patch_positions: np.ndarray
    group_ids: np.ndarray
    fps: float
    frame_times: np.ndarray
    patch_size: int = 14
    kind: str = "codec"
    source: str = ""
    config: dict = field(default_factory=dict)
    merge: int = MERGE

    def __post_init__(self):
        n, height, width, channels = self.canvases.shape
        side = self.merge * self.patch_size
        if self.kind not in ("codec", "frames", "image"):
            raise TokensError(f"kind is {self.kind!r}; use 'codec', 'frames' or 'image'")
        if n == 0 or channels != 3 or self.canvases.dtype != np.uint8:
            raise TokensError(f"canvases are {self.canvases.dtype} {self.canvases.shape}; expected uint8 [n >= 1, H, W, 3]")
        if height % side or width % side:
            raise TokensError(
                f"canvas {height}x{width} is not a multiple of {side} on both sides ({self.merge} x patch {self.patch_size})"
            )
        patches = n * (height // self.patch_size) * (width // self.patch_size)
        if self.patch_positions.shape != (patches, 3):
            raise TokensError(f"patch_positions have shape {self.patch_positions.shape}; {n} canvases need {(patches, 3)}")
        if self.group_ids.shape != (n,):
            raise TokensError(f"group_ids have shape {self.group_ids.shape}; {n} canvases need {(n,)}")
        if (np.diff(self.group_ids) < 0).any():
            raise TokensError("group_ids decrease; canvases must come group by group")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per canvas, (rows h, columns w)."""
        return self.canvases.shape[1] // self.patch_size, self.canvases.shape[2] // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Language-model tokens these canvases become: n·h·w / merge², padding included."""
        return len(self.patch_positions) // self.merge**2

    @property
    def merge_order(self) -> np.ndarray:
        """int64 [n*h*w], raster index of each patch in merge-block order, the order the model reads patches in.

        Blocks of merge x merge patches follow each other in raster order, and so do the patches within a block.
        """
        (h, w), m = self.grid, self.merge
        raster = np.arange(len(self.patch_positions)).reshape(-1, h // m, m, w // m, m)
        return raster.transpose(0, 1, 3, 2, 4).reshape(-1)

    @property
    def grid_thw(self) -> np.ndarray:
        """int64 [rows, 3], the grid rows the model reads: one [n, h, w] for codec, one [1, h, w] per frame or image."""
        (h, w), n = self.grid, len(self.canvases)
        return np.array([[n, h, w]] if self.kind == "codec" else [[1, h, w]] * n, dtype=np.int64)

    def records(self) -> np.ndarray:
        """The patch records u of equation 1 as a structured array, one per patch in raster order."""
        h, w = self.grid
        canvas, row, col = np.unravel_index(np.arange(len(self.patch_positions)), (len(self.canvases), h, w))
        columns = {
            "canvas": canvas, "t": self.patch_positions[:, 0], "row": row, "col": col,
            "source_row": self.patch_positions[:, 1], "source_col": self.patch_positions[:, 2],
            "group": self.group_ids[canvas],
        }  # fmt: skip
        out = np.empty(len(canvas), dtype=[(name, np.int64) for name in columns])
        for name, values in columns.items():
            out[name] = values
        return out

    def summary(self) -> dict:
        """What is in here, in numbers a person reads: canvases, tokens, groups, padding, frames touched, times."""
        t = self.patch_positions[:, 0]
        used = t >= 0
        return {
            "source": self.source,
            "kind": self.kind,
            "front_end": self.config.get("front_end", self.kind),
            "canvases": len(self.canvases),
            "canvas_size": f"{self.canvases.shape[2]}x{self.canvases.shape[1]}",
            "tokens": self.num_tokens,
            "groups": len(np.unique(self.group_ids)),
            "padding_share": round(float(1 - used.mean()), 4),
            "frames_touched": len(np.unique(t[used])),
            "source_frames": len(self.frame_times),
            "seconds": 0.0 if self.kind == "image" else round(len(self.frame_times) / self.fps, 3),  # fps is an average
        }

    def _repr_html_(self) -> str:
        return html_table("VisualTokens", self.summary().items())

    def save(self, directory: str | os.PathLike, layout: str = "ov2") -> Path:
        """Write canvases as PNG, positions as .npy and the rest as JSON; the folder appears whole or not at all.

        layout "preinfer" writes what consumers of the published checkpoints read instead, see `ov2lib.codec.preinfer`: JPEG
        canvases, and of the times only the frame rate.

        A folder that holds saved tokens and nothing else is replaced. Where the program is killed in the middle of that, `load`
        and the next `save` find the old tokens.

        Raises:
            TokensError: the folder exists and holds something else, or cannot be written; more canvases than `load` reads.
        """
        if layout not in LAYOUTS:
            raise TokensError(f"layout={layout!r}; use one of {', '.join(LAYOUTS)}")
        if layout == "preinfer":
            from .codec.preinfer import write_preinfer  # it makes tokens of videos, too

            write_preinfer(self, directory)
            return Path(directory)
        largest = max(self.canvases.nbytes, self.patch_positions.nbytes, self.frame_times.nbytes)
        if largest > MAX_CANVAS_BYTES:
            raise TokensError(f"an array has {largest} bytes; at most {MAX_CANVAS_BYTES} are saved in a folder")
        values = self._values()
        target = check_target(directory)
        with whole_folder(target, TokensError, _stranger) as scratch:
            self._write(scratch, values)
        return target

    def _values(self) -> str:
        """The content of tokens.json: what `load` takes, and nothing that it would refuse."""
        rest = {
            "format": FORMAT, "kind": self.kind, "patch_size": self.patch_size, "merge": self.merge, "fps": self.fps,
            "source": self.source, "group_ids": self.group_ids.tolist(), "config": self.config, "summary": self.summary(),
        }  # fmt: skip
        try:
            check_values(rest)
            return json.dumps(rest, indent=2, allow_nan=False) + "\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise TokensError(f"these tokens cannot be saved: {error}; give plain numbers and text") from error

    def _write(self, folder: Path, values: str) -> None:
        for i, canvas in enumerate(self.canvases):
            Image.fromarray(canvas).save(folder / _canvas_name(i))
        np.save(folder / "patch_positions.npy", self.patch_positions)
        np.save(folder / "frame_times.npy", self.frame_times)
        (folder / "tokens.json").write_text(values)

    @classmethod
    def load(cls, directory: str | os.PathLike) -> "VisualTokens":
        """Read what `save` wrote, whole even while another program saves there; sizes are checked before anything is decoded.

        A folder of the layout "preinfer", ours or the authors', is read too.

        Raises:
            TokensError: not such a folder, a newer format, a missing or damaged file, or values that contradict each other.
        """
        directory = path_text(directory, TokensError)
        if os.path.isfile(os.path.join(directory, "src_patch_position.npy")):
            from .codec.preinfer import read_preinfer

            return read_preinfer(directory)
        for _ in range(TRIES):
            folder = current(directory)
            before = identity(folder)
            try:
                tokens = cls._read(folder)
            except TokensError:
                if (current(directory), identity(folder)) == (folder, before):
                    raise
                continue
            if (current(directory), identity(folder)) == (folder, before):  # else parts of two folders may have been read
                return tokens
        raise TokensError(f"{directory} is being replaced all the time; read it when its writers are done")

    @classmethod
    def _read(cls, folder: Path) -> "VisualTokens":
        try:
            rest = read_json(folder / "tokens.json")
            other = rest.get("format")
            if other == FORMAT:
                return cls._from_values(folder, rest)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise TokensError(
                f"{folder} does not hold visual tokens: {error.filename} is missing; make them with tokens.save()"
            ) from error
        except DAMAGE as error:
            raise TokensError(
                f"{folder} is damaged: {error or type(error).__name__}; make it again with tokens.save()"
            ) from error
        raise TokensError(f"{folder} has format {other!r}; this version reads {FORMAT!r}")

    @classmethod
    def _from_values(cls, folder: Path, rest: dict) -> "VisualTokens":
        check_values(rest)
        tokens = cls(
            canvases=_read_canvases(folder, len(rest["group_ids"])),
            patch_positions=read_array(folder / "patch_positions.npy", "i", 2),
            group_ids=np.array(rest["group_ids"], dtype=np.int64),
            fps=rest["fps"],
            frame_times=read_array(folder / "frame_times.npy", "f", 1),
            patch_size=rest["patch_size"],
            kind=rest["kind"],
            source=rest["source"],
            config=rest["config"],
            merge=rest.get("merge", MERGE),
        )
        check_positions(tokens)
        return tokens


def check_target(directory: str | os.PathLike) -> Path:
    """The folder, if `VisualTokens.save` may write it: to be asked before the work whose result goes there.

    Raises:
        TokensError: it exists and holds something else, or lies where nothing can be written.
    """
    check_folder(directory, TokensError, _stranger)
    return Path(path_text(directory, TokensError))


def _canvas_name(number: int) -> str:
    return f"canvas_{number:04d}.png"


def _stranger(folder: Path) -> str | None:
    """What in a folder is not of saved tokens, None where there is nothing such."""
    try:
        rest = read_json(folder / "tokens.json")
        if rest.get("format") != FORMAT:
            return "a tokens.json of another format"
        ours = {"tokens.json", "patch_positions.npy", "frame_times.npy", *map(_canvas_name, range(len(rest["group_ids"])))}
    except DAMAGE:
        return "no visual tokens, but something else"
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    return next((repr(e.name) for e in entries if e.name not in ours or not e.is_file(follow_symlinks=False)), None)


def read_json(path: Path) -> dict:
    """What a JSON file of at most `MAX_JSON_BYTES` holds."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_JSON_BYTES:
            raise ValueError(f"{path.name} has more than {MAX_JSON_BYTES} bytes")
        return json.loads(file.read(size))


def check_values(rest: dict) -> None:
    """The values of tokens.json that arithmetic and names rest on."""

    def is_number(value: Any, *kinds: type) -> bool:
        kind = isinstance(value, kinds) and not isinstance(value, bool)
        return kind and math.isfinite(value)

    if not (is_number(rest["fps"], int, float) and rest["fps"] > 0):
        raise ValueError(f"fps is {rest['fps']!r}")
    sides = {"patch_size": rest["patch_size"], "merge": rest.get("merge", MERGE)}  # older folders do not name a merge
    for name, value in sides.items():
        if not (is_number(value, int) and 1 <= value <= 1 << 10):
            raise ValueError(f"{name} is {value!r}")
    if not (isinstance(rest["group_ids"], list) and all(is_number(group, int) for group in rest["group_ids"])):
        raise ValueError("group_ids is no list of whole numbers")
    if not (isinstance(rest["source"], str) and isinstance(rest["config"], dict)):
        raise ValueError("source is no text or config no table")


def check_positions(tokens: VisualTokens) -> None:
    """Every patch comes from a frame of the source and a place on its grid, or is padding; frame times rise."""
    times, positions = tokens.frame_times, tokens.patch_positions
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError("frame_times are not finite or fall")
    inside = ((positions >= 0) & (positions < (len(times), *tokens.grid))).all(axis=1)
    padding = (positions == -1).all(axis=1)
    if not (inside | padding).all():
        bad = int(np.argmin(inside | padding))
        raise ValueError(
            f"patch {bad} has position {positions[bad].tolist()}, outside {len(times)} frames of {tokens.grid} patches"
        )


def read_array(path: Path, kind: str, dimensions: int) -> np.ndarray:
    """An array of signed integers ("i") or floats ("f"); mapped first, so that no header asks for more than the file holds."""
    with open_regular(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != dimensions or array.dtype.kind != kind or array.nbytes > MAX_CANVAS_BYTES:
        raise ValueError(f"{path.name} holds {array.dtype} {array.shape}")
    return np.array(array)


def _read_canvases(folder: Path, count: int) -> np.ndarray:
    """uint8 [count, H, W, 3]; the first one's size tells the memory needed, and all headers are read before decoding."""
    if not count:
        raise ValueError("there is no canvas")
    width, height = _png_size(folder / _canvas_name(0))
    if 3 * count * width * height > MAX_CANVAS_BYTES or not width * height:
        raise ValueError(f"{count} canvases of {width}x{height} are empty or have more than {MAX_CANVAS_BYTES} bytes together")
    paths = [folder / _canvas_name(i) for i in range(count)]
    if other := next((path for path in paths if _png_size(path) != (width, height)), None):
        raise ValueError(f"{other.name} is not {width}x{height} like the first canvas")
    canvases = np.empty((count, height, width, 3), np.uint8)
    for canvas, path in zip(canvases, paths, strict=True):
        with open_regular(path) as file, Image.open(file, formats=["PNG"]) as picture:
            if picture.mode != "RGB":
                raise ValueError(f"{path.name} is no RGB picture")
            canvas[:] = np.asarray(picture)
    return canvases


def _png_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header alone; Pillow would judge the size before telling it."""
    with open_regular(path) as file:
        head = file.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path.name} is no PNG")
    return struct.unpack(">II", head[16:])
