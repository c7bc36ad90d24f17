"""What users of transformers 5 write: each line of the table works, or is refused with the remedy."""

import base64
import functools
import http.server
import inspect
import json
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import TINY
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    pipeline,
)

import ov2lib
from ov2lib import ModelError, Ov2Error
from ov2lib.model import (
    LlavaOnevision2Config,
    LlavaOnevision2ForConditionalGeneration,
    LlavaOnevision2MoeForConditionalGeneration,
    LlavaOnevision2Processor,
)

CLIP = "tests/data/beach_360x640_h264.mp4"
FRAMES = [Image.fromarray(np.full((56, 84, 3), shade, np.uint8)) for shade in (0, 90, 180)]
TIMES = [{"fps": 25.0}]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(processor, tmp_path_factory):
    """A checkpoint folder: a tiny model that knows the words of the processor's tokenizer."""
    place = tmp_path_factory.mktemp("checkpoint")
    config = LlavaOnevision2Config.from_pretrained(TINY)
    config.image_token_id, config.text_config.vocab_size = processor.image_token_id, len(processor.tokenizer)
    LlavaOnevision2ForConditionalGeneration(config).save_pretrained(place)
    processor.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def png(tmp_path_factory):
    path = tmp_path_factory.mktemp("png") / "picture.png"
    Image.fromarray(picture(56, 84)).save(path)
    return path


