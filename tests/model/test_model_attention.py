"""Runs, groups, windows and 3D RoPE: who sees whom, and what a position does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import visual
from torch.utils._python_dispatch import TorchDispatchMode

from ov2lib import ModelError
from ov2lib.model import LlavaOnevision2VisionConfig, LlavaOnevision2VisionModel
from ov2lib.model.attention import attend, plan_runs, plan_visibility, released_lengths
from ov2lib.model.rope import rotary_tables, rotate
from ov2lib.model.vision import grid_positions


def small_encoder(**changes) -> LlavaOnevision2VisionModel:
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "out_hidden_size": 48,
    }
    config = LlavaOnevision2VisionConfig(**sizes, **changes)
    config._attn_implementation = "sdpa"
    return LlavaOnevision2VisionModel(config).eval()


def patches(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, 588, generator=torch.Generator().manual_seed(seed))


def plain_attention(module, query, key, value, attention_mask, scaling, **_):
    """An attention function with nothing clever in it, and a check that no mask over all pairs is built."""
    assert attention_mask is None or attention_mask.shape[-2] == 1
    scores = query @ key.transpose(-1, -2) * scaling
    scores = scores if attention_mask is None else scores + attention_mask
    return (scores.softmax(-1) @ value).transpose(1, 2), None


class TestRuns:
    def test_rows_are_cut_in_fours_with_a_remainder(self):
        assert released_lengths([[9, 2, 2], [1, 2, 4], [8, 2, 2]], 4) == [16, 16, 4, 8, 16, 16]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 150), min_size=1, max_size=9), st.booleans(), st.integers(0, 2**16))
    def test_batched_runs_equal_one_run_at_a_time(self, lengths, shuffled, seed):
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(sum(lengths), generator=generator) if shuffled else None
        q, k, v = torch.randn(3, sum(lengths), 2, 8, generator=generator)
        got = attend(None, q, k, v, plan_runs(lengths, order), plain_attention, False, scaling=0.3)
        wanted, places = torch.empty_like(got), torch.arange(sum(lengths)) if order is None else order
        for run in places.split(lengths):
            one = [x[run].transpose(0, 1)[None] for x in (q, k, v)]
            wanted[run] = plain_attention(None, *one, None, 0.3)[0][0]
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)

    @given(st.lists(st.integers(1, 4000), min_size=1, max_size=30))
    def test_padding_wastes_less_than_a_granule_per_run(self, lengths):
        runs = plan_runs(lengths)
        used = sum(batch.index.numel() for batch in runs.batches) or sum(lengths)
        assert sum(lengths) <= used < sum(lengths) + 64 * len(lengths)

    def test_variable_length_kernels_get_boundaries_and_the_order(self):
        seen = {}

        def flash(module, query, key, value, attention_mask, **kwargs):
            seen.update(kwargs, shape=tuple(query.shape), mask=attention_mask)
            return value.transpose(1, 2), None

        q = torch.randn(7, 2, 8)
        order = torch.tensor([4, 0, 1, 2, 3, 6, 5])
        got = attend(None, q, q, q, plan_runs([3, 4], order), flash, True, scaling=1.0)
        assert torch.equal(got, q)  # restored to the given order
        assert seen["cu_seq_lens_q"].tolist() == [0, 3, 7] and seen["max_length_k"] == 4
        assert seen["shape"] == (1, 2, 7, 8) and seen["mask"] is None

    def test_explicit_groups_may_interleave(self):
        groups = torch.tensor([5, 9, 5, 9, 9])
        whole, windows = plan_visibility([[5, 2, 2]], torch.zeros(5, 3, dtype=torch.long), groups, 4, None)
        assert whole.lengths == (2, 3) and whole.order.tolist() == [0, 2, 1, 3, 4] and windows is None


class Largest(TorchDispatchMode):
    """The most elements that one operation's output holds."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


class TestMemory:
    @pytest.mark.parametrize("implementation", ["sdpa", "eager"])
    @pytest.mark.parametrize("uneven", [False, True])
    def test_largest_tensor_grows_with_canvases_never_with_their_square(self, implementation, uneven):
        largest = []
        for canvases in (8, 16, 32):
            model = small_encoder()
            model.config._attn_implementation = implementation
            grid = torch.tensor([[canvases, 4, 6]])
            groups = torch.arange(canvases).repeat_interleave(24) // 4
            if uneven:  # the last patches of every canvas are padding of their own
                groups = 2 * groups + (torch.arange(24 * canvases) % 24 > 20)
            with Largest() as watch, torch.no_grad():
                model(patches(24 * canvases), grid, None, groups)
            largest.append(watch.elements)
        assert largest[1] <= 2 * largest[0] and largest[2] <= 2 * largest[1]
        assert largest[2] < (32 * 24) ** 2


