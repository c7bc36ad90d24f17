"""Where does an answer point? The coordinate questions of row "CrossPoint" (`spatial.point_in_mask` says whether it hits)."""

import re

from ._text import require_text

_N = r"([0-9.]++)"
_NAMED = re.compile(rf'"(?:point_2d|point|coordinates?)"\s*+:\s*+\[{_N}\s*+,\s*+{_N}\]')
_JSON = {axis: re.compile(rf'"{axis}"\s*+:\s*+{_N}') for axis in "xy"}
_PLAIN = {axis: re.compile(rf"[{axis}{axis.upper()}]\s*+:\s*+{_N}") for axis in "xy"}
_QUOTED = {axis: re.compile(rf"""{axis}["']?\s*+:\s*+{_N}""") for axis in "xy"}
_TAG = re.compile(rf'<point\s++x="{_N}"\s++y="{_N}"[^>]*+>')
_WORD, _IS = re.compile("coordinates?|position|location"), re.compile(rf"(?:are|is)\s++{_N},\s*+{_N}")
_BARE = tuple(re.compile(form) for form in (rf"\[{_N},\s*+{_N}\]", rf"\({_N},\s*+{_N}\)", rf"(?<![0-9.]){_N},\s*+{_N}"))

Point = tuple[float, float]


def parse_point(text: str) -> Point | None:
    """The point (x, y) that an answer states, in the answer's own units, or None.

    The first form that is found wins:
      1. JSON in one pair of braces: "point_2d", "point" or "coordinates" with [x, y]; "x" and later "y"; "y" and later "x"; of
         several the last ones;
      2. `<point x="1" y="2">`; "position … is 1, 2" (or coordinates, location; are); "x: 1 … y: 2"; "y: 2 … x: 1"; the same
         with quotes; [1, 2]; (1, 2); 1, 2.

    Quirks kept: minus signs are lost or hide the number behind them; only lower-case words count in the second form. One
    departure: "1.2.3" stops the published code and is no point here.
    """
    text = require_text(text)
    pair = _from_json(text) or _from_text(text)
    try:
        return (float(pair[0]), float(pair[1])) if pair else None
    except ValueError:
        return None


def _from_json(text: str) -> tuple[str, str] | None:
    # 1. A named pair, the last in the first pair of braces that holds one
    braces = re.findall(r"\{([^{}]*+)", text)
    for inside in braces:
        if pairs := _NAMED.findall(inside):
            return pairs[-1]
    # 2. One axis and later the other: the last of the second, and the last of the first before it
    for first, second in (("x", "y"), ("y", "x")):
        for inside in braces:
            ends = list(_JSON[second].finditer(inside))
            starts = [start for start in _JSON[first].finditer(inside) if ends and start.end() <= ends[-1].start()]
            if starts:
                values = {first: starts[-1][1], second: ends[-1][1]}
                return values["x"], values["y"]
    return None


def _from_text(text: str) -> tuple[str, str] | None:
    # 1. A tag, or a word such as "position" before the pair
    word = _WORD.search(text)
    pair = _TAG.search(text) or (word and _IS.search(text, word.end()))
    if pair:
        return pair[1], pair[2]
    # 2. One named axis and later the other
    for forms, first, second in ((_PLAIN, "x", "y"), (_PLAIN, "y", "x"), (_QUOTED, "x", "y")):
        start = forms[first].search(text)
        end = start and forms[second].search(text, start.end())
        if start and end:
            values = {first: start[1], second: end[1]}
            return values["x"], values["y"]
    # 3. A bare pair, in brackets first
    pair = next(filter(None, (form.search(text) for form in _BARE)), None)
    return (pair[1], pair[2]) if pair else None
