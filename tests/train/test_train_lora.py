"""LoRA: what is adapted and what learns, saving, merging, and adapters that do not belong to a model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from ov2lib.errors import TrainingError
from ov2lib.model import LlavaOnevision2Config, LlavaOnevision2ForConditionalGeneration
from ov2lib.model.adapter import fingerprint, load_adapter, merge
from ov2lib.model.sizes import Widths, published_config
from ov2lib.train.lora import LoraSettings, add_lora, save_adapter

TINY = Path(__file__).parents[1] / "data" / "golden" / "tiny_p14m2"
SEVEN = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def base() -> LlavaOnevision2ForConditionalGeneration:
    return LlavaOnevision2ForConditionalGeneration.from_pretrained(TINY).eval()


def trained(settings: LoraSettings, step: float = 0.05):
    """An adapted model whose trainable weights have moved."""
    torch.manual_seed(0)
    model = add_lora(base(), settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += step * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def prompt() -> dict[str, torch.Tensor]:
    cases = load_file(TINY / "cases.safetensors")
    names = ("input_ids", "pixel_values", "image_grid_thw", "patch_positions")
    return {name: cases[f"codec_canvases.{name}"] for name in names}


@torch.no_grad()
def logits(model, prompt) -> torch.Tensor:
    return model(**prompt).logits


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_adapter(trained(LoraSettings(rank=4, train_connector=True)), tmp_path_factory.mktemp("adapter") / "a")


def test_the_seven_linears_of_each_language_layer_and_nothing_visual_are_adapted():
    model = add_lora(base(), LoraSettings(rank=4))
    names = [name for name, module in model.get_base_model().named_modules() if isinstance(module, LoraLayer)]
    assert len(names) == 7 * model.config.text_config.num_hidden_layers
    assert all(name.startswith("model.language_model.layers.") for name in names)
    assert {name.rpartition(".")[2] for name in names} == SEVEN
    assert not [name for name, _ in model.named_modules() if "visual" in name and "lora" in name]


@pytest.mark.parametrize("connector", [False, True])
def test_gradients_reach_the_adapters_and_the_connector_if_asked_and_nothing_else(prompt, connector):
    model = add_lora(base(), LoraSettings(rank=4, train_connector=connector))
    torch.nn.init.ones_(model.base_model.model.model.language_model.layers[0].mlp.up_proj.lora_B["default"].weight)
    model(**prompt, labels=prompt["input_ids"]).loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    visual = {name for name in reached if ".visual." in name}
    assert {".merger.modules_to_save." in name for name in visual} == ({True} if connector else set())
    assert len(visual) == (6 if connector else 0)
    moved = [name for name in reached if "lora_B" in name and model.get_parameter(name).grad.abs().max() > 0]
    assert len(moved) == 14, "every adapter learns"


@pytest.mark.parametrize(("rank", "connector", "count"), [(32, False, 87_293_952), (64, True, 2 * 87_293_952 + 33_564_672)])
def test_share_of_the_8b_that_learns(rank, connector, count):
    with torch.device("meta"):
        model = LlavaOnevision2ForConditionalGeneration(published_config("8b"))
    model = add_lora(model, LoraSettings(rank=rank, train_connector=connector))
    learns = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert learns == count < 0.05 * 8_527_213_568


def test_a_fresh_adapter_changes_nothing(prompt):
    assert torch.equal(logits(add_lora(base(), LoraSettings(rank=4)).eval(), prompt), logits(base(), prompt))


def test_bfloat16_weights_train_in_float32_and_generate_after_loading(prompt, tmp_path):
    model = add_lora(base().to(torch.bfloat16), LoraSettings(rank=4, train_connector=True))
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    assert {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad} == {torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        model(**prompt, labels=prompt["input_ids"]).loss.backward()
    save_adapter(model, tmp_path / "a")
    again = load_adapter(base().to(torch.bfloat16), tmp_path / "a").eval()
    assert again.generate(**prompt, max_new_tokens=2, do_sample=False).shape[1] == prompt["input_ids"].shape[1] + 2


def test_checkpointing_sends_no_gradient_through_the_frozen_encoder(prompt):
    """transformers asks gradients of every embedding then, patches too, which would pass the encoder backwards for nothing."""
    model = add_lora(base(), LoraSettings(rank=4, train_connector=False)).train()
    model.get_base_model().enable_input_require_grads()
    seen = []
    model.get_base_model().model.visual.register_forward_hook(lambda module, given, made: seen.append(made.pooler_output))
    model(**prompt, labels=prompt["input_ids"]).loss.backward()
    assert [tokens.requires_grad for tokens in seen] == [False]


@pytest.mark.parametrize("connector", [False, True])
def test_saved_and_loaded_computes_the_same(prompt, tmp_path, connector):
    model = trained(LoraSettings(rank=4, train_connector=connector))
    wanted = logits(model, prompt)
    assert (wanted - logits(base(), prompt)).abs().max() > 0.1
    save_adapter(model, tmp_path / "a")
    again = load_adapter(base(), tmp_path / "a").eval()
    assert torch.equal(logits(again, prompt), wanted)
    assert not [name for name, parameter in again.named_parameters() if parameter.requires_grad]
    assert [p for p in load_adapter(base(), tmp_path / "a", trainable=True).parameters() if p.requires_grad]


def test_auto_classes_open_an_adapter_folder_on_the_base_it_names(saved, prompt):
    model = AutoModelForImageTextToText.from_pretrained(saved).eval()
    assert isinstance(model, LlavaOnevision2ForConditionalGeneration)
    assert torch.equal(logits(model, prompt), logits(load_adapter(base(), saved).eval(), prompt))


def test_generates(saved, prompt):
    model = load_adapter(base(), saved).eval()
    written = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    first = logits(model, prompt)[:, -1].argmax(-1)
    assert written.shape[1] == prompt["input_ids"].shape[1] + 3
    assert torch.equal(written[:, prompt["input_ids"].shape[1]], first)


@pytest.mark.parametrize("connector", [False, True])
def test_merged_equals_adapted_and_is_a_plain_checkpoint(prompt, tmp_path, connector):
    model = trained(LoraSettings(rank=4, train_connector=connector), step=0.02)
    wanted = logits(model, prompt)
    merged = merge(model)
    assert type(merged) is LlavaOnevision2ForConditionalGeneration
    assert (logits(merged, prompt) - wanted).abs().max() < 1e-5
    merged.save_pretrained(tmp_path)
    again = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(again, prompt), logits(merged, prompt))


def test_only_the_adapter_is_written_and_its_base_is_named(saved):
    written = load_file(saved / "adapter_model.safetensors")
    assert {"lora_A" in name or "lora_B" in name or ".visual.merger." in name for name in written} == {True}
    assert len(written) == 2 * 14 + 6
    note = json.loads((saved / "base.json").read_text())
    assert note == {"base_model": str(TINY), "architecture": "llava_onevision2", "fingerprint": fingerprint(base())}


def test_fingerprint_is_of_the_weights_not_of_dtype_or_adapters():
    model = base()
    name = fingerprint(model)
    assert fingerprint(base().to(torch.bfloat16)) == name == fingerprint(trained(LoraSettings(rank=4, train_connector=True)))
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    assert fingerprint(model) != name


class TestRefusals:
    @pytest.fixture
    def copy(self, saved, tmp_path):
        return Path(shutil.copytree(saved, tmp_path / "copy"))

    def test_missing_folder(self, tmp_path):
        with pytest.raises(TrainingError, match=r"no adapter_config.json and no adapter_model.safetensors; give a folder"):
            load_adapter(base(), tmp_path / "nowhere")

    def test_other_weights(self, copy):
        model = base()
        torch.nn.init.zeros_(model.lm_head.weight)
        with pytest.raises(TrainingError, match=f"was trained on the weights {fingerprint(base())} of .*; load that model"):
            load_adapter(model, copy)
        assert not [name for name, _ in model.named_modules() if "lora" in name], "the model is untouched"

    def test_other_architecture(self, copy):
        config = LlavaOnevision2Config.from_pretrained(TINY)
        config.text_config.intermediate_size = 96
        with pytest.raises(TrainingError, match="it is the adapter of another architecture"):
            load_adapter(LlavaOnevision2ForConditionalGeneration(config), copy)

    def test_fewer_layers(self, copy):
        config = LlavaOnevision2Config.from_pretrained(TINY)
        config.text_config.num_hidden_layers = 1
        with pytest.raises(TrainingError, match="no such module; it is the adapter of another architecture"):
            load_adapter(LlavaOnevision2ForConditionalGeneration(config), copy)

    def test_damaged_file(self, copy):
        (copy / "adapter_model.safetensors").write_bytes(b"\x00" * 50)
        with pytest.raises(TrainingError, match="is damaged"):
            load_adapter(base(), copy)

    def test_experts_stay_frozen_and_attention_is_adapted(self):
        config = published_config("30b-a3b")
        config.text_config.num_hidden_layers = 2
        with torch.device("meta"):
            model = LlavaOnevision2ForConditionalGeneration(config)
        adapted = add_lora(model, LoraSettings(rank=4, train_connector=False))
        learns = {name: p.numel() for name, p in adapted.named_parameters() if p.requires_grad}
        assert len(learns) == 2 * 4 * 2 and all("self_attn" in name for name in learns)
        assert sum(learns.values()) == Widths(config).adapters(4)

    def test_a_folder_with_other_things_is_left_alone(self, saved, tmp_path):
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(TrainingError, match="holds no adapter of ours, .* would be lost"):
            save_adapter(load_adapter(base(), saved), tmp_path)
        assert (tmp_path / "letter.txt").read_text() == "dear"

    def test_a_failing_save_keeps_the_adapter_before(self, copy, monkeypatch):
        model = trained(LoraSettings(rank=4))
        before = (copy / "adapter_model.safetensors").read_bytes()

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(model, "save_pretrained", full)
        with pytest.raises(TrainingError, match="cannot write .*: No space left on device; free some space"):
            save_adapter(model, copy)
        assert (copy / "adapter_model.safetensors").read_bytes() == before
        assert [path.name for path in copy.parent.iterdir()] == ["copy"]

    def test_merging_a_diverged_adapter(self):
        model = trained(LoraSettings(rank=4))
        torch.nn.init.constant_(
            model.base_model.model.model.language_model.layers[0].mlp.up_proj.lora_B["default"].weight, torch.nan
        )
        with pytest.raises(TrainingError, match="the training diverged"):
            merge(model)

    @pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": -1.0}, {"dropout": 1.0}])
    def test_settings(self, wrong):
        with pytest.raises(TrainingError, match="LoRA"):
            LoraSettings(**wrong)


@pytest.mark.parametrize("tied", [False, True])
def test_norms_and_embeddings_may_be_trained_whole_beside_the_adapters(prompt, tmp_path, tied):
    config = base().config
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = tied
    LlavaOnevision2ForConditionalGeneration(config).save_pretrained(tmp_path / "base")

    def fresh():
        return LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path / "base")

    model = add_lora(fresh(), LoraSettings(rank=4, train_norms=True, train_embeddings=True)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.01 * torch.randn_like(parameter)
    whole = {name for name, parameter in model.named_parameters() if parameter.requires_grad and "lora_" not in name}
    assert any("embed_tokens" in name for name in whole) and any("input_layernorm" in name for name in whole)
    assert any("lm_head" in name for name in whole) != tied and not any(".encoder." in name for name in whole)
    wanted = logits(model, prompt)
    save_adapter(model, tmp_path / "a")
    assert torch.equal(logits(load_adapter(fresh(), tmp_path / "a").eval(), prompt), wanted)
    merge(model).save_pretrained(tmp_path / "merged")
    again = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    assert (logits(again, prompt) - wanted).abs().max() < 1e-4
