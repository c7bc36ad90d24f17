"""What the tests of ov2lib.video share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def beach() -> Path:
    """A real clip: 16 s, 640x360, 30 frames per second, several shots, H.264 with B frames."""
    return Path(__file__).parents[1] / "data" / "beach_360x640_h264.mp4"