@pytest.fixture(scope="module")
def address(png):
    """The picture's address on a server of this machine."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=png.parent)
    handler.func.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{png.name}"
        server.shutdown()


def encoded(png) -> str:
    return base64.b64encode(png.read_bytes()).decode()


def ask(processor, *content, **options):
    """The inputs of one question through apply_chat_template, as most examples write it."""
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": "What?"}]}]
    return processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs=options
    )


def grids(inputs) -> list:
    return inputs["image_grid_thw"].tolist()


# --- pictures --------------------------------------------------------------------------------------------------------

PICTURES = {
    "a PIL image": lambda png, address: Image.open(png),
    "a path": lambda png, address: str(png),
    "a pathlib path": lambda png, address: png,
    "an array": lambda png, address: np.asarray(Image.open(png)),
    "an array, channels first": lambda png, address: np.asarray(Image.open(png)).transpose(2, 0, 1),
    "a tensor": lambda png, address: torch.from_numpy(np.array(Image.open(png))),
    "a tensor, channels first": lambda png, address: torch.from_numpy(np.array(Image.open(png))).permute(2, 0, 1),
    "an address": lambda png, address: address,
    "a data URI": lambda png, address: f"data:image/png;base64,{encoded(png)}",
    "base64": lambda png, address: encoded(png),
    "an array of one picture": lambda png, address: np.asarray(Image.open(png))[None],
    "visual tokens": lambda png, address: ov2lib.tokenize_image(png, min_pixels=56 * 56),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(kind, processor, png, address):
    given = PICTURES[kind](png, address)
    wanted = processor("<|vision_start|><|image_pad|><|vision_end|>", images=Image.open(png))
    assert torch.equal(ask(processor, {"type": "image", "image": given})["pixel_values"], wanted["pixel_values"])


@pytest.mark.parametrize("key", ["url", "path", "image", "base64"])
def test_the_keys_of_a_content_item(key, processor, png):
    value = encoded(png) if key == "base64" else str(png)
    assert grids(ask(processor, {"type": "image", key: value})) == [[1, 4, 6]]


def test_a_picture_of_a_few_pixels_in_base64(processor, tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    wanted = ask(processor, {"type": "image", "path": str(tmp_path / "red.png")})
    assert torch.equal(
        ask(processor, {"type": "image", "base64": encoded(tmp_path / "red.png")})["pixel_values"], wanted["pixel_values"]
    )


@pytest.mark.parametrize("bad", ["https://127.0.0.1:9/no.png", "data:image/png;base64,AAAA", "A" * 5000, "no/such"])
def test_pictures_that_cannot_be_read(bad, processor):
    with pytest.raises(Ov2Error, match="check the address or the encoding") as error:
        ask(processor, {"type": "image", "image": bad})
    assert len(str(error.value)) < 500


# --- videos ----------------------------------------------------------------------------------------------------------

VIDEOS = {
    "a path": ({"video": CLIP}, {"num_canvases": 4}),
    "a path, sampled": ({"video": CLIP}, {"num_frames": 4}),
    "a path, by rate": ({"video": CLIP}, {"fps": 0.25}),
    "a rate for each video": ({"video": CLIP}, {"fps": [0.25]}),
    "under the key path": ({"path": CLIP}, {"num_frames": 4}),
    "under the key url": ({"url": CLIP}, {"num_frames": 4}),
    "nested options": ({"video": CLIP}, {"videos_kwargs": {"num_frames": 4}}),
    "sampling named": ({"video": CLIP}, {"num_frames": 4, "do_sample_frames": True}),
    "decoded frames": ({"video": FRAMES}, {"video_metadata": TIMES}),
    "decoded frames, not sampled": ({"video": FRAMES}, {"video_metadata": TIMES, "do_sample_frames": False}),
    "an array": ({"video": np.stack(FRAMES)}, {"video_metadata": TIMES}),
    "a tensor, channels first": (
        {"video": torch.from_numpy(np.stack(FRAMES)).permute(0, 3, 1, 2)},
        {"video_metadata": TIMES},
    ),
}


@pytest.mark.parametrize("kind", VIDEOS)
def test_videos(kind, processor):
    item, options = VIDEOS[kind]
    inputs = ask(processor, {"type": "video", **item}, **{"max_pixels": 56 * 56, "min_pixels": 28 * 28} | options)
    frames = {
        "a path": None,
        "decoded frames": 3,
        "decoded frames, not sampled": 3,
        "an array": 3,
        "a tensor, channels first": 3,
    }
    wanted = frames.get(kind, 4)
    assert wanted is None or sum(t for t, _, _ in grids(inputs)) == wanted
    assert inputs["patch_positions"].shape[0] == inputs["pixel_values"].shape[0]


def test_a_video_as_a_list_of_its_frames_files(processor, tmp_path):
    for number, frame in enumerate(FRAMES):
        frame.save(tmp_path / f"{number}.png")
    files = [str(tmp_path / f"{number}.png") for number in range(3)]
    text = "<|vision_start|><|video_pad|><|vision_end|>"
    options = {"video_metadata": TIMES, "min_pixels": 28 * 28, "max_pixels": 56 * 84}
    assert torch.equal(
        processor(text, videos=[files], **options)["pixel_values"], processor(text, videos=[FRAMES], **options)["pixel_values"]
    )


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (
            {"video_backend": "codec", "num_frames": 4},
            "num_frames does nothing with video_backend='codec'; leave it out, or use",
        ),
        ({"video_backend": "frames", "num_canvases": 4}, "num_canvases does nothing with video_backend='frames'"),
        ({"num_frames": 4, "num_canvases": 4}, "num_frames does nothing with video_backend='codec'"),
        ({"do_sample_frames": False, "fps": 1.0}, "do_sample_frames=False and fps contradict each other"),
        ({"fps": [1.0, 2.0]}, "fps describes 2 videos and 1 were passed"),
        ({"videos_kwargs": {"frames": 4}}, "'frames' is not an option of the processor in videos_kwargs; there are"),
        ({"videos_kwargs": 4}, "videos_kwargs is 4; pass a dictionary"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, remedy, processor):
    with pytest.raises(ModelError, match=remedy):
        ask(processor, {"type": "video", "video": CLIP}, **options)


# --- options of text and images --------------------------------------------------------------------------------------


def test_nested_options_reach_their_modality(processor, png):
    inputs = ask(
        processor, {"type": "image", "image": str(png)},
        images_kwargs={"max_pixels": 28 * 56, "min_pixels": 28 * 28}, text_kwargs={"padding": False},
    )  # fmt: skip
    assert grids(inputs) == [[1, 2, 2]]


def test_modalities_of_tokens(processor, png):
    inputs = ask(processor, {"type": "image", "image": str(png)}, return_mm_token_type_ids=True)
    kinds = inputs["mm_token_type_ids"]
    assert kinds.shape == inputs["input_ids"].shape and int(kinds.sum()) == 6


def test_a_prompt_without_tokenizing_and_a_batch(processor, png):
    turn = [{"role": "user", "content": [{"type": "image", "image": str(png)}, {"type": "text", "text": "What?"}]}]
    assert isinstance(processor.apply_chat_template(turn, add_generation_prompt=True), str)
    batch = processor.apply_chat_template([turn, turn], tokenize=True, return_dict=True, return_tensors="pt")
    assert batch["input_ids"].shape[0] == 2 and grids(batch) == [[1, 4, 6]] * 2
    assert processor.batch_decode(batch["input_ids"], skip_special_tokens=True)[0].endswith("What?\n")


def test_numpy_and_lists(processor):
    assert isinstance(processor("one", return_tensors="np")["input_ids"], np.ndarray)
    assert isinstance(processor("one", return_tensors=None)["input_ids"], list)


# --- models ----------------------------------------------------------------------------------------------------------

AUTO = (AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM)


@pytest.mark.parametrize("auto", AUTO)
def test_auto_classes(auto, folder):
    assert isinstance(auto.from_pretrained(folder, dtype="auto"), LlavaOnevision2ForConditionalGeneration)


def test_the_other_auto_classes(folder):
    assert isinstance(AutoConfig.from_pretrained(folder), LlavaOnevision2Config)
    assert type(AutoModel.from_pretrained(folder)).__name__ == "LlavaOnevision2Model"
    assert isinstance(AutoProcessor.from_pretrained(folder), LlavaOnevision2Processor)


def test_generate_from_a_template(folder, png):
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    inputs = ask(processor, {"type": "image", "url": str(png)}).to(model.device)
    ids = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert ids.shape[1] == inputs["input_ids"].shape[1] + 3


def test_the_pipeline(folder, png):
    made = pipeline("image-text-to-text", model=str(folder))
    turn = [{"role": "user", "content": [{"type": "image", "url": str(png)}, {"type": "text", "text": "What?"}]}]
    assert isinstance(made(text=turn, max_new_tokens=2)[0]["generated_text"], list)


def test_loading_info_and_a_state_dict(folder, tiny):
    model, info = LlavaOnevision2ForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"]
    given = {name: torch.zeros_like(tensor) for name, tensor in tiny.state_dict().items()}
    empty = LlavaOnevision2ForConditionalGeneration.from_pretrained(None, config=tiny.config, state_dict=given)
    assert not any(tensor.any() for tensor in empty.state_dict().values())


def test_a_variant_of_the_files(tiny, tmp_path):
    tiny.save_pretrained(tmp_path, variant="fp32")
    again = LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path, variant="fp32")
    assert torch.equal(again.lm_head.weight, tiny.lm_head.weight)


def test_a_name_on_the_hub_is_read_from_its_cache(tiny, tmp_path):
    """The layout of the hub's cache: refs/main names the snapshot."""
    place = tmp_path / "models--someone--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    tiny.save_pretrained(place / "snapshots" / ("0" * 40), max_shard_size="300KB")
    offline = {"cache_dir": tmp_path, "local_files_only": True}
    again = LlavaOnevision2ForConditionalGeneration.from_pretrained("someone/tiny", **offline)
    assert torch.equal(again.lm_head.weight, tiny.lm_head.weight)
    with pytest.raises(OSError, match="find them in the cached files"):
        LlavaOnevision2ForConditionalGeneration.from_pretrained("someone/other", **offline)


