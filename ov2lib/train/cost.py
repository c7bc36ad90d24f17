"""What training costs: floating-point operations and bytes per device, in closed forms.

The forward pass is `ov2lib.model.sizes.forward_flops`. Backward takes one forward's worth for the gradient of a product's input
and one more for the gradient of its weight, and a frozen product with nothing trained before it takes none. Recomputing
activations takes a forward of the layers that gradients pass.

Bytes that the backward pass keeps were read off PyTorch's own record (`torch.autograd.graph.saved_tensors_hooks`) and grow
linearly with the number of tokens, as attention kernels that keep no scores are used. Tests hold both against measured steps.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..model.configuration import LlavaOnevision2Config
from ..model.loss import CHUNK
from ..model.sizes import Widths, Work, forward_flops
from .parts import PARTS

LAYOUTS = ("one GPU", "DDP", "FSDP2")


@dataclass(frozen=True)
class Recipe:
    """What the cost of a step depends on beside its data.

    Attributes:
        trained: parts trained whole, of `PARTS`.
        rank: of the adapters on the language model, 0 for none.
        precision: "bf16" (autocast; trained weights and optimizer state in float32, frozen weights in bfloat16) or "fp32".
        checkpointing: keep only the input of every layer and recompute the rest.
    """

    trained: tuple[str, ...]
    rank: int = 0
    precision: str = "bf16"
    checkpointing: bool = True

    @property
    def reached(self) -> tuple[str, ...]:
        """Parts that gradients pass: the first one with something to train, and all after it."""
        learns = [part in self.trained or (part == "language" and self.rank > 0) for part in PARTS]
        return PARTS[learns.index(True) :] if any(learns) else ()


@dataclass(frozen=True)
class Flops:
    """Of one part: forward, backward, and forward once more where activations are recomputed."""

    forward: float = 0.0
    backward: float = 0.0
    recomputed: float = 0.0

    @property
    def total(self) -> float:
        return self.forward + self.backward + self.recomputed

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.forward + other.forward, self.backward + other.backward, self.recomputed + other.recomputed)


def training_flops(config: LlavaOnevision2Config, work: Work, recipe: Recipe) -> dict[str, Flops]:
    """FLOPs by part of one forward and backward pass over `work`.

    One saving is not modelled: when nothing before the language model learns, its first layer's q, k and v need no gradient
    of their input (0.1 % at 8B).
    """
    # 1. One forward pass; recomputing stops before a layer's last product, whose result nobody needs
    w = Widths(config)
    products = forward_flops(w, work)
    embed, _ = products.pop("patches")
    last = {"vision": 2 * work.patches * w.vision_layers * w.vision * w.vision_ffn, "language": 0.0}
    if not recipe.rank:
        last["language"] = 2 * work.tokens * w.layers * w.ffn * w.hidden
    # 2. Backward and recomputation, where gradients pass; the loss always recomputes its logits
    flops = {}
    for part, (linear, attention) in products.items():
        owner = "language" if part == "head" else part
        backward = linear if owner in recipe.trained else 0.0
        recomputed = 0.0
        if owner in recipe.reached:
            backward += linear + 2 * attention
            if part == "head" or (part in last and recipe.checkpointing):
                recomputed = linear + attention - last.get(part, 0.0)
        flops[part] = Flops(linear + attention, backward, recomputed)
    # 3. The patch embedding and the adapters
    flops["vision"] += Flops(embed, embed if "vision" in recipe.trained else 0.0)
    lora, ends = 2 * work.tokens * w.adapters(recipe.rank), 2 * work.tokens * w.layers * recipe.rank * w.hidden
    flops["adapters"] = Flops(lora, 2 * lora, lora - ends if recipe.checkpointing else 0.0)
    return flops


@dataclass(frozen=True)
class Saved:
    """Bytes that a layer keeps for its backward pass, per token or patch and per unit of width.

    Attributes:
        hidden, query, key, ffn: of a language layer.
        rank: of each of its seven adapters.
        vision, vision_ffn: of an encoder block.
        joined: of the connector.
        stream: of the hidden state between layers.
    """

    hidden: float
    query: float
    key: float
    ffn: float
    rank: float
    vision: float
    vision_ffn: float
    joined: float
    stream: int


MASK = 1  # bytes of a dropout mask's element, on a GPU
# Read off PyTorch's record; tests hold them against it. "autocast" keeps float32 weights and casts at each product; "bf16" has
# bfloat16 weights (FSDP2 gathers them so, frozen weights are stored so). A frozen product needs no input; adapters with dropout
# keep one for each.
SAVED = {
    "fp32": Saved(24, 16, 16, 16, 0, 40, 8, 16, 4),
    "autocast": Saved(26, 10, 10, 8, 0, 24, 4, 10, 4),
    "bf16": Saved(16, 10, 10, 8, 0, 20, 4, 8, 2),
    "fp32 frozen": Saved(8, 12, 12, 12, 0, 40, 8, 16, 4),
    "bf16 frozen": Saved(8, 8, 8, 6, 0, 20, 4, 8, 2),
    "fp32 adapters": Saved(28 + 5 * MASK, 16 + MASK, 12, 16 + MASK, 4, 40, 8, 16, 4),
    "bf16 adapters": Saved(18 + 5 * MASK, 10 + MASK, 8, 8 + MASK, 2, 20, 4, 8, 2),
}
# Bytes per token and unit of `ffn`: gradients on their way back through a layer's last adapter, its dropout and its casts.
PASSING = {"fp32": 8, "bf16": 10}
LOGITS = 12  # bytes per logit of a chunk of the loss: float32 log-softmax, its gradient and that of the logits
MOMENTS = 8  # AdamW's two, float32


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the fullest moment of a step.

    Attributes:
        weights, gradients, optimizer: of the parameters this device holds; gradients are there throughout, as accumulated.
        copies: of weights, in bfloat16: cast by autocast, or gathered by FSDP2; and DDP's gradient buckets.
        activations: kept from the forward pass until the backward pass, and the pixels.
        transient: the larger of one recomputed layer, and a chunk of logits with the head's gradient, not yet added.
    """

    weights: float
    gradients: float
    optimizer: float
    copies: float
    activations: float
    transient: float

    @property
    def total(self) -> float:
        return sum(vars(self).values())


