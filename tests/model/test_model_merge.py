"""Checkpoints that join 2x2 or 3x3 patches into a visual token: from a file to an answer and a training step."""

import numpy as np
import pytest
import torch
from model_cases import TINY, strip
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import ov2lib
from ov2lib import ModelError, Ov2Error, TokensError
from ov2lib.model import (
    LlavaOnevision2Config,
    LlavaOnevision2ForConditionalGeneration,
    LlavaOnevision2Processor,
    LlavaOnevision2VisionConfig,
)
from ov2lib.model.prompt import IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER, visual_text
from ov2lib.samples.cache import TokenCache
from ov2lib.samples.media import IMAGE_PIXELS, MediaOptions
from ov2lib.samples.sample import Media, Sample
from ov2lib.tokens import VisualTokens
from ov2lib.train.collate import Collator
from ov2lib.train.encoding import SampleEncoder

CLIP = "tests/data/beach_360x640_h264.mp4"
SHOWN = {
    "image": None,
    "frames": {"video_backend": "frames", "num_frames": 5},
    **{name: {"front_end": name, "num_canvases": 8} for name in ("paper", "ippp", "released")},
}
SMALL = {"min_pixels": 1, "max_pixels": 120_000}


@pytest.fixture(scope="module", params=[2, 3])
def checkpoint(request, processor, tmp_path_factory):
    """(merge, model, processor) out of a folder."""
    merge, place = request.param, tmp_path_factory.mktemp(f"merge{request.param}")
    config = LlavaOnevision2Config.from_pretrained(TINY)
    config.vision_config = LlavaOnevision2VisionConfig(**config.vision_config.to_dict() | {"spatial_merge_size": merge})
    config.image_token_id, config.text_config.vocab_size = processor.image_token_id, len(processor.tokenizer)
    torch.manual_seed(0)
    LlavaOnevision2ForConditionalGeneration(config).save_pretrained(place)
    images = Qwen2VLImageProcessorPil(patch_size=14, merge_size=merge, temporal_patch_size=1, size=IMAGE_PIXELS)
    LlavaOnevision2Processor(images, processor.tokenizer).save_pretrained(place)
    model = LlavaOnevision2ForConditionalGeneration.from_pretrained(place).eval()
    return merge, model, LlavaOnevision2Processor.from_pretrained(place)


@pytest.fixture(scope="module", params=SHOWN)
def inputs(request, checkpoint):
    """What the processor makes of a picture, or of the clip."""
    if request.param == "image":
        picture = np.random.default_rng(0).integers(0, 256, (130, 170, 3), np.uint8)
        return checkpoint[2](IMAGE_PLACEHOLDER + "What happens?", images=picture)
    return checkpoint[2](VIDEO_PLACEHOLDER + "What happens?", videos=CLIP, **SHOWN[request.param], **SMALL)


def test_a_block_of_the_model_is_a_block_of_one_frame(checkpoint, inputs):
    merge = checkpoint[0]
    assert (inputs["image_grid_thw"][:, 1:] % merge == 0).all()
    blocks = inputs["patch_positions"].view(-1, merge**2, 3)
    blocks = blocks[blocks[:, 0, 0] >= 0]
    within = torch.cartesian_prod(torch.zeros(1, dtype=int), torch.arange(merge), torch.arange(merge))
    assert torch.equal(blocks, blocks[:, :1] + within)
    assert (blocks[:, 0, 1:] % merge == 0).all()
    assert int((inputs["input_ids"] == checkpoint[2].image_token_id).sum()) == len(blocks)


