"""What a training stage costs before it is started: tokens, FLOPs, memory per device, hours.

Everything follows from a `StageConfig` and the model's widths by the closed forms of `cost`; what neither the paper nor a
public script says is assumed, and every plan lists its assumptions with their numbers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import TrainingError
from ..model.configuration import LlavaOnevision2Config
from ..model.loss import CHUNK
from ..model.sizes import GROUP, Work, model_card, sample_work
from .buckets import FRAME_SIDE, TOKENS_PER_FRAME, buckets
from .cost import LAYOUTS, Flops, Memory, Recipe, add_flops, training_flops, training_memory
from .stages import FRAMES_PER_CANVAS, Source, StageConfig

FILL = 0.99  # published: packing fills more than 99 % of a bin
TAG = 12  # tokens of a time tag: "<123.4 seconds>", the two markers, a newline
# Published: the 4B quick start packs 2.03M samples into 219,907 bins of 8,192. *Assumed*: each shows one image.
TEXT = round(219_907 * 8192 / 2.03e6) - TOKENS_PER_FRAME
UTILISATION = 0.4  # *assumed*: share of the peak that all FLOPs, the recomputed ones too, reach
GPU_TFLOPS, GPU_MEMORY = 989.0, 80.0  # NVIDIA's data sheet of the H100 SXM: dense bfloat16, GB
SPARE = 0.9  # *assumed*: share of a GPU's memory that tensors may take; the rest is the allocator's and the kernels'


@dataclass(frozen=True)
class SourcePlan:
    """One corpus.

    Attributes:
        samples: None where the number is not in our sources; it is left out of every sum then.
        visual, text: tokens per sample.
        share: of all tokens.
    """

    name: str
    samples: int | None
    visual: float
    text: float
    share: float


@dataclass(frozen=True)
class Plan:
    """The cost of one stage.

    Attributes:
        stage, name, variant, scale: of the configuration.
        gpus, utilisation, gpu_tflops, gpu_memory: as asked; TFLOP/s of one GPU and its memory in GB.
        sources: the mix.
        samples, bins, steps: of the whole stage.
        visual_tokens, text_tokens: of the whole stage; text with time tags.
        flops: by part, of the whole stage.
        hours: on all GPUs.
        memory: by layout, bytes on one device for the bin that takes most; FSDP2 shares the model among all GPUs.
        assumptions: what the numbers rest on, in words.
    """

    stage: int
    name: str
    variant: str
    scale: str
    gpus: int
    utilisation: float
    gpu_tflops: float
    gpu_memory: float
    sources: tuple[SourcePlan, ...]
    samples: float
    bins: int
    steps: int
    visual_tokens: float
    text_tokens: float
    flops: dict[str, Flops]
    hours: float
    memory: dict[str, Memory]
    assumptions: tuple[str, ...]

    @property
    def total_flops(self) -> float:
        return add_flops(self.flops.values()).total

    def fits(self, layout: str) -> bool:
        """Whether a step of this layout fits a GPU."""
        return self.memory[layout].total <= SPARE * self.gpu_memory * 1e9


def recipe_of(config: StageConfig) -> Recipe:
    """What of a stage decides the cost of a step."""
    if config.lora is None:
        return Recipe(tuple(config.trainable), 0, config.precision, config.gradient_checkpointing)
    trained = ("connector",) if config.lora.train_connector else ()
    return Recipe(trained, config.lora.rank, config.precision, config.gradient_checkpointing)


def source_work(source: Source, config: StageConfig, model: LlavaOnevision2Config) -> Work:
    """One sample of a corpus; of a video that may be shown in two ways, their mean by the stage's `input_ratio`."""
    # 1. Tokens of a still image or a text
    merge = model.vision_config.spatial_merge_size
    patches = (config.max_pixels or FRAME_SIDE**2) // model.vision_config.patch_size**2
    caption = {f"captions_{bucket.name.replace('-', '_')}": bucket.caption_tokens_per_clip for bucket in buckets()}
    text = caption.get(source.card, TEXT)
    if source.kind != "video":
        shown = patches if source.kind == "image" else 0
        return sample_work(shown, patches, text, text, merge)
    # 2. Tokens of a video: its pictures, and a time tag for each frame
    frames: float = source.max_frames or 0
    if source.fps and source.seconds:
        frames = min(frames, source.fps * source.seconds)
    tagged = text + TAG * frames
    canvases = source.num_canvases or max(1, frames / FRAMES_PER_CANVAS)
    # 3. The stage's mean of the ways in which it may be shown
    ratio = {form: config.input_ratio.get(form, 0.0) for form in ("codec", "frames")}
    shares = {form: share / sum(ratio.values()) for form, share in ratio.items()}
    if source.backend is not None:
        shares = {form: float(form == source.backend) for form in shares}
    pictures = {"codec": canvases, "frames": frames}
    return sum(
        (sample_work(pictures[form] * patches, GROUP * patches, tagged, text, merge) * share for form, share in shares.items()),
        Work(),
    )


