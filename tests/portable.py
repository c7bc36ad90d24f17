"""Are the results the same bytes on every x86-64 processor? `make test-portable` says, on the one at hand.

Each setting makes one of the libraries choose its kernels as on another processor; the last one makes all do so at once. Under
each of them tokens and signals of a few clips are digested, the golden tests run, and so do the notebooks whose outputs are
compared; the CSV files behind their figures must be the committed ones, but for the
sixth digit of a number. One table, and an exit code that says whether
all rows are equal. `python tests/portable.py --digests-only` leaves out tests and notebooks; names of settings choose some.

One row may differ: FFmpeg without any vector instructions, a processor on which numpy's wheels do not start. Its scaler rounds
differently there than with SSSE3 to AVX2, which agree. Its exact flags cost .6 ms a picture more than the .6 it takes (SSE4.2,
504x280), over 10 % of a front end, for a processor that nobody has; so the pictures have to agree within `LEVELS` only.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parent
ROOT = TESTS.parent
BEACH = TESTS / "data" / "beach_360x640_h264.mp4"
SPECIMENS = ("h264_b_pyramid", "h264_10_bit", "mpeg4", "hevc", "vp9")
GOLDEN = ["tests/model/test_model_golden.py", "tests/codec/test_released_golden.py", "tests/codec/test_logarithm.py"]
NOTEBOOKS = "00 01 02 03 04 05 06 11 12 13 14 15 17 18".split()  # those not LAX in their conftest

# FFmpeg's CPU flags (libavutil/cpu.h) of processors as old as numpy's wheels allow, and of none at all
SSE42 = 0x1 | 0x2 | 0x8 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x1000
FFMPEG = "TEST_PORTABLE_FFMPEG"
HOOK = f"""
import ctypes, glob, os
import av
(library,) = glob.glob(os.path.join(os.path.dirname(av.__file__), os.pardir, "av.libs", "libavutil*"))
ctypes.CDLL(library).av_force_cpu_flags(int(os.environ["{FFMPEG}"]))
"""
SETTINGS = {
    "as it is": {},
    "PyTorch: no vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "PyTorch: AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "MKL: SSE4.2": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "oneDNN: SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "numpy: no AVX-512": {"NPY_DISABLE_CPU_FEATURES": "X86_V4"},
    "numpy: no AVX2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"},
    "OpenBLAS: Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "OpenBLAS: Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS: Zen": {"OPENBLAS_CORETYPE": "Zen"},
    "OpenBLAS: SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "FFmpeg: SSE4.2": {FFMPEG: str(SSE42)},
    "FFmpeg: no vectors": {FFMPEG: "0"},
}
NEEDS = {"OpenBLAS: Haswell": "avx2", "OpenBLAS: Zen": "avx2", "PyTorch: AVX2": "avx2"}
NEEDS |= {"OpenBLAS: SkylakeX": "avx512f", "numpy: no AVX-512": "avx512f"}
TRAINED = {"11_answers"}  # shows a trained model's answers, where one was trained
INEXACT = "FFmpeg: no vectors"
LEVELS = 8  # grey levels that its pictures may differ by (6 seen, 1.1 on average)
ONCE = ("PyTorch: no vectors", "MKL: SSE4.2", "oneDNN: SSE4.1", "numpy: no AVX2", "OpenBLAS: Nehalem", "FFmpeg: SSE4.2")


def runnable() -> dict[str, dict[str, str] | None]:
    """Each setting's environment; None where this processor lacks what it needs. The last one is everything at once."""
    flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
    settings = {name: env if NEEDS.get(name, "sse2") in flags else None for name, env in SETTINGS.items()}
    once: dict[str, str] = {}
    for name in ONCE:
        once |= SETTINGS[name]
    if "avx512f" not in flags:  # numpy warns of a feature that is not there to be disabled
        settings["numpy: no AVX2"] = {"NPY_DISABLE_CPU_FEATURES": "X86_V3"}
        once |= settings["numpy: no AVX2"]
    return settings | {"everything at once": once}


def digest(arrays: Iterator[np.ndarray | None]) -> str:
    """Eight digits that stand for the bytes, types and shapes of arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(b"-" if array is None else f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:8]


def signals(clips: list[Path]) -> Iterator[np.ndarray | None]:
    """All arrays of `read_signals`."""
    from ov2lib import read_signals

    for clip in clips:
        for frame in read_signals(clip):
            yield from (frame.luma, frame.motion, frame.motion_future, frame.qp, frame.residual, frame.bits)


def tokens(clips: list[Path], front_end: str) -> Iterator[np.ndarray]:
    """All arrays of a front end's tokens."""
    from ov2lib import tokenize_frames, tokenize_video

    for clip in clips:
        for options in ({}, {"cost": "log1p"}) if front_end == "paper" else ({},):
            made = tokenize_frames(clip) if front_end == "frames" else tokenize_video(clip, front_end, **options)
            yield from (made.canvases, made.patch_positions, made.group_ids, made.frame_times)


