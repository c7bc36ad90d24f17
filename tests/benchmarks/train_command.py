"""`ov2 train` on clips of one's own, with random weights at a published size: seconds, loss, and whether it runs at all.

    python tests/benchmarks/train_command.py --size 8b --folder /tmp/own --steps 4

Makes the model's folder (17 GB at 8B), renders clips with a sentence each, and runs the README's command on them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
from prefill import TINY  # noqa: E402

from kit.school.model import mini_config, mini_processor  # noqa: E402
from kit.world import jump_rope  # noqa: E402
from ov2lib.model import LlavaOnevision2ForConditionalGeneration  # noqa: E402
from ov2lib.model.sizes import SIZES, published_config  # noqa: E402

TOKENS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")


def make_model(size: str, folder: Path, device: str) -> None:
    """A model of a published size with random weights, and the mini world's tokenizer, whose words it has too."""
    config, mini = TINY if size == "tiny" else published_config(size), mini_config()
    for name in TOKENS:
        setattr(config, name, getattr(mini, name))
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        setattr(config.text_config, name, getattr(mini.text_config, name))
    config.text_config.vocab_size = max(config.text_config.vocab_size, mini.text_config.vocab_size)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = LlavaOnevision2ForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    mini_processor().save_pretrained(folder)


def make_data(count: int, seconds: float, path: Path) -> None:
    """Rendered clips, one question and answer about each."""
    with path.open("w") as file:
        for number in range(count):
            clip = jump_rope(duration=seconds, seed=number, size=(360, 640))
            messages = [
                {"role": "user", "content": "<video>\nHow many?"},
                {"role": "assistant", "content": f"{number} jumps"},
            ]
            row = {"id": str(number), "media": [{"type": "video", "path": str(clip.path)}], "messages": messages}
            file.write(json.dumps(row) + "\n")


def main(size: str, folder: Path, steps: int, clips: int, options: list[str]) -> None:
    """Make what is missing, train, and print what came of it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = time.perf_counter()
    if not (folder / "model" / "config.json").is_file():
        make_model(size, folder / "model", device)
    print(f"model of random weights: {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    make_data(clips, 12.0, folder / "mine.jsonl")
    print(f"{clips} clips: {time.perf_counter() - start:.0f} s")
    torch.cuda.empty_cache()
    command = ["ov2lib", "train", "--data", str(folder / "mine.jsonl"), "--from", str(folder / "model"), "--variant", "lora"]
    command += ["--output", str(folder / "runs"), *options]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *command], check=True, env=os.environ | {"OV2_MAX_STEPS": str(steps)})
    print(f"ov2 train, from start to adapter: {time.perf_counter() - start:.0f} s, device {device}")
    for line in (folder / "runs" / "own" / "lora" / "metrics.jsonl").read_text().splitlines():
        print("  ", line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["tiny", *SIZES], default="tiny")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--clips", type=int, default=16)
    args, rest = parser.parse_known_args()
    main(args.size, args.folder, args.steps, args.clips, rest)