def test_tensors_of_another_shape_on_request(folder, tmp_path):
    config = LlavaOnevision2Config.from_pretrained(folder)
    config.text_config.vocab_size += 8
    with pytest.raises(ModelError, match="2 tensors have another shape, first lm_head.weight is"):
        LlavaOnevision2ForConditionalGeneration.from_pretrained(folder, config=config)
    wider = LlavaOnevision2ForConditionalGeneration.from_pretrained(folder, config=config, ignore_mismatched_sizes=True)
    assert wider.lm_head.out_features == config.text_config.vocab_size


def test_pickled_weights_are_refused(tiny, tmp_path):
    tiny.config.save_pretrained(tmp_path)
    torch.save(tiny.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="lacks model.safetensors; get the whole checkpoint"):
        LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="safetensors only, as pickle runs code"):
        LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path, use_safetensors=False)


def test_pixels_once_more_beside_a_kept_cache(folder, png):
    """A second turn with the cache of the first: new text alone."""
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    inputs = ask(processor, {"type": "image", "url": str(png)})
    options = {"max_new_tokens": 2, "do_sample": False, "bad_words_ids": [[processor.image_token_id]]}
    first = model.generate(**inputs, **options, return_dict_in_generate=True)
    ids = torch.cat([first.sequences, torch.tensor([[100, 101]])], dim=1)
    visual = {name: inputs[name] for name in ("pixel_values", "image_grid_thw", "patch_positions", "group_ids")}
    with pytest.raises(ModelError, match="a kept cache holds them already"):
        model.generate(input_ids=ids, past_key_values=first.past_key_values, **options, **visual)
    again = model.generate(input_ids=ids, past_key_values=first.past_key_values, **options)
    assert again.shape[1] == ids.shape[1] + 2


