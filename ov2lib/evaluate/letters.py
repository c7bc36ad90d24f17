"""How tasks read an option's letter out of an answer: one function per rule, for `choices.extract_letter`.

Rules are those of lmms-eval's public task code, quirks included. Each takes the answer, the letters and the options' texts, and
gives a letter of any case, or anything else where it finds none. `RULES` maps names to functions. Patterns are written so that
a hostile answer costs linear time, which their published forms do not all do. By name, with the rows of the tables that use it:

* "priority" (VideoMME, VideoMME (w/ sub), MLVU-dev, LVBench, ERQA, MMStar, RealWorldQA): the most trusted form
  wins, the last one within a form: at the very start, at the very end, after a phrase like "the answer
  is", "(A)", "A.", "A:", "A)", "A ", else anywhere. After a phrase any later capital counts: "the answer
  is A, as Bob left" means B.
* "videomme_v2" (VideoMME-v2-64): the letter alone on the last line, else at the start, else after the last
  phrase, else the only bold one, else the only option whose text stands in the answer; case does not count.
* "first_capital" (LongVideoBench): the first capital among the letters, inside words too: "Because …" means
  B. The published code draws a random letter where this gives None.
* "first_any_case" (VideoEval-Pro in the guide): the first such letter in any case, inside words too: "The
  answer is B" means E.
* "first_letter" (CV-Bench 2D, CV-Bench 3D, EmbSpatial): the first character after spaces and opening
  brackets, case not counted: "a cat" means A, "The answer is B" nothing.
* "statement" (BLINK): a bare letter on the first line, else after the last "answer", else the last "(A)", else
  at the start.
* "prefix" (TempCompass-MC): the answer is the letter or begins with "A." or "A)"; otherwise a judge decides.
* "standalone" (MMOU): after the last phrase if any, the first "(A)", else the first capital that is a word,
  else the first such letter in any case.
* "first_token" (VSI-Bench, ReVSI): everything before the first space, dots dropped, is the letter.
* "ai2d" (AI2D): begins with "A.", else is the letter and nothing but punctuation, case not counted; an outer space
  is too much.
* "crpe" (CRPE): reasoning between tags dropped, what stands between answer tags kept, punctuation dropped: the first
  option whose text stands there, case counted, else the whole of it is the letter, case not counted.
* "first_word" (SAT, MetaVQA): punctuation dropped, the first option whose text stands in the answer (MetaVQA alone,
  whose questions list their options), else the first word, case not counted.
* "vstar" (V*): in capitals, the letter at the very start ("because" means B), else after "answer", "choice" or
  "option" ("the answer is certain" means C), else "(A)", else before a dot or bracket ("it is red." means D),
  else alone, else the only such letter.
* "mmsi" (MMSI-Bench, letters A to F): inside backticks, then inside braces, if there are any: the first such letter
  that is a word and that no word follows, case not counted ("A cat" means nothing, "A. cat" A).
* "mvbench" (MV-Bench): "A. …" on one line, else most marks dropped, the first such letter that is a word, in any
  case: "a man" means A. Quirk in its mean: empty answers are left out.
* "mmbench" (MMBench_en): the only letter that is a word ("A" not among more than three words), else the only one
  written "A.", "A,", "A:", "A)", "(A)", ":A" …, form by form, else the only option named. E is a letter too.
  Otherwise a judge decides.
* "nextqa" (NextQA): "(A)", else "A ", else "A."; of several the last (in the last form the first of the alphabet);
  else, of more than five words, the option named last. Otherwise a random letter is drawn.
* "crosspoint" (CrossPoint, choice questions): after "</think>": boxed, "(A)", "**Answer: A**", after "answer is" or
  "choose" ("choose carefully" means C), bold, "A." or "A:" or "A," after a space, alone on a line; else the first
  letter of any word after "Therefore", "So" and the like; else the only capital that is a word.
"""

import re
import string
from collections.abc import Callable, Sequence

from ._text import first_token

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
# published: marks that MV-Bench drops, or turns into spaces where none of them touches a space
_MVBENCH_MARKS = ';/[]"{}()=+\\_-><@`,?!'
# published: how a word may carry its letter in MMBench, the most trusted first
_MMBENCH_FORMS = ("{}", "{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{}).")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

