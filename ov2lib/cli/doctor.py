"""`ov2 doctor`: versions, codecs, and what each codec gives here, found out by encoding and reading a tiny clip."""

import argparse
import os
import platform
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import av
import numpy as np

from .. import __version__
from ..errors import Ov2Error
from ..video.encode import CODECS, Encoding, encode
from ..video.parallel import usable_cores
from ..video.signals import read_signals
from ..video.source import Source

REQUIRED = ("av", "numpy", "pillow", "tqdm")
OPTIONAL = ("matplotlib", "papermill", "jupyterlab", "scipy", "torch", "transformers", "accelerate", "peft", "safetensors")
SIZE, FPS, FRAMES, STEP = (96, 128), 25, 8, 4  # the tiny clip: (height, width), and pixels it moves right each frame
LEGEND = """\
exported: by FFmpeg from the bitstream, or worked out from that; proxy: from the pictures encoded again as H.264"""


@dataclass(frozen=True)
class Trial:
    """What one codec gives: names of decoder and encoder ("" if there is none), then what reading the tiny clip found.

    Attributes:
        kinds: picture types seen, such as "IPB".
        motion, qp, residual, bits: where each comes from ("exported", "proxy"), "none" if it is not available.
        error: why a clip could not be written or read although decoder and encoder are there.
    """

    codec: str
    decoder: str = ""
    encoder: str = ""
    kinds: str = ""
    motion: str = ""
    qp: str = ""
    residual: str = ""
    bits: str = ""
    error: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`ov2 doctor` has no options."""


def run(args: argparse.Namespace) -> int:
    """Print what is here; exit status 1 if a codec that should work does not."""
    cores = f"{usable_cores()} of {os.cpu_count()} cores usable"
    width = max(map(len, REQUIRED + OPTIONAL)) + 2
    print(f"ov2lib {__version__}, Python {sys.version.split()[0]}, {platform.system()} {platform.machine()}, {cores}\n")
    for package in (*REQUIRED, *OPTIONAL):
        print(f"{package:<{width}}{_version(package)}")
    libraries = ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in av.library_versions.items())
    print(textwrap.fill(f"{'FFmpeg':<{width}}{av.ffmpeg_version_info}: {libraries}", 100, subsequent_indent=" " * width) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        trials = [try_codec(codec, Path(folder)) for codec in CODECS]
    print(f"{table(trials)}\n\n{LEGEND}")
    program = os.environ.get("CV_PREINFER_BIN")
    print(
        f"\nCV_PREINFER_BIN is {program or 'not set'}: consumers of the published checkpoints (their own code, vLLM, lmms-eval)"
    )
    print(f"run {program or 'cv-preinfer'} for canvases; set it to ov2-preinfer to serve them from here")
    return int(any(trial.error for trial in trials))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def try_codec(codec: str, folder: Path) -> Trial:
    """Write a tiny clip with this codec, if this FFmpeg has the encoder, and read every signal back."""
    # 1. Is there a decoder and an encoder?
    decoder, encoder = _codec_name(codec, "r"), _codec_name(CODECS[codec].name, "w")
    if not (decoder and encoder):
        return Trial(codec, decoder, encoder)
    # 2. Write the clip and read it back
    path = folder / f"{codec}{CODECS[codec].suffix}"
    try:
        encode(moving_texture(), path, SIZE, FPS, Encoding(codec))
        frames, origins = list(read_signals(path)), Source.open(path).origins
    except Ov2Error as error:
        return Trial(codec, decoder, encoder, error=str(error))
    with av.open(str(path)) as container:
        decoder = container.streams.video[0].codec_context.codec.name  # the one in use, where there are several

    # 3. A signal counts where at least one frame has it
    def origin(signal: str) -> str:
        return origins[signal] if any(getattr(frame, signal) is not None for frame in frames) else "none"

    return Trial(
        codec, decoder, encoder,
        kinds="".join(kind for kind in "IPB" if any(frame.kind == kind for frame in frames)),
        motion=origin("motion"),
        qp=origin("qp"),
        residual=origin("residual"),
        bits=origin("bits"),
    )  # fmt: skip


def _codec_name(name: str, mode: str) -> str:
    try:
        return av.codec.Codec(name, mode).name
    except av.codec.codec.UnknownCodecError:
        return ""


def moving_texture():
    """Frames uint8 [H, W, 3] of a texture that moves `STEP` pixels to the right each time."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[0] // 4, SIZE[1] // 4, 3), np.uint8)
    texture = noise.repeat(4, axis=0).repeat(4, axis=1)
    return (np.roll(texture, STEP * index, axis=1) for index in range(FRAMES))


def table(trials: list[Trial]) -> str:
    """One line a codec; a codec that failed says why in place of its signals."""
    rows: list[tuple[str, ...]] = [("codec", "decoder", "encoder", "frames", "motion", "quantisers", "residual", "bits")]
    for trial in trials:
        names = (trial.codec, trial.decoder or "none", trial.encoder or "none")
        tried = (trial.kinds, trial.motion, trial.qp, trial.residual, trial.bits)
        rows.append((*names, *tried) if trial.kinds else (*names, trial.error or "not tried"))
    widths = [max(len(row[i]) for row in rows if len(row) == len(rows[0])) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows)
