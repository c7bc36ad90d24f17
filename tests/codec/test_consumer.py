"""A consumer of the published checkpoints, written from the contract alone, on the authors' folder and on ours.

It reads four kinds of file (`meta.json`, canvases, positions, candidates), drops padding and writes the prompt: for each run of
merged tokens of one source frame its time, its places for visual tokens and a newline.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from invariants import BEACH
from PIL import Image

from ov2lib import VisualTokens
from ov2lib.cli import preinfer as program
from ov2lib.model.prompt import visual_text

GOLDEN = BEACH.parent / "cv_preinfer"
PAD = "<|image_pad|>"


def consume(folder: Path) -> dict:
    """What a model is fed: pixels of patches, positions of patches, grid rows and the prompt, padding dropped."""
    meta = json.loads((folder / "meta.json").read_text())
    files = sorted(folder.glob("canvas_*.jpg"))
    pictures = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    positions = np.load(folder / "src_patch_position.npy")
    count, (height, width) = len(pictures), meta["processed_hw"]
    rows, columns = height // meta["patch"], width // meta["patch"]
    grid = positions.reshape(count, rows // 2, 2, columns // 2, 2, 3)
    blocks = grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 4, 3)
    blocks = blocks[blocks[:, 0, 0] >= 0]
    prompt, run = "", 0
    for number, frame in enumerate(blocks[:, 0, 0]):
        run += 1
        if number + 1 == len(blocks) or blocks[number + 1, 0, 0] != frame:
            prompt += f"<{frame / meta['fps']:.{meta.get('decimals', 1)}f} seconds><|vision_start|>{PAD * run}<|vision_end|>\n"
            run = 0
    return {"pictures": pictures, "grid": [count, rows, columns], "blocks": blocks, "prompt": prompt}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    """The authors' folder: their positions and table of contents, with one of their canvases in every place."""
    folder = tmp_path_factory.mktemp("theirs")
    golden = np.load(GOLDEN / "default_patch14.npz")
    for name in ("src_patch_position", "frame_ids"):
        np.save(folder / f"{name}.npy", golden[name])
    meta = json.loads((GOLDEN / "default_patch14.meta.json").read_text())
    canvas = Image.open(GOLDEN / "default_patch14.canvas_001.jpg")
    for number in range(len(golden["src_patch_position"]) // (canvas.width * canvas.height // meta["patch"] ** 2)):
        canvas.save(folder / f"canvas_{number:03d}.jpg")
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ours") / "out"
    assert program.main(["--video", str(BEACH), "--out_dir", str(folder)]) == 0
    return folder


def test_shapes_and_kinds_are_the_same(theirs, ours):
    one, two = consume(theirs), consume(ours)
    assert one["pictures"].shape[1:] == two["pictures"].shape[1:] and one["grid"][1:] == two["grid"][1:]
    assert abs(one["grid"][0] - two["grid"][0]) <= 4, "one group of canvases more or less"
    for name in ("src_patch_position", "frame_ids"):
        given, made = (np.load(folder / f"{name}.npy") for folder in (theirs, ours))
        assert given.dtype == made.dtype == np.int32 and given.shape[1:] == made.shape[1:]


@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_the_prompt_has_the_published_form(whose, request):
    read = consume(request.getfixturevalue(whose))
    lines = read["prompt"].splitlines()
    places = [line.count(PAD) for line in lines]
    assert sum(places) == len(read["blocks"]) == np.prod(read["grid"]) // 4, "no place without a patch, and no padding"
    assert read["prompt"] == visual_text(VisualTokens.load(request.getfixturevalue(whose)), timestamps="published")
    times = [float(line[1:].split(" seconds>")[0]) for line in lines]
    assert times == sorted(times) and 0 <= times[0] and times[-1] <= 487 / 30
    assert (read["blocks"] == read["blocks"][:, :1] + [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]).all(), "whole 2x2 blocks"


def test_padding_is_dropped(theirs, tmp_path):
    for file in theirs.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    positions = np.load(tmp_path / "src_patch_position.npy")
    canvas = len(positions) // len(list(tmp_path.glob("canvas_*.jpg")))
    positions[-canvas:] = -1
    np.save(tmp_path / "src_patch_position.npy", positions)
    whole, cut = consume(theirs), consume(tmp_path)
    assert len(whole["blocks"]) - len(cut["blocks"]) == canvas // 4
    assert cut["prompt"].count(PAD) == len(cut["blocks"]) and "<-" not in cut["prompt"]
