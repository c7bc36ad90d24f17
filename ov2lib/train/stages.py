"""The four training stages of the 8B as frozen configurations, in two variants ("full", "lora").

Every field says where its value is from, in `StageConfig.origin`:

published   the paper or its project page says so
proxy       the paper does not, and a public launch script of the authors does; the script is named
assumed     neither does; the reason follows

Our sources give no optimiser settings of single stages. Numbers that a reported table holds are read from it
(`ov2lib.reported`), so that they cannot drift from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .. import reported
from ..errors import TrainingError
from .buckets import FRAME_SIDE, TOKENS_PER_FRAME, buckets
from .lora import LoraSettings
from .parts import PARTS

STAGES = {1: "bootstrap", 2: "instruct", 3: "long video", 4: "codec and spatial"}
OWN = 0  # the stage number of a run on data of one's own
VARIANTS = ("full", "lora")
ATTENTION = ("sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", "eager")  # transformers' names
FORMS = ("codec", "frames", "image")
ORIGINS = ("published: ", "proxy: ", "assumed: ")
# Third party: how codec, sampled and image inputs were mixed. Section 1 of the paper has the three interleaved in all stages,
# readers of its section 4 in stage 4 only. Stages 1-3 follow section 4 here; for section 1,
# `dataclasses.replace(config, input_ratio=INTERLEAVED)`.
INTERLEAVED = {"codec": 0.5, "frames": 0.375, "image": 0.125}
FRAMES_PER_CANVAS = 8  # published code: 32 candidate frames for each group of 4 canvases


@dataclass(frozen=True)
class Source:
    """One corpus in a stage's mix.

    Attributes:
        name: unique within the stage.
        card: file stem of its card in `data_cards/`.
        samples: how many it holds; None is "not in our sources".
        kind: "text", "image" or "video".
        max_frames: frames sampled from a video, or that codec canvases are chosen from.
        backend: how its videos are shown, "codec" or "frames"; None leaves it to the stage's `input_ratio`.
        num_canvases: of a codec video; None is one for `FRAMES_PER_CANVAS` of its frames.
        fps: frames a second, at most `max_frames` of them, and canvases by the same measure; None gives every video the whole
            number.
        seconds: mean length of its videos, where it is known.
        share: of an epoch's samples, relative to the other sources' shares; None draws every sample once.
    """

    name: str
    card: str
    samples: int | None
    kind: str
    max_frames: int | None = None
    backend: str | None = None
    num_canvases: int | None = None
    fps: float | None = 1.0
    share: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class StageConfig:
    """Everything that decides what a stage learns from and how.

    Attributes:
        stage, name, variant: which one this is; stage `OWN` is a run on data of one's own.
        scale: names the folder of its runs, "8b" unless the caller has another.
        sources: the data mix.
        input_ratio: relative shares of the input forms. "codec" : "frames" is how a video is shown whose source names no
            backend. "image", where present, is the share of an epoch's samples that come from sources without video; without
            it every sample is drawn once an epoch.
        front_end, frames_prompt, timestamp_decimals, timestamps: of `ov2lib.tokenize_video` and the model's processor.
        max_pixels: of a frame or canvas; None leaves the released bounds.
        trainable: parts trained in full, of "vision", "connector" and "language"; adapters come on top.
        learning_rate: the peak; `part_learning_rates` overrides it by part.
        min_learning_rate: where the cosine ends; rates of parts fall in proportion.
        warmup_fraction: of all steps.
        betas, eps, weight_decay, clip: AdamW and the norm that gradients are cut to. Biases and norms never decay.
        sequence_length: tokens in a packed bin, or in the longest sample of a pool.
        packing: "bins" (best-fit decreasing) or "pool" (batches of like length).
        micro_batch, global_batch: bins (or samples) per device and per optimiser step.
        steps: optimiser steps; None follows from the epochs.
        epochs: passes over the data, where `steps` is None.
        precision: "bf16" or "fp32".
        attention: the kernels of attention, of `ATTENTION`. None but "eager" holds a mask over all pairs of a row's tokens
            ("sdpa" goes sample by sample); the flash kernels read one packed row at a time.
        gradient_checkpointing: recompute activations in the backward pass.
        lora: adapters on the language model, in the variant "lora" only.
        seed: of data order and new weights.
        origin: field name -> "published: …", "proxy: <script> …" or "assumed: …".

    Raises:
        TrainingError: a value outside of these, a field without origin.
    """

    stage: int
    name: str
    scale: str
    variant: str
    sources: tuple[Source, ...]
    input_ratio: dict[str, float]
    front_end: str
    frames_prompt: str
    timestamp_decimals: int
    timestamps: str
    max_pixels: int | None
    trainable: tuple[str, ...]
    learning_rate: float
    part_learning_rates: dict[str, float]
    min_learning_rate: float
    warmup_fraction: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    clip: float
    sequence_length: int
    packing: str
    micro_batch: int
    global_batch: int
    steps: int | None
    epochs: float
    precision: str
    attention: str
    gradient_checkpointing: bool
    lora: LoraSettings | None
    seed: int
    origin: dict[str, str]

    def __post_init__(self):
        # 1. Values from fixed lists
        lists = {"stage": (*STAGES, OWN), "variant": VARIANTS, "packing": ("bins", "pool"), "precision": ("bf16", "fp32"),
                 "timestamps": ("presentation", "published"), "attention": ATTENTION}  # fmt: skip
        for name, allowed in lists.items():
            if getattr(self, name) not in allowed:
                raise TrainingError(f"{name} is {getattr(self, name)!r}; use {', '.join(map(str, allowed))}")
        for name, allowed in (("trainable", PARTS), ("input_ratio", FORMS), ("part_learning_rates", PARTS)):
            if unknown := set(getattr(self, name)) - set(allowed):
                raise TrainingError(f"{name} names {', '.join(sorted(unknown))}; use {', '.join(allowed)}")
        # 2. Values that depend on each other
        shares = self.input_ratio
        if min(shares.values(), default=0) < 0 or shares.get("codec", 0) + shares.get("frames", 0) <= 0:
            raise TrainingError(f"input_ratio is {shares}; give 'codec' or 'frames' a positive share, and none a negative one")
        if (self.lora is not None) != (self.variant == "lora"):
            raise TrainingError(f"variant {self.variant!r} with lora = {self.lora}; adapters belong to the variant 'lora' only")
        if self.global_batch % self.micro_batch:
            raise TrainingError(f"global_batch {self.global_batch} is no multiple of micro_batch {self.micro_batch}")
        if self.attention.startswith("flash") and self.packing == "bins" and self.micro_batch > 1:
            raise TrainingError(
                f"attention {self.attention!r} reads one packed row at a time; micro_batch {self.micro_batch} needs 'sdpa'"
            )
        shares = [source.share for source in self.sources]
        if None in shares and any(shares):
            raise TrainingError("some sources have a share and others none; give every source one, as NAME=PATH:SHARE")
        if len({source.name for source in self.sources}) < len(self.sources):
            raise TrainingError(f"two sources share a name: {', '.join(source.name for source in self.sources)}")
        # 3. Every field says where it is from
        named = {field.name for field in fields(self)} - {"origin"}
        wrong = {name for name in named if not self.origin.get(name, "").startswith(ORIGINS)} | (set(self.origin) - named)
        if wrong:
            raise TrainingError(
                f"origin must say for every field, and no other, where it is from; see {', '.join(sorted(wrong))}"
            )

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"stage {self.stage}" if self.stage else self.name

    @property
    def mixed(self) -> bool:
        """Whether sources are drawn by shares rather than every sample once an epoch."""
        return self.input_ratio.get("image") is not None or any(source.share for source in self.sources)

    def weights(self, counts: Mapping[str, float] | None = None) -> dict[str, float]:
        """Share of an epoch's samples by source, adding up to 1: as the sources or `input_ratio["image"]` say, or by size.

        Args:
            counts: samples by source name, where the published number is missing or another was counted.

        Raises:
            TrainingError: the size of a source is neither in our sources nor in `counts`.
        """
        # 1. As the sources say, or by size
        sizes: dict[str, float | None] = {source.name: source.share or source.samples for source in self.sources}
        if not any(source.share for source in self.sources):
            sizes |= dict(counts or {})
        if missing := [name for name, size in sizes.items() if size is None]:
            raise TrainingError(f"the size of {', '.join(missing)} is not known; count them and pass counts={{name: samples}}")
        total = sum(size or 0 for size in sizes.values())
        shares = {name: (size or 0) / total for name, size in sizes.items()}
        # 2. The share of images, where the stage fixes it
        image = self.input_ratio.get("image")
        videos = {source.name for source in self.sources if source.kind == "video"}
        moving = sum(shares[name] for name in videos)
        if image is None or not 0 < moving < 1:
            return shares
        image /= sum(self.input_ratio.values())
        for name in shares:
            shares[name] *= (1 - image) / moving if name in videos else image / (1 - moving)
        return shares

    def accumulation(self, processes: int) -> int:
        """Micro-batches that each of `processes` devices adds up per optimiser step.

        Raises:
            TrainingError: the global batch does not divide evenly.
        """
        if self.global_batch % (self.micro_batch * processes):
            step = self.micro_batch * processes
            raise TrainingError(
                f"a global batch of {self.global_batch} cannot be split over {processes} devices of {self.micro_batch}; use a "
                f"multiple of {step} as global batch, or fewer devices"
            )
        return self.global_batch // (self.micro_batch * processes)

    def rows(self) -> list[dict]:
        """Every field in order: its name, its value, the kind of its origin ("published", …) and the origin in words."""
        named = [item.name for item in fields(self) if item.name != "origin"]
        columns = ((name, getattr(self, name), *self.origin[name].split(": ", 1)) for name in named)
        return [dict(zip(("field", "value", "kind", "origin"), row, strict=True)) for row in columns]


def stage_config(stage: int, variant: str = "full") -> StageConfig:
    """The configuration of a stage: the paper's data and the released 8B.

    Args:
        stage: 1 to 4.
        variant: "full", or "lora" (adapters on the language model; nothing official exists for this model).

    Raises:
        TrainingError: no such stage or variant.
    """
    for name, value, allowed in (("stage", stage, STAGES), ("variant", variant, VARIANTS)):
        if value not in allowed:
            raise TrainingError(f"no {name} {value!r}; there are {', '.join(map(str, allowed))}")
    title = {"name": (STAGES[stage], "published: what the stage adds, in our words")}
    return _config(stage, variant, "8b", _SHARED | _8b(stage) | (_LORA if variant == "lora" else {}) | title)


def own_config(sources: tuple[Source, ...], variant: str = "lora") -> StageConfig:
    """The configuration of a run on data of one's own: as stage 2, asked as the released model is asked, at a size for one GPU.

    Args:
        sources: the data, see `Source`.
        variant: "lora" or "full".

    Raises:
        TrainingError: no such variant.
    """
    return _config(OWN, variant, "own", _SHARED | _8b(2) | (_LORA if variant == "lora" else {}) | _OWN | {
        "sources": (sources, _CALLER), "name": ("own data", _CALLER)})  # fmt: skip


def _config(stage: int, variant: str, scale: str, settings: dict) -> StageConfig:
    settings = settings | {"stage": (stage, _CALLER), "scale": (scale, _CALLER), "variant": (variant, _CALLER)}
    values = {name: value for name, (value, _) in settings.items()}
    return StageConfig(**values, origin={name: origin for name, (_, origin) in settings.items()})


_CALLER = "assumed: chosen by the caller"


_SHARED = {
    "front_end": ("paper", "published: variable groups and scores of the method section; the released chain differs"),
    "frames_prompt": ("training", "published: training code writes sampled frames as it writes codec runs"),
    "timestamp_decimals": (1, "published: form of the prompt; only the JumpScore evaluation uses 2"),
    "timestamps": ("presentation", "assumed: true times; the published frame index / fps differs where the rate varies"),
    "trainable": (PARTS, "proxy: mid_training.sh and instruct_780k.sh train everything"),
    "part_learning_rates": ({}, "proxy: all scripts use one rate; an older path had 2e-6 for the vision encoder"),
    "lora": (None, "proxy: no public script has adapters"),
    "seed": (0, "assumed: not in our sources"),
    "epochs": (1.0, "proxy: all scripts make one pass"),
    "attention": ("sdpa", "assumed: runs everywhere; flash kernels where they are installed"),
}  # fmt: skip

_OWN = {
    "front_end": ("released", "published: code, what the released model is shown"),
    "frames_prompt": ("inference", "published: code, how the released model is asked about frames"),
    "input_ratio": ({"codec": 1.0}, "assumed: codec canvases, unless media say otherwise, as `ov2 ask` shows videos"),
    "max_pixels": (None, "published: the released bounds"),
    "global_batch": (8, "assumed: some tens of samples a step in bins of 16,384"),
    "sequence_length": (16_384, "assumed: two videos of 32 canvases with their time tags, or some twenty images; one H100"),
}  # fmt: skip

_LORA = {
    "trainable": (("connector",), "assumed: community practice for models like Qwen3-VL; vision frozen"),
    "lora": (LoraSettings(train_connector=True), "assumed: community practice, rank 16 to 64, alpha twice it, dropout .05"),
    "learning_rate": (1e-4, "assumed: community practice"),
    "warmup_fraction": (0.03, "assumed: community practice"),
    "weight_decay": (0.0, "assumed: adapters are small; common default"),
    "global_batch": (16, "assumed: as the public 4B quick start"),
}  # fmt: skip


def _8b(stage: int) -> dict:
    # 1. Settings of the public script that is nearest to the stage
    script = "mid_training.sh" if stage == 1 else "instruct_780k.sh"
    settings = {row["field"]: row["value"] for row in reported.rows("training_scripts") if row["script"] == script}
    proxy = f"proxy: {script}" + ("; no script of a long-video or codec stage is public" if stage > 2 else "")
    numbers = {"learning_rate": "lr", "min_learning_rate": "min_lr", "warmup_fraction": "warmup_fraction", "eps": "adam_eps",
               "weight_decay": "weight_decay", "clip": "clip"}  # fmt: skip
    values: dict[str, tuple[Any, str]] = {field: (float(settings[name]), proxy) for field, name in numbers.items()}
    # 2. What the paper says, or else the script
    values |= {
        "sources": (_SOURCES[stage], "published: corpora, sizes and frames; None where a size is not; canvases are assumed, "
                    f"one for {FRAMES_PER_CANVAS} frames as in the released code"),
        "input_ratio": ({"codec": 0.5, "frames": 0.375} if stage == 4 else {"frames": 1.0}, _RATIO_ORIGIN),
        "max_pixels": (FRAME_SIDE**2, "published: frames of 392x392"),
        "betas": (tuple(float(beta) for beta in settings["adam_betas"].split("/")), proxy),
        "packing": ("bins", "proxy: the 4B quick start trains on packed bins"),
        "micro_batch": (int(settings["micro_batch"]), proxy),
        "steps": (None, f"{proxy}: total samples / batch, one pass"),
        "precision": (settings["dtype"], proxy),
        "gradient_checkpointing": (True, f"{proxy}: full recomputation"),
        "global_batch": (int(settings["global_batch"]), proxy),
        "sequence_length": (int(settings["seq_len"]), proxy),
    }  # fmt: skip
    # 3. Where the script's number cannot be right for this stage
    if stage > 1:
        why = f"assumed: {script} has {settings['global_batch']}, which does not divide among nodes of 8 GPUs"
        values["global_batch"] = (128, f"{why}; mid_training.sh has 128")
    if stage > 2:
        why = f"assumed: {script} has {settings['seq_len']}, too short for 384 frames"
        why += "; the least multiple of 8,192 that holds them, their times and a mean caption"
        values["sequence_length"] = (_capacity(_SOURCES[stage]), why)
    return values


def _capacity(sources: tuple[Source, ...]) -> int:
    """Tokens of the longest video of the mix: its frames or canvases, a time tag for each frame, and a long caption."""
    tag, question, step = 12, 500, 8192  # "<123.4 seconds>", two markers and a newline; room for the prompt; rounding
    caption = max(bucket.caption_tokens_per_clip for bucket in buckets())
    needed = max(
        (source.num_canvases or source.max_frames) * TOKENS_PER_FRAME + source.max_frames * tag
        for source in sources
        if source.max_frames
    )
    return -int(-(needed + caption + question) // step) * step


_RATIO_ORIGIN = (
    "assumed: section 1 of the paper interleaves codec, sampled and image inputs in all stages, readers of its section 4 in "
    "stage 4 only (followed here); 50 : 37.5 : 12.5 is a third party's, its image share is left to the sizes of the sources"
)


def _captions(name: str, card: str, frames: int | None = None, backend: str | None = None, suffix: str = "") -> Source:
    """A caption bucket; `frames` other than its own only where it is used again with the codec."""
    bucket = next(bucket for bucket in buckets() if bucket.name == name)
    frames = frames or bucket.frames
    canvases = frames // FRAMES_PER_CANVAS if backend == "codec" else None
    return Source(card + suffix, card, bucket.clips, "video", frames, backend, canvases, fps=None)  # as the token table counts


_INSTRUCT = Source("instruct_22m", "instruct_22m", 22_000_000, "image")
_IMAGES = (_INSTRUCT, Source("finevision", "finevision", 24_000_000, "image"))
_SOURCES = {
    1: (Source("mid_training_85m", "mid_training_85m", 85_000_000, "image"), _captions("30s", "captions_30s")),
    2: (*_IMAGES, _captions("30-60s", "captions_30_60s"), _captions("60-180s", "captions_60_180s")),
    3: (
        *_IMAGES,
        Source("llava_video_178k", "llava_video_178k", 1_600_000, "video", 384, seconds=57.5),  # see its card
        Source("videochat_flash", "videochat_flash", None, "video", 384),
        Source("molmo2", "molmo2", None, "video", 384),
        Source("timelens", "timelens", None, "video", 384),
        _captions("10-15min", "captions_10_15min"),
    ),
    4: (
        *_IMAGES,
        Source("spatial_4m", "spatial_4m", 4_000_000, "image"),
        Source("molmo2_track", "molmo2", None, "video", 384),
        Source("molmo2_point", "molmo2", None, "video", 384),
        _captions("10-15min", "captions_10_15min", 384, "codec", "_codec_384"),
        _captions("10-15min", "captions_10_15min", 768, "codec", "_codec_768"),
    ),
}  # published: corpora, sizes, frames; the codec bucket counts twice; the spatial chart counts 2.78M of the named 4M
