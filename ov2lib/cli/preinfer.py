"""`ov2-preinfer`: a stand-in for the authors' `cv-preinfer`, with the same options, files and messages.

    CV_PREINFER_BIN=ov2-preinfer

makes the consumers of the published checkpoints use it. Standard output is a timing line and a JSON object; progress goes to
standard error.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from tqdm import tqdm

from ..codec.preinfer import FORMATS, MAX_PIXELS, NORM_THRESHOLD, THRESHOLD_MODES, run_preinfer
from . import run_safely

# Options that tune the authors' decoder, or name what is the only way here: option, values that change nothing (None: all)
IGNORED = {
    "group_size": ("32",), "images_per_group": ("4",), "thread_type": None, "thread_count": None,
    "frame_sampling_mode": ("uniform_count",), "sample_fps": None, "iframe_score_clip_mode": ("none",),
    "iframe_score_clip_percentile": None, "decode_backend": None, "parallel_segments": None, "threads_per_segment": None,
    "segment_guard_frames": None, "grouping_mode": ("readiness",),
}  # fmt: skip
FLAGS = ("disable_target_only", "parallel_decode_cv_reader")


def build_parser() -> argparse.ArgumentParser:
    """The options of codec-video-prep 0.2.5."""
    parser = argparse.ArgumentParser(prog="ov2-preinfer", description="Write a video's canvases for the published checkpoints.")
    # 1. What decides the canvases
    parser.add_argument("--video", required=True)
    parser.add_argument("--out_dir", required=True)
    parser.add_argument("--num_sampled_frames", type=int, default=256)
    parser.add_argument("--patch", type=int, default=14)
    parser.add_argument("--block_size", type=int, default=2)
    parser.add_argument("--max_pixels", type=int, default=MAX_PIXELS)
    parser.add_argument("--min_group_frames", type=int, default=8)
    parser.add_argument("--max_group_frames", type=int, default=64)
    parser.add_argument("--bitcost_grid", choices=("sub", "mb", "ctu", "adaptive"), default="adaptive")
    parser.add_argument("--canvas_format", choices=FORMATS, default="jpg")
    parser.add_argument("--readiness_sum_threshold", type=float, default=0.0)
    parser.add_argument("--readiness_sum_threshold_mode", choices=THRESHOLD_MODES, default="legacy")
    parser.add_argument("--readiness_norm_sum_threshold", type=float, default=NORM_THRESHOLD)
    parser.add_argument("--avoid_keyframes", action="store_true", default=True)
    parser.add_argument("--no_avoid_keyframes", dest="avoid_keyframes", action="store_false")
    # 2. What callers pass and nothing here depends on
    for option, values in IGNORED.items():
        parser.add_argument(f"--{option}", help="no effect here" if values is None else f"only {', '.join(values)} is offered")
    for flag in FLAGS:
        parser.add_argument(f"--{flag}", action="store_true", help="no effect here")
    parser.add_argument("--save_mask_video", action="store_true", help="not offered")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; bad input is one line on stderr and status 2."""
    parser = build_parser()
    options = vars(parser.parse_args(argv))
    # 1. What is not offered is refused by name; what has no effect is said once
    given = {option: value for option in IGNORED if (value := options.pop(option)) is not None}
    for option, value in given.items():
        values = IGNORED[option]
        if values is not None and value not in values:
            parser.error(f"--{option} {value} is not offered; use {', '.join(values)}")
    if options.pop("save_mask_video"):
        parser.error("--save_mask_video is not offered")
    idle = [option for option in given if IGNORED[option] is None] + [flag for flag in FLAGS if options.pop(flag)]
    if idle:
        print(f"ov2-preinfer: no effect here: {', '.join(f'--{option}' for option in idle)}", file=sys.stderr)

    # 2. Run, and say where the result is
    def command() -> int:
        begun = time.perf_counter()
        with tqdm(desc="frames", unit="", disable=None, leave=False) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            meta = run_preinfer(**options, progress=show)
        seconds = time.perf_counter() - begun
        print(f"total {seconds:.3f} s, {meta['total_images']} canvases")
        path = str(Path(options["out_dir"]) / "meta.json")
        print(json.dumps({"out_dir": options["out_dir"], "meta_path": path, "timings": {"total_sec": seconds}}))
        return 0

    return run_safely(command)


if __name__ == "__main__":
    sys.exit(main())