def saved_bytes(config: LlavaOnevision2Config, work: Work, recipe: Recipe, layout: str = "one GPU") -> tuple[float, float]:
    """Bytes kept between forward and backward, and those of the largest layer recomputed in between (0 without recomputing)."""
    w, s = Widths(config), SAVED[_regime(recipe, layout)]
    kept = largest = 0.0
    # 1. Encoder: its embedding and norm, and its blocks, whole or only their inputs
    if "vision" in recipe.trained:
        kept += work.patches * s.stream * w.vision
        if recipe.precision == "bf16":
            kept += 2 * work.patches * w.patch  # pixels cast
    if "vision" in recipe.reached:
        block = work.patches * (s.vision * w.vision + s.vision_ffn * w.vision_ffn)
        largest = max(largest, block)
        kept += w.vision_layers * (s.stream * work.patches * w.vision if recipe.checkpointing else block)
    # 2. Connector
    if "connector" in recipe.reached:
        kept += work.visual * s.joined * w.joined
    # 3. Language model: its layers, its last norm, and what the head reads
    if "language" in recipe.reached:
        layer = s.hidden * w.hidden + s.query * w.query + s.key * w.key + s.ffn * w.ffn + 7 * s.rank * recipe.rank
        passing = PASSING[recipe.precision] * w.ffn if recipe.rank else 0
        largest = max(largest, work.tokens * (layer + passing))
        kept += w.layers * work.tokens * (s.stream * w.hidden if recipe.checkpointing else layer)
    norm = 4 + s.stream if "language" in recipe.trained else 4
    kept += work.tokens * w.hidden * norm + work.predicted * w.hidden * s.stream
    return kept, largest if recipe.checkpointing else 0.0


def _regime(recipe: Recipe, layout: str) -> str:
    if "language" not in recipe.trained:
        return f"{recipe.precision} {'adapters' if recipe.rank else 'frozen'}"
    return "autocast" if recipe.precision == "bf16" and layout != "FSDP2" else recipe.precision


def training_memory(
    config: LlavaOnevision2Config, parameters: dict[str, int], work: Work, recipe: Recipe, layout: str, devices: int = 1
) -> Memory:
    """Bytes on one device for a micro-batch of `work`.

    Args:
        parameters: by part, of `PARTS`; "language" with embedding and head.
        layout: "one GPU" and "DDP" hold the whole model, "FSDP2" shares it among `devices`.
    """
    # 1. Parameters trained and frozen, and the bytes of a frozen one
    w = Widths(config)
    whole = sum(parameters[part] for part in recipe.trained)
    trained = whole + w.adapters(recipe.rank)
    frozen = sum(parameters.values()) - whole
    mixed = recipe.precision == "bf16"
    size, language = 2 if mixed else 4, "language" in recipe.trained
    # 2. What the passes keep, and what one layer or a chunk of logits takes for a moment
    kept, layer = saved_bytes(config, work, recipe, layout)
    transient = max(_head_bytes(w, work, recipe, layout), layer)
    # 3. Copies of weights
    if layout == "FSDP2":  # gathered: what belongs to no layer, for the whole step; two layers, one of them ahead of use
        copies = float(size * (sum(parameters.values()) - w.layers * w.stored + 2 * w.stored))
        if language:
            copies += 4 * w.stored
    else:
        copies = 0.0
        if mixed:  # autocast casts a weight once in the forward pass; recomputing casts it again, a layer at a time
            cast = 2.0 * (trained - w.vocabulary * w.hidden if language else trained)
            ahead = 8 * min(work.predicted, CHUNK) * w.vocabulary  # a chunk of logits and their log-softmax
            later = 0.0 if recipe.checkpointing else cast
            copies, transient = max((cast, ahead), (later, transient), key=sum)
        if layout == "DDP":
            copies += 4.0 * trained
    # 4. Weights, gradients and moments of what this device holds
    share = devices if layout == "FSDP2" else 1
    return Memory(
        weights=(4 * trained + size * frozen) / share,
        gradients=4 * trained / share,
        optimizer=MOMENTS * trained / share,
        copies=copies,
        activations=kept + 4 * w.patch * work.patches,
        transient=transient,
    )


def _head_bytes(w: Widths, work: Work, recipe: Recipe, layout: str) -> float:
    """At the loss, in the backward pass of a chunk: its logits, and where the head learns also gradients of it.

    Those of chunks before are summed in the precision that the product has; autocast casts the weight again.
    """
    logits, weights = min(work.predicted, CHUNK) * w.vocabulary, w.hidden * w.vocabulary
    if "language" not in recipe.trained:
        return LOGITS * logits
    regime = _regime(recipe, layout)
    size = 4 if regime == "fp32" else 2
    kept = 2 if regime == "autocast" else 0
    if work.predicted > CHUNK:
        kept += size
    return max(LOGITS * logits + weights * kept, size * logits + weights * (kept + size))


def add_flops(parts: Iterable[Flops]) -> Flops:
    """The sum."""
    return sum(parts, Flops())
