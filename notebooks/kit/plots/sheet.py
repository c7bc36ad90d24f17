"""A table that reads well twice: as HTML in a notebook, as plain text in a terminal and in a notebook's diff.

Chosen cells are bold in HTML and carry a star in text. Nothing depends on style sheets, which some viewers of notebooks
strip; a model's colour is a small square beside its name.
"""

import html
import itertools
import re
import textwrap
from collections.abc import Sequence, Set
from dataclasses import dataclass

from ov2lib.figures import MODELS

_NUMBER = re.compile(r"[+−-]?[\d,.]+%?")


@dataclass(frozen=True)
class Sheet:
    """What Jupyter shows (`html`) and what a terminal shows (`text`)."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def lay_out(
    columns: Sequence[str | tuple[str, str]],
    rows: Sequence[Sequence[str]],
    bold: Set[tuple[int, int]] = frozenset(),
    notes: Sequence[str] = (),
    width: int = 40,
) -> Sheet:
    """A table of ready-made cells.

    Args:
        columns: names, or pairs (group, name); neighbours of one group share a heading.
        rows: cells as text; columns that hold mostly numbers are aligned to the right.
        bold: (row, column) pairs, from 0, to set in bold (a star in text).
        notes: lines below the table.
        width: longest line of a cell in text; longer cells are wrapped between words.
    """
    heads = [column if isinstance(column, tuple) else ("", column) for column in columns]
    right = [_mostly_numbers([row[i] for row in rows]) for i in range(len(heads))]
    return Sheet(_as_html(heads, rows, bold, notes, right), _as_text(heads, rows, bold, notes, right, width))


def _mostly_numbers(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return 2 * sum(bool(_NUMBER.fullmatch(cell)) for cell in filled) > len(filled)


def _groups(heads: list[tuple[str, str]]) -> list[tuple[str, list[int]]]:
    """Neighbouring columns of one group: its name and their numbers."""
    runs = itertools.groupby(range(len(heads)), key=lambda i: heads[i][0])
    return [(group, list(members)) for group, members in runs]


def _as_html(heads, rows, bold, notes, right) -> str:
    first = {members[0] for _, members in _groups(heads)} - {0}

    def cell(kind: str, text: str, i: int) -> str:
        border = "border-left:1px solid #999;" if i in first else ""
        return f'<{kind} style="text-align:{"right" if right[i] else "left"};{border}vertical-align:top">{text}</{kind}>'

    def line(cells: list[str]) -> str:
        return f"<tr>{''.join(cells)}</tr>\n"

    # 1. Headings, with a line for the groups above them
    top = line([cell("th", _coloured(name), i) for i, (_, name) in enumerate(heads)])
    if any(group for group, _ in heads):
        spans = [(html.escape(group), len(members)) for group, members in _groups(heads)]
        top = line([f'<th colspan="{span}" style="text-align:center">{group}</th>' for group, span in spans]) + top
    # 2. The body
    body = ""
    for r, row in enumerate(rows):
        texts = [f"<b>{html.escape(text)}</b>" if (r, i) in bold else html.escape(text) for i, text in enumerate(row)]
        body += line([cell("td", text, i) for i, text in enumerate(texts)])
    # 3. Notes
    below = "<br>\n".join(html.escape(note) for note in notes)
    return f"<table>\n<thead>\n{top}</thead>\n<tbody>\n{body}</tbody>\n</table>\n<small>{below}</small>"


def _coloured(name: str) -> str:
    square = f'<span style="color:{MODELS[name]}">■</span><br>' if name in MODELS else ""
    return square + html.escape(name)


def _as_text(heads, rows, bold, notes, right, width) -> str:
    starred = {i for _, i in bold}

    def wrapped(text: str, i: int, star: bool) -> list[str]:
        tail = ("*" if star else " ") if i in starred else ""
        lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        return [line + tail for line in lines] or [""]

    # 1. Wrap every cell
    table = [[wrapped(name, i, False) for i, (_, name) in enumerate(heads)]]
    table += [[wrapped(text, i, (r, i) in bold) for i, text in enumerate(row)] for r, row in enumerate(rows)]
    # 2. Columns as wide as their widest line, or as their group's name
    widths = [max(len(line) for row in table for line in row[i]) for i in range(len(heads))]
    grouped = []
    for group, members in _groups(heads):
        room = sum(widths[i] for i in members) + 2 * (len(members) - 1)
        widths[members[-1]] += max(0, len(group) - room)
        grouped.append(f"{group:^{max(room, len(group))}}")
    # 3. Lines of all rows side by side
    out = ["  ".join(grouped).rstrip()] if any(group for group, _ in heads) else []
    for row in table:
        for parts in itertools.zip_longest(*row, fillvalue=""):
            padded = (part.rjust(w) if r else part.ljust(w) for part, w, r in zip(parts, widths, right, strict=True))
            out.append("  ".join(padded).rstrip())
    return "\n".join([*out, *notes])
