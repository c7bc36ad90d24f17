"""Outputs of lmms-eval 0.7.3's task code: a sample of 1,000 random and hostile inputs of the protocols with most quirks.

`tests/task_code.py` compares 1,000 outputs of every protocol with the task code itself; all agreed on 27 November 2026.
"""

import csv
import json
from pathlib import Path

import pytest

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import choices

VECTORS = Path(__file__).parent.parent / "data" / "lmms_eval_vectors.csv"
SCORE = {
    "mvbench": lambda row: float(choices.extract_letter(row["text"], row["letters"], "mvbench") == row["answer"]),
    "realworldqa": lambda row: choices.realworldqa(**row),
    "videomme_v2": lambda row: choices.extract_letter(row["text"], "ABCDEFGH", "videomme_v2", row["options"]) or "",
    "videomme_v2_groups": lambda rows: choices.videomme_v2(rows)["overall"],
    "mmbench": choices.mmbench,
}


@pytest.mark.parametrize("protocol", SCORE)
def test_scores_equal_the_task_code(protocol):
    with VECTORS.open(encoding="utf-8", newline="") as lines:
        mine = [row for row in csv.DictReader(lines) if row["protocol"] == protocol]
    assert len(mine) >= 9 and len({row["expected"] for row in mine}) > 1
    for row in mine:
        scored = SCORE[protocol](json.loads(row["input"]))
        assert scored == (row["expected"] if isinstance(scored, str) else pytest.approx(float(row["expected"]))), row["input"]


def rotations(*predictions):
    """One question of three options whose true text is the first: its true letter moves with each rotation."""
    options, answers = ["cat", "dog", "bird"], "ACB"
    return [
        {"index": k * choices.ROTATION, "prediction": said, "answer": answers[k], "options": options[k:] + options[:k]}
        for k, said in enumerate(predictions)
    ]


def test_mmbench_counts_a_question_only_if_every_rotation_is_right():
    assert choices.mmbench(rotations("A", "C", "B")) == 1
    assert choices.mmbench(rotations("A", "A", "A")) == 0  # the same letter whatever stands there
    assert choices.mmbench(rotations("a cat", "It is (C)", "the cat")) == 1
    assert choices.mmbench([*rotations("A", "C", "B"), {**rotations("B")[0], "index": 7}]) == 0.5
    assert choices.mmbench([*rotations("A"), {**rotations("B")[0], "index": 7 + choices.ROTATION}]) == 1  # no question
    with pytest.raises(EvaluationError, match="no question"):
        choices.mmbench(rotations("A", "C")[1:])


def test_mmbench_reads_only_letters_that_the_question_has_where_it_falls_back():
    row = {"index": 0, "prediction": "정답은B12DogE.Dog", "answer": "B", "options": ["Dog", "12"]}
    assert choices.mmbench([row]) == 1  # with four letters the "D" of "Dog" would win


def test_mmbench_takes_an_option_that_the_data_calls_nan_as_the_task_code_does():
    row = {"index": 0, "prediction": "an ordinary banana", "answer": "B"}
    assert choices.mmbench([row | {"options": ["pear", "banana", "fig"]}]) == 1
    assert choices.mmbench([row | {"options": ["pear", "banana", "fig", "nan"]}]) == 0  # two options stand in the answer


def test_letters_that_no_option_bears_are_read_and_count_as_none():
    assert choices.extract_letter("E or B", "ABC", "mvbench") is None  # published: MV-Bench reads A to E always
    assert choices.extract_letter("E or B", "ABCDE", "mvbench") == "E"
    assert choices.extract_letter("so F, or B", "ABC", "mmsi") is None


def test_videomme_v2_falls_back_on_the_text_of_an_option():
    options = ["red car.", "blue car", "train", "a bus", "ship", "tram", "bike", "foot"]
    assert choices.extract_letter("They went there by Train", "ABCDEFGH", "videomme_v2", options) == "C"
    assert choices.extract_letter("by train and ship", "ABCDEFGH", "videomme_v2", options) is None
    assert choices.extract_letter("They went there by train", "ABCDEFGH", "videomme_v2") is None
