"""The cost model against PyTorch's own counts of one training step of a mini model."""

import contextlib
import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration, modeling
from ov2lib.model.loss import bin_mean_loss
from ov2lib.model.sizes import Widths, Work, model_card, prefill_flops, published_config
from ov2lib.train import cost
from ov2lib.train.cost import Recipe, training_flops, training_memory
from ov2lib.train.lora import LoraSettings, add_lora
from ov2lib.train.plan import part_parameters

pytestmark = pytest.mark.filterwarnings(
    "ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning"
)  # older ones lack the new name
TEXT = {
    "model_type": "qwen3", "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 320,
}  # fmt: skip
VISION = {"hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 5, "num_attention_heads": 3, "out_hidden_size": 64}
ALL = ("vision", "connector", "language")
RECIPES = {
    "all": Recipe(ALL, precision="fp32", checkpointing=False),
    "all, recomputed": Recipe(ALL, precision="fp32", checkpointing=True),
    "connector": Recipe(("connector",), precision="fp32", checkpointing=False),
    "language": Recipe(("language",), precision="fp32", checkpointing=False),
    "LoRA and connector": Recipe(("connector",), rank=8, precision="fp32", checkpointing=False),
    "LoRA, recomputed": Recipe(("connector",), rank=8, precision="fp32", checkpointing=True),
}
GRID, LENGTH = torch.tensor([[4, 8, 8]]), 160  # 256 patches in one run, 64 visual tokens among 160
WORK = Work(
    patches=256, patch_pairs=256.0**2, visual=64, text=96, token_pairs=160.0**2, predicted=160
)  # nothing is skipped here


@pytest.fixture(scope="module")
def config() -> LlavaOnevision2Config:
    return LlavaOnevision2Config(text_config=TEXT, vision_config=VISION, image_token_id=319)


def made(config, recipe: Recipe, attention: str = "sdpa"):
    """A model that trains as the recipe says."""
    torch.manual_seed(0)
    model = LlavaOnevision2ForConditionalGeneration._from_config(config, attn_implementation=attention)
    if recipe.rank:
        model = add_lora(model, LoraSettings(rank=recipe.rank, train_connector="connector" in recipe.trained))
    else:
        inner = model.model
        parts = {
            "vision": [inner.visual],
            "connector": [inner.visual.merger],
            "language": [inner.language_model, model.lm_head],
        }
        for part, modules in parts.items():
            for module in modules:
                module.requires_grad_(part in recipe.trained)
    if recipe.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def loss(model) -> torch.Tensor:
    ids = torch.arange(LENGTH)[None] % 300
    ids[:, 20:84] = 319
    pixels = torch.randn(256, 588, generator=torch.Generator().manual_seed(0))
    return model(input_ids=ids, labels=ids, pixel_values=pixels, image_grid_thw=GRID, use_cache=False, bin_loss=True).loss


@pytest.mark.parametrize("name", RECIPES)
def test_flops_equal_pytorchs_count(config, name):
    recipe = RECIPES[name]
    model = made(config, recipe, "eager")  # its products are counted as they are; other kernels recompute scores
    with FlopCounterMode(display=False) as counter:
        loss(model).backward()
    planned = cost.add_flops(training_flops(config, WORK, recipe).values())
    assert planned.total == pytest.approx(counter.get_total_flops(), rel=0.002 if name.startswith("all") else 0.02)


class Record:
    """Bytes that PyTorch keeps for the backward pass, parameters left out, each storage once."""

    def __init__(self, model):
        self.kept = {}
        self.own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.own and storage.nbytes() != 256 * 588 * 4:  # the batch's pixels
            self.kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that its address is not given out again
        return tensor

    @property
    def bytes(self) -> int:
        return sum(size for size, _ in self.kept.values())


@pytest.fixture
def cpu_masks(monkeypatch):
    """Dropout masks on a CPU have the adapters' float32."""
    extra = 4 - cost.MASK
    for regime in ("fp32 adapters", "bf16 adapters"):
        s = cost.SAVED[regime]
        wider = replace(s, hidden=s.hidden + 5 * extra, query=s.query + extra, ffn=s.ffn + extra)
        monkeypatch.setitem(cost.SAVED, regime, wider)


CASES = [("all", dtype) for dtype in ("fp32", "autocast", "bf16")]
CASES += [(name, dtype) for name in ("connector", "LoRA and connector") for dtype in ("fp32", "bf16")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_bytes_kept_for_the_backward_pass(config, name, dtype, cpu_masks):
    recipe = Recipe(RECIPES[name].trained, RECIPES[name].rank, "fp32" if dtype == "fp32" else "bf16", False)
    model = made(config, recipe)
    if dtype == "bf16":
        for parameter in model.parameters():
            if recipe.rank == 0 or not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
    record, mixed = Record(model), dtype == "autocast" or (dtype == "bf16" and recipe.rank > 0)
    with torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext():
        with torch.autograd.graph.saved_tensors_hooks(record.pack, lambda tensor: tensor):
            loss(model)
    kept, _ = cost.saved_bytes(config, WORK, recipe, "FSDP2" if dtype == "bf16" else "one GPU")
    casts = 2 * sum(p.numel() for p in model.parameters() if p.requires_grad and p.ndim > 1) if mixed else 0
    assert kept + casts == pytest.approx(record.bytes, rel=0.06)


def test_frozen_parts_before_anything_trained_keep_nothing(config):
    kept, _ = cost.saved_bytes(config, Work(patches=256, patch_pairs=256.0**2), Recipe(("language",), checkpointing=False))
    assert kept == 0


class Live(TorchDispatchMode):
    """Peak bytes of tensors alive, the model's included, each storage once: what a caching allocator would be asked for."""

    def __init__(self, model):
        super().__init__()
        self.now, self.peak, self.known = 0, 0, weakref.WeakKeyDictionary()
        for parameter in model.parameters():
            self.count(parameter)

    def count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self.known:
            size = self.known[storage] = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, size)

    def forget(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor)
        return made


def measured_and_planned(config, recipe: Recipe) -> tuple[int, cost.Memory]:
    """Peak of the second of two accumulated micro-batches of the second step: gradients and the optimizer's state exist."""
    model = made(config, recipe)
    if recipe.precision == "bf16":
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], foreach=False)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16")
    with Live(model) as live:
        for _ in range(2):
            for _ in range(2):
                with autocast:
                    value = loss(model)
                value.backward()
                del value
            optimizer.step()
            optimizer.zero_grad()
    return live.peak, training_memory(config, part_parameters(config), WORK, recipe, "one GPU")