Options = Sequence[str]


def _priority(text: str, letters: str, options: Options) -> str | None:
    # 1. Forms of a letter in the text, as (trust, place, letter)
    text = text.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    text, bare = f" {text} ", text.strip()
    candidates = []
    for trust, form in ((6, "({})"), (5, "{}."), (4, "{}:"), (3, "{})"), (2, "{} ")):
        candidates += [(trust, text.rfind(form.format(letter)), letter) for letter in letters]
    # 2. The first place of each letter after a phrase
    lowered = text.lower()
    ends = {lowered.find(phrase) + len(phrase) for phrase in _PHRASES if phrase in lowered}
    candidates += [(7, text.find(letter, end), letter) for end in ends for letter in letters]
    # 3. At the very end and at the very start
    if bare and bare[-1] in letters and not bare[-2:-1].isalpha():
        candidates.append((9, len(text), bare[-1]))
    if bare and bare[0] in letters and not bare[1:2].isalpha():
        candidates.append((10, 0, bare[0]))
    # 4. Anywhere, where nothing better is there
    candidates += [(0, text.rfind(letter), letter) for letter in letters]
    return max((one for one in candidates if one[1] >= 0), default=(0, 0, None))[2]


def _videomme_v2(text: str, letters: str, options: Options) -> str | None:
    # 1. Alone on the last line, or at the start
    whole, text, letter = text, text.strip(), f"([{letters}])"
    bold = rf"[ \t]*+(?:\*\*[ \t]*+)?{letter}(?:[ \t]*+\*\*)?[ \t]*+"
    alone = re.search(rf"(?:^|\n){bold}[.)]?[ \t]*+$", text, re.I) or re.match(rf"{bold}(?:[.)]|\r?\n|$)", text, re.I)
    if alone:
        return alone[1]
    # 2. After the last phrase
    openings = "|".join(re.escape(opening) for opening in (*_OPENINGS, "Final Answer:", "Answer:", "Option:"))
    verb = r"\b(?:answer|option)(?:\s++(?:is|would\s++be)|\s*+:)"
    stated = re.findall(rf"(?:{openings}|{verb})[\s:*]*+{letter}\b", text, re.I)
    if stated:
        return stated[-1]
    # 3. The only bold one, else the only option named
    bolds = {mark.upper() for mark in re.findall(rf"\*\*\s*+{letter}(?=\s*+\*\*|[.)])", text, re.I)}
    if len(bolds) == 1:
        return bolds.pop()
    return _only_option(whole, letters, [option.strip(". \n") for option in options])


def _first_capital(text: str, letters: str, options: Options) -> str | None:
    text = text.strip()
    for opening in _OPENINGS:
        text = text.replace(opening, "")
    return _first_form(text, f"([{letters}])")


def _first_any_case(text: str, letters: str, options: Options) -> str | None:
    return next((mark for mark in text if mark.upper() in letters), None)


def _first_letter(text: str, letters: str, options: Options) -> str | None:
    return text.lstrip().lstrip("( \t\r\n")[:1]


def _statement(text: str, letters: str, options: Options) -> str | None:
    text, letter = text.strip(), f"([{letters}])"
    line = text.split("\n", 1)[0].strip()
    bare = re.fullmatch(rf"\(?{letter}\)?[.\s:,)]*", line, re.I) if len(line) <= 4 else None
    if bare:
        return bare[1]
    stated = re.findall(rf"answers?(?:\s++is)?\s*+[:\-]?+\s*+\(?+{letter}(?![A-Za-z])", text, re.I)
    stated = stated or re.findall(rf"\({letter}\)", text)
    return stated[-1] if stated else _first_form(text, rf"^[(\s]*+{letter}", flags=re.I)


def _prefix(text: str, letters: str, options: Options) -> str | None:
    return _first_form(text, rf"^([{letters}])(?:\Z|[.)])")


def _standalone(text: str, letters: str, options: Options) -> str | None:
    text = text.strip()
    for phrase in ("the answer is", "answer:", "the option is", "final answer:"):
        place = text.lower().rfind(phrase)
        if place >= 0:
            text = text[place + len(phrase) :].strip()
            break
    return _first_form(text, rf"\(([{letters}])\)", rf"\b([{letters}])\b") or _first_any_case(text, letters, options)


