"""Clips and pictures of the mini world, kept in a cache on disk under a name made of all that decides their bytes."""

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

import av
import numpy as np
import PIL
import platformdirs

from ov2lib.files import whole_path
from ov2lib.video.encode import CODECS, Encoding, encode

from ..errors import MiniError

PAINTERS = (
    "backdrop",
    "camera",
    "draw",
    "figure",
    "jump_rope",
    "moving_shapes",
    "world",
)  # modules that decide a clip's pictures


def cache_dir() -> Path:
    """Where clips are kept: the environment variable OV2_CACHE, or the user's cache folder on this platform."""
    return Path(os.environ.get("OV2_CACHE") or platformdirs.user_cache_dir("ov2lib", appauthor=False)) / "mini"


def cached(kind: str, config: dict, encoding: Encoding, frames: Callable[[], Iterator[np.ndarray]]) -> Path:
    """Path of the encoded clip, encoding `frames()` first if it is not in the cache.

    The file name holds a digest of everything its bytes depend on: the scene's configuration (which has its "size" and
    "fps"), the encoding, the libraries' versions and the source code of the painters.
    """
    facts = {"kind": kind, "config": config, "encoding": asdict(encoding), "libraries": av.library_versions}
    path = cache_dir() / f"{kind}-{encoding.codec}-{_digest(facts)}{CODECS[encoding.codec].suffix}"
    if not path.is_file():
        _make_folder(path)
        encode(frames(), path, config["size"], config["fps"], encoding)
    return path


def cached_bytes(kind: str, config: dict, suffix: str, make: Callable[[], bytes]) -> Path:
    """Path of a file that holds `make()`, writing it first if it is not in the cache; named as `cached` names clips."""
    path = cache_dir() / f"{kind}-{_digest({'kind': kind, 'config': config})}{suffix}"
    if not path.is_file():
        _make_folder(path)
        with whole_path(path) as scratch:
            scratch.write_bytes(make())
    return path


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MiniError(
            f"cannot write to {path.parent}: {error.strerror}; set OV2_CACHE to a folder you may write to"
        ) from error


def _digest(facts: dict) -> str:
    versions = {"av": av.__version__, "numpy": np.__version__, "pillow": PIL.__version__}
    facts = facts | {"source": _painters(), "versions": versions}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _painters() -> str:
    sources = [Path(__file__).parent / f"{name}.py" for name in PAINTERS]
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*sources, Path(inspect.getfile(encode))])).hexdigest()