@pytest.mark.parametrize("name", RECIPES)
def test_peak_of_a_step(config, name, cpu_masks):
    peak, planned = measured_and_planned(config, RECIPES[name])
    assert planned.total == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("chunk", [40, 1024])
@pytest.mark.parametrize("name", ["all, recomputed", "LoRA, recomputed"])
def test_peak_where_the_vocabulary_is_large(config, name, chunk, precision, cpu_masks, monkeypatch):
    """Four chunks of logits or one, which with the head's gradient are what a step takes most of."""
    monkeypatch.setattr(cost, "CHUNK", chunk)
    monkeypatch.setattr(modeling, "bin_mean_loss", partial(bin_mean_loss, chunk=chunk))
    wide = LlavaOnevision2Config(text_config=TEXT | {"vocab_size": 8000}, vision_config=VISION, image_token_id=319)
    peak, planned = measured_and_planned(wide, replace(RECIPES[name], precision=precision))
    assert planned.total == pytest.approx(peak, rel=0.05), (peak, planned)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_peak_where_the_mlp_is_wide(config, precision, cpu_masks):
    """Gradients on their way back through the adapter of the widest product are a good part of it."""
    wide = LlavaOnevision2Config(text_config=TEXT | {"intermediate_size": 1536}, vision_config=VISION, image_token_id=319)
    peak, planned = measured_and_planned(wide, replace(RECIPES["LoRA, recomputed"], precision=precision))
    assert planned.total == pytest.approx(peak, rel=0.05), (peak, planned)


def test_a_token_costs_the_experts_it_uses_and_memory_holds_them_all():
    config = published_config("30b-a3b")
    counts, w = model_card(config).parameters, Widths(config)
    elsewhere = ("vision encoder", "connector", "token embedding", "output head")
    used, held = (counts[name] - sum(counts[part] for part in elsewhere) for name in ("active", "total"))
    assert w.layers * w.layer == pytest.approx(used, rel=0.01) and w.layers * w.stored == pytest.approx(held, rel=0.001)
    work = Work(text=1000, token_pairs=1000**2 / 2)
    forward = training_flops(config, work, Recipe(("language",)))["language"].forward
    assert forward == pytest.approx(prefill_flops(config, 1000), rel=0.01)
