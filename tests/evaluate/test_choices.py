"""Choice tasks: each way of reading a letter, macro means, Video-MME-v2's groups by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import EvaluationError
from ov2lib.evaluate import choices

RULES = [
    "priority", "videomme_v2", "first_capital", "first_any_case", "first_letter", "statement", "prefix", "standalone",
    "first_token", "ai2d", "crpe", "first_word", "vstar", "mmsi", "mvbench", "mmbench", "nextqa", "crosspoint",
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "text", "letter"),
    [
        ("priority", "C", "C"),
        ("priority", "(b) no, (C)", "C"),
        ("priority", "A. a cat", "A"),
        ("priority", "not (A) but B", "B"),  # ends with it
        ("priority", "not A. but B)", "A"),
        ("priority", "Between A. and D: it is A.", "A"),
        ("priority", "The answer is B, plainly", "B"),
        ("priority", "The answer is A, as Bob left", "B"),  # quirk: any later capital
        ("priority", "Definitely", "D"),  # quirk: anywhere, when nothing better is found
        ("priority", "答案是C的", "C"),
        ("priority", "none of them", None),
        ("videomme_v2", "I looked.\n**G**", "G"),
        ("videomme_v2", "h. because A is wrong", "H"),
        ("videomme_v2", "Option: A? The answer is (no). Final Answer: C", "C"),
        ("videomme_v2", "so **D.** it is", "D"),
        ("videomme_v2", "so **D.** or **E.**", None),
        ("first_capital", "Because of C", "B"),  # quirk: inside a word
        ("first_capital", "The best answer is: D. A book", "D"),
        ("first_capital", "no idea", None),
        ("first_any_case", "The answer is B", "E"),  # quirk: the e of "The"
        ("first_any_case", "6. d", "D"),
        ("first_letter", "((b) cat", "B"),
        ("first_letter", "a cat", "A"),
        ("first_letter", "The answer is B", None),
        ("statement", "B).", "B"),
        ("statement", "The answer is (B). No: the answer is C!", "C"),
        ("statement", "I pick (A), or (D)", "D"),
        ("statement", "answer is Bananas (C)", "C"),
        ("prefix", "B) a dog", "B"),
        ("prefix", "B a dog", None),
        ("prefix", "(B)", None),
        ("standalone", "The answer is A. Final answer: D", "A"),  # "the answer is" is looked for first
        ("standalone", "some (C) of A", "C"),
        ("standalone", "x d", "D"),
        ("first_token", "b. yes", "B"),
        ("first_token", " B", None),
        ("ai2d", "(b).", "B"),
        ("ai2d", " B. cat", "B"),
        ("ai2d", " B", None),
        ("ai2d", "b. cat", None),
        ("crpe", "<think>A</think> <answer> (b) </answer> C", "B"),
        ("crpe", "<think>A D.", None),
        ("crpe", "B cat", None),
        ("first_word", "B. cat", "B"),
        ("first_word", "(c) yes", "C"),
        ("first_word", "cat B", None),
        ("first_word", "AB", None),
        ("vstar", "because", "B"),  # quirk: starts with it
        ("vstar", "I think the answer is certain", "C"),  # quirk: inside a word
        ("vstar", "no: (C) or (A)", "C"),
        ("vstar", "it is red.", "D"),  # quirk: before a dot
        ("vstar", "it is B here", "B"),
        ("vstar", "zigzag zoo.", "A"),  # the only such letter
        ("vstar", "zigzag abba zoo", None),
        ("mmsi", "B or so: `C`", "C"),
        ("mmsi", "```A``", "A"),
        ("mmsi", "{D} `B {C}`", "C"),
        ("mmsi", "A cat. Then B, C", "B"),
        ("mmsi", "A. cat", "A"),
        ("mmsi", "a cat, b", "B"),
        ("mmsi", "B so", None),
        ("mvbench", "b. the man", "B"),
        ("mvbench", "a man in C", "A"),  # quirk: the article
        ("mvbench", "the man (C)", "C"),
        ("mvbench", "U.S.D.", None),
        ("mvbench", "-D- 1,000", "D"),
        ("mmbench", "the answer: B", "B"),
        ("mmbench", "A dog and a cat", None),  # quirk: "A" may be an article
        ("mmbench", "A dog", "A"),
        ("mmbench", "C. or (D)", "C"),
        ("mmbench", "not A. but not B. either: (D)", "D"),
        ("nextqa", "(A) or (C) or (B)", "B"),
        ("nextqa", "NBA stars", "A"),  # quirk: ends a word
        ("nextqa", "A. or B.x", "A"),
        ("nextqa", " C ?", "C"),
        ("crosspoint", "A? <think> </think> B", "B"),
        ("crosspoint", r"so \boxed{\text{C}} or (A)", "C"),
        ("crosspoint", "**Answer: d**", "D"),
        ("crosspoint", "please choose carefully", "C"),  # quirk: inside a word
        ("crosspoint", "well,\n (b) \nthen", "B"),
        ("crosspoint", "So the best", "B"),  # quirk: the first letter of any word
        ("crosspoint", "it must be D", "D"),
        ("crosspoint", "it must be D or A", None),
    ],
)
def test_ways_of_reading(rule, text, letter):
    letters = {"videomme_v2": "ABCDEFGH", "first_capital": "ABCDE", "first_any_case": "ABCDE"}.get(rule, "ABCD")
    assert choices.extract_letter(text, letters, rule=rule) == letter


@pytest.mark.parametrize("rule", RULES)
def test_a_bare_letter_is_read_by_every_rule_and_nothing_by_none(rule):
    assert [choices.extract_letter(letter, rule=rule) for letter in "ABCD"] == list("ABCD")
    assert choices.extract_letter("", rule=rule) is None
    assert choices.extract_letter("E", rule=rule) is None


@given(st.sampled_from(RULES), st.text(max_size=100))
def test_any_text_gives_an_allowed_letter_or_none(rule, text):
    assert choices.extract_letter(text, "ABCDE", rule=rule) in {*"ABCDE", None}


@pytest.mark.parametrize("rule", RULES)
def test_hostile_text_costs_linear_time(rule, assert_linear):
    fragments = ["(", "A) ", "** ", "**A", "answer: ", "answer is   ", "The answer is A ", "\n ", " ", "[", "A. "]
    fragments += ["`", "``x", "{", "So ", "choose : ", "\\boxed{A.", "Answer:", "\n", "1,1", "A   ", "option  :"]
    assert_linear(lambda text: choices.extract_letter(text, rule=rule, options=["a", "b x", "c", "d"]), fragments)


def test_options_are_looked_for_where_the_rule_does():
    options = ["red car", "red", "blue", "green"]
    read = {rule: choices.extract_letter("The car ahead of us is blue.", "ABCD", rule, options) for rule in RULES}
    assert [read[rule] for rule in ("first_word", "crpe", "mmbench", "nextqa")] == ["C"] * 4
    assert choices.extract_letter("the Red, car!", "ABCD", "first_word", options) is None  # case counts
    assert choices.extract_letter("a red, car!", "ABCD", "first_word", options) == "A"
    assert choices.extract_letter("red or blue", "ABCD", "mmbench", options) is None
    assert choices.extract_letter("first blue, then red, it seems to me", "ABCD", "nextqa", options) == "B"
    assert choices.extract_letter("red it is", "ABCD", "nextqa", options) is None  # five words or fewer
    with pytest.raises(EvaluationError, match="3 options for the letters 'ABCD'"):
        choices.extract_letter("A", "ABCD", "mmbench", options[:3])


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("B", 1),
        ("either a or b", 1),  # quirk: the true letter among others
        ("The Depth-First search.", 1),
        ("because of a search", 1),  # quirk: a b and a word of the option
        ("search", 0),
        ("A", 0),
        ("", 0),
    ],
)
def test_mmvu_by_hand(text, score):
    assert choices.mmvu(text, "B", {"A": "sorting", "B": "depth-first search"}) == score


def test_mmvu_wants_a_true_letter():
    with pytest.raises(EvaluationError, match="'F' is not one of A, B"):
        choices.mmvu("A", "F", {"A": "x", "B": "y"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choices.extract_letter("A", rule="best"), "known are priority"),
        (lambda: choices.extract_letter("A", "abc"), "capitals"),
        (lambda: choices.extract_letter("A", "AA"), "distinct"),
        (lambda: choices.extract_letter(None), "not text"),
        (lambda: choices.macro_accuracy([], "task"), "no rows"),
        (lambda: choices.macro_accuracy([{"score": 1}], "task"), "'task'"),
        (lambda: choices.macro_accuracy([{"task": 1}], "task"), "'score'"),
        (lambda: choices.videomme_v2([]), "no rows"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(EvaluationError, match=message):
        call()


def test_macro_accuracy_weighs_groups_alike():
    rows = [{"task": "count", "score": 1}] + [{"task": "ego", "score": s} for s in (0, 0, 0, 1)]
    assert choices.accuracy_by(rows, "task") == {"count": 1.0, "ego": 0.25}
    assert choices.macro_accuracy(rows, "task") == choices.macro_accuracy(rows[::-1], "task") == 0.625


def group(scores, kind="logic", structure="[1, 2, 3, 4]", video="001", level=1):
    return [
        {"video_id": video, "question_id": f"{video}-{i + 1}", "group_type": kind, "group_structure": structure}
        | {"level": level, "score": s}
        for i, s in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("kind", "structure", "scores", "earned"),
    [
        ("relevance", "[1, 2, 3, 4]", (0, 1, 0, 1), 4 / 16),
        ("relevance", "", (1, 1, 1, 1), 1),
        ("logic", "[1, 2, 3, 4]", (1, 1, 0, 1), 4 / 16),
        ("logic", "[1, 2, 3, 4]", (0, 1, 1, 1), 0),
        ("logic", [1, 2, 3, 4], (1, 1, 1, 0), 9 / 16),
        ("logic", "[1,[2,3],4]", (1, 0, 1, 0), 4 / 12),  # the third stands in for the second
        ("logic", "[1,[2,3],4]", (1, 0, 1, 1), 4 / 12),
        ("logic", "[1,[2,3],4]", (1, 1, 1, 0), 7 / 12),
        ("logic", "[[1, 2], 3, 4]", (0, 1, 1, 1), 1 / 10),
        ("logic", "[[1, 2], 3, 4]", (1, 1, 1, 0), 5 / 10),
        ("logic", "[[1, 2], 3, 4]", (1, 1, 1, 1), 1),
    ],
)
def test_a_group_earns_less_than_its_share(kind, structure, scores, earned):
    result = choices.videomme_v2(group(scores, kind, structure))
    assert result["overall"] == result[kind] == result["level_1"] == pytest.approx(earned)
    assert result["overall"] <= result["accuracy"] == sum(scores) / 4


@given(
    st.lists(st.tuples(st.sampled_from(["relevance", "logic"]), st.tuples(*[st.integers(0, 1)] * 4)), min_size=1, max_size=5)
)
def test_groups_average_whatever_the_order_of_rows(groups):
    rows = list(itertools.chain(*(group(scores, kind, video=f"{i:03}") for i, (kind, scores) in enumerate(groups))))
    result = choices.videomme_v2(rows)
    singles = [choices.videomme_v2(group(scores, kind))["overall"] for kind, scores in groups]
    assert result["overall"] == pytest.approx(sum(singles) / len(singles))
    assert choices.videomme_v2(rows[::-1]) == pytest.approx(result)


def test_a_group_has_the_level_of_its_last_question():
    rows = group((1, 1, 1, 1))
    rows[3]["level"] = 3
    assert set(choices.videomme_v2(rows)) == {"overall", "logic", "level_3", "accuracy"}
    for row in rows:
        del row["level"]
    assert set(choices.videomme_v2(rows)) == {"overall", "logic", "accuracy"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (group((1, 1, 1)), "3 questions"),
        (group((1,) * 4, kind="other"), "'other'"),
        (group((1,) * 4, structure="[4]"), r"\[4\]"),
        ([{"score": 1}], "video_id"),
        ([{"score": 1, "video_id": "1", "question_id": "x"}], "does not end in a number"),
    ],
)
def test_bad_groups_are_refused(rows, message):
    with pytest.raises(EvaluationError, match=message):
        choices.videomme_v2(rows)