def _first_token(text: str, letters: str, options: Options) -> str | None:
    return first_token(text)


def _ai2d(text: str, letters: str, options: Options) -> str | None:
    return _first_form(text, r"^\s*+([A-Z])\.") or _unmarked(text)


def _crpe(text: str, letters: str, options: Options) -> str | None:
    for tag in ("think", "thought"):
        text = _without(text, f"<{tag}>", f"</{tag}>").strip()
    start = text.find("<answer>") + len("<answer>")
    end = text.find("</answer>", start)
    cleaned = _words(text[start:end] if start >= len("<answer>") and end >= 0 else text)
    return _named_option(cleaned, letters, options) or _unmarked(cleaned)


def _first_word(text: str, letters: str, options: Options) -> str | None:
    cleaned = _words(text)
    return _named_option(cleaned, letters, options) or _unmarked(cleaned.split(" ", 1)[0])


def _vstar(text: str, letters: str, options: Options) -> str | None:
    text, letter = text.strip().upper(), f"([{letters}])"
    forms = (
        f"^{letter}",
        rf"(?:ANSWER|CHOICE|OPTION)(?:\s++IS)?[\s:]++{letter}",
        rf"\({letter}\)",
        rf"{letter}\s*+[.)\]]",
        rf"(?:^|\s){letter}(?:\s|$)",
    )
    return _first_form(text, *forms) or _only_one(letter, text)


def _mmsi(text: str, letters: str, options: Options) -> str | None:
    for quoted in (r"``([^`]*+)``", r"`([^`]*+)`"):
        inside = re.search(quoted, text)
        text = inside[1] if inside else text
    start = text.find("{")
    end = text.find("}", start)
    text = text[start + 1 : end] if 0 <= start < end else text
    return _first_form(text, rf"\b([{letters}])\b(?!\s[a-zA-Z])", flags=re.I)


def _mvbench(text: str, letters: str, options: Options) -> str | None:
    # 1. "A. …" on one line
    start = re.match(rf"([{letters}])\.\s*+.++$", text.strip(), re.I)
    if start:
        return start[1]
    # 2. Marks go, or become spaces where none of them touches a space
    text = text.replace("\n", " ").replace("\t", " ").strip()
    grouped = re.search(r"\d,\d", text)
    marks: dict[str, str | int | None] = {}
    for mark in _MVBENCH_MARKS:
        dropped = grouped or f"{mark} " in text or f" {mark}" in text
        marks[mark] = "" if dropped else " "
    text = re.sub(r"\.(?!\d)", "", text.translate(str.maketrans(marks)), count=32)
    # 3. The first letter that is a word
    return _first_form(text, rf"\b([{letters}])\b", flags=re.I)


def _crosspoint(text: str, letters: str, options: Options) -> str | None:
    # 1. Reasoning before the answer does not count
    text = text.strip()
    if "</think>" in text:
        text = text.split("</think>", 1)[1].strip()
    # 2. A boxed letter, then other forms that mark an answer
    letter, lines = f"([{letters}])", text.split("\n")
    boxed = rf"\\boxed\{{(?:\\text\{{)?{letter}(?:\.[^}}]*+)?\}}"
    forms = (
        rf"\((?:Choice\s++)?{letter}\)",
        rf"\*\*Answer:\s*+{letter}\*\*",
        rf"\*\*{letter}\.\s*+(?:Yes|No)",
        rf"(?:answer is|choose)[:\s]*+\*?\*?\(?{letter}",
        rf"\*\*{letter}\*\*",
        rf"(?:^|\s|Answer:\s*+)\(?{letter}\)?\s*+[.:,]",
        rf"^[^\S\n]*+\(?{letter}\)?[^\S\n]*+$",
    )
    in_box = (_first_form(line[: line.rfind("}") + 1], boxed, flags=re.I) for line in lines)
    marked = next(filter(None, in_box), None) or _first_form(text, *forms, flags=re.I | re.M)
    if marked:
        return marked
    # 3. A letter after a word that draws a conclusion
    for line in lines:
        opening = re.search("Final Answer|Therefore|So|Hence|Thus|The correct answer is|The answer is", line, re.I)
        after = opening and re.search(rf"\\boxed\{{{letter}\}}|\*\*{letter}\*\*|{letter}", line[opening.end() :], re.I)
        if after:
            return next(filter(None, after.groups()))
    # 4. "Answer:" anywhere, or the only letter in the text
    return _first_form(text, rf"Answer:\s*+\(?{letter}", flags=re.I) or _only_one(rf"\b{letter}\b", text)


