"""`ov2-preinfer` beside what the authors' program wrote for three calls on the beach clip (tests/data/cv_preinfer)."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from invariants import BEACH
from PIL import Image

from ov2lib import TokensError, VisualTokens, tokenize_image, tokenize_video
from ov2lib.cli import preinfer as program
from ov2lib.codec import preinfer, released, scoring
from ov2lib.codec.frontend import select_released

GOLDEN = BEACH.parent / "cv_preinfer"
CALLS = {
    "default_patch14": [],
    "default_patch16": ["--patch", "16"],
    "evaluation_patch14": [
        "--num_sampled_frames", "512", "--max_pixels", "313600", "--max_group_frames", "128", "--bitcost_grid", "sub",
        "--readiness_sum_threshold_mode", "auto", "--no_avoid_keyframes", "--disable_target_only", "--decode_backend",
        "cv_reader_pixels", "--parallel_segments", "4", "--threads_per_segment", "1",
    ],
}  # fmt: skip


@pytest.fixture(scope="module", params=CALLS)
def call(request, tmp_path_factory):
    """(name, folder that our program wrote)"""
    folder = tmp_path_factory.mktemp(request.param) / "out"
    assert program.main(["--video", str(BEACH), "--out_dir", str(folder), *CALLS[request.param]]) == 0
    return request.param, folder


def theirs(name: str) -> tuple[dict, dict]:
    return json.loads((GOLDEN / f"{name}.meta.json").read_text()), np.load(GOLDEN / f"{name}.npz")


def test_meta_has_the_same_keys_types_sizes_and_frames(call):
    name, folder = call
    meta, golden = theirs(name)
    ours = json.loads((folder / "meta.json").read_text())
    assert {key: type(value).__name__ for key, value in ours.items()} == meta["all_keys"]
    for key in ("fps", "total_frames", "sampled_frames", "processed_hw", "hb_wb", "orig_hw", "codec_name", "images_per_group"):
        assert ours[key] == meta[key], key
    np.testing.assert_array_equal(np.load(folder / "frame_ids.npy"), golden["frame_ids"])
    assert abs(ours["num_groups"] - meta["num_groups"]) <= 1
    assert ours["canvas_files"][:3] == meta["canvas_files"][:3] == ["canvas_000.jpg", "canvas_001.jpg", "canvas_002.jpg"]
    assert sorted(path.name for path in folder.glob("canvas_*")) == ours["canvas_files"]


def patches(positions: np.ndarray) -> set:
    return set(map(tuple, positions.tolist()))


def test_six_of_ten_patches_are_theirs_and_no_canvas_is_half_empty(call):
    name, folder = call
    _, golden = theirs(name)
    positions = np.load(folder / "src_patch_position.npy")
    assert positions.dtype == np.int32 and (positions >= 0).all()
    wanted = patches(golden["src_patch_position"])
    assert len(wanted & patches(positions)) / len(wanted) >= 0.62


@pytest.mark.parametrize("name", CALLS)
def test_true_bits_give_their_groups_and_patches(name):
    meta, golden = theirs(name)
    bits = np.load(BEACH.parent / "beach_macroblock_bits.npz")["bits"][golden["frame_ids"]]
    if meta["bitcost_grid"] == "sub":
        bits = released.sub_grid(bits[..., :-1])  # without the unused column
    (height, width), block = meta["processed_hw"], 2 * meta["patch"]
    scores = np.stack([scoring.resize_and_sum(x, height, width, block).ravel() for x in scoring.bit_cost_prior(bits)])
    selection = select_released(scores, np.ones(len(scores), bool), meta["max_group_frames"])
    assert [[g.start, g.end] for g, _, _ in selection] == [[g["start"], g["end"]] for g in meta["group_specs"]]
    frames, columns, found = golden["frame_ids"], width // block, set()
    for _, anchor, blocks in selection:
        whole = np.array([[anchor, block] for block in range(scores.shape[1])])
        for frame, block in np.concatenate([blocks, whole]).tolist():
            found.add((int(frames[frame]), *divmod(block, columns)))
    wanted = patches(golden["src_patch_position"] // [1, 2, 2])
    assert len(found & wanted) / len(wanted) >= 0.98


def consume(folder) -> tuple[np.ndarray, np.ndarray, str]:
    """A consumer's loop, from the description of the layout alone: pictures, positions without padding, and the prompt."""
    meta = json.loads((folder / "meta.json").read_text())
    pictures = np.stack([np.asarray(Image.open(folder / name)) for name in meta["canvas_files"]])
    positions = np.load(folder / "src_patch_position.npy").reshape(len(pictures), -1, 3)
    padded = positions[:, :, 0] < 0
    assert (padded.all(axis=1) == padded.any(axis=1)).all()
    kept = positions[~padded.any(axis=1)]
    prompt = "".join(f"<{frames.min() / meta['fps']:.1f} seconds><|video_pad|>" for frames in kept[:, :, 0])
    return pictures, kept.reshape(-1, 3), prompt


