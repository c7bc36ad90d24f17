"""The stages as notebooks run them: what is missing is trained, short runs stay apart, and intervals decide what is claimed."""

import json

import pytest
import torch

from kit import records
from kit.school import __main__ as school
from kit.school import footprint, lessons
from kit.school.recipe import mini_stage
from kit.world import jump_rope
from ov2lib.errors import TrainingError
from ov2lib.files import project_root
from ov2lib.model.loss import IGNORED
from ov2lib.train.run import STEPS_LIMIT
from ov2lib.train.start import run_folder


@pytest.fixture(scope="module", autouse=True)
def short():
    """Every run of this file takes one step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STEPS_LIMIT, "1")
        yield


@pytest.fixture(scope="module")
def lesson():
    return lessons.ensure_stage(2, "lora")


def test_a_stage_trains_what_it_builds_on_first(lesson):
    before = run_folder(lesson.output, 1, "full", "mini")
    assert lesson.start == before / "model" and (lesson.start / "config.json").is_file()
    assert (lesson.result / "adapter_config.json").is_file()
    assert [row["step"] for row in lesson.metrics if "loss" in row] == [1]
    assert lesson.facts()["samples"] == lessons.SHORT_SAMPLES and lesson.facts()["steps"] == 1


def test_a_finished_stage_is_used_again(lesson):
    weights = next(lesson.result.glob("*.safetensors"))
    made = weights.stat().st_mtime_ns
    assert lessons.ensure_stage(2, "lora") == lesson
    assert weights.stat().st_mtime_ns == made


def test_training_takes_the_same_threads_on_any_machine(monkeypatch):
    seen, before = [], torch.get_num_threads()

    def stop(*args, **kwargs):
        seen.append(torch.get_num_threads())
        raise TrainingError("enough")

    monkeypatch.setattr(lessons, "train_mini", stop)
    with pytest.raises(TrainingError, match="enough"):
        lessons.ensure_stage(1)
    assert seen == [lessons.THREADS] and torch.get_num_threads() == before


def test_a_stage_without_the_one_before_names_the_command(tmp_path, capsys):
    assert school.main(["train", "--stage", "3", "--output", str(tmp_path)]) == 2
    assert "run `python -m kit.school train --stage 2 --output" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_short_runs_never_lie_among_whole_ones(lesson, monkeypatch):
    assert not lesson.complete and project_root() not in lesson.folder.parents
    monkeypatch.delenv(STEPS_LIMIT)
    assert lessons.runs_folder() == project_root() / "runs" / "train"
    assert lessons.runs_folder(3) == lessons.runs_folder() / "seed3"
    assert lessons.lesson_config(2) == mini_stage(2)


def test_a_folder_of_other_runs_is_refused(lesson):
    path = lesson.folder / "config.json"
    held = path.read_text()
    facts = json.loads(held)
    facts["config"]["learning_rate"] = 1.0
    path.write_text(json.dumps(facts))
    try:
        with pytest.raises(TrainingError, match="learning_rate was 1.0"):
            lessons.ensure_stage(2, "lora")
    finally:
        path.write_text(held)


def test_an_examination_asks_both_stages_before_and_after(lesson):
    rows = lessons.examine_lesson(lesson)
    assert {(row["after"], row["stage"]) for row in rows} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert {row["arm"] for row in rows if row["after"] == row["stage"] == 2} == {"sighted", "blind", "constant", "permuted"}
    assert all(row["low"] <= row["score"] <= row["high"] for row in rows)


def test_examples_are_one_of_each_kind_and_your_own():
    assert [example.visuals[0].kind for example in lessons.examples(lessons.lesson_config(1))] == ["image", "image"]
    shown = lessons.examples(lessons.lesson_config(4), str(jump_rope().path))
    assert [example.visuals[0].kind for example in shown] == ["codec"] * 3 and shown[-1].id == "your video"
    assert all((example.labels != IGNORED).any() for example in shown)


def test_footprints_of_both_variants_are_counted(lesson):
    full, lora = (footprint.footprint(lesson, variant, steps=2) for variant in ("full", "lora"))
    assert full.weights == full.gradients == 4 * full.parameters and full.trained == full.parameters
    assert full.moments == 2 * full.gradients and lora.moments == 2 * lora.gradients == 8 * lora.trained
    assert lora.trained < full.trained and lora.disk < full.disk and abs(full.disk / full.weights - 1) < 0.05
    assert min(full.activations, lora.activations, full.seconds, lora.seconds) > 0


def test_a_tensor_kept_twice_is_counted_once():
    weight, given = torch.ones(8, 8, requires_grad=True), torch.ones(4, 8, requires_grad=True)
    module = torch.nn.Linear(8, 8, bias=False)
    module.weight = torch.nn.Parameter(weight)
    record = footprint._Kept(module)
    with record:
        (module(given) * given).sum().backward()
    assert record.bytes == given.nbytes * 2  # the input, kept by both products; the first product's result


def row(after, stage, arm, low, high, task="choice/motion"):
    return {"after": after, "stage": stage, "task": task, "metric": "accuracy", "arm": arm,
            "score": (low + high) / 2, "low": low, "high": high}  # fmt: skip


def test_only_intervals_apart_make_a_claim():
    rows = [
        row(1, 2, "sighted", 0.1, 0.2), row(2, 2, "sighted", 0.5, 0.7), row(2, 2, "blind", 0.45, 0.55),
        row(2, 2, "constant", 0.2, 0.3), row(1, 1, "sighted", 0.8, 0.9, "choice/colour"),
        row(2, 1, "sighted", 0.3, 0.4, "choice/colour"), row(1, 1, "sighted", 0.8, 0.9, "choice/shape"),
        row(2, 1, "sighted", 0.6, 0.85, "choice/shape"),
    ]  # fmt: skip
    assert lessons.verdicts(rows, 2) == {
        "learnt": ["choice/motion"], "sight": [], "above constant": ["choice/motion"], "above tags": [],
        "forgotten": ["choice/colour"],
    }  # fmt: skip


def test_the_longer_run_is_summed_up_over_its_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    assert lessons.longer_run(2)[0] == [] and "no longer run" in lessons.longer_run(2)[1]
    made = [
        {"seed": seed, "variant": "full", "samples": 9} | row(after, stage, "sighted", score, score)
        for seed, score in enumerate((0.2, 0.4, 0.9))
        for after, stage in ((1, 2), (2, 2), (2, 1), (3, 2), (3, 3))
    ]
    records.write_results(made, tmp_path, "stages", [0, 1, 2])
    rows, words = lessons.longer_run(2)
    assert {(row["after"], row["stage"]) for row in rows} == {(1, 2), (2, 2), (2, 1)}
    assert all((row["score"], row["low"], row["high"]) == (0.5, 0.2, 0.9) for row in rows)
    assert words.startswith("3 seeds: ")
