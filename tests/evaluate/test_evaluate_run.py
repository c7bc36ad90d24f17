"""A whole evaluation: answers kept line by line, resumed after a kill, other settings refused, bad samples listed."""

import argparse
import json

import pytest

from kit.school import __main__ as school
from kit.school.benchmarks import benchmark
from ov2lib.cli import evaluate as command
from ov2lib.errors import EvaluationError, TrainingError, VideoError
from ov2lib.evaluate.run import digest, evaluate, given_answers, read_samples
from ov2lib.samples.sample import Media, Sample


def sample(name: str, times: list[float], clip: str | None = None) -> Sample:
    messages = (("user", "<video>\nWhen?"), ("assistant", json.dumps(times)))
    return Sample(name, messages, (Media("video", clip or f"clips/{name}.mp4"),), "jump_times", {"times": times})


SAMPLES = [sample(f"clip-{n}", [1.0 + n, 2.5 + n]) for n in range(6)]


def knowing(one: Sample) -> str:
    return one.messages[-1][1]


def go(folder, predict=knowing, samples=SAMPLES, **options):
    return evaluate(samples, predict, folder, **{"model": "m", "revision": "1", "date": "2026-01-02", **options})


def rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_perfect_answers_score_one_and_all_is_written(tmp_path):
    report = go(tmp_path / "run", options={"canvases": 8})
    assert report.tasks["jump_times"].samples == 6
    assert list(report.tasks["jump_times"].metrics) == ["mAP", "AP@0.1", "AP@0.2", "AP@0.3"]
    assert report.tasks["jump_times"].metrics["mAP"].value == 1
    assert [row["id"] for row in rows(tmp_path / "run")] == [one.id for one in SAMPLES]
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores == json.loads(json.dumps(report.to_json()))
    assert (scores["model"], scores["revision"], scores["date"], scores["options"]) == ("m", "1", "2026-01-02", {"canvases": 8})
    assert scores["dataset"]["digest"] == digest(SAMPLES)


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    asked = []

    def dying(one: Sample) -> str:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(one.id)
        return knowing(one) if len(asked) % 2 else "at 2 s"

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "a", dying)
    assert not (tmp_path / "a" / "scores.json").exists()
    with open(tmp_path / "a" / "samples.jsonl", "ab") as file:
        file.write(b'{"id": "clip-3", "task": "jump_ti')  # killed while writing

    def answer(one: Sample) -> str:
        asked.append(one.id)
        return knowing(one) if SAMPLES.index(one) % 2 == 0 else "at 2 s"

    resumed = go(tmp_path / "a", answer, date="2026-09-09")
    assert asked == [one.id for one in SAMPLES]  # each exactly once
    asked.clear()
    assert resumed.to_json() == go(tmp_path / "b", answer).to_json()  # with the first start's date
    assert (tmp_path / "a" / "samples.jsonl").read_bytes() == (tmp_path / "b" / "samples.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "n"}, "another model"),
        ({"revision": "2"}, "another revision"),
        ({"options": {"blind": True}}, "another options"),
        ({"seed": 3}, "another seed"),
        ({"samples": SAMPLES[:5]}, "another dataset"),
    ],
)
def test_another_run_is_refused_and_left_alone(tmp_path, change, named):
    go(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(EvaluationError, match=named):
        go(tmp_path, **change)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_bad_samples_are_listed_and_tried_again(tmp_path):
    samples = [*SAMPLES[:2], sample("lost", [1.0]), Sample("odd", SAMPLES[0].messages, SAMPLES[0].media, "poetry", {})]
    missing = [True]

    def predict(one: Sample) -> str:
        if one.id == "lost" and missing:
            raise VideoError("lost.mp4", "does not exist", "name a video")
        return knowing(one)

    report = go(tmp_path, predict, samples)
    assert report.tasks["jump_times"].samples == 2
    assert list(report.bad) == ["odd", "lost"]
    assert "poetry" in report.bad["odd"] and "does not exist" in report.bad["lost"]
    missing.clear()
    report = go(tmp_path, predict, samples)
    assert (report.tasks["jump_times"].samples, list(report.bad)) == (3, ["odd"])


@pytest.mark.parametrize(
    "error",
    [TypeError("half"), RuntimeError("memory"), OverflowError("big"), RecursionError(), AssertionError(), OSError(5, "x")],
)
def test_whatever_a_sample_does_it_fails_alone_and_the_mean_says_of_how_many(tmp_path, error):
    def predict(one: Sample) -> str:
        if one.id == "clip-2":
            raise error
        return knowing(one) if one.id != "clip-3" else "nothing"

    report = go(tmp_path, predict)
    task = report.tasks["jump_times"]
    assert (task.samples, task.failed, task.metrics["mAP"].value) == (5, 1, pytest.approx(4 / 5))
    assert list(report.bad) == ["clip-2"]
    assert report.bad["clip-2"].startswith(type(error).__name__) and "test_evaluate_run.py, line" in report.bad["clip-2"]
    assert "4  mAP" not in (said := command.format_scores(report, tmp_path)) and "(1 more failed)" in said


def test_an_answer_that_is_no_text_fails_alone(tmp_path):
    report = go(tmp_path, lambda one: None if one.id == "clip-0" else knowing(one))
    assert list(report.bad) == ["clip-0"] and report.tasks["jump_times"].metrics["mAP"].value == 1


def test_a_task_that_fails_as_a_whole_is_said(tmp_path):
    report = go(tmp_path, lambda one: one.nothing)
    assert (report.tasks["jump_times"].samples, report.tasks["jump_times"].failed, len(report.bad)) == (0, 6, 6)
    assert "all 6 failed" in command.format_scores(report, tmp_path)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_the_machine_s_own_trouble_ends_the_run_and_it_is_resumed(tmp_path, error):
    def predict(one: Sample) -> str:
        if one.id == "clip-2" and error:
            raise error
        return knowing(one)

    with pytest.raises(error):
        go(tmp_path, predict)
    assert [row["id"] for row in rows(tmp_path)] == ["clip-0", "clip-1"]
    error = None
    assert go(tmp_path, predict).tasks["jump_times"].samples == 6


class Batches:
    batch_size = 4

    def __init__(self):
        self.sizes = []

    def many(self, samples):
        self.sizes.append(len(samples))
        if any(one.id == "clip-1" for one in samples):
            raise VideoError("clip-1.mp4", "is damaged", "copy it again")
        return [knowing(one) for one in samples]


def test_a_bad_sample_costs_its_batch_nothing(tmp_path):
    predict = Batches()
    report = go(tmp_path, predict)
    assert predict.sizes == [4, 1, 1, 1, 1, 2]
    assert report.tasks["jump_times"].samples == 5
    assert list(report.bad) == ["clip-1"]


def test_questions_on_one_clip_are_drawn_together(tmp_path):
    def half(one: Sample) -> str:
        return knowing(one) if one.id < "clip-3" else "nothing"

    apart = go(tmp_path / "a", half).tasks["jump_times"].metrics["mAP"]
    pairs = [sample(one.id, one.truth["times"], f"{n // 3}.mp4") for n, one in enumerate(SAMPLES)]
    together = go(tmp_path / "b", half, pairs).tasks["jump_times"].metrics["mAP"]
    assert apart.value == together.value == 0.5
    assert 0 <= together.low < apart.low < 0.5 < apart.high < together.high <= 1


def test_an_id_twice_and_no_samples_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match="stands twice"):
        go(tmp_path / "a", samples=[SAMPLES[0], SAMPLES[0]])
    with pytest.raises(EvaluationError, match="no samples"):
        go(tmp_path / "b", samples=[])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"[1]\n", b"what\n", b'{"task": "x"}\n'])
