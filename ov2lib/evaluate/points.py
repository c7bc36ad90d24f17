"""Where does an answer point? The coordinate questions of row "CrossPoint" (`spatial.point_in_mask` says whether it hits)."""

import re

from ._text import require_text

_N = r"([0-9.]++)"
_PAIR = rf"{_N}\s*+,\s*+{_N}"
_NAMED = re.compile(rf'"(?:point_2d|point|coordinates?)"\s*+:\s*+\[{_PAIR}\]')
_JSON_X, _JSON_Y = (re.compile(rf'"{axis}"\s*+:\s*+{_N}') for axis in "xy")
_TAG = re.compile(rf'<point\s++x="{_N}"\s++y="{_N}"[^>]*+>')
_X, _Y = (re.compile(rf"[{axis}{axis.upper()}]\s*+:\s*+{_N}") for axis in "xy")
_QUOTED_X, _QUOTED_Y = (re.compile(rf"""{axis}["']?\s*+:\s*+{_N}""") for axis in "xy")
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
    found = _from_json(text) or _from_text(text)
    try:
        return (float(found[0]), float(found[1])) if found else None
    except ValueError:
        return None


def _from_json(text: str) -> tuple[str, str] | None:
    spaces = re.findall(r"\{([^{}]*+)", text)
    for space in spaces:
        if named := _NAMED.findall(space):
            return named[-1]
    for first, second, turned in ((_JSON_X, _JSON_Y, False), (_JSON_Y, _JSON_X, True)):
        for space in spaces:
            ends, starts = list(second.finditer(space)), list(first.finditer(space))
            before = [start for start in starts if ends and start.end() <= ends[-1].start()]
            if before:
                pair = before[-1][1], ends[-1][1]
                return pair[::-1] if turned else pair
    return None


def _from_text(text: str) -> tuple[str, str] | None:
    if found := _TAG.search(text):
        return found[1], found[2]
    if (word := _WORD.search(text)) and (found := _IS.search(text, word.end())):
        return found[1], found[2]
    for first, second, turned in ((_X, _Y, False), (_Y, _X, True), (_QUOTED_X, _QUOTED_Y, False)):
        start = first.search(text)
        end = second.search(text, start.end()) if start else None
        if start and end:
            return (end[1], start[1]) if turned else (start[1], end[1])
    found = next(filter(None, (form.search(text) for form in _BARE)), None)
    return (found[1], found[2]) if found else None