class TestVisibility:
    """Which outputs change, to the last bit, when one input patch changes."""

    def changed(self, model, groups=None, patch=0, grid=(8, 4, 4), positions=None, layers=None):
        grid = torch.tensor([grid])
        n = int(grid.prod())
        before = patches(n)
        after = before.clone()
        after[patch] += 1
        inputs = {"image_grid_thw": grid, "group_ids": groups, "patch_positions": positions}
        with torch.no_grad():
            one, two = (model(x, **inputs, output_hidden_states=True) for x in (before, after))
        pick = (lambda o: o.last_hidden_state) if layers is None else (lambda o: o.hidden_states[layers])
        return (pick(one) != pick(two)).any(-1)

    def test_released_groups_of_four_frames(self):
        touched = self.changed(small_encoder(), patch=70)
        assert not touched[:64].any() and touched[64:].all()

    def test_explicit_groups(self):
        groups = torch.arange(8).repeat_interleave(16) % 3  # canvases 0, 3 and 6 together, and so on
        touched = self.changed(small_encoder(), groups, patch=16)
        assert torch.equal(touched, groups == 1)

    def test_one_group_for_everything(self):
        assert self.changed(small_encoder(), torch.zeros(128, dtype=torch.long)).all()

    def test_windows_confine_a_layer_to_group_and_square(self):
        model = small_encoder(window_size=28, fullatt_block_indexes=[1])
        positions = grid_positions(torch.tensor([[8, 4, 4]]), 2)
        same_group = torch.arange(128) < 64
        same_square = (positions[:, 1:] // 2 == positions[0, 1:] // 2).all(-1)
        first = self.changed(model, layers=1)  # after the windowed layer
        assert torch.equal(first, same_group & same_square)
        assert torch.equal(self.changed(model), same_group)  # the second layer sees whole groups

    def test_windows_off_changes_nothing(self):
        grid, x = torch.tensor([[8, 4, 4]]), patches(128)
        plain, huge = small_encoder(), small_encoder(window_size=28 * 100)
        torch.testing.assert_close(plain(x, grid).pooler_output, huge(x, grid).pooler_output, atol=1e-5, rtol=1e-5)

    def test_permuting_whole_groups_permutes_tokens(self):
        model, n, per = small_encoder(), 6, 64
        x, groups = patches(n * per), torch.arange(n).repeat_interleave(per)
        positions = grid_positions(torch.tensor([[n * 4, 4, 4]]), 2)
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        moved = torch.arange(n * per).view(n, per)[order].flatten()
        grid = torch.tensor([[n * 4, 4, 4]])
        tokens = model(x, grid, positions, groups).pooler_output
        shuffled = model(x[moved], grid, positions[moved], groups[moved]).pooler_output
        torch.testing.assert_close(shuffled, tokens.view(n, per // 4, -1)[order].flatten(0, 1), atol=1e-5, rtol=1e-5)

    def test_derived_and_explicit_groups_agree(self, tiny, golden):
        inputs = visual(golden, "image_and_video")
        derived = torch.tensor(released_lengths(inputs["image_grid_thw"].tolist(), 4))
        groups = torch.arange(len(derived)).repeat_interleave(derived)
        one = tiny.get_image_features(**inputs).last_hidden_state
        assert torch.equal(one, tiny.get_image_features(**inputs, group_ids=groups).last_hidden_state)


class TestRotary:
    def test_axes_share_half_the_head_four_six_six(self):
        positions = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        angles = torch.asin(rotary_tables(positions, 64, 10000.0)[1])[:, :32]
        assert [(row != 0).nonzero()[:, 0].tolist() for row in angles] == [
            list(range(8)),
            list(range(8, 20)),
            list(range(20, 32)),
        ]
        np.testing.assert_allclose(angles[0, :8], 10000.0 ** (-np.arange(8) / 8), rtol=1e-5)
        np.testing.assert_allclose(angles[2, 20:], 10000.0 ** (-np.arange(12) / 12), rtol=1e-5)

    def test_members_of_a_pair_turn_by_their_own_angles(self):
        cos, sin = rotary_tables(torch.tensor([[2, 3, 5]]), 32, 10000.0)
        x = torch.randn(1, 1, 32)
        got = rotate(x, cos, sin)
        torch.testing.assert_close(got[..., 0], x[..., 0] * cos[0, 0] - x[..., 1] * sin[0, 0])
        torch.testing.assert_close(got[..., 1], x[..., 1] * cos[0, 1] + x[..., 0] * sin[0, 1])
        assert cos[0, 0] != cos[0, 1]
        assert not torch.isclose(got.norm(), x.norm(), rtol=1e-3)  # not a rotation, as trained

    def test_bf16_inputs_turn_in_float32(self):
        cos, sin = rotary_tables(torch.tensor([[300, 3, 5]]), 32, 10000.0)
        x = torch.randn(1, 1, 32).bfloat16()
        assert torch.equal(rotate(x, cos, sin), rotate(x.float(), cos, sin).bfloat16())

    def test_positions_default_to_the_grid_in_merge_order(self, tiny, golden):
        video = visual(golden, "image_and_video")  # whose t are source frames, so only rows and columns are the grid's
        assert torch.equal(grid_positions(video["image_grid_thw"], 2)[:, 1:], video["patch_positions"][:, 1:])
        inputs = visual(golden, "image")
        with_positions = tiny.get_image_features(**inputs).last_hidden_state
        del inputs["patch_positions"]
        assert torch.equal(tiny.get_image_features(**inputs).last_hidden_state, with_positions)


class TestBadInput:
    GRID = torch.tensor([[1, 4, 6]])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"patch_positions": torch.zeros(20, 3, dtype=torch.long)},
                r"patch_positions is torch.int64 \(20, 3\); 24 patches",
            ),
            ({"patch_positions": torch.zeros(24, 3)}, "patch_positions is torch.float32"),
            ({"group_ids": torch.zeros(6, dtype=torch.long)}, r"group_ids is torch.int64 \(6,\)"),
            ({"image_grid_thw": torch.tensor([[1, 3, 8]])}, r"\[1, 3, 8\] is not divisible by the 2x2 merge"),
            ({"image_grid_thw": torch.tensor([[2, 4, 6]])}, "describes 48 patches and pixel_values hold 24"),
            ({"image_grid_thw": torch.tensor([1, 4, 6])}, "image_grid_thw is"),
            ({"pixel_values": torch.zeros(24, 588, dtype=torch.uint8)}, r"pixel_values are torch.uint8 \(24, 588\)"),
            ({"pixel_values": torch.zeros(24, 768)}, r"expected floats \[N, 588\]"),
        ],
    )
    def test_contradicting_inputs_are_refused_before_any_layer(self, changes, message, monkeypatch):
        model = small_encoder()
        monkeypatch.setattr(model.embeddings, "forward", lambda *_: pytest.fail("the encoder ran"))
        with pytest.raises(ModelError, match=message):
            model(**{"pixel_values": patches(24), "image_grid_thw": self.GRID, **changes})

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_attention_heads": 4, "hidden_size": 64}, "head dimension 16 is not a multiple of 32"),
            ({"layer_norm_type": "batch_norm"}, "use 'layer_norm' or 'rms_norm'"),
            ({"window_size": 42}, "would cut merge blocks; use a positive multiple of 28"),
        ],
    )
    def test_impossible_configurations(self, changes, message):
        with pytest.raises(ModelError, match=message):
            LlavaOnevision2VisionConfig(**changes)


def test_rms_norm_variant_has_no_norm_biases():
    names = small_encoder(layer_norm_type="rms_norm").state_dict()
    assert not any("layer_norm" in name and name.endswith("bias") for name in names) and "layernorm_pre.weight" in names


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")  # its successor is not in 5.20
def test_gradient_checkpointing_recomputes_and_gives_the_same_gradients():
    grid, x = torch.tensor([[6, 4, 4]]), patches(96)
    gradients, calls = [], []
    for checkpointing in (False, True):
        model = small_encoder().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        count = []
        model.encoder.layers[0].layer_norm1.register_forward_hook(lambda *_, count=count: count.append(1))
        model(x, grid).pooler_output.square().sum().backward()
        gradients.append(model.encoder.layers[0].self_attn.qkv.weight.grad)
        calls.append(len(count))
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0 and calls == [1, 2]
