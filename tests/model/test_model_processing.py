"""The processor: what comes in, what the model gets, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from model_cases import strip
from PIL import Image
from transformers import AutoProcessor

from ov2lib import ModelError, Ov2Error, VideoError
from ov2lib.model import LlavaOnevision2Processor
from ov2lib.model.prompt import IMAGE_PLACEHOLDER, VIDEO_PLACEHOLDER
from ov2lib.samples import media

PAD = "<|image_pad|>"
MEAN, STD = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def text_of(processor, inputs, row: int = 0) -> str:
    return processor.tokenizer.decode(inputs["input_ids"][row]).replace(PAD, "*")


class TestTensors:
    def test_patches_positions_and_grid_of_an_image(self, processor):
        image = picture(56, 84)
        inputs = processor(IMAGE_PLACEHOLDER, images=image)
        assert inputs["image_grid_thw"].tolist() == [[1, 4, 6]]
        assert (inputs["input_ids"] == processor.image_token_id).sum() == 6
        for place in (0, 3, 4, 17, 23):
            t, row, col = inputs["patch_positions"][place].tolist()
            patch = image[14 * row : 14 * row + 14, 14 * col : 14 * col + 14]
            wanted = ((patch / 255 - MEAN) / STD).transpose(2, 0, 1).reshape(-1)
            np.testing.assert_allclose(inputs["pixel_values"][place], wanted, atol=1e-5)
            assert t == 0
        order = [(r + dr, c + dc) for r in (0, 2) for c in (0, 2, 4) for dr in (0, 1) for dc in (0, 1)]
        assert [tuple(p) for p in inputs["patch_positions"][:, 1:].tolist()] == order

    def test_codec_canvases_keep_source_places_and_groups(self, processor):
        tokens = strip([[0, 0], [1, 2], [4, 4], [5, -1]], groups=[3, 3, 7, 7])
        inputs = processor(VIDEO_PLACEHOLDER, videos=tokens)
        assert inputs["image_grid_thw"].tolist() == [[4, 2, 4]]
        np.testing.assert_array_equal(inputs["patch_positions"], tokens.patch_positions[tokens.merge_order])
        groups = inputs["group_ids"].view(4, 8)
        assert len(set(groups[:2].flatten().tolist())) == 1 and len(set(groups[2].tolist())) == 1
        assert groups[0, 0] != groups[2, 0] and groups[3, 0] == groups[2, 0]
        assert set(groups[3, 4:].tolist()).isdisjoint(set(groups[:3].flatten().tolist())), "padding is a group of its own"

    def test_frames_stand_alone_at_inference_and_in_fours_in_training(self, processor):
        tokens = strip([[i, i] for i in range(6)], kind="frames")
        alone = processor(VIDEO_PLACEHOLDER, videos=tokens)
        assert alone["image_grid_thw"].tolist() == [[1, 2, 4]] * 6
        assert len(alone["group_ids"].unique()) == 6
        together = processor(VIDEO_PLACEHOLDER, videos=tokens, frames_prompt="training")
        assert together["image_grid_thw"].tolist() == [[6, 2, 4]]
        assert together["group_ids"].unique_consecutive(return_counts=True)[1].tolist() == [32, 16]

    @pytest.mark.parametrize("frames_prompt", ["inference", "training"])
    def test_groups_say_what_the_released_grid_says(self, processor, tiny, frames_prompt):
        for tokens in (strip([[i, i] for i in range(7)], kind="frames"), strip([[i, i] for i in range(8)])):
            inputs = processor(VIDEO_PLACEHOLDER, videos=tokens, frames_prompt=frames_prompt)
            visual = {name: inputs[name] for name in ("pixel_values", "image_grid_thw", "patch_positions", "group_ids")}
            explicit = tiny.get_image_features(**visual).last_hidden_state
            assert torch.equal(tiny.get_image_features(**{**visual, "group_ids": None}).last_hidden_state, explicit)

    def test_groups_of_different_media_never_meet(self, processor):
        inputs = processor(
            VIDEO_PLACEHOLDER + IMAGE_PLACEHOLDER + VIDEO_PLACEHOLDER, images=picture(56, 56), videos=[strip([[0]] * 3)] * 2
        )
        assert inputs["group_ids"].unique_consecutive(return_counts=True)[1].tolist() == [12, 16, 12]

    def test_batch_is_padded_on_the_left(self, processor):
        inputs = processor(["no", f"What happens? {IMAGE_PLACEHOLDER}"], images=[picture(28, 28)])
        assert inputs["attention_mask"][0, 0] == 0 and inputs["attention_mask"][:, -1].all()
        right = processor(["no", "What happens?"], padding_side="right")
        assert right["attention_mask"][0].tolist()[:1] == [1] and right["attention_mask"][0, -1] == 0

    def test_numpy_and_lists_on_request(self, processor):
        assert isinstance(processor("yes", return_tensors="np")["input_ids"], np.ndarray)
        assert isinstance(processor(["yes"], return_tensors=None)["input_ids"], list)


class TestPrompt:
    def test_mixed_media_in_prompt_order(self, processor):
        codec, frames = strip([[0, 1]], fps=10.0), strip([[5, 5], [9, 9]], kind="frames", fps=10.0)
        text = f"{VIDEO_PLACEHOLDER}How many jumps?{IMAGE_PLACEHOLDER}{VIDEO_PLACEHOLDER}"
        inputs = processor(text, images=picture(56, 84), videos=[frames, codec])
        assert text_of(processor, inputs) == (
            "<0.5 seconds><|vision_start|>**<|vision_end|><0.9 seconds><|vision_start|>**<|vision_end|>"
            "How many jumps?<|vision_start|>******<|vision_end|>"
            "<0.0 seconds><|vision_start|>*<|vision_end|>\n<0.1 seconds><|vision_start|>*<|vision_end|>\n"
        )
        assert inputs["image_grid_thw"].tolist() == [[1, 2, 4], [1, 2, 4], [1, 4, 6], [1, 2, 4]]
        assert inputs["patch_positions"][[0, 8, 16, 40, 44], 0].tolist() == [5, 9, 0, 0, 1]

    def test_decimals(self, processor):
        inputs = processor(VIDEO_PLACEHOLDER, videos=strip([[7]], fps=30.0), timestamp_decimals=2)
        assert text_of(processor, inputs) == "<0.23 seconds><|vision_start|>*<|vision_end|>\n"

    def test_chat_template_is_chatml_with_the_published_system_text(self, processor):
        messages = [
            {"role": "user", "content": [{"type": "video", "video": "x.mp4"}, {"type": "text", "text": "How many jumps?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "yes?"},
        ]
        assert processor.apply_chat_template(messages, add_generation_prompt=True) == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{VIDEO_PLACEHOLDER}How many jumps?<|im_end|>\n"
            "<|im_start|>assistant\ntwo<|im_end|>\n<|im_start|>user\nyes?<|im_end|>\n<|im_start|>assistant\n"
        )
        own = [{"role": "system", "content": "Be brief."}, *messages[2:]]
        assert processor.apply_chat_template(own) == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nyes?<|im_end|>\n"
        )

    def test_chat_template_to_tensors_with_image_and_tokens(self, processor):
        messages = [
            {"role": "user", "content": [{"type": "image", "image": picture(56, 56)}, {"type": "video", "video": strip([[3]])}]}
        ]
        inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True)
        assert text_of(processor, inputs).endswith(
            "user\n<|vision_start|>****<|vision_end|><0.3 seconds><|vision_start|>*<|vision_end|>\n<|im_end|>\n"
        )
        assert inputs["image_grid_thw"].tolist() == [[1, 4, 4], [1, 2, 2]]

    def test_assistant_mask_finds_answers_after_expanded_pictures(self, processor):
        ask = [{"role": "user", "content": [{"type": "image", "image": picture(56, 56)}]}]
        inputs = processor.apply_chat_template(
            [*ask, {"role": "assistant", "content": "The figure jumps."}, *ask, {"role": "assistant", "content": "no"}],
            tokenize=True, return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt",
        )  # fmt: skip
        supervised = inputs["input_ids"][0][inputs["assistant_masks"][0].bool()]
        assert processor.tokenizer.decode(supervised) == "The figure jumps.<|im_end|>no<|im_end|>"


class TestSources:
    def test_image_path_is_resized_to_whole_blocks(self, processor, tmp_path):
        Image.fromarray(picture(61, 110)).save(tmp_path / "a.png")
        for source in (tmp_path / "a.png", str(tmp_path / "a.png")):
            assert processor(IMAGE_PLACEHOLDER, images=source)["image_grid_thw"].tolist() == [[1, 4, 8]]
        small = processor(IMAGE_PLACEHOLDER, images=tmp_path / "a.png", max_pixels=28 * 84)
        assert small["image_grid_thw"].tolist() == [[1, 2, 4]]

    def test_nested_lists_as_for_batches(self, processor):
        one, two, three = picture(56, 56), picture(84, 56), picture(56, 112)
        texts = [IMAGE_PLACEHOLDER * 2, IMAGE_PLACEHOLDER]
        nested, flat = processor(texts, images=[[one, two], [three]]), processor(texts, images=[one, two, three])
        assert nested["image_grid_thw"].tolist() == flat["image_grid_thw"].tolist() == [[1, 4, 4], [1, 6, 4], [1, 4, 8]]

    @pytest.mark.parametrize("wrap", [np.stack, list, lambda frames: [Image.fromarray(f) for f in frames]])
    def test_decoded_frames_with_their_times(self, processor, wrap):
        frames = wrap([picture(28, 56, seed) for seed in range(3)])
        inputs = processor(
            VIDEO_PLACEHOLDER, videos=frames, video_backend="frames", max_pixels=28 * 56, min_pixels=28 * 28,
            video_metadata={"fps": 4.0, "frames_indices": [0, 6, 9]},
        )  # fmt: skip
        assert text_of(processor, inputs).count("seconds") == 3
        assert "<1.5 seconds>" in text_of(processor, inputs) and "<2.2 seconds>" in text_of(processor, inputs)
        assert inputs["patch_positions"][:, 0].unique().tolist() == [0, 6, 9]

    def test_a_path_goes_through_the_chosen_backend(self, processor, monkeypatch):
        asked = {}

        def made(kind):
            return lambda path, **options: asked.update({kind: (path, options)}) or strip([[0]], kind=kind)

        monkeypatch.setattr(media, "tokenize_video", made("codec"))
        monkeypatch.setattr(media, "tokenize_frames", made("frames"))
        processor(VIDEO_PLACEHOLDER, videos="a.mp4", num_canvases=16, max_pixels=50_000)
        processor(VIDEO_PLACEHOLDER, videos="b.mp4", video_backend="frames", num_frames=16, max_pixels=300_000)
        assert asked["codec"] == (
            "a.mp4",
            {"front_end": "released", "patch_size": 14, "merge": 2, "workers": None, "num_canvases": 16, "max_pixels": 50_000},
        )
        assert asked["frames"] == (
            "b.mp4",
            {"num_frames": 16, "patch_size": 14, "merge": 2, "workers": None, "min_pixels": 200_704, "max_pixels": 300_000},
        )


class TestRoundTrip:
    def test_save_and_load_through_the_auto_class(self, processor, tmp_path):
        processor.save_pretrained(tmp_path)
        again = AutoProcessor.from_pretrained(tmp_path)
        assert isinstance(again, LlavaOnevision2Processor)
        assert again.chat_template == processor.chat_template
        text, image = f"How many jumps? {IMAGE_PLACEHOLDER}", picture(60, 90)
        one, two = processor(text, images=image), again(text, images=image)
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)

    def test_files_that_the_published_code_and_vllm_read(self, processor, tmp_path):
        processor.save_pretrained(tmp_path)
        names = {file.name for file in tmp_path.iterdir()}
        assert {"preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names

    def test_checkpoint_settings_are_used(self, processor, tmp_path):
        """A folder as published: only preprocessor_config.json, with pixel bounds of its own."""
        settings = processor.image_processor.from_dict(
            {**processor.image_processor.to_dict(), "size": {"shortest_edge": 784, "longest_edge": 1568}}
        )
        settings.save_pretrained(tmp_path)
        processor.tokenizer.save_pretrained(tmp_path)
        loaded = LlavaOnevision2Processor.from_pretrained(tmp_path)
        assert loaded(IMAGE_PLACEHOLDER, images=picture(280, 560))["image_grid_thw"].tolist() == [[1, 2, 4]]


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            ({"text": VIDEO_PLACEHOLDER * 2, "videos": strip([[0]])}, "places for 2 videos and 1 were passed; write one"),
            ({"text": "no", "videos": strip([[0]])}, "places for 0 videos and 1 were passed"),
            ({"text": IMAGE_PLACEHOLDER}, "places for 1 images and 0 were passed"),
            ({"text": f"<|vision_start|>{PAD * 20}<|vision_end|>", "images": picture(28, 28)}, "was expanded before"),
            ({"text": None}, "text is required"),
            ({"text": VIDEO_PLACEHOLDER, "videos": "a.mp4", "video_backend": "pixels"}, "'pixels'; use 'codec' or 'frames'"),
            ({"text": "no", "frames_prompt": "both"}, "use 'inference' or 'training'"),
            ({"text": "no", "num_frame": 3}, "'num_frame' is not an option of the processor"),
            ({"text": "no", "num_frames": 0}, "num_frames is 0; it must be positive"),
            ({"text": "no", "num_frames": 2.5}, "num_frames is 2.5; it must be positive, a whole number"),
            ({"text": "no", "num_canvases": True}, "num_canvases is True; it must be positive, a whole number"),
            ({"text": "no", "min_pixels": "a"}, "min_pixels is 'a'; it must be positive, a whole number"),
            ({"text": "no", "max_pixels": 10**12}, "max_pixels is 1000000000000; use at most"),
            ({"text": "no", "fps": float("nan")}, "fps is nan; it must be positive, a number"),
            ({"text": [1]}, "text is required"),
            ({"text": 5}, "text is required"),
            ({"text": {"a": 1}}, "text is required"),
            ({"text": VIDEO_PLACEHOLDER, "videos": strip([[0]]), "timestamp_decimals": "a"}, "timestamp_decimals is 'a'; use"),
            ({"text": VIDEO_PLACEHOLDER, "videos": strip([[0]]), "timestamp_decimals": 10**8}, "whole number from 0 to 6"),
            ({"text": IMAGE_PLACEHOLDER, "images": strip([[0]])}, "passed as 'image'; pass them under videos="),
            ({"text": VIDEO_PLACEHOLDER, "videos": dataclasses.replace(strip([[0]]), kind="image")}, "under images="),
            (
                {"text": VIDEO_PLACEHOLDER, "videos": np.zeros((2, 28, 28, 3), np.uint8), "video_backend": "codec"},
                "have none; pass",
            ),
            ({"text": IMAGE_PLACEHOLDER, "images": 7}, "cannot use a int"),
            (
                {
                    "text": f"How many jumps?{IMAGE_PLACEHOLDER}",
                    "images": picture(280, 280),
                    "truncation": True,
                    "max_length": 12,
                },
                "do not truncate",
            ),
        ],
    )
    def test_says_what_is_wrong_and_what_to_do(self, processor, call, message):
        with pytest.raises(ModelError, match=message):
            processor(**call)

    def test_frames_without_times(self, processor):
        with pytest.raises(ModelError, match="decoded frames carry no times; pass video_metadata"):
            processor(VIDEO_PLACEHOLDER, videos=np.zeros((2, 28, 28, 3), np.uint8), video_backend="frames")

    def test_one_index_per_frame(self, processor):
        with pytest.raises(ModelError, match="3 frames_indices for 2 frames"):
            processor(
                VIDEO_PLACEHOLDER, videos=np.zeros((2, 28, 28, 3), np.uint8), video_backend="frames",
                video_metadata={"fps": 1.0, "frames_indices": [0, 1, 2]},
            )  # fmt: skip

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            (5, "video_metadata is 5; pass one dict per video"),
            (["a"], "video_metadata is 'a'; pass one dict per video"),
            ({"fps": "a"}, "fps 'a'; it must be positive"),
            ({"fps": -5}, "fps -5; it must be positive"),
            ({"fps": float("inf")}, "fps inf; it must be positive"),
            ({"fps": 5, "frames_indices": [-2, -1]}, "are not whole numbers from 0"),
            ({"fps": 5, "frames_indices": [0, 10**13]}, "are not whole numbers from 0"),
            ({"fps": 5, "frames_indices": [0, 10**30]}, "are not whole numbers from 0"),
            ({"fps": 5, "frames_indices": [0.1, 0.2]}, "are not whole numbers from 0"),
            ({"fps": 5, "frames_indices": ["a", "b"]}, "are not whole numbers from 0"),
            ({"fps": 5, "frames_indices": [[0], [1, 2]]}, "are not whole numbers from 0"),
            ({"fps": 5, "frames_indices": 1}, "are not whole numbers from 0"),
            ({"fps": 5, "frames_indices": [2, 1]}, "frames_indices go backwards"),
        ],
    )
    def test_times_that_make_no_sense(self, processor, metadata, message):
        frames = np.zeros((2, 28, 28, 3), np.uint8)
        with pytest.raises(ModelError, match=message):
            processor(VIDEO_PLACEHOLDER, videos=frames, video_backend="frames", video_metadata=metadata)

    def test_no_frames(self, processor):
        frames = np.zeros((0, 28, 28, 3), np.uint8)
        with pytest.raises(ModelError, match="a video has no frames"):
            processor(VIDEO_PLACEHOLDER, videos=frames, video_backend="frames", video_metadata={"fps": 5})

    def test_metadata_per_video(self, processor):
        with pytest.raises(ModelError, match="describes 2 videos and 1 were passed"):
            processor(VIDEO_PLACEHOLDER, videos=strip([[0]]), video_metadata=[{"fps": 1.0}, {"fps": 1.0}])

    def test_tokens_of_another_patch_size(self, processor):
        tokens = dataclasses.replace(strip([[0, 0]]), patch_size=7, patch_positions=np.zeros((32, 3), dtype=np.int64))
        with pytest.raises(ModelError, match="patches of 7 pixels and the model of 2x2 of 14"):
            processor(VIDEO_PLACEHOLDER, videos=tokens)

    def test_counts_are_checked_before_any_file_is_read(self, processor, monkeypatch):
        monkeypatch.setattr("ov2lib.model.processing.video_tokens", lambda *_: pytest.fail("a video was read"))
        with pytest.raises(ModelError, match="places for 3 videos and 2"):
            processor(VIDEO_PLACEHOLDER * 3, videos=["a.mp4", "b.mp4"])

    def test_missing_files(self, processor, tmp_path):
        with pytest.raises(VideoError, match="no such file"):
            processor(VIDEO_PLACEHOLDER, videos=tmp_path / "none.mp4", video_backend="frames")
        with pytest.raises(Ov2Error, match="none.png: no such file"):
            processor(IMAGE_PLACEHOLDER, images=tmp_path / "none.png")

    def test_pictures_of_another_dtype(self, processor):
        with pytest.raises(Ov2Error, match=r"float64 \(28, 28, 3\); expected uint8"):
            processor(IMAGE_PLACEHOLDER, images=np.zeros((28, 28, 3)))

    def test_frames_of_two_sizes(self, processor):
        frames = [np.zeros((56, 56, 3), np.uint8), np.zeros((56, 112, 3), np.uint8)]
        with pytest.raises(ModelError, match="differ in size"):
            processor(VIDEO_PLACEHOLDER, videos=frames, video_backend="frames", video_metadata={"fps": 1.0})

    def test_prompt_longer_than_the_model_reads(self, processor):
        with pytest.raises(ModelError, match="the tokenizer's model reads 4096; use fewer canvases"):
            processor(IMAGE_PLACEHOLDER, images=picture(28 * 65, 28 * 65))

    def test_no_tokenizer(self):
        with pytest.raises(ModelError, match="a processor needs a tokenizer"):
            LlavaOnevision2Processor()

    def test_audio(self, processor):
        with pytest.raises(ModelError, match="'audio' is not an option"):
            processor("no", audio=[0.0])

    def test_tokenizer_without_visual_tokens(self, processor):
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast

        plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
        with pytest.raises(ModelError, match=r"lacks <\|image_pad\|>; use the checkpoint's own"):
            LlavaOnevision2Processor(tokenizer=plain)
