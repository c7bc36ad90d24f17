import json

import pytest

pytest.importorskip("torch")


from kit.errors import MiniError
from kit.records import read_results, write_results
from kit.school import sweep
from kit.school.baselines import time_tags

TINY = sweep.Size(budgets=(4,), clips=8, steps=2, tested=2, fitted=4)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    output = tmp_path_factory.mktemp("sweep")
    return output, sweep.sweep([0, 1], output, size=TINY)


def test_worlds_share_no_clip_and_stay_the_same():
    train, test = sweep.clips("train", 3, together=True), sweep.clips("test", 3)
    assert [sample.to_json() for sample in sweep.clips("test", 3)] == [sample.to_json() for sample in test]
    assert len(test) == 6 and {sample.task for sample in test} == {"jump_times", "grounding"}
    assert all(sample.rounds == 2 for sample in train)
    assert not {sample.media[0].path for sample in train} & {sample.media[0].path for sample in test}


@pytest.mark.parametrize("budget", [4, 8])
def test_both_inputs_have_the_same_visual_tokens_and_codec_more_times(budget, tmp_path):
    cache = sweep.token_cache(tmp_path)
    sample = sweep.clips("test", 1)[0]
    codec, frames = (cache.tokens(sweep.shown(sample, backend, budget).media[0]) for backend in ("codec", "frames"))
    assert len(codec.canvases) == len(frames.canvases) == budget
    assert codec.num_tokens == frames.num_tokens
    assert len(time_tags(codec)) > len(time_tags(frames)) == budget


def test_budgets_take_turns():
    samples = sweep.mixed(sweep.clips("train", 4, together=True), "codec", (4, 8))
    assert [sample.media[0].options["num_canvases"] for sample in samples] == [4, 8, 4, 8]


def test_every_arm_has_a_row_for_each_seed_and_for_all(done):
    _, rows = done
    keys = {(row["backend"], row["arm"], row["seed"]) for row in rows if row["metric"] == "mAP"}
    assert {(backend, arm, seed) for backend, arm in sweep.ARMS for seed in (0, 1, "all")} <= keys
    assert all(0 <= row["low"] <= row["score"] <= row["high"] <= 1 for row in rows if " - " not in row["backend"] + row["arm"])
    assert not any(row["arm"] == "tags rule" and row["task"] == "grounding" for row in rows)


def test_differences_are_of_the_same_clips(done):
    _, rows = done
    mean = {
        (row["metric"], row["backend"], row["arm"]): row["score"] for row in rows if row["seed"] == "all"
    }  # fmt: skip
    gap = mean["mIoU", "codec - none", "eyeless - constant"]
    assert gap == pytest.approx(mean["mIoU", "codec", "eyeless"] - mean["mIoU", "none", "constant"], abs=2e-4)
    assert ("mAP", "codec - frames", "sighted") in mean and ("mAP", "codec", "sighted - blind") in mean


def test_a_second_call_trains_and_asks_nothing(done):
    output, rows = done
    kept = {path: path.stat().st_mtime_ns for path in output.glob("seed*/**/*.safetensors")}
    answers = {path: path.read_bytes() for path in output.glob("seed*/answers/*/samples.jsonl")}
    assert sweep.sweep([0, 1], output, size=TINY) == rows
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {path: path.read_bytes() for path in answers} == answers


def test_results_are_read_as_written(done, tmp_path, monkeypatch):
    _, rows = done
    write_results(rows, tmp_path, "sweep", [0, 1], "kit.school.sweep")
    monkeypatch.setattr("kit.records.RESULTS", tmp_path)
    read, facts = read_results("sweep")
    assert [{name: str(value) for name, value in row.items()} for row in rows] == read
    assert "kit.school.sweep" in facts["command"] and facts["seeds"] == [0, 1]
    assert json.loads((tmp_path / "sweep.json").read_text()) == facts


def test_a_size_of_nothing_is_refused():
    with pytest.raises(MiniError, match="at least 1"):
        sweep.Size(budgets=())
    with pytest.raises(MiniError, match="at least 1"):
        sweep.Size(steps=0)
