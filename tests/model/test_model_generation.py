"""generate(): cache, batches, several sequences; the vision tower runs once; prompts that cannot work are refused first."""

import pytest
import torch
from model_cases import strip, visual

from ov2lib import ModelError
from ov2lib.model.prompt import VIDEO_PLACEHOLDER

IMAGE, START, END = 316, 318, 319


def prompt(*parts) -> list[int]:
    """Token ids with [START, IMAGE * n, END] for every n given as a one-element tuple."""
    return [i for part in parts for i in ([START, *[IMAGE] * part[0], END] if isinstance(part, tuple) else [part])]


def left_padded(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture
def encoder_calls(tiny):
    calls = []
    hook = tiny.model.visual.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


def greedy(model, **inputs) -> torch.Tensor:
    return model.generate(max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0, **inputs)


@pytest.fixture(scope="module")
def clips(golden):
    """Two visual inputs: an image of 6 tokens and a video of 36."""
    return visual(golden, "image"), visual(golden, "frames_one_video")


def joined(*inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([one[name] for one in inputs]) for name in inputs[0]}


def test_cached_equals_uncached_and_the_tower_runs_once(tiny, golden, encoder_calls):
    inputs = {"input_ids": golden["codec_canvases.input_ids"], **visual(golden, "codec_canvases")}
    cached = greedy(tiny, **inputs)
    assert len(encoder_calls) == 1
    assert torch.equal(greedy(tiny, use_cache=False, **inputs), cached)
    assert len(encoder_calls) == 2
    assert torch.equal(cached, golden["codec_canvases.generated"])


def test_batched_equals_single(tiny, clips):
    image, video = clips
    rows = [prompt(5, (6,), 7), prompt(9, 8, (36,), 3, 4, (6,), 11), prompt(40, 41)]
    visuals = [image, joined(video, image), {}]
    alone = [
        greedy(tiny, input_ids=torch.tensor([row]), **inputs)[0, len(row) :] for row, inputs in zip(rows, visuals, strict=True)
    ]
    batch = left_padded(rows)
    together = greedy(tiny, **batch, **joined(image, video, image))[:, batch["input_ids"].shape[1] :]
    assert torch.equal(together, torch.stack(alone))


def test_batched_logits_equal_single_logits(tiny, clips):
    rows = [prompt(5, (6,), 7), prompt(9, 8, (36,), 3)]
    batch = left_padded(rows)
    with torch.no_grad():
        positions = batch["attention_mask"].cumsum(-1).sub(1).clamp(min=0)
        together = tiny(**batch, position_ids=positions, **joined(*clips)).logits
        for row, inputs, logits in zip(rows, clips, together, strict=True):
            alone = tiny(input_ids=torch.tensor([row]), **inputs).logits[0]
            torch.testing.assert_close(logits[-len(row) :], alone, atol=1e-5, rtol=1e-5)


def test_several_sequences_per_prompt_keep_their_own_pictures(tiny, clips, encoder_calls):
    batch = left_padded([prompt(5, (6,), 7), prompt(40, 41), prompt(9, 8, (36,), 3)])
    both = joined(*clips)
    sampled = {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 4, "eos_token_id": None, "pad_token_id": 0}
    torch.manual_seed(0)
    ids = tiny.generate(**batch, **both, **sampled)
    assert ids.shape[0] == 9 and len(encoder_calls) == 1
    repeated = {name: tensor.repeat_interleave(3, 0) for name, tensor in batch.items()}
    torch.manual_seed(0)
    pictures = joined(clips[0], clips[0], clips[0], clips[1], clips[1], clips[1])
    wanted = tiny.generate(**repeated, **pictures, **{**sampled, "num_return_sequences": 1})
    assert torch.equal(ids, wanted)


def test_beam_search_encodes_once(tiny, clips, encoder_calls):
    ids = torch.tensor([prompt(5, (6,), 7)])
    beams = tiny.generate(ids, **clips[0], num_beams=3, max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert beams.shape == (1, ids.shape[1] + 4) and len(encoder_calls) == 1


def test_encoded_once_asked_twice(tiny, clips, encoder_calls):
    features = tiny.get_image_features(**clips[0])
    ids = torch.tensor([prompt(5, (6,), 7)])
    got = [tiny(input_ids=ids, mm_encoder_outputs={"image": features}).logits for _ in range(2)]
    assert len(encoder_calls) == 1
    assert torch.equal(got[0], tiny(input_ids=ids, **clips[0]).logits) and torch.equal(*got)


def test_padding_is_neither_seen_nor_counted(tiny, processor):
    """Canvases with unfilled blocks: their tokens are left out, and what is painted there changes nothing."""
    tokens = strip([[0, 0, 1], [1, 2, -1], [2, 3, 3], [4, -1, -1]])
    inputs = processor.visual_inputs([tokens])
    features = tiny.get_image_features(**inputs).pooler_output
    assert [len(part) for part in features] == [9]
    painted = {**inputs, "pixel_values": inputs["pixel_values"].clone()}
    painted["pixel_values"][inputs["patch_positions"][:, 0] < 0] = 3.0
    assert torch.equal(tiny.get_image_features(**painted).pooler_output[0], features[0])


def test_too_long_a_prompt_is_refused_before_the_tower(tiny, clips, encoder_calls):
    ids = torch.tensor([prompt(*[1] * 4096, (6,))])
    with pytest.raises(ModelError, match="the prompt has 4104 tokens and the model reads 4096; use fewer canvases"):
        tiny.generate(ids, **clips[0])
    assert not encoder_calls


def test_of_samples_in_one_row_each_counts_by_itself(tiny, clips):
    """A packed row may be longer than the context: positions start again with each sample."""
    ids = torch.tensor([prompt(*[1] * 4096, (6,))])
    positions = torch.arange(ids.shape[1]) % 2500
    assert tiny(input_ids=ids, position_ids=positions[None], logits_to_keep=1, **clips[0]).logits.isfinite().all()
    with pytest.raises(ModelError, match="the prompt has 4104 tokens and the model reads 4096"):
        tiny(input_ids=ids, position_ids=torch.arange(ids.shape[1])[None], **clips[0])


@pytest.mark.parametrize(("places", "likely"), [(5, "truncated"), (12, "expanded twice")])
def test_places_and_tokens_that_differ_are_both_named(tiny, clips, encoder_calls, places, likely):
    ids = torch.tensor([prompt(1, (places,), 2)])
    for call in (tiny.generate, tiny):
        with pytest.raises(ModelError, match=rf"has {places} <\|image_pad\|> places for 6 visual tokens; likely .*{likely}"):
            call(input_ids=ids, **clips[0])
    assert not encoder_calls


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: {"patch_positions": i["patch_positions"][:20]}, r"patch_positions is .*\(20, 3\); 24 patches need"),
        (lambda i: {"image_grid_thw": None}, "pixel_values came without image_grid_thw"),
        (lambda i: {"pixel_values": i["pixel_values"].long()}, "pixel_values are torch.int64"),
    ],
)
def test_contradicting_inputs_are_refused_by_generate_too(tiny, clips, encoder_calls, change, message):
    inputs = {**clips[0], **change(clips[0])}
    with pytest.raises(ModelError, match=message):
        tiny.generate(torch.tensor([prompt(5, (6,), 7)]), **inputs)
    assert not encoder_calls