def test_a_damaged_ledger_is_refused(tmp_path, damage):
    go(tmp_path)
    lines = (tmp_path / "samples.jsonl").read_bytes()
    (tmp_path / "samples.jsonl").write_bytes(damage + lines)
    with pytest.raises(EvaluationError, match="damaged"):
        go(tmp_path)


def test_digest_ignores_folders_and_nothing_else():
    moved = [Sample(s.id, s.messages, (Media("video", "/elsewhere/" + s.id + ".mp4"),), s.task, s.truth) for s in SAMPLES]
    assert digest(moved) == digest(SAMPLES)
    assert digest(SAMPLES[::-1]) != digest(SAMPLES)
    assert digest([sample("clip-0", [1.0, 2.6]), *SAMPLES[1:]]) != digest(SAMPLES)


# the command


def arguments(*argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(arg) for arg in argv])


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "mini.jsonl"
    path.write_text("\n".join(json.dumps(one.to_json()) for one in SAMPLES) + "\n")
    return path


def test_command_scores_given_predictions(dataset, tmp_path, capsys):
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"id": one.id, "prediction": "[1.0, 2.5]"}) + "\n" for one in SAMPLES[:4]))
    with open(dataset, "a") as file:
        file.write("nonsense\n")
    assert command.run(arguments(dataset, "--predictions", answers, "--out", tmp_path / "out", "--limit", 5)) == 1
    out = capsys.readouterr().out
    assert "jump_times        4  mAP" in out and "clip-4" in out and "mini.jsonl:7" not in out and "1 bad samples" in out
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["dataset"]["name"] == "mini.jsonl" and scores["dataset"]["samples"] == 5
    assert scores["revision"].startswith("sha256:")


