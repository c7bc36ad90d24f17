"""Training reads the shards of `ov2 corpus`: the same samples and tokens as from the clips, and nothing is decoded again."""

import json
import shutil
from pathlib import Path

import pytest

from ov2lib.cli import main
from ov2lib.samples import cache
from ov2lib.train.prepare import load_prepared

BEACH = Path(__file__).parents[1] / "data" / "beach_vp9.webm"


def test_adapters_are_trained_from_shards_without_the_clips(start, tmp_path, monkeypatch, capsys):
    # 1. Six samples of one clip, once as they are and once as shards
    monkeypatch.chdir(tmp_path)
    shutil.copy(BEACH, tmp_path / "a.webm")
    talk = [{"role": "user", "content": "<video>\nHow many jumps?"}, {"role": "assistant", "content": "two jumps"}]
    lines = [json.dumps({"id": f"clip-{n}", "video": "a.webm", "messages": talk}) + "\n" for n in range(6)]
    (tmp_path / "mine.jsonl").write_text("".join(lines))
    small = ["--canvases", "4", "--max-pixels", "12544"]
    assert main(["corpus", "plan", "mine.jsonl", "--out", "shards", *small]) == 0
    assert main(["corpus", "run", "shards"]) == 0
    # 2. Training finds no clip and asks no front end
    (tmp_path / "a.webm").unlink()
    monkeypatch.setattr(cache, "video_tokens", lambda *_: pytest.fail("decoded again"))
    words = ["train", "--data", "mine=shards", "--from", str(start), "--variant", "lora", "--steps", "2"]
    assert main(words) == 0, capsys.readouterr().err
    own = tmp_path / "runs" / "train" / "own" / "lora"
    prepared = load_prepared(own / "data")
    assert prepared.summary["samples"] == 6 and (own / "adapter").is_dir()
    # 3. A model of another patch size is told so
    monkeypatch.setattr(
        cache.TokenCache, "__init__", lambda self, *_, do=cache.TokenCache.__init__, **__: do(self, tmp_path, 16)
    )
    assert main([*words, "--output", str(tmp_path / "other")]) == 2
    assert "plan the corpus with --patch-size 16" in " ".join(capsys.readouterr().err.split())
