"""Multiple choice: which letter does an answer mean, and how do letters become the table's number.

Every task reads letters in its own way, and the ways disagree: `extract_letter` keeps them apart by name. Where a task draws a
random letter or asks a judge model because it finds none, the result here is None, which scores as wrong. MMBench counts a
question only if all rotations of its options are answered right, Video-MME-v2 counts groups of four questions.
"""

import json
import re
import string
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..errors import EvaluationError
from ._text import field, group_means, mean, require_text
from .letters import LETTERS, RULES

ROTATION = 1_000_000  # published: rotation k of a question bears its index plus k million


def extract_letter(
    text: str, letters: str = "ABCD", rule: str = "priority", options: Sequence[str] | None = None
) -> str | None:
    """The letter among `letters` that an answer means, or None.

    Some published tasks look for letters that a question may not have (MV-Bench reads A to E where there are three options):
    such an answer is read as they do, and is None here, for no option bears it.

    Args:
        text: the answer.
        letters: the capital letters of the options that exist.
        rule: whose way of reading, one of the names in `ov2lib.evaluate.letters`, where each is explained.
        options: the options' texts in the order of the letters, for "first_word" (MetaVQA), "crpe", "mmbench", "nextqa" and
            "videomme_v2"; without them those rules find letters only.

    Raises:
        EvaluationError: an unknown rule, letters that are not distinct capitals, or options that are not one a letter.
    """
    # 1. What is asked must make sense
    if rule not in RULES:
        raise EvaluationError(f"rule is {rule!r}; known are {', '.join(RULES)}")
    if not re.fullmatch("[A-Z]+", letters) or len(set(letters)) < len(letters):
        raise EvaluationError(f"letters are {letters!r}; give distinct capitals such as 'ABCD'")
    if options is not None and len(options) != len(letters):
        raise EvaluationError(f"{len(options)} options for the letters {letters!r}; give one text a letter")
    # 2. Read as the task does, and drop a letter that no option bears
    letter = (RULES[rule](require_text(text), max(letters, LETTERS.get(rule, ""), key=len), options or ()) or "").upper()
    return letter if len(letter) == 1 and letter in letters else None


def mmvu(text: str, answer: str, options: Mapping[str, str]) -> float:
    """1 if a multiple-choice answer of MMVU is right, else 0 (row "MMVU-val"; its open questions go to a judge model).

    Right is an answer that holds the true letter as a word, in any case and among whatever else ("a cat" holds A, "A or B"
    both); or the true option's text; or the true letter anywhere and one word of three letters or more of that option.

    Args:
        text: the answer.
        answer: the true letter.
        options: {letter: text}.

    Raises:
        EvaluationError: the true letter is not among the options.
    """
    if answer not in options:
        raise EvaluationError(f"the true letter {answer!r} is not one of {', '.join(options)}")
    said, true = require_text(text).lower(), options[answer].strip().lower()
    words = [word.strip(string.punctuation) for word in true.split()]
    named = answer.lower() in said and any(word in said for word in words if len(word) > 2)
    return float(bool(re.search(rf"\b{re.escape(answer)}\b", said, re.I)) or true in said or named)


def realworldqa(text: str, answer: str) -> float:
    """1 if an answer of RealWorldQA is right, else 0 (row "RealWorldQA"; answers A to D are choices, all others open).

    A choice is read by the rule "priority"; an open answer must be the true one but for case, outer spaces and final dots.
    """
    answer = answer.strip()
    if answer.upper() in ("A", "B", "C", "D"):
        return float(extract_letter(text, "ABCD") == answer.upper())
    return float(require_text(text).lower().strip().rstrip(".") == answer.lower())


def mmbench(rows: Iterable[Mapping]) -> float:
    """MMBench's circular accuracy, in [0, 1] (row "MMBench_en"): a question is right if all its rotations are.

    The dataset asks each question once for every rotation of its options. A rotation is read by the rule "mmbench", and where
    that finds nothing by "priority", as the task `mmbench_en_dev_static` does; `mmbench_en_dev` asks a judge model there.
    Rotations without their question are left out.

    Args:
        rows: one mapping a rotation with `index`, `prediction`, `answer` (the true letter) and `options` (two to four texts;
            quirk kept: where the data has "nan" for an option that is not there, that is a text which an answer may hold).

    Raises:
        EvaluationError: no question among the rows, or a missing field.
    """
    rotations = defaultdict(dict)
    for row in rows:
        text, options, index = str(field(row, "prediction")), field(row, "options"), int(field(row, "index"))
        said = RULES["mmbench"](text, LETTERS["mmbench"], options) or RULES["priority"](text, "ABCD"[: len(options)], ())
        rotations[index % ROTATION][index] = said == field(row, "answer")
    hits = [all(right.values()) for question, right in rotations.items() if question in right]
    return mean(hits, f"question with an index below {ROTATION:,}")