def make_plan(
    config: StageConfig,
    model: LlavaOnevision2Config,
    gpus: int = 1,
    utilisation: float = UTILISATION,
    gpu_tflops: float = GPU_TFLOPS,
    gpu_memory: float = GPU_MEMORY,
    measured: Mapping[str, Work] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Plan:
    """Plan a stage.

    Args:
        config: of `stage_config`, or changed with `dataclasses.replace`.
        model: of `published_config`, or of a checkpoint.
        gpus: that train together.
        utilisation: share of the GPUs' peak that is reached.
        gpu_tflops, gpu_memory: peak TFLOP/s of one GPU in the stage's precision, and its memory in GB.
        measured: a mean sample of every source, where it was measured; None works it out from the sources.
        counts: samples of every source, where they were counted.

    Raises:
        TrainingError: a number that is not positive, a utilisation over 1.
    """
    # 1. Check the numbers
    for name, value in (("gpus", gpus), ("utilisation", utilisation), ("gpu_tflops", gpu_tflops), ("gpu_memory", gpu_memory)):
        if not 0 < value < float("inf") or (name == "utilisation" and value > 1):
            raise TrainingError(f"{name} is {value:g}; it must be positive{', at most 1' if name == 'utilisation' else ''}")
    # 2. One pass over the data, where shares decide how often a source is drawn, and as many passes as the stage makes
    works = measured or {source.name: source_work(source, config, model) for source in config.sources}
    known: dict[str, float] = {source.name: source.samples or 0 for source in config.sources} | dict(counts or {})
    if config.mixed:
        shares = config.weights(known)
        known = {name: share * sum(known.values()) for name, share in shares.items()}
    once = sum((works[name] * count for name, count in known.items()), Work())
    packed = once.tokens / (config.sequence_length * FILL) if config.packing == "bins" else sum(known.values())
    steps = config.steps or -int(-packed * config.epochs // config.global_batch)
    bins = steps * config.global_batch
    passes = bins / packed if config.steps else config.epochs
    # 3. FLOPs, hours and memory follow
    recipe, work = recipe_of(config), once * passes
    flops = training_flops(model, work, recipe)
    return Plan(
        stage=config.stage, name=config.name, variant=config.variant, scale=config.scale,
        gpus=gpus, utilisation=utilisation, gpu_tflops=gpu_tflops, gpu_memory=gpu_memory,
        sources=tuple(
            SourcePlan(source.name, (counts or {}).get(source.name, source.samples), works[source.name].visual,
                       works[source.name].text, known[source.name] * works[source.name].tokens / once.tokens)
            for source in config.sources
        ),
        samples=sum(known.values()) * passes, bins=bins, steps=steps,
        visual_tokens=work.visual, text_tokens=work.text, flops=flops,
        hours=add_flops(flops.values()).total / (gpus * gpu_tflops * 1e12 * utilisation) / 3600,
        memory=_memory(model, works.values(), config.sequence_length * config.micro_batch, recipe, gpus),
        assumptions=tuple(_assumptions(config, model, works, passes, gpus, measured is not None)),
    )  # fmt: skip


def _memory(model: LlavaOnevision2Config, works: Iterable[Work], tokens: int, recipe: Recipe, gpus: int) -> dict[str, Memory]:
    """By layout, for the bin that takes most: filled by one source, with the most visual tokens or the most logits."""
    counted = part_parameters(model)
    bins = [work * (tokens / work.tokens) for work in works]
    return {
        layout: max(
            (training_memory(model, counted, work, recipe, layout, gpus) for work in bins), key=lambda memory: memory.total
        )
        for layout in (LAYOUTS[:1] if gpus == 1 else LAYOUTS[1:])
    }


def part_parameters(model: LlavaOnevision2Config) -> dict[str, int]:
    """Parameters by part, of `parts.PARTS`; "language" with embedding and head."""
    counts = model_card(model).parameters
    vision, connector = counts["vision encoder"], counts["connector"]
    return {"vision": vision, "connector": connector, "language": counts["total"] - vision - connector}


def _assumptions(
    config: StageConfig, model: LlavaOnevision2Config, works: Mapping[str, Work], passes: float, gpus: int, measured: bool
) -> list[str]:
    """What a plan rests on, with the numbers."""
    # 1. What the data are taken to be
    pixels = config.max_pixels or FRAME_SIDE**2
    most = max(work.predicted / work.tokens for work in works.values())
    if measured:
        notes = ["tokens of a sample: as measured, whatever the sources say"]
    else:
        notes = [
            f"every image and frame has {pixels:,} pixels (training keeps larger images); a caption clip gives the frames of "
            "the paper's token table, another video one a second where its corpus's mean length is known, or else the most",
            f"text: captions as in the paper's token table, other samples {TEXT} (the 4B quick start's mean sample less one "
            f"image), {TAG} tokens for the time of every frame",
            f"all text but time tags is supervised: {most:.0%} of a bin's tokens at most",
        ]
    # 2. What holds for every stage
    notes += [
        f"logits are computed for supervised tokens only, {CHUNK:,} at a time, and again in the backward pass",
        f"bins are {FILL:.0%} full; attention kernels skip what a sample may not see and keep no scores",
        f"{config.precision}: trained weights, gradients and AdamW's moments in float32 (16 bytes a parameter), frozen weights "
        f"in {'bfloat16' if config.precision == 'bf16' else 'float32'}",
        f"a GPU's memory serves tensors up to {SPARE:.0%}; FSDP2 shares everything among all GPUs",
        "utilisation is of all FLOPs, recomputed ones included; loading data, saving and waiting are not counted",
    ]
    # 3. What this stage leaves out or changes
    if getattr(model.text_config, "num_experts", None):
        notes.append("experts: activations are those of a dense MLP as wide as the experts that a token uses")
    unknown = [source.name for source in config.sources if source.samples is None and not measured]
    if unknown:
        notes.append(f"not counted, as their size is not in our sources: {', '.join(unknown)} (say it with --samples)")
    if config.steps:
        notes.append(f"{config.steps:,} steps are {passes:.2f} passes over the data")
    long = [name for name, work in works.items() if work.tokens > config.sequence_length]
    if long:
        notes.append(f"longer than a bin of {config.sequence_length:,}, so cut or left out in training: {', '.join(long)}")
    if config.global_batch % (config.micro_batch * gpus):
        notes.append(
            f"a global batch of {config.global_batch} in micro-batches of {config.micro_batch} does not divide among {gpus} "
            "GPUs; the hours suppose that all work (with another batch, or tensor parallelism)"
        )
    return notes