def _nextqa(text: str, letters: str, options: Options) -> str | None:
    # 1. Forms of a letter; the first letter wins where none stands at its place
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        present = [letter for letter in letters if form.format(letter) in text]
        if present:
            return max(present, key=lambda letter: text.rfind(place.format(letter)))
    # 2. In a longer answer, the option named last
    if len(text.split()) <= 5:
        return None
    places = {letter: text.lower().rfind(option.lower()) for letter, option in zip(letters, options, strict=False)}
    named = [letter for letter, place in places.items() if place >= 0]
    return max(named, key=places.__getitem__, default=None)


def _mmbench(text: str, letters: str, options: Options) -> str | None:
    words = set(text.split())
    article = "A" in words and len(text.split()) > 3
    for form in _MMBENCH_FORMS[1:] if article else _MMBENCH_FORMS:
        present = [letter for letter in letters if form.format(letter) in words]
        if len(present) == 1:
            return present[0]
    return _only_option(text, letters, options)


def _first_form(text: str, *forms: str, flags: int = 0) -> str | None:
    """The group of the first form that stands in the text."""
    return next((place[1] for place in (re.search(form, text, flags) for form in forms) if place), None)


def _only_one(form: str, text: str) -> str | None:
    """What the form finds in the text, if it does so once."""
    places = re.findall(form, text)
    return places[0] if len(places) == 1 else None


def _only_option(text: str, letters: str, options: Options) -> str | None:
    """The letter of the only option whose text stands in the answer, case not counted."""
    text = text.lower()
    named = [letter for letter, option in zip(letters, options, strict=False) if option.lower() in text]
    return named[0] if len(named) == 1 else None


def _unmarked(text: str) -> str:
    return text.translate(_NO_PUNCTUATION)


def _words(text: str) -> str:
    return re.sub(r"[^\w\s]", "", text).strip()


def _named_option(cleaned: str, letters: str, options: Options) -> str | None:
    """The letter of the option whose text stands first in an answer without punctuation."""
    texts = {option.strip(): letter for letter, option in zip(letters, options, strict=False) if option.strip()}
    place = re.search("|".join(map(re.escape, texts)), cleaned) if texts else None
    return texts[place[0]] if place else None


def _without(text: str, opens: str, closes: str) -> str:
    """The text without its stretches from one mark to the next."""
    pieces, end = [], 0
    while (start := text.find(opens, end)) >= 0 and (stop := text.find(closes, start)) >= 0:
        pieces.append(text[end:start])
        end = stop + len(closes)
    return "".join([*pieces, text[end:]])


RULES: dict[str, Callable[[str, str, Options], str | None]] = {
    "priority": _priority, "first_capital": _first_capital, "first_any_case": _first_any_case, "first_letter": _first_letter,
    "statement": _statement, "prefix": _prefix, "standalone": _standalone, "first_token": _first_token, "ai2d": _ai2d,
    "vstar": _vstar, "mmsi": _mmsi, "mvbench": _mvbench, "crosspoint": _crosspoint, "first_word": _first_word, "crpe": _crpe,
    "nextqa": _nextqa, "mmbench": _mmbench, "videomme_v2": _videomme_v2,
}  # fmt: skip
# published: letters that the task code looks for whether or not the question has so many options; other rules read the options'
LETTERS = {
    "priority": "ABCD", "videomme_v2": "ABCDEFGH", "first_capital": "ABCDE", "first_any_case": "ABCDE",
    "standalone": "ABCDEFGHIJ", "vstar": "ABCD", "mmsi": "ABCDEF", "mvbench": "ABCDE", "mmbench": "ABCDE", "crosspoint": "ABCD",
}  # fmt: skip
