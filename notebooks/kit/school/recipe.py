"""The mini world's version of the four stages: the library's configurations, at a size that trains in minutes."""

from dataclasses import replace

from ov2lib.model.sizes import Work, sample_work
from ov2lib.train.lora import LoraSettings
from ov2lib.train.stages import Source, StageConfig, stage_config

SAMPLES = {1: 8000, 2: 2500, 3: 1500, 4: 2000}  # as many as two or three minutes of rendering and tokenizing give
STEPS = {1: 700, 2: 1000, 3: 1200, 4: 1800}
# Measured, means of the first 60 training samples: visual tokens, text, and how much of it is supervised.
TOKENS = {1: (4.0, 67.7, 19.3), 2: (8.8, 76.0, 19.6), 3: (53.2, 198.1, 52.0), 4: (38.4, 196.7, 50.6)}
MERGE = 2  # patches on each side of a visual token
RUN = 64  # patches that see each other: four pictures of 56x56
WHY = "assumed: mini world"

SWEPT = f"{WHY}; swept at stage 2, see kit.school.adapters"
LORA = {
    "lora": (LoraSettings(rank=32, dropout=0.0, train_connector=True), f"{SWEPT}: rank 8 learns less of what changes"),
    "learning_rate": (5e-3, f"{SWEPT}: 2e-3 learns less"),
    "global_batch": (4, f"{WHY}, as the full variant"),
}  # steps are the full variant's: with 0.3 of them adapters fall far short


def mini_stage(stage: int, variant: str = "full") -> StageConfig:
    """A stage of the mini world.

    Args:
        stage: 1 to 4.
        variant: "full", or "lora" (adapters on the language model).

    Raises:
        TrainingError: no such stage or variant.
    """
    base = stage_config(stage, variant)
    changed = _full(stage)
    if variant == "lora":  # its warm-up and weight decay are those of adapters at any scale
        del changed["warmup_fraction"], changed["weight_decay"]
        changed |= LORA
    values = {name: value for name, (value, _) in changed.items()}
    origin = base.origin | {name: origin for name, (_, origin) in changed.items()}
    return replace(base, scale="mini", **values, origin=origin)


def sample_tokens(stage: int) -> Work:
    """Tokens of one sample of a stage, on average, as `ov2lib.train.plan.make_plan` takes them."""
    visual, text, supervised = TOKENS[stage]
    patches = visual * MERGE**2
    return sample_work(patches, min(patches, RUN), text, supervised, MERGE)


def _full(stage: int) -> dict:
    # Media name their own frames and canvases; every fifth sample of stages 2 to 4 is of the stage before.
    source = Source(f"mini_stage{stage}", "mini_world", SAMPLES[stage], "image" if stage == 1 else "video")
    return {
        "sources": ((source,), f"{WHY}; the stage before is replayed, as the paper replays instruct data"),
        "max_pixels": (56**2, WHY),
        "learning_rate": (3e-3, f"{WHY}: best of a few tried on two cores"),
        "part_learning_rates": ({"vision": 3e-4, "connector": 3e-4}, f"{WHY}: at the full rate the encoder forgets places"),
        "min_learning_rate": (1.5e-4, WHY),
        "warmup_fraction": (0.03, WHY),
        "betas": ((0.9, 0.98), f"{WHY}: best of a few tried"),
        "eps": (1e-8, WHY),
        "weight_decay": (0.01, f"{WHY}, as mid_training.sh"),
        "clip": (1.0, f"{WHY}, as all public scripts"),
        "sequence_length": (512, f"{WHY}: about seven samples of stage 1, two clips of stage 3"),
        "packing": ("bins", f"{WHY}, as at full scale"),
        "micro_batch": (4, WHY),
        "global_batch": (4, f"{WHY}: 2,000 tokens a step; with fewer samples a step too little is learnt"),
        "steps": (STEPS[stage], f"{WHY}: sight takes tens of steps, finding what a word names hundreds (notebook 07)"),
        "precision": ("fp32", f"{WHY}: bf16 is slower on a CPU"),
        "gradient_checkpointing": (False, f"{WHY}: memory is not short"),
    }  # fmt: skip
