"""Prefill of the whole model with random weights: tokens per second, and the share of what plain matrix products reach.

    python tests/benchmarks/prefill.py --size 8b --device cuda --dtype bfloat16 --canvases 64

Codec canvases of 392x392 (196 tokens each) in groups of four, one prompt. FLOPs are counted as `ov2 model-card` does. The
ceiling is the fastest of a few large matrix products in the same process, on the same device and in the same dtype.
"""

import argparse
import time

import torch

from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration
from ov2lib.model.sizes import GROUP, SIZES, published_config, video_cost

TINY = LlavaOnevision2Config(
    text_config={"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 512, "max_position_embeddings": 65536},
    vision_config={"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
                   "out_hidden_size": 64},
    image_token_id=5,
)  # fmt: skip


def seconds(call, device: torch.device, turns: int = 3) -> float:
    """The fastest of some turns, after one to warm up."""
    taken = []
    for _ in range(turns + 1):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest large square matrix product."""
    best = 0.0
    for n in (4096, 8192) if device.type == "cuda" else (1024, 2048):
        a, b = torch.randn(2, n, n, device=device, dtype=dtype)
        best = max(best, 2 * n**3 / seconds(lambda a=a, b=b: a @ b, device))
    return best


@torch.no_grad()
def measure(config: LlavaOnevision2Config, canvases: int, device: torch.device, dtype: torch.dtype) -> None:
    """Build the model on the device and print what encoding and prefill take."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with device:
        model = LlavaOnevision2ForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    grid = torch.tensor([[canvases, 28, 28]], device=device)
    pixels = torch.randn(canvases * 784, 588, device=device, dtype=dtype)
    ids = torch.full((1, canvases * 196), config.image_token_id, device=device)
    encode = seconds(lambda: model.get_image_features(pixels, grid), device)
    features = model.get_image_features(pixels, grid)
    prefill = seconds(lambda: model(ids, mm_encoder_outputs={"image": features}, logits_to_keep=1), device)
    cost, top = video_cost(config, "", 1.0, canvases, GROUP), ceiling(device, dtype)
    for name, taken, flops in (
        ("encoder and connector", encode, cost.encoder_flops + cost.connector_flops),
        ("language model prefill", prefill, cost.prefill_flops),
    ):
        rate = flops / taken
        print(f"{name:<24}{taken:>9.3f} s{cost.tokens / taken:>12,.0f} tokens/s{rate / 1e12:>9.2f} TFLOP/s{rate / top:>7.0%}")
    print(f"{'matrix products':<24}{top / 1e12:>44.2f} TFLOP/s")
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on {torch.cuda.get_device_name()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["tiny", *SIZES], default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--canvases", type=int, default=16)
    args = parser.parse_args()
    chosen = TINY if args.size == "tiny" else published_config(args.size)
    measure(chosen, args.canvases, torch.device(args.device), getattr(torch, args.dtype))
