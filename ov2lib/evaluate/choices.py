"""Multiple choice: which letter does an answer mean, and how do letters become the table's number.

Every task reads letters in its own way, and the ways disagree: `extract_letter` keeps them apart by name. The tasks'
rules that need the options' text, draw a random letter or ask a judge model where no letter is found give None here,
which scores as wrong.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from ..errors import EvaluationError
from ._text import require_text

# published: phrases after which the shared extractor of lmms-eval 0.7.3 looks for a letter
_PHRASES = (
    "the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is", "best answer is",
    "the correct option is", "correct option is", "the best option is", "best option is", "the choice is", "choice is",
    "the correct choice is", "correct choice is", "i choose", "i select", "i pick", "my answer is", "my choice is",
    "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは",
)  # fmt: skip
# published: openings that Video-MME-v2 and LongVideoBench look for
_OPENINGS = (
    "The best answer is", "The correct answer is", "The answer is", "The answer", "The best option is",
    "The correct option is", "Best answer:", "Best option:",
)  # fmt: skip


def extract_letter(text: str, letters: str = "ABCD", rule: str = "priority") -> str | None:
    """The letter among `letters` that an answer means, or None.

    Args:
        text: the answer.
        letters: the capital letters of the options.
        rule: whose way of reading (the rows that use it, quirks kept):
            "priority" (VideoMME, VideoMME (w/ sub), MLVU-dev, LVBench, ERQA, MMStar, RealWorldQA): the most trusted form
                wins, the last one within a form: at the very start, at the very end, after a phrase like "the answer
                is", "(A)", "A.", "A:", "A)", "A ", else anywhere. After a phrase any later capital counts: "the answer
                is A, as Bob left" means B.
            "videomme_v2" (VideoMME-v2-64): the letter alone on the last line, else at the start, else after the last
                phrase, else the only bold one; case does not count.
            "first_capital" (LongVideoBench): the first capital among the letters, inside words too: "Because …" means
                B. The published code draws a random letter where this gives None.
            "first_any_case" (VideoEval-Pro in the guide): the first such letter in any case, inside words too: "The
                answer is B" means E.
            "first_letter" (CV-Bench 2D, CV-Bench 3D, EmbSpatial): the first character after spaces and opening
                brackets, case not counted: "a cat" means A, "The answer is B" nothing.
            "statement" (BLINK): a bare letter on the first line, else after the last "answer", else the last "(A)", else
                at the start.
            "prefix" (TempCompass-MC): the answer is the letter or begins with "A." or "A)"; otherwise a judge decides.
            "standalone" (MMOU): after the last phrase if any, the first "(A)", else the first capital that is a word,
                else the first such letter in any case.
            "first_token" (VSI-Bench, ReVSI): everything before the first space, dots dropped, is the letter.

    Raises:
        EvaluationError: an unknown rule, or letters that are not distinct capitals.
    """
    if rule not in _RULES:
        raise EvaluationError(f"rule is {rule!r}; known are {', '.join(_RULES)}")
    if not re.fullmatch("[A-Z]+", letters) or len(set(letters)) < len(letters):
        raise EvaluationError(f"letters are {letters!r}; give distinct capitals such as 'ABCD'")
    found = _RULES[rule](require_text(text), letters)
    return found.upper() if found and found.upper() in letters else None


def accuracy_by(rows: Iterable[Mapping], by: str) -> dict:
    """Mean `score` of the rows for each value of the field `by`, in order of first appearance.

    Raises:
        EvaluationError: no rows, or a row without `score` or without the field.
    """
    groups = defaultdict(list)
    for row in rows:
        groups[_field(row, by)].append(_field(row, "score"))
    if not groups:
        raise EvaluationError("no rows to average; score at least one sample first")
    return {group: sum(scores) / len(scores) for group, scores in groups.items()}


def macro_accuracy(rows: Iterable[Mapping], by: str) -> float:
    """Mean over the values of the field `by` of the mean `score` there, in [0, 1]: every group weighs the same.

    Rows "MLVU-dev" (7 task types; the published code counts one without rows as 0) and "MMStar" (18 finer categories).
    `score` is 1 or 0 a row. Raises as `accuracy_by`.
    """
    groups = accuracy_by(rows, by)
    return sum(groups.values()) / len(groups)


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
    groups, rights = defaultdict(list), []
    for row in rows:
        groups[_field(row, "video_id")].append(row)
        rights.append(_field(row, "score"))
    if not groups:
        raise EvaluationError("no rows to average; score at least one sample first")
    by = defaultdict(list)
    for video, questions in groups.items():
        questions.sort(key=_question_number)
        earned = _group_score(video, questions)
        names = ["overall", questions[0]["group_type"]]
        if questions[-1].get("level") is not None:
            names.append(f"level_{questions[-1]['level']}")
        for name in names:
            by[name].append(earned)
    return {name: sum(scores) / len(scores) for name, scores in by.items()} | {"accuracy": sum(rights) / len(rights)}


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
    kind = _field(questions[0], "group_type")
    if kind == "relevance":
        return (sum(right) / 4) ** 2
    if kind != "logic":
        raise EvaluationError(f"video {video!r} has group_type {kind!r}; known are 'relevance' and 'logic'")
    structure = _field(questions[0], "group_structure")
    form = structure if isinstance(structure, str) else json.dumps(structure)
    form = "".join(form.split())
    if form not in _CHAINS:
        raise EvaluationError(f"video {video!r} has group_structure {structure!r}; known are {', '.join(_CHAINS)}")
    chain = (right + [False]).index(False)
    if (form == "[1,[2,3],4]" and chain == 1 and right[2]) or (form == "[[1,2],3,4]" and chain == 0 and right[1]):
        chain += 1
    return _CHAINS[form][chain]


def _field(row: Mapping, name: str):
    if name not in row:
        raise EvaluationError(f"a row has no field {name!r}; it has {', '.join(map(str, row)) or 'none'}")
    return row[name]


def _question_number(row: Mapping) -> int:
    name = str(_field(row, "question_id"))
    number = name.rsplit("-", 1)[-1]
    if not number.isdecimal():
        raise EvaluationError(f"question_id {name!r} does not end in a number; Video-MME-v2 writes '001-1'")
    return int(number)


def _priority(text: str, letters: str) -> str | None:
    text = text.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    text, bare = f" {text} ", text.strip()
    found = []  # (trust, place, letter)
    for trust, form in ((6, "({})"), (5, "{}."), (4, "{}:"), (3, "{})"), (2, "{} ")):
        found += [(trust, text.rfind(form.format(letter)), letter) for letter in letters if form.format(letter) in text]
    lowered = text.lower()
    ends = {lowered.find(phrase) + len(phrase) for phrase in _PHRASES if phrase in lowered}
    found += [(7, place, letter) for end in ends for letter in letters if (place := text.find(letter, end)) >= 0]
    if bare and bare[-1] in letters and not bare[-2:-1].isalpha():
        found.append((9, len(text), bare[-1]))
    if bare and bare[0] in letters and not bare[1:2].isalpha():
        found.append((10, 0, bare[0]))
    found = found or [(0, text.rfind(letter), letter) for letter in letters if letter in text]
    return max(found)[2] if found else None


def _videomme_v2(text: str, letters: str) -> str | None:
    text, letter = text.strip(), f"([{letters}])"
    openings = "|".join(re.escape(opening) for opening in (*_OPENINGS, "Final Answer:", "Answer:", "Option:"))
    bold = r"[ \t]*+(?:\*\*[ \t]*+)?"
    alone = re.search(rf"(?:^|\n){bold}{letter}(?:[ \t]*+\*\*)?[ \t]*+[.)]?[ \t]*+$", text, re.I)
    alone = alone or re.match(rf"{bold}{letter}(?:[ \t]*+\*\*)?[ \t]*+(?:[.)]|\r?\n|$)", text, re.I)
    if alone:
        return alone[1]
    verb = r"\b(?:answer|option)(?:\s++(?:is|would\s++be)|\s*+:)"
    stated = re.findall(rf"(?:{openings}|{verb})[\s:*]*+{letter}\b", text, re.I)
    if stated:
        return stated[-1]
    bolds = {found.upper() for found in re.findall(rf"\*\*\s*+{letter}(?=\s*+\*\*|[.)])", text, re.I)}
    return bolds.pop() if len(bolds) == 1 else None


def _first_capital(text: str, letters: str) -> str | None:
    text = text.strip()
    for opening in _OPENINGS:
        text = text.replace(opening, "")
    found = re.search(f"[{letters}]", text)
    return found[0] if found else None


def _first_any_case(text: str, letters: str) -> str | None:
    return next((mark for mark in text if mark.upper() in letters), None)


def _first_letter(text: str, letters: str) -> str | None:
    return text.lstrip().lstrip("( \t\r\n")[:1]


def _statement(text: str, letters: str) -> str | None:
    text, letter = text.strip(), f"([{letters}])"
    line = text.split("\n", 1)[0].strip()
    bare = re.fullmatch(rf"\(?{letter}\)?[.\s:,)]*", line, re.I) if len(line) <= 4 else None
    if bare:
        return bare[1]
    said = re.findall(rf"answers?(?:\s++is)?\s*+[:\-]?+\s*+\(?+{letter}(?![A-Za-z])", text, re.I)
    said = said or re.findall(rf"\({letter}\)", text)
    if said:
        return said[-1]
    start = re.match(rf"[(\s]*+{letter}", text, re.I)
    return start[1] if start else None


def _prefix(text: str, letters: str) -> str | None:
    return text[0] if text and text[0] in letters and (len(text) == 1 or text[1] in ".)") else None


def _standalone(text: str, letters: str) -> str | None:
    text = text.strip()
    for phrase in ("the answer is", "answer:", "the option is", "final answer:"):
        place = text.lower().rfind(phrase)
        if place >= 0:
            text = text[place + len(phrase) :].strip()
            break
    found = re.search(rf"\(([{letters}])\)", text) or re.search(rf"\b([{letters}])\b", text)
    return found[1] if found else _first_any_case(text, letters)


def _first_token(text: str, letters: str) -> str | None:
    token = text.split(" ", 1)[0].rstrip(".").strip()
    return token if len(token) == 1 else None


_RULES: dict[str, Callable[[str, str], str | None]] = {
    "priority": _priority, "videomme_v2": _videomme_v2, "first_capital": _first_capital,
    "first_any_case": _first_any_case, "first_letter": _first_letter, "statement": _statement, "prefix": _prefix,
    "standalone": _standalone, "first_token": _first_token,
}  # fmt: skip
