"""Training steps of a published size with random weights: seconds, the share of the peak, and memory beside the plan's.

    python tests/benchmarks/train_step.py --size 8b --device cuda --precision bf16 --tokens 16384

One packed bin of samples of equal length: codec canvases of 392x392 (196 tokens each, in groups of four), then text, all of it
supervised. The model, what of it is trained, the loss and the optimizer are those of `ov2 train`; FLOPs and memory are
counted as `ov2 plan` does. The ceiling is the fastest of a few large matrix products in the same process, on the same device
and in the same precision. The bin stays the same, so the loss has to fall.
"""

import argparse
import time
from dataclasses import replace

import torch
from prefill import TINY, ceiling

from ov2lib.model import LlavaOnevision2ForConditionalGeneration
from ov2lib.model.loss import IGNORED
from ov2lib.model.sizes import GROUP, SIZES, Work, published_config, sample_work
from ov2lib.train.attention import kernels
from ov2lib.train.cost import add_flops, training_flops, training_memory
from ov2lib.train.parts import make_trainable
from ov2lib.train.plan import GPU_TFLOPS, part_parameters, recipe_of
from ov2lib.train.stages import own_config

PICTURE, SIDE = 196, 28  # tokens of a canvas, and its side in patches


def packed_bin(config, samples: int, canvases: int, text: int, device: torch.device) -> tuple[dict[str, torch.Tensor], Work]:
    """One bin of equal samples as the collator makes it, and the work in it."""
    one = torch.cat([torch.full((canvases * PICTURE,), config.image_token_id), torch.randint(10, 100, (text,))])
    labels = one.masked_fill(one == config.image_token_id, IGNORED)
    batch = {
        "input_ids": one.repeat(samples)[None],
        "labels": labels.repeat(samples)[None],
        "position_ids": torch.arange(len(one)).repeat(samples)[None],
        "pixel_values": torch.randn(samples * canvases * SIDE**2, 588),
        "image_grid_thw": torch.tensor([[canvases, SIDE, SIDE]] * samples),
    }
    work = sample_work(canvases * SIDE**2, GROUP * SIDE**2, text, text) * samples
    return {name: tensor.to(device) for name, tensor in batch.items()}, work


def measure(size: str, device: torch.device, settings, samples: int, text: int, steps: int) -> None:
    """Train for a few steps and print what they took."""
    # 1. The model as `ov2 train` loads it, with random weights
    torch.manual_seed(0)
    mixed = settings.precision == "bf16"
    config = TINY if size == "tiny" else published_config(size)
    dtype = torch.bfloat16 if mixed and settings.lora else torch.float32
    torch.set_default_dtype(dtype)
    with device:
        model = LlavaOnevision2ForConditionalGeneration._from_config(config, attn_implementation=kernels(settings.attention))
    torch.set_default_dtype(torch.float32)
    model = make_trainable(model, settings).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay)
    # 2. The same bin, step after step
    canvases = (settings.sequence_length // samples - text) // PICTURE
    batch, work = packed_bin(config, samples, canvases, text, device)
    seconds, losses = [], []
    for _ in range(steps):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = model(**batch, use_cache=False, bin_loss=True).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())  # waits for the device
        seconds.append(time.perf_counter() - start)
    # 3. Beside the plan
    recipe = recipe_of(settings)
    best, flops = min(seconds[1:]), add_flops(training_flops(config, work, recipe).values()).total
    top, rate = ceiling(device, torch.bfloat16 if mixed else torch.float32), flops / best
    print(f"{size} {settings.variant}, {settings.precision}, {settings.attention}: {samples} samples of {canvases} canvases")
    print(f"  {work.tokens:,.0f} tokens in {best:.3f} s, {work.tokens / best:,.0f} tokens/s")
    print(f"  {rate / 1e12:.2f} TFLOP/s, {rate / top:.0%} of what matrix products reach ({top / 1e12:.2f})")
    if device.type == "cuda":
        planned = training_memory(config, part_parameters(config), work, recipe, "one GPU").total
        print(f"  {rate / GPU_TFLOPS / 1e12:.0%} of {GPU_TFLOPS:.0f} TFLOP/s; {torch.cuda.get_device_name()}")
        print(f"  peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB, planned {planned / 2**30:.1f} GiB")
    print("  loss " + " ".join(f"{value:.3f}" for value in losses))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["tiny", *SIZES], default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--variant", choices=["lora", "full"], default="lora")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--tokens", type=int, default=4096, help="of the bin")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--text", type=int, default=500, help="tokens of each sample, all supervised")
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    settings = replace(
        own_config((), args.variant), precision=args.precision, attention=args.attention, sequence_length=args.tokens
    )
    measure(args.size, torch.device(args.device), settings, args.samples, args.text, args.steps)