def test_features_of_another_prompt(tiny, clips):
    with pytest.raises(ModelError, match="has 3 .* places for 6 visual tokens"):
        tiny(torch.tensor([prompt(5, (3,))]), mm_encoder_outputs={"image": tiny.get_image_features(**clips[0])})


def test_visual_inputs_need_ids(tiny, clips):
    with pytest.raises(ModelError, match="visual inputs need input_ids"):
        tiny(inputs_embeds=torch.zeros(1, 3, 64), **clips[0])


def test_training_step_reaches_every_part(tiny, golden):
    loss = tiny(input_ids=golden["image.input_ids"], labels=golden["image.labels"], **visual(golden, "image")).loss
    loss.backward()
    without = [name for name, parameter in tiny.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    tiny.zero_grad()
    assert not without


@pytest.mark.parametrize(
    "options", [{"num_canvases": 4, "front_end": "paper"}, {"video_backend": "frames", "num_frames": 3, "max_pixels": 9408}]
)
def test_a_video_file_through_processor_and_model(tiny, processor, specimen, options):
    inputs = processor(VIDEO_PLACEHOLDER + "What happens?", videos=specimen("h264_b_frames").path, min_pixels=784, **options)
    places = int((inputs["input_ids"] == processor.image_token_id).sum())
    visual_inputs = {name: inputs[name] for name in ("pixel_values", "image_grid_thw", "patch_positions", "group_ids")}
    tokens = torch.cat(tiny.get_image_features(**visual_inputs).pooler_output)
    assert len(tokens) == places > 0 and tokens.isfinite().all()
