"""`ov2 assemble` on small checkpoints in the published layouts: what comes from where, what is refused, how it is written."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3ForCausalLM

from ov2lib.cli import main
from ov2lib.errors import ModelError
from ov2lib.model import LlavaOnevision2ForConditionalGeneration, LlavaOnevision2Processor, checkpoint_shapes
from ov2lib.train import assemble as module
from ov2lib.train.assemble import CONNECTOR, assemble
from ov2lib.train.start import load_start


def rewrite(folder: Path, change) -> None:
    """Change the tensors of a checkpoint in place."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


@pytest.fixture
def donor(tiny_config) -> LlavaOnevision2ForConditionalGeneration:
    """A whole model that the checkpoints are taken from."""
    torch.manual_seed(5)
    return LlavaOnevision2ForConditionalGeneration(tiny_config).eval()


@pytest.fixture
def qwen3(tmp_path, donor, processor) -> Path:
    """As transformers writes a plain Qwen3, in bfloat16."""
    plain = Qwen3ForCausalLM(donor.config.text_config)
    plain.model.load_state_dict(donor.model.language_model.state_dict())
    plain.lm_head.load_state_dict(donor.lm_head.state_dict())
    plain.to(torch.bfloat16).save_pretrained(tmp_path / "Qwen3")
    processor.tokenizer.save_pretrained(tmp_path / "Qwen3")
    return tmp_path / "Qwen3"


@pytest.fixture(params=["newer names", "older names"])
def onevision15(request, tmp_path, donor, processor) -> Path:
    """LLaVA-OneVision-1.5: its own vision tower, its connector, and the text configuration under its type."""
    folder = tmp_path / "LLaVA-OneVision-1.5"
    donor.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)

    def change(tensors):
        for name in [name for name in tensors if name.startswith(module.VISUAL) and not name.startswith(CONNECTOR)]:
            del tensors[name]
        tensors["model.visual.blocks.0.attn.qkv.weight"] = torch.zeros(6, 2)
        tensors["model.visual.class_embedding"] = torch.zeros(2)
        if request.param == "older names":
            for name in list(tensors):
                tensors[name.replace("model.visual.", "visual.").replace(".language_model.", ".")] = tensors.pop(name)

    rewrite(folder, change)
    config = json.loads((folder / "config.json").read_text())
    text = config["text_config"] | {"model_type": "LLaVAOneVision1_5_text", "rope_theta": 5e5, "rope_scaling": None}
    del text["rope_parameters"]
    config |= {"model_type": "llavaonevision1_5", "text_config": text, "vision_config": {"model_type": "rice_vit", "depth": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def encoder(tmp_path, donor) -> Path:
    """The stand-alone encoder: q, k, v apart, out_proj, a pooling head and a last norm."""
    folder = tmp_path / "OneVision-Encoder"
    tensors = {"head.probe": torch.zeros(1, 1, 64), "layernorm_post.weight": torch.ones(64)}
    for name, tensor in donor.model.visual.state_dict().items():
        if ".qkv." in name:
            parts = zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3), strict=True)
            tensors |= {name.replace("qkv", part): value.contiguous() for part, value in parts}
        elif not name.startswith("merger."):
            tensors[name.replace(".self_attn.proj.", ".self_attn.out_proj.")] = tensor
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    settings = donor.config.vision_config.to_dict() | {"use_head": True}
    del settings["out_hidden_size"], settings["spatial_merge_size"]
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test_onevision15_with_the_encoder_is_the_whole_model(onevision15, encoder, donor, tmp_path):
    made = assemble(onevision15, encoder, tmp_path / "out")
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    for name, tensor in donor.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    assert made.connector == "from LLaVA-OneVision-1.5, as it fits"
    assert made.parameters == donor.num_parameters()
    assert made.dropped == {
        "vision tower of the language model's checkpoint": 2,
        "pooling head and last norm of the encoder": 2,
    }
    assert model.config.text_config.model_type == "qwen3"
    assert model.config.text_config.rope_parameters["rope_theta"] == 5e5 and "rope base 500000" in made.assumed[1]
    assert json.loads((tmp_path / "out" / "assembly.json").read_text())["connector"] == made.connector


def test_qwen3_with_the_encoder_gets_a_fresh_connector(qwen3, encoder, donor, tmp_path):
    made = [assemble(qwen3, encoder, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert made[0].connector == "fresh, drawn with seed 0"
    weights = [name for name in a if name.startswith(CONNECTOR + "mlp") and name.endswith("weight")]
    assert all(torch.equal(a[name], b[name]) for name in a) and not any(torch.equal(a[name], c[name]) for name in weights)
    assert all(float(a[name].float().std()) == pytest.approx(0.02, rel=0.1) for name in weights)
    assert a["lm_head.weight"].dtype == torch.bfloat16 and a["model.visual.layernorm_pre.weight"].dtype == torch.float32
    ids = torch.arange(12)[None]
    plain = Qwen3ForCausalLM.from_pretrained(qwen3).eval()
    whole = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path / "a").eval()
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, whole(ids).logits)


