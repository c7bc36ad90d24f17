"""What training costs: floating-point operations and bytes per device, in closed forms.

FLOPs are counted as in `ov2lib.model.sizes`: two per multiply-add, matrix products only. Backward takes one forward's worth for
the gradient of a product's input and one more for the gradient of its weight, and a frozen product with nothing trained before
it takes none. Recomputing activations takes a forward of the layers that gradients pass. Attention is counted over the pairs
that see each other: within a sample and causal in the language model, within a group in the encoder.

Bytes that the backward pass keeps were read off PyTorch's own record (`torch.autograd.graph.saved_tensors_hooks`) and grow
linearly with the number of tokens, as attention kernels that keep no scores are used. Tests hold both against measured steps.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..model.configuration import LlavaOnevision2Config
from ..model.loss import CHUNK

PARTS = ("vision", "connector", "language")
LAYOUTS = ("one GPU", "DDP", "FSDP2")


@dataclass(frozen=True)
class Work:
    """What passes through the model: one sample, one bin or a whole stage; sums and multiples of it are again one.

    Attributes:
        patches: that the encoder sees.
        patch_pairs: pairs (query, key) of patches that see each other.
        visual, text: tokens that the language model reads.
        token_pairs: pairs of tokens that see each other; n² / 2 for a sample of n tokens.
        predicted: tokens that are supervised; logits are computed for these only.
    """

    patches: float = 0.0
    patch_pairs: float = 0.0
    visual: float = 0.0
    text: float = 0.0
    token_pairs: float = 0.0
    predicted: float = 0.0

    @property
    def tokens(self) -> float:
        return self.visual + self.text

    def __add__(self, other: "Work") -> "Work":
        return Work(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __mul__(self, times: float) -> "Work":
        return Work(*(value * times for value in vars(self).values()))


def sample_work(patches: float, run: int, text: float, predicted: float, merge: int = 2) -> Work:
    """One sample whose patches see each other in runs of `run`, merged `merge` x `merge` into visual tokens."""
    visual = patches / merge**2
    return Work(patches, patches * run, visual, text, (visual + text) ** 2 / 2, predicted)


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


@dataclass(frozen=True)
class Widths:
    """Sizes that the closed forms are written in.

    Attributes:
        patch, vision, vision_ffn, vision_layers: values of a patch, encoder width, its MLP's and how many blocks.
        joined: m² · vision, what the connector reads.
        hidden, ffn, query, key, layers, vocabulary: of the language model; query and key are heads times head dimension. With
            experts, ffn is the width of those that a token uses.
        experts: how many times as many weights the MLPs hold as a token uses; 1 without experts.
    """

    patch: int
    vision: int
    vision_ffn: int
    vision_layers: int
    joined: int
    hidden: int
    ffn: int
    query: int
    key: int
    layers: int
    vocabulary: int
    experts: int = 1

    @property
    def linears(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of q, k, v, o, gate, up and down."""
        d, q, k, f = self.hidden, self.query, self.key, self.ffn
        return (d, q), (d, k), (d, k), (q, d), (d, f), (d, f), (f, d)

    @property
    def layer(self) -> int:
        """Weights in the products that a token passes in one language layer."""
        return sum(given * made for given, made in self.linears)

    @property
    def stored(self) -> int:
        """Weights of one language layer, with all its experts."""
        return self.layer + (self.experts - 1) * 3 * self.hidden * self.ffn

    def adapters(self, rank: int) -> int:
        """Parameters of the LoRA adapters on every language layer; experts have none."""
        adapted = self.linears if self.experts == 1 else self.linears[:4]
        return self.layers * rank * sum(given + made for given, made in adapted)


def widths(config: LlavaOnevision2Config) -> Widths:
    """Read the sizes off a configuration. The router of experts is left out (under .1 % of the FLOPs at 30B-A3B)."""
    vision, text = config.vision_config, config.text_config
    used, held = getattr(text, "num_experts_per_tok", 1), getattr(text, "num_experts", 1)
    return Widths(
        patch=vision.num_channels * vision.patch_size**2,
        vision=vision.hidden_size,
        vision_ffn=vision.intermediate_size,
        vision_layers=vision.num_hidden_layers,
        joined=vision.hidden_size * vision.spatial_merge_size**2,
        hidden=text.hidden_size,
        ffn=text.moe_intermediate_size * used if held > 1 else text.intermediate_size,
        query=text.num_attention_heads * text.head_dim,
        key=text.num_key_value_heads * text.head_dim,
        layers=text.num_hidden_layers,
        vocabulary=text.vocab_size,
        experts=held // used if held > 1 else 1,
    )