def test_a_consumer_reads_it(call):
    name, folder = call
    meta, _ = theirs(name)
    pictures, positions, prompt = consume(folder)
    assert pictures.shape[1:] == (*meta["processed_hw"], 3) and pictures.dtype == np.uint8
    assert len(positions) == len(pictures) * meta["S_full"] and prompt.count("<|video_pad|>") == len(pictures)


def test_pixels_are_those_of_the_tokens(tmp_path):
    tokens = tokenize_video(BEACH, "released", num_canvases=32, max_pixels=150_000)
    tokens.save(tmp_path / "out", layout="preinfer")
    pictures, positions, _ = consume(tmp_path / "out")
    assert np.abs(pictures.astype(int) - tokens.canvases).mean() < 3.2
    np.testing.assert_array_equal(positions, tokens.patch_positions)
    back = VisualTokens.load(tmp_path / "out")
    np.testing.assert_array_equal(back.patch_positions, tokens.patch_positions)
    np.testing.assert_array_equal(back.group_ids, tokens.group_ids)
    assert back.fps == tokens.fps and back.kind == "codec" and len(back.frame_times) == len(tokens.frame_times)


def test_the_authors_folder_is_read(tmp_path):
    meta, golden = theirs("default_patch14")
    canvas = Image.open(GOLDEN / "default_patch14.canvas_001.jpg")
    for name in meta["canvas_files"]:
        canvas.save(tmp_path / name)
    np.save(tmp_path / "src_patch_position.npy", golden["src_patch_position"])
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    tokens = VisualTokens.load(tmp_path)
    assert tokens.fps == 30 and len(tokens.canvases) == 32 and np.unique(tokens.group_ids).tolist() == list(range(8))
    (tmp_path / "canvas_007.jpg").write_bytes(b"cut")
    with pytest.raises(TokensError, match="no folder of canvases"):
        VisualTokens.load(tmp_path)


@pytest.mark.parametrize(
    "lie",
    [
        {"fps": 0}, {"fps": "fast"}, {"patch": 0}, {"hb_wb": [1 << 20, 1 << 20]}, {"hb_wb": [10]}, {"canvas_files": []},
        {"canvas_files": ["../../secret.png"] * 4}, {"images_per_group": 0}, {"total_frames": 1 << 60}, {"total_frames": None},
    ],
)  # fmt: skip
def test_folders_that_lie_are_refused(lie, tmp_path):
    tokenize_video(BEACH, "paper", num_canvases=4).save(tmp_path / "out", layout="preinfer")
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    (tmp_path / "out" / "meta.json").write_text(json.dumps(meta | lie))
    with pytest.raises(TokensError, match="no folder of canvases"):
        VisualTokens.load(tmp_path / "out")


def test_half_empty_canvases_are_filled_from_the_whole_frame():
    tokens = tokenize_video(BEACH, "paper", num_canvases=5)
    places = tokens.patch_positions.reshape(len(tokens.canvases), -1, 3).copy()
    places[1, 4:] = -1
    places[3] = -1
    canvases, positions = preinfer.without_gaps(
        VisualTokens(tokens.canvases, places.reshape(-1, 3), np.zeros(5, int), tokens.fps, tokens.frame_times, 14, "codec")
    )
    assert len(canvases) == 4 and (positions >= 0).all()
    np.testing.assert_array_equal(positions.reshape(4, -1, 3)[1, 4:], places[0, 4:])


