"""What was reported, by whom: the tables and their surroundings as tidy CSV, and one loader.

Every value carries its `source` in words and its `kind`: "paper text" (the part that we have), "project page", "guide" (the
authors' reproduction guide), "authors' code", "published code" (lmms-eval), "released data", "released model" or "third party".
"Not in the text we have" and "not in the sources we have" say what we could not read; neither says that it was not published.
Nothing here was measured by this project; reproduced numbers come in through `compare` and stay in a column of their own.
"""

from .tables import benchmarks, compare, load, names, rows

__all__ = [
    "benchmarks",
    "compare",
    "load",
    "names",
    "rows",
]