def test_training_can_start_from_it(qwen3, encoder, tmp_path, processor):
    assemble(qwen3, encoder, tmp_path / "out")
    model, read = load_start(tmp_path / "out")
    assert model.dtype == torch.float32 and model.config.image_token_id == processor.image_token_id
    assert isinstance(read, LlavaOnevision2Processor) and read.image_processor.patch_size == 14
    text = read.apply_chat_template([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}])
    assert "<|vision_start|><|image_pad|><|vision_end|>What?" in text


def test_a_head_that_is_tied_stays_so(qwen3, encoder, tmp_path):
    config = json.loads((qwen3 / "config.json").read_text())
    (qwen3 / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    assemble(qwen3, encoder, tmp_path / "out")
    assert "lm_head.weight" not in checkpoint_shapes(tmp_path / "out")
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


def test_files_stay_below_the_bound_and_are_one_checkpoint(onevision15, encoder, donor, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD", "100KB")
    assemble(onevision15, encoder, tmp_path / "out")
    files = list((tmp_path / "out").glob("model-*-of-*.safetensors"))
    largest = max(tensor.nbytes for tensor in donor.state_dict().values())
    assert len(files) > 3 and all(file.stat().st_size < max(largest, 100_000) + 10_000 for file in files)
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in donor.state_dict().items())


def edit(folder: Path, **changes) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


LAYER = "model.layers.1.mlp.up_proj.weight"
MISFITS = {
    "language tensor missing": ("Qwen3", lambda t: t.pop(LAYER), "Qwen3 lacks 1 of .*layers.1.mlp.up_proj.weight"),
    "language tensor of another shape": (
        "Qwen3", lambda t: t.update({LAYER: torch.zeros(3, 3)}), r"up_proj.weight is \(3, 3\), the model has \(48, 32\)"),
    "another language model": (
        "Qwen3", lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}), "no place for, .*q_proj.bias"),
    "quantized": ("Qwen3", lambda t: t.update({LAYER: t[LAYER].to(torch.float8_e4m3fn)}), "is quantized .F8_E4M3"),
    "encoder tensor missing": ("OneVision-Encoder", lambda t: t.pop("encoder.layers.0.self_attn.v_proj.bias"), "v_proj.bias"),
    "another encoder": ("OneVision-Encoder", lambda t: t.update({"class_embedding": torch.zeros(64)}), "first class_embedding"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_tensors_that_do_not_fit_are_named_and_nothing_is_written(qwen3, encoder, tmp_path, name):
    folder, change, message = MISFITS[name]
    rewrite(tmp_path / folder, change)
    with pytest.raises(ModelError, match=message):
        assemble(qwen3, encoder, tmp_path / "made" / "out")
    assert not (tmp_path / "made").exists()


def test_an_encoder_with_another_patch_than_its_configuration(qwen3, encoder, tmp_path):
    edit(encoder, patch_size=16)
    with pytest.raises(ModelError, match=r"patch_embedding.weight is \(64, 3, 14, 14\), the model has \(64, 3, 16, 16\)"):
        assemble(qwen3, encoder, tmp_path / "out")


def test_folders_of_something_else(qwen3, encoder, tmp_path):
    with pytest.raises(ModelError, match="OneVision-Encoder has no tokenizer.json"):
        assemble(encoder, qwen3, tmp_path / "out")
    edit(qwen3, model_type="qwen3_moe")
    with pytest.raises(ModelError, match="a language model of type 'qwen3_moe'; give"):
        assemble(qwen3, encoder, tmp_path / "out")
    (encoder / "config.json").unlink()
    edit(qwen3, model_type="qwen3")
    with pytest.raises(ModelError, match="has no config.json; give the folder of a stand-alone OneVision-Encoder"):
        assemble(qwen3, encoder, tmp_path / "out")


def test_a_folder_that_is_there_is_left_alone(qwen3, encoder, tmp_path):
    with pytest.raises(ModelError, match="Qwen3 exists; choose a new folder"):
        assemble(qwen3, encoder, qwen3)


def test_a_full_disk_leaves_nothing(qwen3, encoder, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(ModelError, match="No space left on device; free some space"):
        assemble(qwen3, encoder, tmp_path / "made" / "out")
    assert not list((tmp_path / "made").iterdir())


def test_command_says_what_came_from_where(qwen3, encoder, tmp_path, capsys):
    shutil.copyfile(qwen3 / "config.json", qwen3 / "generation_config.json")
    command = ["assemble", "--language", qwen3, "--vision", encoder, "--output", tmp_path / "out", "--seed", 3]
    assert main([str(word) for word in command]) == 0
    text = capsys.readouterr().out
    assert "connector       fresh, drawn with seed 3" in text and "dropped: 2 tensors, pooling head" in text
    assert "assumed: rope base" in text and (tmp_path / "out" / "generation_config.json").is_file()