def training_flops(config: LlavaOnevision2Config, work: Work, recipe: Recipe) -> dict[str, Flops]:
    """FLOPs by part of one forward and backward pass over `work`.

    One saving is not modelled: when nothing before the language model learns, its first layer's q, k and v need no gradient
    of their input (0.1 % at 8B).
    """
    # 1. FLOPs of one forward pass: (linear layers, attention)
    w, tokens = widths(config), work.tokens
    embed = 2 * work.patches * w.patch * w.vision
    blocks = 2 * work.patches * w.vision_layers * (4 * w.vision**2 + 2 * w.vision * w.vision_ffn)
    products = {  # of linear layers, of attention (scores, and their sum over values)
        "vision": (blocks, 4 * w.vision_layers * w.vision * work.patch_pairs),
        "connector": (2 * work.visual * (w.joined**2 + w.joined * w.hidden), 0),
        "language": (2 * tokens * w.layers * w.layer, 4 * w.layers * w.query * work.token_pairs),
        "head": (2 * work.predicted * w.hidden * w.vocabulary, 0),
    }
    # Recomputing stops before a layer's last product, whose result nobody needs.
    last = 0 if recipe.rank else w.ffn * w.hidden
    skipped = {"vision": 2 * work.patches * w.vision_layers * w.vision * w.vision_ffn, "language": 2 * tokens * w.layers * last}
    # 2. Backward and recomputation, where gradients pass
    flops = {}
    for part, (linear, attention) in products.items():
        owner = "language" if part == "head" else part
        back = (linear + 2 * attention) * (owner in recipe.reached) + linear * (owner in recipe.trained)
        recomputes = part == "head" or (part in skipped and recipe.checkpointing)  # the loss always recomputes its logits
        again = (linear + attention - skipped.get(part, 0)) * (recomputes and owner in recipe.reached)
        flops[part] = Flops(linear + attention, back, again)
    # 3. The patch embedding and the adapters
    flops["vision"] += Flops(embed, embed * ("vision" in recipe.trained))
    lora, last = 2 * tokens * w.adapters(recipe.rank), 2 * tokens * w.layers * recipe.rank * w.hidden
    flops["adapters"] = Flops(lora, 2 * lora, (lora - last) * recipe.checkpointing)
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
    w, s = widths(config), SAVED[_regime(recipe, layout)]
    language = work.tokens * (
        s.hidden * w.hidden + s.query * w.query + s.key * w.key + s.ffn * w.ffn + 7 * s.rank * recipe.rank
    )
    block = work.patches * (s.vision * w.vision + s.vision_ffn * w.vision_ffn)
    cast = 2 * (recipe.precision == "bf16")
    ends = work.patches * (cast * w.patch + s.stream * w.vision) * ("vision" in recipe.trained)  # embedding, its norm
    ends += work.visual * s.joined * w.joined * ("connector" in recipe.reached)
    ends += work.tokens * w.hidden * (4 + s.stream * ("language" in recipe.trained))  # last norm
    ends += work.predicted * w.hidden * s.stream  # what the head reads
    seen = w.layers * ("language" in recipe.reached), w.vision_layers * ("vision" in recipe.reached)
    if recipe.checkpointing:
        inputs = s.stream * (seen[0] * work.tokens * w.hidden + seen[1] * work.patches * w.vision)
        return ends + inputs, max(language * bool(seen[0]), block * bool(seen[1]))
    return ends + seen[0] * language + seen[1] * block, 0.0


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
    # 1. How many parameters are trained, frozen, and shared among devices
    w = widths(config)
    whole = sum(parameters[part] for part in recipe.trained)
    learns = whole + w.adapters(recipe.rank)
    frozen = sum(parameters.values()) - whole
    share = devices if layout == "FSDP2" else 1
    mixed = recipe.precision == "bf16"
    # 2. What the passes keep, and what one layer or a chunk of logits takes for a moment
    kept, layer = saved_bytes(config, work, recipe, layout)
    head = _head_bytes(w, work, recipe, layout)
    if layout == "FSDP2":  # gathered: what belongs to no layer, for the whole step; two layers, one of them ahead of use
        root = sum(parameters.values()) - w.layers * w.stored
        gathered = (2 if mixed else 4) * (root + 2 * w.stored)
        copies, transient = gathered + 4 * w.stored * ("language" in recipe.trained), max(head, layer)
    else:  # autocast casts a weight once in the forward pass; recomputing casts it again, a layer at a time
        cast = 2.0 * mixed * (learns - w.vocabulary * w.hidden * ("language" in recipe.trained))
        ahead = 8 * min(work.predicted, CHUNK) * w.vocabulary  # a chunk of logits and their log-softmax
        moments = [(cast, ahead), (cast * (not recipe.checkpointing), max(head, layer))]
        copies, transient = max(moments, key=sum)
    # 3. Weights, gradients and moments of what this device holds
    if layout == "DDP":
        copies += 4.0 * learns
    return Memory(
        weights=(4 * learns + (2 if mixed else 4) * frozen) / share,
        gradients=4 * learns / share,
        optimizer=MOMENTS * learns / share,
        copies=copies,
        activations=kept + 4 * w.patch * work.patches,
        transient=transient,
    )


def _head_bytes(w: Widths, work: Work, recipe: Recipe, layout: str) -> float:
    """At the loss, in the backward pass of a chunk: its logits, and where the head learns also gradients of it.

    Those of chunks before are summed in the precision that the product has; autocast casts the weight again.
    """
    logits, weights = min(work.predicted, CHUNK) * w.vocabulary, w.hidden * w.vocabulary
    regime = _regime(recipe, layout)
    if "language" not in recipe.trained:
        return LOGITS * logits
    size, cast = 4 if regime == "fp32" else 2, 2 * (regime == "autocast")
    held = cast + size * (work.predicted > CHUNK)
    return max(LOGITS * logits + weights * held, size * logits + weights * (held + size))


def add_flops(parts: Iterable[Flops]) -> Flops:
    """The sum."""
    return sum(parts, Flops())