def test_every_codec_serves(tmp_path, specimen):
    for name in ("mpeg4", "hevc", "vp9"):
        argv = ["--video", str(specimen(name).path), "--out_dir", str(tmp_path / name), "--num_sampled_frames", "32"]
        assert program.main(argv) == 0
        assert len(consume(tmp_path / name)[0]) % 4 == 0


def test_a_name_that_is_no_text(tmp_path, specimen):
    video = os.fsencode(tmp_path) + b"/odd\xff.mp4"
    shutil.copy(specimen("mpeg4").path, video)
    assert program.main(["--video", os.fsdecode(video), "--out_dir", str(tmp_path / "out"), "--num_sampled_frames", "8"]) == 0
    assert VisualTokens.load(tmp_path / "out").source == os.fsdecode(video)


def test_blocks_of_three_patches_for_models_that_join_as_many(tmp_path):
    argv = ["--video", str(BEACH), "--out_dir", str(tmp_path / "out"), "--num_sampled_frames", "32", "--block_size", "3"]
    assert program.main(argv) == 0
    tokens = VisualTokens.load(tmp_path / "out")
    blocks = tokens.patch_positions[tokens.merge_order].reshape(-1, 9, 3)
    assert tokens.merge == 3 and (blocks[:, 0, 1:] % 3 == 0).all()
    np.testing.assert_array_equal(blocks - blocks[:, :1], np.broadcast_to([[0, *divmod(i, 3)] for i in range(9)], blocks.shape))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--grouping_mode", "fixed"], "--grouping_mode fixed is not offered; use readiness"),
        (["--save_mask_video"], "--save_mask_video is not offered"),
        (["--group_size", "16"], "--group_size 16 is not offered; use 32"),
    ],
)
def test_modes_that_are_not_offered_are_refused_by_name(argv, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(["--video", str(BEACH), "--out_dir", str(tmp_path / "out"), *argv])
    assert stopped.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert program.main(["--video", str(tmp_path / "a.mp4"), "--out_dir", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    assert program.main(["--video", str(BEACH), "--out_dir", str(tmp_path / "mine"), "--num_sampled_frames", "8"]) == 2
    assert "note.txt" in capsys.readouterr().err and (tmp_path / "mine" / "note.txt").read_text() == "mine"


def test_only_codec_tokens_have_this_layout(tmp_path):
    with pytest.raises(TokensError, match="this layout is for codec tokens"):
        tokenize_image(np.zeros((56, 56, 3), np.uint8)).save(tmp_path / "out", layout="preinfer")
    with pytest.raises(TokensError, match="layout='zip'"):
        tokenize_image(np.zeros((56, 56, 3), np.uint8)).save(tmp_path / "out", layout="zip")


def test_thresholds(tmp_path):
    metas = {}
    for mode, given in (("legacy", 1e5), ("fixed", 2e5), ("auto", 3e5), ("clamped_sqrt_bpppf", 0.0)):
        asked = {"readiness_sum_threshold": given, "readiness_sum_threshold_mode": mode, "canvas_format": "npy"}
        metas[mode] = preinfer.run_preinfer(BEACH, tmp_path / mode, num_sampled_frames=64, **asked)
    values = {mode: meta["readiness_sum_threshold"] for mode, meta in metas.items()}
    assert (values["legacy"], values["fixed"]) == (1e5, 2e5) and values["auto"] not in (0, 3e5)
    assert values["clamped_sqrt_bpppf"] == pytest.approx(2_250_000 * metas["auto"]["bits_per_pixel_per_frame_clamped"] ** 0.5)
    assert (tmp_path / "auto" / "canvas_000.npy").is_file()


def test_the_program_starts_without_torch():
    code = "import sys; import ov2lib.cli.preinfer; print(*[m for m in ('torch', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
