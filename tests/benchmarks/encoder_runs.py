"""Encoder forward: runs as batches against one attention call per run, and memory against canvases. Run by hand:

    OMP_NUM_THREADS=2 python tests/benchmarks/encoder_runs.py [--device cuda] [--real]

Ratios are within one process: the two forms take turns, and the fastest turn of each counts. Both compute the same states.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

from ov2lib.model import LlavaOnevision2VisionConfig, LlavaOnevision2VisionModel, attention, vision

MINI = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 128, "out_hidden_size": 96}
REAL = {"num_hidden_layers": 2}  # published widths; two of the 24 layers tell the ratio
CASES = {  # name: (configuration, canvases, patches on a side, group, turns)
    "mini, 64 codec canvases of 196 tokens": (MINI, 64, 28, 4, 5),
    "mini, 64 codec canvases of 196 patches": (MINI, 64, 14, 4, 20),
    "mini, 64 frames of 196 tokens": (MINI, 64, 28, 1, 8),
    "mini, 64 frames of 16 tokens": (MINI, 64, 8, 1, 30),
    "mini, 256 frames of 4 tokens": (MINI, 256, 4, 1, 30),
}
REAL_CASES = {"real width, 8 codec canvases of 196 tokens": (REAL, 8, 28, 4, 3), "real width, 8 frames": (REAL, 8, 28, 1, 3)}


def per_run(module, query, key, value, runs, interface, variable_length, **kwargs):
    """Attention as the published code and transformers' Qwen2.5-VL write it: split, one call per run, concatenate."""
    parts = zip(*(states.split(list(runs.lengths)) for states in (query, key, value)), strict=True)
    calls = ([state.transpose(0, 1)[None] for state in part] for part in parts)
    return torch.cat([interface(module, *call, attention_mask=None, is_causal=False, **kwargs)[0][0] for call in calls])


def build(changes: dict, canvases: int, side: int, group: int, device: str):
    """An encoder and inputs whose runs are `group` canvases long."""
    torch.manual_seed(0)
    config = LlavaOnevision2VisionConfig(**changes)
    config._attn_implementation = "sdpa"
    grid = torch.tensor([[group, side, side]] * (canvases // group))
    pixels = torch.randn(canvases * side * side, 588, device=device)
    places = vision.grid_positions(grid, config.spatial_merge_size).to(device)
    return LlavaOnevision2VisionModel(config).eval().to(device), pixels, grid.to(device), places


@torch.no_grad()
def turn(model, pixels, grid, places, attend) -> tuple[float, torch.Tensor]:
    """Seconds of one forward pass, and its states."""
    vision.attend = attend
    start = time.perf_counter()
    states = model(pixels, grid, places).last_hidden_state
    if pixels.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start, states


def compare(name: str, changes: dict, canvases: int, side: int, group: int, turns: int, device: str) -> None:
    """Print the fastest turns of both forms and their ratio."""
    inputs = build(changes, canvases, side, group, device)
    forms = {"batched": attention.attend, "per run": per_run}
    states = [turn(*inputs, attend)[1] for attend in forms.values()]
    torch.testing.assert_close(*states, atol=1e-4, rtol=1e-4)
    fastest = dict.fromkeys(forms, float("inf"))
    for _ in range(turns):  # in alternation, so that neither form has the quieter minutes
        for form, attend in forms.items():
            fastest[form] = min(fastest[form], turn(*inputs, attend)[0])
    ratio = fastest["per run"] / fastest["batched"]
    print(f"{name:<44}{fastest['batched']:>9.3f} s{fastest['per run']:>9.3f} s{ratio:>8.2f}x", flush=True)


def attention_ceiling(length: int = 4 * 28 * 28, size: int = 1024) -> None:
    """Print what one attention call over a codec group does per second, beside a bare matmul: the most that is left to gain."""
    states = torch.randn(3, 1, MINI["num_attention_heads"], length, MINI["hidden_size"] // MINI["num_attention_heads"])
    square = torch.randn(size, size)
    works = {
        "attention": (lambda: torch.nn.functional.scaled_dot_product_attention(*states), 4 * length**2 * MINI["hidden_size"]),
        "matmul": (lambda: square @ square, 2 * size**3),
    }
    rates = dict.fromkeys(works, 0.0)
    for _ in range(10):
        for name, (work, operations) in works.items():
            start = time.perf_counter()
            work()
            rates[name] = max(rates[name], operations / (time.perf_counter() - start) / 1e9)
    print("one call over {} patches: {attention:.0f} GFLOP/s; a bare matmul: {matmul:.0f}; ".format(length, **rates), end="")
    print(f"so no form of these runs can be {rates['matmul'] / rates['attention']:.2f}x as fast as one call each")


def resident_peak(canvases: int) -> float:
    """Peak resident MiB of this process, after it has encoded so many canvases at the mini width (Linux).

    From /proc, because `ru_maxrss` of a child starts at its parent's.
    """
    inputs = build(MINI, max(canvases, 4), 28, 4, "cpu")
    if canvases:
        turn(*inputs, attention.attend)
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory_per_canvas() -> None:
    """Print peak memory over that of a process that encodes nothing, a fresh process each."""
    peaks = {}
    for n in (0, 16, 32, 64, 128):
        done = subprocess.run([sys.executable, __file__, "--memory", str(n)], capture_output=True, text=True, check=True)
        peaks[n] = float(done.stdout)
    for n in (16, 32, 64, 128):
        print(f"{n:>4} canvases: {peaks[n] - peaks[0]:>8.0f} MiB, {(peaks[n] - peaks[0]) / n:.2f} MiB per canvas")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--real", action="store_true", help="also the published widths (minutes on a CPU)")
    parser.add_argument("--memory", type=int, metavar="N", help="only print this process's peak MiB after N canvases")
    args = parser.parse_args()
    if args.memory is not None:
        print(resident_peak(args.memory))
        sys.exit()
    print(f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads")
    for case, settings in (CASES | REAL_CASES if args.real else CASES).items():
        compare(case, *settings, device=args.device)
    if args.device == "cpu":
        attention_ceiling()
        memory_per_canvas()
