"""Checkpoint folders: loading through the meta device, dtypes, saving, the stand-alone encoder, and damage."""

import json
import shutil

import pytest
import torch
from model_cases import TINY, visual
from safetensors.torch import load_file, save_file

from ov2lib import ModelError
from ov2lib.model import (
    LlavaOnevision2Config,
    LlavaOnevision2ForConditionalGeneration,
    LlavaOnevision2Model,
    LlavaOnevision2VisionModel,
    checkpoint_shapes,
    load_encoder,
)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(TINY, tmp_path / "copy", ignore=shutil.ignore_patterns("cases.*"))
    return tmp_path / "copy"


def features(model, golden, case="codec_canvases"):
    with torch.no_grad():
        return model.get_image_features(**visual(golden, case)).last_hidden_state


def test_loading_through_the_meta_device_keeps_rope(tiny, golden):
    """The trap: tables of non-persistent buffers come back from the meta device as whatever was in memory."""
    config = LlavaOnevision2Config.from_pretrained(TINY)
    with torch.device("cpu"):
        direct = LlavaOnevision2ForConditionalGeneration(config).eval()
    direct.load_state_dict(load_file(TINY / "model.safetensors"))
    assert torch.equal(features(tiny, golden), features(direct, golden))
    assert not [name for name, _ in tiny.model.visual.named_buffers()]


def test_bf16_is_close_to_fp32_and_its_rope_tables_are_not_rounded(tiny, golden):
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(TINY, dtype=torch.bfloat16).eval()
    wanted, got = features(tiny, golden), features(model, golden)
    assert got.dtype == torch.bfloat16
    assert (got.float() - wanted).norm() / wanted.norm() < 0.02  # bf16 keeps 8 bits
    cast = LlavaOnevision2ForConditionalGeneration.from_pretrained(TINY).to(torch.bfloat16).eval()
    assert torch.equal(features(cast, golden), got)


def test_saved_files_have_the_published_names_and_keys(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    published = json.loads((TINY / "config.json").read_text())
    written = json.loads((tmp_path / "config.json").read_text())
    assert checkpoint_shapes(tmp_path) == checkpoint_shapes(TINY)
    anywhere = {"_name_or_path", "architectures", "chunk_size_feed_forward", "dtype", "id2label", "is_encoder_decoder"}
    anywhere |= {"label2id", "output_attentions", "output_hidden_states", "problem_type", "return_dict"}  # of any config
    for part in ("vision_config", "text_config"):
        wanted = {key: value for key, value in published[part].items() if key not in anywhere}
        assert {key: written[part][key] for key in wanted} == wanted
        assert set(written[part]) <= set(published[part]), "nothing the published classes do not know"
    top = {key for key in published if not key.endswith("_config")} - {"transformers_version"}
    assert {key: written[key] for key in top} == {key: published[key] for key in top}


def test_merge_size_is_written_though_it_is_the_default():
    """The published class defaults to 3, so a file that leaves it out would be read as another model."""
    assert LlavaOnevision2Config(text_config={"hidden_size": 4096}).to_diff_dict()["vision_config"]["spatial_merge_size"] == 2


def test_saved_and_loaded_again_computes_the_same(tiny, golden, tmp_path):
    tiny.save_pretrained(tmp_path, max_shard_size="300KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    again = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert torch.equal(features(tiny, golden), features(again, golden))
    base = LlavaOnevision2Model.from_pretrained(tmp_path).eval()
    assert torch.equal(features(tiny, golden), features(base, golden))


def test_tied_model_needs_no_head_in_its_file(tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 16}
    text = {**sizes, "num_key_value_heads": 1, "vocab_size": 50, "tie_word_embeddings": True}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "out_hidden_size": 32,
    }
    model = LlavaOnevision2ForConditionalGeneration(LlavaOnevision2Config(text_config=text, vision_config=vision))
    model.save_pretrained(tmp_path)
    assert "lm_head.weight" not in checkpoint_shapes(tmp_path)
    again = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path)
    assert again.lm_head.weight is again.model.language_model.embed_tokens.weight


class TestDamage:
    def rewrite(self, folder, change):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    def test_missing_tensor(self, copy):
        self.rewrite(copy, lambda tensors: tensors.pop("model.visual.merger.ln_q.bias"))
        with pytest.raises(ModelError, match="lacks 1 of 70 tensors, first model.visual.merger.ln_q.bias; get the whole"):
            LlavaOnevision2ForConditionalGeneration.from_pretrained(copy)

    def test_misshaped_tensor(self, copy):
        self.rewrite(copy, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(3, 64)}))
        with pytest.raises(ModelError, match=r"lm_head.weight is \(3, 64\), the model has \(320, 64\)"):
            LlavaOnevision2ForConditionalGeneration.from_pretrained(copy)

    def test_truncated_file(self, copy):
        file = copy / "model.safetensors"
        file.write_bytes(file.read_bytes()[:5000])
        with pytest.raises(ModelError, match="is damaged"):
            LlavaOnevision2ForConditionalGeneration.from_pretrained(copy)

    def test_missing_shard(self, tiny, tmp_path):
        tiny.save_pretrained(tmp_path, max_shard_size="300KB")
        first = sorted(tmp_path.glob("*.safetensors"))[0]
        first.unlink()
        with pytest.raises(ModelError, match=f"lacks {first.name}; get the whole checkpoint"):
            LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path)

    def test_widths_that_do_not_meet(self):
        with pytest.raises(ModelError, match="the connector writes 32 channels"):
            LlavaOnevision2Config(text_config={"hidden_size": 64}, vision_config={"out_hidden_size": 32})


class TestStandAloneEncoder:
    @pytest.fixture
    def folder(self, tiny, tmp_path):
        """The tiny encoder in the stand-alone layout: q, k, v apart, out_proj, and the parts that are dropped."""
        tensors = {"head.probe": torch.zeros(1, 1, 64), "layernorm_post.weight": torch.ones(64)}
        for name, tensor in tiny.model.visual.state_dict().items():
            if ".qkv." in name:
                parts = zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3), strict=True)
                tensors |= {name.replace("qkv", part): value.contiguous() for part, value in parts}
            elif not name.startswith("merger."):
                tensors[name.replace(".self_attn.proj.", ".self_attn.out_proj.")] = tensor
        save_file(tensors, tmp_path / "model.safetensors")
        return tmp_path

    def test_loads_fused_and_leaves_the_connector(self, tiny, golden, folder):
        visual_model = LlavaOnevision2VisionModel(tiny.config.vision_config).eval()
        before = visual_model.merger.ln_q.weight.clone()
        load_encoder(visual_model, folder)
        with torch.no_grad():
            states = visual_model(**visual(golden, "codec_canvases")).last_hidden_state
        assert torch.equal(states, features(tiny, golden))
        assert torch.equal(visual_model.merger.ln_q.weight, before)

    @pytest.mark.parametrize("absent", ["encoder.layers.1.self_attn.k_proj.weight", "layernorm_pre.bias"])
    def test_a_missing_tensor_is_named_and_nothing_changes(self, tiny, folder, absent):
        tensors = load_file(folder / "model.safetensors")
        del tensors[absent]
        save_file(tensors, folder / "model.safetensors")
        visual_model = LlavaOnevision2VisionModel(tiny.config.vision_config)
        before = {name: tensor.clone() for name, tensor in visual_model.state_dict().items()}
        with pytest.raises(ModelError, match=absent):
            load_encoder(visual_model, folder)
        assert all(torch.equal(tensor, before[name]) for name, tensor in visual_model.state_dict().items())