def digests(clips: list[Path], folder: Path) -> dict[str, str]:
    """What this process makes of the clips; whole frames are kept in the folder."""
    from kit.world import jump_rope
    from ov2lib import tokenize_frames, tokenize_image

    picture = np.random.default_rng(0).integers(0, 256, (480, 700, 3), np.uint8)
    image = tokenize_image(picture, max_pixels=153_664)
    np.save(folder / "frames.npy", tokenize_frames(BEACH, num_frames=8).canvases)
    found = {name: digest(tokens(clips, name)) for name in ("paper", "ippp", "released", "frames")}
    found |= {"image": digest(iter([image.canvases])), "signals": digest(signals(clips))}
    os.environ["OV2_CACHE"] = tempfile.mkdtemp()
    return found | {"mini": hashlib.sha256(jump_rope(duration=2.0).path.read_bytes()).hexdigest()[:8]}


def run_setting(env: dict[str, str], clips: list[Path], folder: Path, digests_only: bool) -> dict[str, str]:
    """One row of the table, made by processes of their own."""
    hook = folder / "hook"
    hook.mkdir(parents=True)
    if FFMPEG in env:
        (hook / "sitecustomize.py").write_text(HOOK)
    figures = folder / "figures"
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OV2_FIGURES": str(figures)} | env
    env["PYTHONPATH"] = os.pathsep.join([str(hook), str(ROOT), str(ROOT / "notebooks")])
    command = [sys.executable, __file__, "--child", str(folder), *map(str, clips)]
    row = json.loads(subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout)
    if digests_only:
        return row
    notebooks = [str(path) for name in NOTEBOOKS for path in (ROOT / "notebooks").glob(f"{name}_*.ipynb")]
    for column, arguments in (("tests", GOLDEN), ("notebooks", ["--nbval", "--nbval-current-env", *notebooks])):
        with (folder / f"{column}.log").open("w") as log:
            command = [sys.executable, "-m", "pytest", "-q", *arguments]
            code = subprocess.run(command, env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT).returncode
        row[column] = "pass" if code == 0 else f"FAIL ({log.name})"
    committed = ROOT / "figures"
    differ = [path.stem for path in figures.glob("*.csv") if not same_table(path, committed / path.name)]
    row["csv"] = ", ".join(sorted(set(differ) - TRAINED)) or "equal"
    return row


def same_table(one: Path, other: Path) -> bool:
    """Whether two CSV files hold the same words, and numbers that agree in their first five digits.

    The sixth digit may differ: what PyTorch computes in float32 (the rotations of notebook 04) is rounded in another order
    where it has no vectors.
    """
    cells = [[cell for line in path.read_text().splitlines() for cell in line.split(",")] for path in (one, other)]
    return len(cells[0]) == len(cells[1]) and all(same_cell(a, b) for a, b in zip(*cells, strict=True))


def same_cell(one: str, other: str) -> bool:
    """Equal text, or numbers less than 1e-5 of the larger apart."""
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-5, abs_tol=1e-6)
    except ValueError:
        return False


def print_table(rows: dict[str, dict[str, str] | None]) -> None:
    """A line for each setting."""
    columns = list(rows["as it is"])
    width = max(map(len, rows))
    print(" " * width, *(f"{name:9}" for name in columns))
    for name, row in rows.items():
        cells = ["skipped: not on this processor"] if row is None else [f"{row.get(column, '-'):9}" for column in columns]
        print(f"{name:{width}}", *cells)


def main() -> int:
    """Run the settings and print the table; 1 where a row differs from the first or a test fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", help="settings to run besides 'as it is' (default: all)")
    parser.add_argument("--digests-only", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        folder, *clips = map(Path, args.settings)
        print(json.dumps(digests(clips, folder)))
        return 0
    sys.path.insert(0, str(TESTS))
    import zoo

    folder = Path(tempfile.mkdtemp(prefix="ov2-portable-"))
    clips = [BEACH]
    for name in SPECIMENS:
        (folder / name).mkdir()
        clips.append(Path(zoo.make(name, folder / name).path))
    rows: dict[str, dict[str, str] | None] = {}
    for number, (name, env) in enumerate(runnable().items()):
        if not args.settings or name in ("as it is", *args.settings):
            own = folder / f"{number:02}"
            rows[name] = None if env is None else run_setting(env, clips, own, args.digests_only or name == INEXACT)
            print(name, rows[name], file=sys.stderr, flush=True)
            if name == INEXACT:
                before, after = (np.load(path / "frames.npy").astype(int) for path in (folder / "00", own))
                off = int(np.abs(after - before).max())
    print_table(rows)
    if rows.pop(INEXACT, None):
        print(f"{INEXACT}: pictures differ by up to {off} grey levels, {LEVELS} are allowed")
        if off > LEVELS:
            return 1
    first = rows["as it is"]
    return int(any(row not in (None, first) for row in rows.values()) or any("FAIL" in value for value in first.values()))


if __name__ == "__main__":
    sys.exit(main())
