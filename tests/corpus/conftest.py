"""A folder of clips: two good ones and copies of them, a captioned one among them, and one that is broken."""

import shutil
from pathlib import Path

import pytest

from kit import world

BEACH = Path(__file__).parents[1] / "data" / "beach_vp9.webm"


@pytest.fixture
def clips(tmp_path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    shapes = world.moving_shapes(duration=1, size=(112, 112)).path
    for number in range(6):
        shutil.copy(shapes, folder / f"{number}.mp4")
    shutil.copy(BEACH, folder / "beach.webm")
    (folder / "3.txt").write_text("Shapes move.\n")
    (folder / "broken.mp4").write_bytes(shapes.read_bytes()[:2000])
    return folder


@pytest.fixture
def ov2(capsys):
    """`ov2(*words)` runs a command and returns (status, stdout, stderr)."""
    from ov2lib.cli import main

    def call(*words):
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call