def test_ids_of_any_type_meet_their_answers_and_are_resumed(tmp_path, capsys):
    ids, data, answers = [0, 1, False, 2.5, "text", [3]], tmp_path / "any.jsonl", tmp_path / "answers.jsonl"
    data.write_text("".join(json.dumps(one.to_json() | {"id": name}) + "\n" for one, name in zip(SAMPLES, ids, strict=True)))
    lines = [json.dumps({"id": name, "prediction": knowing(one)}) for one, name in zip(SAMPLES, ids, strict=True)]
    answers.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    for _ in range(2):
        assert command.run(arguments(data, "--predictions", answers, "--out", tmp_path / "out")) == 0
        assert "jump_times        6  mAP         1.000" in capsys.readouterr().out
        assert [row["id"] for row in rows(tmp_path / "out")] == ["0", "1", "False", "2.5", "text", "[3]"]


def test_predictions_in_utf_16_or_missing_are_refused(dataset, tmp_path):
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"id": "clip-0", "prediction": "x"}), encoding="utf-16")
    with pytest.raises(EvaluationError, match="answers.jsonl .it is UTF-16 or UTF-32; save it as UTF-8"):
        command.run(arguments(dataset, "--predictions", answers, "--out", tmp_path / "out"))
    with pytest.raises(EvaluationError, match="cannot read"):
        command.run(arguments(dataset, "--predictions", tmp_path / "none", "--out", tmp_path / "out"))


def test_command_scores_a_mini_benchmark(tmp_path, capsys):
    questions, answers = tmp_path / "jumps.jsonl", tmp_path / "answers.jsonl"
    assert school.main(["samples", "JumpScore-mini", "--limit", "3", "--out", str(questions)]) == 0
    answers.write_text(
        "".join(json.dumps({"id": one.id, "prediction": knowing(one)}) + "\n" for one in benchmark("JumpScore-mini", 3))
    )
    assert command.run(arguments(questions, "--predictions", answers, "--out", tmp_path / "out")) == 0
    assert "jump_times/jumps" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["dataset"]["samples"] == 3


def test_samples_are_read_with_their_media_beside_them(dataset):
    with open(dataset, "a") as file:
        file.write('{"id": "half"}\nnonsense\n')
    read, bad = read_samples(dataset)
    assert [one.id for one in read] == [one.id for one in SAMPLES]
    assert len(bad) == 2 and list(bad)[0].endswith("mini.jsonl:7")
    assert read[0].media[0].path == str(dataset.parent / "clips" / "clip-0.mp4")


def test_bad_rows_among_the_first_samples_are_listed(dataset):
    dataset.write_text("nonsense\n" + dataset.read_text() + "nonsense\n")
    read, bad = read_samples(dataset, 5)
    assert [one.id for one in read] == [one.id for one in SAMPLES[:5]] and [name[-12:] for name in bad] == ["mini.jsonl:1"]


def test_of_two_samples_with_one_id_the_first_counts(dataset, tmp_path, capsys):
    with open(dataset, "a") as file:
        file.write(2 * (json.dumps(SAMPLES[1].to_json()) + "\n"))
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"id": one.id, "prediction": knowing(one)}) + "\n" for one in SAMPLES))
    assert command.run(arguments(dataset, "--predictions", answers, "--out", tmp_path / "out")) == 1
    out = capsys.readouterr().out
    assert "jump_times        6  mAP         1.000" in out and out.count("the id 'clip-1' stands before") == 2


def test_bad_answers_fail_alone(dataset, tmp_path, capsys):
    answers, lines = tmp_path / "answers.jsonl", ["{bad", "3", '{"prediction": "x"}', '{"id": "clip-0", "prediction": null}']
    lines += [json.dumps({"id": one.id, "prediction": knowing(one)}) for one in [SAMPLES[1], SAMPLES[1], *SAMPLES[2:5]]]
    answers.write_text("\n".join(lines))
    assert command.run(arguments(dataset, "--predictions", answers, "--out", tmp_path / "out")) == 1
    out = capsys.readouterr().out
    assert "jump_times        3  mAP         1.000" in out and "(3 more failed)" in out and "6 bad samples" in out
    bad = json.loads((tmp_path / "out" / "scores.json").read_text())["bad"]
    assert [f"{answers}, line {number}" in bad for number in range(1, 5)] == [True, True, True, False]
    assert "is no text" in bad["clip-0"] and "holds 2 answers" in bad["clip-1"] and "holds no answer" in bad["clip-5"]


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match="cannot read"):
        given_answers(tmp_path / "none.jsonl")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_samples(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("option", "value"), [("--limit", 0), ("--frames", -3), ("--canvases", 0), ("--batch-size", 0), ("--seed", -1)]
)
def test_numbers_that_make_no_sense_are_refused_before_the_model_is_loaded(dataset, tmp_path, option, value):
    with pytest.raises(EvaluationError, match=f"{option} is {value}"):
        command.run(arguments(dataset, "--model", tmp_path, "--out", tmp_path / "out", option, value))
