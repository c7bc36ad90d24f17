"""Tiny videos of every awkward kind, made by PyAV when a test asks for one.

    specimen = zoo.make("h264_b_frames", tmp_path)
    specimen.path, specimen.frames, specimen.times, specimen.shift ...

`GOOD` lists the names that must read whole, `BAD` those that must fail with a clear error or read in part; each name's
docstring says what it is. What a specimen claims follows from how it was written, never from reading it back.
"""

import os
from dataclasses import replace
from pathlib import Path

from . import bad, good, handmade
from .kit import BAD, FPS, FRAMES, GOOD, MAKERS, SHIFT, SIZE, Specimen, picture, write, x264

__all__ = [
    "BAD",
    "FPS",
    "FRAMES",
    "GOOD",
    "MAKERS",
    "SHIFT",
    "SIZE",
    "Specimen",
    "bad",
    "good",
    "handmade",
    "make",
    "picture",
    "write",
    "x264",
]


def make(name: str, folder: str | os.PathLike) -> Specimen:
    """Write the specimen `name` into `folder` and say what is known about it."""
    return replace(MAKERS[name](Path(folder)), name=name, what=" ".join(MAKERS[name].__doc__.split()))