@pytest.mark.parametrize("name", ["Llava_Onevision2Processor", "Qwen2_5_VLProcessor"])
def test_files_that_name_another_processor(name, folder, png, tmp_path):
    """The class itself reads them without remote code; Auto classes and pipelines are handed what it reads."""
    shutil.copytree(folder, tmp_path / "named")
    for file in ("processor_config.json", "tokenizer_config.json", "preprocessor_config.json"):
        path = tmp_path / "named" / file
        remote = {"processor_class": name, "auto_map": {"AutoProcessor": f"processing.{name}"}}
        path.write_text(json.dumps(json.loads(path.read_text()) | remote))
    processor = LlavaOnevision2Processor.from_pretrained(tmp_path / "named")
    made = pipeline("image-text-to-text", model=str(tmp_path / "named"), processor=processor)
    assert isinstance(made(text="<|image_pad|>What?", images=[str(png)], max_new_tokens=2)[0]["generated_text"], str)


# --- experts, and what a checkpoint was trained on ---------------------------------------------------------------------


def test_experts_save_and_reload_under_their_type(tmp_path):
    text = {
        "model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 64, "moe_intermediate_size": 32, "num_experts": 4,
        "num_experts_per_tok": 2, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
        "vocab_size": 320,
    }  # fmt: skip
    vision = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlavaOnevision2Config(text_config=text, vision_config=vision | {"out_hidden_size": 64}, image_token_id=300)
    model = LlavaOnevision2ForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    ids = torch.arange(8)[None]
    assert torch.equal(LlavaOnevision2ForConditionalGeneration.from_pretrained(tmp_path).eval()(ids).logits, model(ids).logits)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(stored | {"model_type": "llava_onevision2_moe"}))
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    assert isinstance(again, LlavaOnevision2MoeForConditionalGeneration)
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_a_checkpoint_keeps_the_input_form_it_was_trained_on(processor, tmp_path):
    own = LlavaOnevision2Processor(
        processor.image_processor, processor.tokenizer, video_backend="frames", frames_prompt="training", timestamp_decimals=2
    )
    own.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    text = "<|vision_start|><|video_pad|><|vision_end|>"
    assert loaded.media_options({}).video_backend == "frames" and loaded.media_options({"num_canvases": 4}).front_end
    inputs = loaded(text, videos=[FRAMES], video_metadata=TIMES)
    assert len(grids(inputs)) == 1, "one row for the whole video, as in training"
    assert "<0.04 seconds>" in loaded.decode(inputs["input_ids"][0])