def test_patches_hold_the_pixels_of_their_places(checkpoint):
    """Of the frames that a canvas names, whole: decoded once more as sampled frames of the same size."""
    merge, _, processor = checkpoint
    shown = {"max_pixels": 120_000, "merge": merge}
    codec = ov2lib.tokenize_video(CLIP, "paper", 8, **shown)
    frames = ov2lib.tokenize_frames(CLIP, num_frames=487, min_pixels=1, **shown)
    side = merge * 14
    rows, cols = (length // side for length in codec.canvases.shape[1:3])
    assert frames.canvases.shape[1:] == codec.canvases.shape[1:]
    tiles = codec.canvases.reshape(-1, rows, side, cols, side, 3).swapaxes(2, 3).reshape(-1, side, side, 3)
    first = codec.patch_positions[codec.merge_order][:: merge**2]
    for tile, (t, row, col) in zip(tiles[::29], first[::29], strict=True):
        source = frames.canvases[t, 14 * row : 14 * row + side, 14 * col : 14 * col + side]
        assert np.array_equal(tile, source if t >= 0 else np.zeros_like(source))


def test_the_connector_joins_the_patches_of_a_block(checkpoint):
    """The visual tokens of a picture are those computed from patches in raster order, joined by hand."""
    merge, model, processor = checkpoint
    inputs = processor(IMAGE_PLACEHOLDER, images=np.random.default_rng(1).integers(0, 256, (84, 126, 3), np.uint8))
    visual = model.model.visual
    places, (h, w) = inputs["patch_positions"], inputs["image_grid_thw"][0, 1:].tolist()
    raster = torch.argsort(places[:, 1] * w + places[:, 2])
    with torch.no_grad():
        seen = model.get_image_features(
            **{name: inputs[name] for name in ("pixel_values", "image_grid_thw", "patch_positions")}
        )
        states = visual(inputs["pixel_values"][raster], inputs["image_grid_thw"], places[raster]).last_hidden_state
        joined = (
            visual.merger.ln_q(states).view(h // merge, merge, w // merge, merge, -1).swapaxes(1, 2).flatten(2).flatten(0, 1)
        )
        by_hand = visual.merger.mlp(joined)
    torch.testing.assert_close(torch.cat(seen.pooler_output), by_hand)


def test_the_model_answers(checkpoint, inputs):
    _, model, processor = checkpoint
    ids = model.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    assert ids.shape[1] == inputs["input_ids"].shape[1] + 3


def test_a_training_step(checkpoint, tmp_path):
    """The clip as training shows it, beside a row without pictures, costs what the model reads."""
    merge, model, processor = checkpoint
    images = processor.image_processor
    cache = TokenCache(tmp_path, images.patch_size, images.size, merge=images.merge_size)
    options = MediaOptions(num_canvases=4, front_end="paper", **SMALL)
    encoder = SampleEncoder(processor.tokenizer, lambda item: cache.tokens(item, options))
    asked = (("user", "<video>\nWhat happens?"), ("assistant", "The figure jumps."))
    example = encoder.encode(Sample("clip", asked, (Media("video", CLIP),)))
    text = encoder.encode(Sample("text", (("user", "What happens?"), asked[1])))
    assert example.work.visual == example.work.patches / merge**2
    for row in ([example], [text]):
        model.zero_grad()
        model(**Collator(processor)([row]), use_cache=False, bin_loss=True).loss.backward()
        learnt = model.model.visual.merger.mlp[0].weight.grad
        assert learnt.isfinite().all() and learnt.any() == (row[0] is example)


def test_what_was_saved_is_loaded_with_its_blocks(tmp_path):
    tokens = ov2lib.tokenize_video(CLIP, "paper", 4, 60_000, merge=3)
    for layout in ("ov2", "preinfer"):
        loaded = VisualTokens.load(tokens.save(tmp_path / layout, layout))
        assert loaded.merge == 3
        assert visual_text(loaded, timestamps="published") == visual_text(tokens, timestamps="published")


def test_what_cannot_be_is_refused(processor):
    images = Qwen2VLImageProcessorPil(patch_size=14, merge_size=3, temporal_patch_size=1, size=IMAGE_PIXELS)
    three = LlavaOnevision2Processor(images, processor.tokenizer)
    packed = strip([[0, 0, 1, 1, 2, 2]])  # blocks of 2x2, on a canvas of 2 x 12 patches
    with pytest.raises(ModelError, match="blocks of 2x2 patches .* the model of 3x3 .* merge=3"):
        three(VIDEO_PLACEHOLDER, videos=packed)
    with pytest.raises(TokensError, match="28x168 is not a multiple of 42"):
        VisualTokens(**vars(packed) | {"merge": 3})
    with pytest.raises(Ov2Error, match="3 x 7 pixels are odd"):
        ov2lib.tokenize_video(CLIP, patch_size=7, merge=3)


def test_a_processor_of_another_merge_than_the_models_is_refused(checkpoint):
    merge, model, processor = checkpoint
    images = Qwen2VLImageProcessorPil(patch_size=14, merge_size=5 - merge, temporal_patch_size=1, size=IMAGE_PIXELS)
    other = LlavaOnevision2Processor(images, processor.tokenizer)
    for side, message in (
        (84, "merge_size is not the model's spatial_merge_size"),
        (70, f"not divisible by the {merge}x{merge}"),
    ):
        inputs = other(IMAGE_PLACEHOLDER, images=np.zeros((side * (5 - merge), 84, 3), np.uint8))
        with pytest.raises(ModelError, match=message):
            model(**inputs)