def accuracy_by(rows: Iterable[Mapping], by: str) -> dict:
    """Mean `score` of the rows for each value of the field `by`, in order of first appearance.

    Raises:
        EvaluationError: no rows, or a row without `score` or without the field.
    """
    groups = defaultdict(list)
    for row in rows:
        groups[field(row, by)].append(field(row, "score"))
    return group_means(groups)


def macro_accuracy(rows: Iterable[Mapping], by: str) -> float:
    """Mean over the values of the field `by` of the mean `score` there, in [0, 1]: every group weighs the same.

    Rows "MLVU-dev" (7 task types; the published code counts one without rows as 0) and "MMStar" (18 finer categories).
    `score` is 1 or 0 a row. Raises as `accuracy_by`.
    """
    return mean(accuracy_by(rows, by).values())


def videomme_v2(rows: Iterable[Mapping]) -> dict[str, float]:
    """Video-MME-v2's grouped, non-linear score, in [0, 1] (row "VideoMME-v2-64" is "overall").

    The four questions of a video form a group; answering some of them earns less than their share.
      * relevance: (right answers / 4)²;
      * logic: the unbroken chain of right answers from the first question on, of length c, earns (c / 4)² for the
        structure [1,2,3,4]; 0, 1/12, 4/12, 7/12, 1 for [1,[2,3],4]; 0, 1/10, 2/10, 5/10, 1 for [[1,2],3,4]. In a
        bracketed pair either one may hold the chain, one short (published).

    Args:
        rows: one mapping a question with the dataset's `video_id`, `question_id` ("001-1" … "001-4"), `group_type`
            ("relevance" or "logic"), `group_structure`, and `score` (1 or 0); `level` (1–3) if levels are wanted.

    Returns:
        "overall", and where there are such groups "relevance", "logic" and "level_1" … "level_3" (a group's level is
        that of its last question), and "accuracy", the plain share of right answers.

    Raises:
        EvaluationError: no rows, a missing field, a group without four questions, an unknown type or structure.
    """
    # 1. The questions of each video
    groups, rights = defaultdict(list), []
    for row in rows:
        groups[field(row, "video_id")].append(row)
        rights.append(field(row, "score"))
    # 2. What each group earns counts overall, for its type and for its level
    earned = defaultdict(list)
    for video, questions in groups.items():
        questions.sort(key=_question_number)
        names = ["overall", field(questions[0], "group_type")]
        if questions[-1].get("level") is not None:
            names.append(f"level_{questions[-1]['level']}")
        for name in names:
            earned[name].append(_group_score(video, questions))
    return group_means(earned) | {"accuracy": mean(rights)}


# published: what a chain of 0 to 4 right answers earns, by the structure of the group
_CHAINS = {
    "[1,2,3,4]": (0, 1 / 16, 4 / 16, 9 / 16, 1),
    "[1,[2,3],4]": (0, 1 / 12, 4 / 12, 7 / 12, 1),
    "[[1,2],3,4]": (0, 1 / 10, 2 / 10, 5 / 10, 1),
}


def _group_score(video: object, questions: list[Mapping]) -> float:
    right = [bool(question["score"]) for question in questions]
    if len(right) != 4:
        raise EvaluationError(f"video {video!r} has {len(right)} questions; a group of Video-MME-v2 has four")
    kind = field(questions[0], "group_type")
    if kind == "relevance":
        return (sum(right) / 4) ** 2
    if kind != "logic":
        raise EvaluationError(f"video {video!r} has group_type {kind!r}; known are 'relevance' and 'logic'")
    structure = field(questions[0], "group_structure")
    form = structure if isinstance(structure, str) else json.dumps(structure)
    form = "".join(form.split())
    if form not in _CHAINS:
        raise EvaluationError(f"video {video!r} has group_structure {structure!r}; known are {', '.join(_CHAINS)}")
    chain = (right + [False]).index(False)
    if (form == "[1,[2,3],4]" and chain == 1 and right[2]) or (form == "[[1,2],3,4]" and chain == 0 and right[1]):
        chain += 1
    return _CHAINS[form][chain]


def _question_number(row: Mapping) -> int:
    name = str(field(row, "question_id"))
    number = name.rsplit("-", 1)[-1]
    if not number.isdecimal():
        raise EvaluationError(f"question_id {name!r} does not end in a number; Video-MME-v2 writes '001-1'")
    return int(number)
