"""What the notebooks' pictures of tokens, RoPE and prompts are drawn from."""

import numpy as np
import pytest
import torch
from model_cases import strip

from kit.plots import assembly, interface, rope
from ov2lib.model.attention import plan_runs
from ov2lib.model.prompt import visual_text
from ov2lib.model.rope import rotary_tables, rotate

D, THETA = 64, 10_000.0


def test_visibility_of_runs_in_any_order():
    seen = interface.visibility(plan_runs([1, 2], torch.tensor([1, 0, 2])))
    assert seen.tolist() == [[True, False, True], [False, True, False], [True, False, True]]


def test_prompt_pieces_hold_the_whole_prompt_with_places_counted():
    pieces = interface.prompt_pieces(visual_text(strip([[0, 0, 3]])) + "Why < 2?")
    assert pieces[:5] == [
        ("time", "<0.0 seconds>"), ("mark", "<|vision_start|>"), ("pad", "▦×2"), ("mark", "<|vision_end|>"), ("line", "⏎"),
    ]  # fmt: skip
    assert "".join(piece for kind, piece in pieces if kind == "plain") == "Why < 2?"


def test_frequencies_follow_the_published_split():
    rows = rope.frequency_table(D, THETA)
    assert [sum(row["axis"] == axis for row in rows) for axis in rope.AXES] == [8, 12, 12]
    wanted = [THETA ** (-i / n) for n in (8, 12, 12) for i in range(n)]
    assert [row["frequency"] for row in rows] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("pair", [0, 3, 9, 31])
def test_a_pair_is_turned_by_two_angles(pair):
    place = torch.tensor([3, 5, 7])
    rows = rope.frequency_table(D, THETA)
    step = dict(zip(rope.AXES, place.tolist(), strict=True))
    a, b = (rows[(2 * pair + i) % 32]["frequency"] * step[rows[2 * pair % 32]["axis"]] for i in (0, 1))
    wanted = [[np.cos(a), -np.sin(a)], [np.sin(b), np.cos(b)]]
    np.testing.assert_allclose(rope.pair_matrix(place, pair, D, THETA), wanted, atol=1e-5)


def test_a_true_rotation_keeps_lengths_and_the_published_form_does_not():
    tables = rotary_tables(torch.arange(50)[:, None].expand(-1, 3), D, THETA)
    x = torch.ones(50, D)
    assert torch.allclose(rotate(x, *rope.true_tables(*tables)).norm(dim=1), x.norm(dim=1), rtol=1e-5)
    assert float(rotate(x, *tables).norm(dim=1).max()) > 1.02 * D**0.5


def test_closeness_is_the_mean_score_over_all_directions_wherever_it_stands():
    basis = torch.eye(D)
    here, step = torch.tensor([11, 4, 9]), torch.tensor([2, -1, 3])
    wanted = rope.closeness(step[None], D, THETA)[0]
    assert rope.mean_score(basis, here, here + step, D, THETA) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("count", "text"), [(512, "512"), (2048, "2.0 k"), (302_913_536, "303 M"), (6.95e9, "7.0 G")])
def test_short_numbers(count, text):
    assert assembly.short(count) == text
