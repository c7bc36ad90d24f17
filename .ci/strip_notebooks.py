"""Pre-commit hook: leave no trace of a run in the notebooks named; exit status 1 where one was changed."""

import sys
from pathlib import Path

import nbformat

from ov2lib.cli.reproduce import strip


def main(paths: list[str]) -> int:
    """Rewrite each notebook that is not fit to commit, and say so."""
    changed = 0
    for path in map(Path, paths):
        text = path.read_text(encoding="utf-8")
        clean = nbformat.writes(strip(nbformat.reads(text, 4), Path.cwd()))
        if clean.rstrip() != text.rstrip():
            path.write_text(clean.rstrip() + "\n", encoding="utf-8")
            print(f"{path}: stripped")
            changed = 1
    return changed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
