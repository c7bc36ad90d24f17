"""Visual tokens on disk: whole or not at all, and damage is told."""

import json
import os
import struct
import tracemalloc
import zlib
from dataclasses import fields

import numpy as np
import pytest

import ov2lib.tokens as tokens_module
from ov2lib.errors import TokensError
from ov2lib.tokens import VisualTokens, check_target


def make(**changes) -> VisualTokens:
    rng = np.random.default_rng(0)
    positions = rng.integers(0, (3, 2, 4), (3 * 8, 3))
    positions[5] = -1  # padding
    known = {
        "canvases": rng.integers(0, 256, (3, 28, 56, 3), dtype=np.uint8),
        "patch_positions": positions,
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


@pytest.mark.parametrize("text", ['{"color": {"$value": "#fff"}}', '{"access_token": "x"}', "[1]", "{", "[" * 100_000])
def test_a_tokens_json_of_somebody_else_is_left_alone(text, tmp_path):
    (tmp_path / "tokens.json").write_text(text)
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(TokensError, match="would be lost; choose another folder"):
        make().save(tmp_path)
    assert (tmp_path / "tokens.json").read_text() == text and (tmp_path / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["labels.csv", "canvas_0003.png", ".hidden", "mine/labels.csv"])
def test_a_file_put_beside_saved_tokens_is_left_alone(name, tmp_path):
    path = make().save(tmp_path / "tokens") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("precious")
    with pytest.raises(TokensError, match=f"holds '{path.relative_to(tmp_path / 'tokens').parts[0]}', which would be lost"):
        make(fps=1.0).save(tmp_path / "tokens")
    assert path.read_text() == "precious"
    check_same(VisualTokens.load(tmp_path / "tokens"), make())


def test_after_a_kill_between_the_renames_nothing_is_lost(tmp_path):
    folder = make().save(tmp_path / "tokens")
    folder.rename(tmp_path / ".tokens.ov2-old")
    check_same(VisualTokens.load(folder), make())
    assert check_target(folder) == folder
    make(fps=1.0).save(folder)
    check_same(VisualTokens.load(folder), make(fps=1.0))
    assert os.listdir(tmp_path) == ["tokens"]


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
    "changes",
    [
        {"fps": 0}, {"fps": -1.0}, {"fps": float("nan")}, {"fps": float("inf")}, {"fps": "abc"}, {"fps": True}, {"fps": None},
        {"patch_size": 0}, {"patch_size": -14}, {"patch_size": 14.0}, {"patch_size": "14"}, {"group_ids": [0, 0, 0.5]},
        {"group_ids": [0, 0, 1 << 70]}, {"group_ids": 3}, {"group_ids": []}, {"source": 1}, {"config": []}, {"kind": ["codec"]},
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(changes, tmp_path):
    path = make().save(tmp_path / "tokens") / "tokens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(TokensError):
        VisualTokens.load(tmp_path / "tokens")


@pytest.mark.parametrize("position", [(3, 0, 0), (0, 2, 0), (0, 0, 4), (-1, 0, 0), (0, -1, -1), (-2, -2, -2)])
def test_positions_outside_the_source_are_refused(position, tmp_path):
    folder = make().save(tmp_path / "tokens")
    positions = make().patch_positions
    positions[7] = position
    np.save(folder / "patch_positions.npy", positions)
    with pytest.raises(TokensError, match="patch 7 has position .* outside 3 frames"):
        VisualTokens.load(folder)


@pytest.mark.parametrize(
    "name, array",
    [
        ("frame_times", np.array([0.0, np.nan, 1.0])), ("frame_times", np.array([0.0, 2.0, 1.0])),
        ("frame_times", np.zeros((3, 1))), ("frame_times", np.zeros(3, int)), ("frame_times", np.array(["a", "b", "c"])),
        ("frame_times", np.array([], float)), ("patch_positions", np.zeros((24, 3))), ("patch_positions", np.zeros(72, int)),
        ("patch_positions", np.full((24, 3), None)),
    ],
)  # fmt: skip
def test_arrays_of_another_kind_are_refused(name, array, tmp_path):
    folder = make().save(tmp_path / "tokens")
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(TokensError):
        VisualTokens.load(folder)


def bomb_png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0" * 64


@pytest.mark.parametrize("size", [(1 << 15, 1 << 15), (1 << 30, 1 << 30), (0, 0)])
def test_a_header_that_asks_for_gigabytes_is_refused_before_decoding(size, tmp_path):
    folder = make().save(tmp_path / "tokens")
    for i in range(3):
        (folder / f"canvas_{i:04d}.png").write_bytes(bomb_png(*size))
    tracemalloc.start()
    with pytest.raises(TokensError, match="is damaged"):
        VisualTokens.load(folder)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_an_array_header_that_asks_for_gigabytes_is_refused(tmp_path):
    folder = make().save(tmp_path / "tokens")
    with (folder / "patch_positions.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (1 << 32, 3)})
    with pytest.raises(TokensError, match="is damaged"):
        VisualTokens.load(folder)


def test_json_nested_without_end_is_damage(tmp_path):
    (make().save(tmp_path / "tokens") / "tokens.json").write_text("[" * 100_000)
    with pytest.raises(TokensError, match="is damaged"):
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


# --- other programs and hostile folders -------------------------------------------------------------------------------

FILES = ["tokens.json", "canvas_0001.png", "patch_positions.npy", "frame_times.npy"]


@pytest.mark.parametrize("name", FILES)
def test_tokens_replaced_while_they_are_read_come_whole(name, tmp_path, monkeypatch):
    old, new = make(), make(fps=1.0, canvases=make().canvases[::-1], frame_times=np.array([0.0, 1.0, 2.0]))
    folder, opens = old.save(tmp_path / "tokens"), tokens_module.open_regular

    def replaced_before(path):
        if path.name == name and not saved:
            saved.append(path)
            new.save(folder)
        return opens(path)

    saved = []
    monkeypatch.setattr(tokens_module, "open_regular", replaced_before)
    check_same(VisualTokens.load(folder), new)
    assert saved


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("make_special", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir])
def test_what_is_no_regular_file_is_damage(name, make_special, tmp_path):
    folder = make().save(tmp_path / "tokens")
    (folder / name).unlink()
    make_special(folder / name)
    with pytest.raises(TokensError, match=f"{folder} is damaged"):
        VisualTokens.load(folder)
    with pytest.raises(TokensError, match="would be lost"):
        make().save(folder)


def test_a_count_of_canvases_beyond_memory_is_refused_from_the_first(tmp_path):
    path = make().save(tmp_path / "tokens") / "tokens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"group_ids": [0] * 10**6}))
    tracemalloc.start()
    with pytest.raises(TokensError, match="1000000 canvases of 56x28 are empty or have more than"):
        VisualTokens.load(tmp_path / "tokens")
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


def test_an_array_file_beyond_memory_is_refused(tmp_path):
    path = make().save(tmp_path / "tokens") / "frame_times.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 29,)})
        file.truncate(file.tell() + (8 << 29))  # zeros that take no room on the disk
    with pytest.raises(TokensError, match="frame_times.npy holds float64"):
        VisualTokens.load(tmp_path / "tokens")


@pytest.mark.parametrize("path", [None, 5, [], "", "a\0b", "\ud800"])
def test_what_is_no_path_is_refused(path):
    for use in (VisualTokens.load, make().save, check_target):
        with pytest.raises(TokensError, match="is no path"):
            use(path)


def test_paths_may_be_bytes(tmp_path):
    check_same(VisualTokens.load(os.fsencode(make().save(os.fsencode(tmp_path / "tokens")))), make())


def test_the_root_is_left_alone():
    with pytest.raises(TokensError, match="choose"):
        make().save(os.sep)
    with pytest.raises(TokensError, match="does not hold visual tokens"):
        VisualTokens.load(os.sep)


@pytest.mark.parametrize("name", ["loop", "loop/inside", "other"])
def test_links_that_lead_to_themselves_are_left_alone(name, tmp_path):
    (tmp_path / "loop").symlink_to("other")
    (tmp_path / "other").symlink_to("loop")
    with pytest.raises(TokensError, match="leads back to itself; choose another folder"):
        make().save(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["loop", "other"] and os.readlink(tmp_path / "loop") == "other"


@pytest.mark.parametrize("changes", [{"fps": float("nan")}, {"fps": np.float32(2)}, {"config": {"n": np.int64(8)}}])
def test_values_that_load_would_refuse_are_not_saved(changes, tmp_path):
    with pytest.raises(TokensError, match="cannot be saved: "):
        make(**changes).save(tmp_path / "tokens")
    assert os.listdir(tmp_path) == []


def test_a_contradiction_names_the_folder(tmp_path):
    path = make().save(tmp_path / "tokens") / "tokens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"group_ids": [0, 1, 0]}))
    with pytest.raises(TokensError, match=f"{path.parent} is damaged: group_ids decrease"):
        VisualTokens.load(path.parent)
