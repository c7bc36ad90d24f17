"""The same shards on Ray, byte for byte; skipped where Ray is not installed (`make test-ray` installs it apart)."""

from pathlib import Path

import pytest

from ov2lib.cli import main

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


def test_ray_makes_the_same_shards(tmp_path):
    data = Path(__file__).parents[1] / "data"
    made = []
    for engine in ("local", "ray"):
        folder = tmp_path / engine
        assert main(["corpus", "plan", str(data), "--out", str(folder), "--canvases", "4", "--shard-size", "1"]) == 0
        main(["corpus", "run", str(folder), "--engine", engine, "--workers", "2"])
        made.append({path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))})
    assert made[0] and made[0] == made[1]
