"""Visual tokens on disk: whole or not at all, and damage is told."""

import json
import os
from dataclasses import fields

import numpy as np
import pytest

from ov2lib.errors import TokensError
from ov2lib.tokens import VisualTokens


def make(**changes) -> VisualTokens:
    rng = np.random.default_rng(0)
    known = {
        "canvases": rng.integers(0, 256, (3, 28, 56, 3), dtype=np.uint8),
        "patch_positions": rng.integers(-1, 9, (3 * 8, 3)),
        "group_ids": np.array([0, 0, 1]),
        "fps": 29.97,
        "frame_times": np.array([0.0, 1 / 3, 0.7]),
        "source": "a clip.mp4",
        "config": {"front_end": "paper", "num_canvases": 3},
    }
    return VisualTokens(**(known | changes))


def check_same(a: VisualTokens, b: VisualTokens):
    for field in fields(VisualTokens):
        one, other = getattr(a, field.name), getattr(b, field.name)
        np.testing.assert_array_equal(one, other)
        assert getattr(one, "dtype", type(one)) == getattr(other, "dtype", type(other))


def test_round_trip(tmp_path):
    tokens = make()
    assert tokens.save(tmp_path / "deep" / "tokens") == tmp_path / "deep" / "tokens"
    check_same(VisualTokens.load(tmp_path / "deep" / "tokens"), tokens)


def test_saving_again_replaces_everything(tmp_path):
    make().save(tmp_path / "tokens")
    smaller = make(
        canvases=np.zeros((1, 28, 56, 3), np.uint8), patch_positions=np.zeros((8, 3), np.int64), group_ids=np.array([0])
    )
    smaller.save(tmp_path / "tokens")
    check_same(VisualTokens.load(tmp_path / "tokens"), smaller)
    assert not (tmp_path / "tokens" / "canvas_0001.png").exists()
    assert os.listdir(tmp_path) == ["tokens"]


def test_the_same_tokens_make_the_same_files(tmp_path):
    first, second = make().save(tmp_path / "a"), make().save(tmp_path / "b")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(TokensError, match="choose another folder"):
        make().save(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    make().save(tmp_path / "tokens")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(TokensError, match="No space left on device; free some space"):
        make(fps=1.0).save(tmp_path / "tokens")
    assert os.listdir(tmp_path) == ["tokens"]
    check_same(VisualTokens.load(tmp_path / "tokens"), make())


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TokensError, match="no folder you may write to"):
        make().save(tmp_path / "file" / "tokens")


@pytest.mark.parametrize("name", ["tokens.json", "canvas_0001.png", "patch_positions.npy", "frame_times.npy"])
def test_a_missing_file_is_named(name, tmp_path):
    (make().save(tmp_path / "tokens") / name).unlink()
    with pytest.raises(TokensError, match=f"{name} is missing"):
        VisualTokens.load(tmp_path / "tokens")


@pytest.mark.parametrize("name", ["tokens.json", "canvas_0001.png", "patch_positions.npy", "frame_times.npy"])
def test_a_cut_file_is_damage(name, tmp_path):
    path = make().save(tmp_path / "tokens") / name
    whole = path.read_bytes()
    for length in (0, 1, 9, 60, len(whole) // 2, len(whole) * 3 // 4):
        path.write_bytes(whole[:length])
        with pytest.raises(TokensError, match="damaged"):
            VisualTokens.load(tmp_path / "tokens")


def test_flipped_bytes_are_damage_or_harmless(tmp_path):
    folder, rng, told = make().save(tmp_path / "tokens"), np.random.default_rng(0), 0
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            damaged[int(rng.integers(min(len(whole), 200)))] ^= int(rng.integers(1, 256))
            path.write_bytes(bytes(damaged))
            try:
                VisualTokens.load(folder)
            except TokensError:
                told += 1
        path.write_bytes(whole)
    assert told > 100


@pytest.mark.parametrize("text", ["[]", "null", '{"format": "ov2-visual-tokens/1"}'])
def test_json_of_another_shape_is_damage(text, tmp_path):
    (make().save(tmp_path / "tokens") / "tokens.json").write_text(text)
    with pytest.raises(TokensError, match="damaged"):
        VisualTokens.load(tmp_path / "tokens")


def test_another_format_is_refused(tmp_path):
    path = make().save(tmp_path / "tokens") / "tokens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": "ov2-visual-tokens/2"}))
    with pytest.raises(TokensError, match="this version reads 'ov2-visual-tokens/1'"):
        VisualTokens.load(tmp_path / "tokens")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "film"}, "kind is 'film'"),
        ({"canvases": np.zeros((3, 28, 56, 3))}, "expected uint8"),
        ({"canvases": np.zeros((3, 28, 50, 3), np.uint8)}, "not a multiple of 28"),
        ({"patch_positions": np.zeros((7, 3), np.int64)}, r"3 canvases need \(24, 3\)"),
        ({"group_ids": np.array([0, 1])}, "group_ids have shape"),
        ({"group_ids": np.array([0, 1, 0])}, "group_ids decrease"),
    ],
)
def test_tokens_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(TokensError, match=message):
        make(**changes)


def test_merge_order_lists_2x2_blocks():
    tokens = make(group_ids=np.array([0, 0, 0]))
    assert tokens.merge_order[:12].tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13]
    np.testing.assert_array_equal(np.sort(tokens.merge_order), np.arange(24))


def test_records_say_where_each_patch_lies_and_came_from():
    tokens = make()
    record = tokens.records()[13]  # second canvas, second row, second column
    assert (record["canvas"], record["row"], record["col"], record["group"]) == (1, 1, 1, 0)
    assert [record["t"], record["source_row"], record["source_col"]] == tokens.patch_positions[13].tolist()
