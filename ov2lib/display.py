"""How values show themselves in a notebook: a table named after their type, with every text escaped. `repr` stays plain."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np


def html_table(caption: str, rows: Iterable[Sequence], heads: Sequence[str] = ()) -> str:
    """Rows of values as an HTML table, numbers to six digits and arrays by type and shape."""

    def line(kind: str, values: Sequence) -> str:
        return "<tr>" + "".join(f"<{kind}>{escape(_text(value))}</{kind}>" for value in values) + "</tr>\n"

    head = f"<thead>\n{line('th', heads)}</thead>\n" if heads else ""
    body = "".join(line("td", row) for row in rows)
    # Jupyter would typeset what stands between dollar signs
    return f'<table class="mathjax_ignore">\n<caption>{escape(caption)}</caption>\n{head}<tbody>\n{body}</tbody>\n</table>'


def _text(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Shown:
    """For dataclasses: a notebook shows their fields as a table."""

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, vars(self).items())
