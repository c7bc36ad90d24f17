"""Every task's scorer: perfect answers, wrong answers, hostile answers, truths that lack something."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import EvaluationError
from ov2lib.evaluate.scorers import SCORERS, read_runs, score, write_runs
from ov2lib.samples.sample import Sample

SIZE = 40, 60
HEADLINES = {
    "choice": "accuracy", "caption": "F1", "number": "MRA", "jump_times": "mAP", "grounding": "mIoU", "tracks": "J&F",
}  # fmt: skip


def sample(task: str, answer: str, **truth) -> Sample:
    return Sample("s", (("user", "?"), ("assistant", answer)), (), task, truth)


def disc(x: float, y: float, radius: float = 8) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.hypot(columns - x, rows - y) <= radius


def tracking(targets=("ball",)) -> Sample:
    """A ball that moves right, a brick that stands still, two frames half a second apart."""
    balls, brick = [disc(15, 20), disc(25, 20)], disc(48, 12, 6)
    truth = {
        "size": list(SIZE), "times": [0.5, 1.0], "targets": list(targets),
        "objects": {"ball": [write_runs(ball) for ball in balls], "brick": [write_runs(brick)] * 2},
    }  # fmt: skip
    return sample("tracks", tracks((0.5, 15, 20), (1.0, 25, 20)), **truth)


def tracks(*points) -> str:
    said = "; ".join(f"{t} 1 {round(x / SIZE[1] * 1000)} {round(y / SIZE[0] * 1000)}" for t, x, y in points)
    return f'<tracks coords="{said}">ball</tracks>'


EACH = {
    "choice": sample("choice", "left", choices=["left", "right"]),
    "caption": sample("caption", "a red disc and a blue disc"),
    "number": sample("number", "3", number=3),
    "jump_times": sample("jump_times", "[1.0, 2.0, 3.0]", times=[1.0, 2.0, 3.0]),
    "grounding": sample("grounding", "2.0 to 4.0", span=[2.0, 4.0]),
    "tracks": tracking(),
}


def test_every_task_has_a_headline_and_a_case():
    assert SCORERS.keys() == HEADLINES.keys() == EACH.keys()
    assert [next(iter(score("", one))) for one in EACH.values()] == [HEADLINES[task] for task in EACH]


@pytest.mark.parametrize("task", EACH)
def test_the_true_answer_scores_one_and_silence_nothing(task):
    true, silent = score(EACH[task].messages[-1][1], EACH[task]), score("", EACH[task])
    assert true[HEADLINES[task]] == 1
    assert silent[HEADLINES[task]] == 0
    assert true.keys() == silent.keys()


@pytest.mark.parametrize("task", EACH)
@given(text=st.text(max_size=200))
def test_any_text_is_scored_between_zero_and_one(task, text):
    assert all(0 <= value <= 1 for value in score(text, EACH[task]).values())


@pytest.mark.parametrize("task", EACH)
def test_hostile_text_costs_linear_time(task, assert_linear):
    extra = ['<tracks coords="', "1 1 1 1;", "coords=", "'1 2 3;", "a b ", "nine ", "9"]
    assert_linear(lambda text: score(text, EACH[task]), ["[", "]", "1s ", "1-", " ", "é", *extra])


def test_a_crowd_of_points_costs_linear_time(assert_linear):
    names = " ".join(f"{n} {n % 997} {n % 991}" for n in range(10_000))
    assert_linear(lambda text: score(f'<tracks coords="0.5 {names[: len(text)]}">', EACH["tracks"]), ["x"])


@pytest.mark.parametrize(
    ("answer", "accuracy"), [("Left.", 1), ("  LEFT ", 1), ("left of it", 0), ("right", 0), ("the left", 0), (".", 0)]
)
def test_choice_wants_the_short_answer_alone(answer, accuracy):
    assert score(answer, EACH["choice"]) == {"accuracy": accuracy}


@pytest.mark.parametrize(
    ("said", "accuracy"),
    [
        ("It is at the top left.", 1),
        ("top left", 1),
        (" Top Left ", 1),
        ("it is left", 0),
        ("stop left", 0),
        ("at the top", 0),
        ("", 0),
    ],
)
def test_choice_in_a_sentence_is_its_end_and_the_longest_end_counts(said, accuracy):
    truth = {"choices": ["left", "top left", "right"], "answer": "top left", "sentence": True}
    one = Sample("s", EACH["choice"].messages, (), "choice", truth)
    assert score(said, one) == {"accuracy": accuracy}


def test_choice_by_letter_follows_the_named_rule():
    one = sample("choice", "B", choices=["A", "B"], rule="first_token")
    assert [score(text, one)["accuracy"] for text in ("B. because", "b", " B", "A")] == [1, 1, 0, 0]
    one = Sample("s", EACH["choice"].messages, (), "choice", {"choices": ["red", "blue"], "answer": "blue"})
    assert score("blue", one)["accuracy"] == 1  # the truth's answer goes before the last message


def test_caption_by_hand():
    one = EACH["caption"]  # words: a red disc and a blue disc
    assert score("A red disc, and a BLUE disc.", one) == {"F1": 1, "exact": 1}
    assert score("a blue disc and a red disc", one) == {"F1": 1, "exact": 0}
    assert score("a red square", one)["F1"] == pytest.approx(2 * 2 / (3 + 7))
    assert score("disc disc disc disc", one)["F1"] == pytest.approx(2 * 2 / (4 + 7))  # each word as often as it stands there


def test_number_is_relative_and_exact():
    assert score("four", sample("number", "4", number=4)) == {"MRA": 1, "exact": 1}
    assert score("9", sample("number", "10", number=10)) == {"MRA": 0.9, "exact": 0}
    assert score("0", sample("number", "0", number=0)) == {"MRA": 1, "exact": 1}
    assert score("1", sample("number", "0", number=0)) == {"MRA": 0, "exact": 0}


def test_jump_times_is_jumpscore():
    result = score("[1.05, 2.15, 3.25]", EACH["jump_times"])
    assert list(result) == ["mAP", "AP@0.1", "AP@0.2", "AP@0.3"]
    assert [round(value, 4) for value in result.values()] == [0.6667, 0.3333, 0.6667, 1.0]
    assert score("no jumps", sample("jump_times", "[]", times=[]))["mAP"] == 1


def test_grounding_is_timelens():
    assert score("from 3 to 5", EACH["grounding"]) == {
        "mIoU": pytest.approx(1 / 3), "R1@0.3": 1, "R1@0.5": 0, "R1@0.7": 0,
    }  # fmt: skip


def test_tracks_select_what_they_lie_on():
    one = tracking()
    assert score(tracks((0.5, 15, 20), (1.0, 25, 20)), one) == {"J&F": 1, "J": 1, "F": 1, "F1": 1}
    half = score(tracks((0.5, 15, 20), (1.0, 2, 2)), one)  # the second point lies on the ground
    assert half == {"J&F": 0.5, "J": 0.5, "F": 0.5, "F1": 0.5}
    other = score(tracks((0.5, 48, 12), (1.0, 48, 12)), one)  # on the brick: a segmenter would cut that out
    assert other["J&F"] == other["F1"] == 0
    both = score(tracks((0.5, 15, 20), (0.5, 15, 21), (1.0, 25, 20)), one)
    assert both["J&F"] == 1
    assert score(tracks((0.5, 15, 20)), one)["J&F"] == 0.5
    assert score(tracks((0.7, 15, 20), (1.2, 25, 20)), one)["J&F"] == 1  # nearest in time, within half the spacing


def test_tracks_of_several_targets_are_united():
    one = tracking(("ball", "brick"))
    said = '<tracks coords="0.5 1 250 500 2 800 300; 1.0 1 417 500 2 800 300">both</tracks>'
    assert score(said, one)["J&F"] == 1
    area = np.array([disc(15, 20).sum(), disc(48, 12, 6).sum()])
    assert score(tracks((0.5, 15, 20), (1.0, 25, 20)), one)["J"] == pytest.approx(area[0] / area.sum())


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_runs_round_trip(bits):
    mask = np.array(bits).reshape(3, 4)
    assert np.array_equal(read_runs(write_runs(mask), 3, 4), mask)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (sample("poetry", "x"), "has no scorer; known are choice"),
        (sample("choice", "left"), "needs 'choices'"),
        (sample("choice", "up", choices=["left", "right"]), "not one of the choices"),
        (sample("choice", "A", choices=["A", "B"], rule="tea leaves"), "rule is 'tea leaves'"),
        (sample("caption", "!?"), "no word"),
        (sample("number", "x"), "needs 'number'"),
        (sample("number", "x", number="many"), "should be numbers"),
        (sample("jump_times", "x", times=[1.0, float("nan")]), "not finite"),
        (sample("grounding", "x", span=[4.0, 2.0]), "start first"),
        (sample("grounding", "x", span=[4.0]), "start first"),
        (sample("tracks", "x", size=[2, 2], times=[0.0], targets=["a"], objects={}), "targets among the objects"),
        (sample("tracks", "x", size=[2, 2], times=[0.0], targets=["a"], objects={"a": [[1, 2]]}), "cover 3 pixels"),
        (sample("tracks", "x", size=[2, 2], times=[0.0, 1.0], targets=["a"], objects={"a": [[1, 3]]}), "at every time"),
    ],
)
def test_a_truth_that_lacks_something_is_named(one, message):
    with pytest.raises(EvaluationError, match=message) as caught:
        score("left", one)
    assert str(caught.value).startswith("s: ")


def test_what_is_no_text_is_refused():
    with pytest.raises(EvaluationError, match="not text"):
        score(None, EACH["caption"])
    with pytest.raises(EvaluationError, match="no scorer"):
        score("x", sample("poetry", "x"))
    assert json.loads(json.dumps(score("x", EACH["tracks"])))