def test_tokens_per_row_without_padding_and_with(tiny):
    grid = torch.tensor([[1, 4, 4], [2, 2, 2]])
    positions = torch.zeros(24, 3, dtype=torch.long)
    positions[4:8] = -1
    assert tiny.model.tokens_per_row(grid, None) == [4, 2]
    assert tiny.model.tokens_per_row(grid, positions) == [3, 2]


def test_the_plan_of_attention_moves_with_a_tower_spread_over_devices():
    from accelerate.utils import send_to_device

    from ov2lib.model.attention import plan_runs

    runs = plan_runs([4, 70, 4], order=torch.arange(78).flip(0))
    moved = send_to_device({"runs": runs}, "meta")["runs"]
    assert moved.lengths == runs.lengths
    tensors = [moved.order, moved.restore, moved.boundaries, *(batch.index for batch in moved.batches)]
    assert {str(tensor.device) for tensor in tensors} == {"meta"}


# --- options that stand in the wrong place, and defaults that are none ---------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"images_kwargs": {"num_frames": 4}},
            "'num_frames' is not an option of the processor in images_kwargs; there are max",
        ),
        ({"videos_kwargs": {"padding": True}}, "'padding' is not an option of the processor in videos_kwargs"),
        ({"text_kwargs": {"fps": 2.0}}, "'fps' is not an option of the processor in text_kwargs"),
        ({"common_kwargs": {"frames": 2}}, "'frames' is not an option of the processor"),
    ],
)
def test_an_option_that_nothing_would_read_where_it_stands(options, why, processor):
    with pytest.raises(ModelError, match=why):
        processor("one", **options)


@pytest.mark.parametrize(
    "wrong", [{"front_end": "papers"}, {"frames_prompt": "both"}, {"timestamps": "mine"}, {"video_backend": "pixels"}]
)
def test_a_default_that_is_none(wrong, processor):
    with pytest.raises(ModelError, match=f"{next(iter(wrong))} is .*; use '"):
        LlavaOnevision2Processor(processor.image_processor, processor.tokenizer, **wrong)


# --- the page of these idioms --------------------------------------------------------------------------------------------

PAGE = Path("docs/transformers.md")
HEAD = """# What users of transformers write

Written by `page()` of `tests/model/test_model_idioms.py`, where each line is a test. "Refused" means one error that names the
remedy; "both" means that what can work does, and the rest is refused.

| idiom | cases | result |
|---|---|---|
"""


def page() -> str:
    """The table of the tests above, in their order."""
    lines = []
    for name, test in vars(sys.modules[__name__]).items():
        if not name.startswith("test_") or name == "test_the_page_lists_these_idioms":
            continue
        source = inspect.getsource(test)
        refused, works = "pytest.raises" in source, "    assert " in source
        cases = [str(case) for mark in getattr(test, "pytestmark", []) for case in mark.args[1] if isinstance(case, str)]
        count = sum(len(mark.args[1]) for mark in getattr(test, "pytestmark", [])) or 1
        idiom = name.removeprefix("test_").replace("_", " ") + (": " + "; ".join(case[:60] for case in cases) if cases else "")
        result = "refused" if refused else "works"
        if refused and works and "error.value" not in source:
            result = "both"
        lines.append(f"| {idiom} | {count} | {result} |")
    return HEAD + "\n".join(lines) + "\n"


def test_the_page_lists_these_idioms():
    assert PAGE.read_text(encoding="utf-8") == page(), f"write what page() returns to {PAGE}"
