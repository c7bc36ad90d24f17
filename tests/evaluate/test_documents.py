"""Document and counting rules: worked cases, the kept quirks, and the edit distance against its recursion."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import documents


@pytest.mark.parametrize(
    ("pred", "answers", "similarity"),
    [
        ("Paris", ["paris"], 1.0),
        ("  Par  is ", ["par is"], 1.0),
        ("kitten", ["sitting"], 1 - 3 / 7),
        ("abcd", ["abxy"], 0.5),  # the cut-off itself counts
        ("abcd", ["awxy"], 0.0),
        ("abc", ["zzz", "abd"], 2 / 3),
        ("", ["x"], 0.0),
        ("", [""], 1.0),
        ("abcd", "abcx", 0.75),  # one answer may come as a string
        ("abcx    ", ["abcd"], 1 - 1 / 8),  # raw length: padding raises it
    ],
)
def test_anls(pred, answers, similarity):
    assert documents.anls(pred, answers) == pytest.approx(similarity)


@given(st.text(alphabet="abc ", max_size=7), st.text(alphabet="abc ", max_size=7))
def test_edit_distance_equals_its_recursion(a, b):
    @cache
    def distance(i, j):
        if not i or not j:
            return i + j
        change = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(change, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    assert documents._levenshtein(a, b) == distance(len(a), len(b))


@given(st.text(max_size=30), st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_anls_is_bounded_perfect_on_the_truth_and_blind_to_order(pred, answers):
    value = documents.anls(pred, answers)
    assert value == 0 or 0.5 <= value <= 1
    assert documents.anls(pred, answers[::-1]) == value
    assert documents.anls(answers[0], answers) == 1


@pytest.mark.parametrize(
    ("pred", "target", "right"),
    [
        ("105", "100", 1),
        ("105.1", "100", 0),
        ("95", "100", 1),
        ("-95", "-100", 1),
        ("12%", "0.12", 1),
        ("10", "10%", 0),
        ("Yes", "yes", 1),
        ("yes ", "yes", 0),
        (" 5 ", "5", 1),
        ("1,000", "1000", 0),
        ("0.0", "0", 0),
        ("0", "0", 1),
        ("nan", "5", 0),
        ("", "", 1),
        ("%", "%", 1),
    ],
)
def test_relaxed_accuracy(pred, target, right):
    assert documents.relaxed_accuracy(pred, target) == right


@pytest.mark.parametrize(
    ("pred", "answers", "formula", "right"),
    [
        ("The sign says STOP.", ["stop"], False, 1),
        ("S T O P", ["stop"], False, 0),
        ("two\nlines", ["two lines"], False, 1),
        ("ＡＢＣ１", "abc1", False, 1),
        ("nothing", ["something", "thing"], False, 1),
        ("x ^ 2 + Y", ["x^2"], True, 1),
        ("X^2", ["x^2"], True, 0),
        ("", ["a"], False, 0),
    ],
)
def test_contains_answer(pred, answers, formula, right):
    assert documents.contains_answer(pred, answers, formula=formula) == right


@pytest.mark.parametrize(
    ("pred", "target", "first", "whole"),
    [
        ("5", 5, 1, 1),
        ("There are 5.", 5, 1, 0),
        ("Five", "5", 0, 1),
        ("-5 or 6", 5, 1, 0),
        ("05", 5, 0, 0),
        ("none", 0, 0, 1),
        ("", 0, 0, 0),
        ("5 ", 5, 1, 1),
    ],
)
def test_counts(pred, target, first, whole):
    assert documents.exact_count(pred, target) == first
    assert documents.exact_count(pred, target, rule="whole_answer") == whole


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: documents.anls("a", []), "no true answer"),
        (lambda: documents.contains_answer("a", []), "no true answer"),
        (lambda: documents.anls(None, ["a"]), "not text"),
        (lambda: documents.anls("a", [None]), "not text"),
        (lambda: documents.exact_count("5", 5, rule="any"), "'any'"),
    ],
)
def test_bad_truth_is_refused(call, message):
    with pytest.raises(EvaluationError, match=message):
        call()


def test_hostile_text_costs_linear_time(assert_linear):
    def score(text):
        documents.anls(text, ["forty-two"])
        documents.relaxed_accuracy(text, "42")
        documents.contains_answer(text, ["forty-two"])
        documents.exact_count(text, 42)

    assert_linear(score)
