"""The folder of one evaluation: what was asked, what was answered so far.

    run.json        model, revision, dataset, options: written whole before the first answer
    samples.jsonl   one line a sample: id, task, prediction, scores, or what was wrong with it
    scores.json     written whole after the last answer

A run that was killed goes on where it stopped: each line is on disk before the next sample is asked, a line cut short is
dropped, and a folder of other settings is refused. Where an id stands twice, the later line counts: samples that failed are
tried again.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import EvaluationError
from ..files import whole_file

RUN, SAMPLES, SCORES = "run.json", "samples.jsonl", "scores.json"


class Ledger:
    """Opens the folder, or starts it.

    Args:
        folder: made if missing.
        settings: JSON values that decide the answers. A folder with others is refused.
        date: kept from the first start of the run on.

    Attributes:
        done: {sample id: its line}, without those that failed.
        date: of the first start.

    Raises:
        EvaluationError: the folder holds another run or a damaged file, or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping, date: str):
        self.folder, self.path = Path(folder), Path(folder) / SAMPLES
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.date = self._agree(json.loads(json.dumps(settings)), date)
            self.done = {row["id"]: row for row in self._read() if "error" not in row}
        except OSError as error:
            raise EvaluationError(f"cannot write {self.folder}: {error.strerror}; choose a folder you may write to") from error

    def append(self, rows: Iterable[Mapping]) -> None:
        """Add lines and wait until they are on disk."""
        with open(self.path, "ab") as file:
            for row in rows:
                file.write(json.dumps(row).encode() + b"\n")
                if "error" not in row:
                    self.done[row["id"]] = dict(row)
            file.flush()
            os.fsync(file.fileno())

    def finish(self, scores: Mapping) -> None:
        """Write scores.json whole."""
        _write(self.folder / SCORES, scores)

    def _agree(self, settings: dict, date: str) -> str:
        place = self.folder / RUN
        if not place.is_file():
            if self.path.exists():
                raise EvaluationError(f"{self.folder} holds {SAMPLES} but no {RUN}; choose another folder")
            _write(place, {**settings, "date": date})
            return date
        there = _load(place, place.read_bytes())
        began = there.pop("date", "")
        differing = [name for name in {**there, **settings} if there.get(name) != settings.get(name)]
        if differing:
            name = differing[0]
            raise EvaluationError(
                f"{self.folder} holds a run with another {', '.join(differing)} ({name} is {there.get(name)!r} there and "
                f"{settings.get(name)!r} now); choose another folder"
            )
        return began

    def _read(self) -> list[dict]:
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the run was killed while it wrote this line
            os.truncate(self.path, whole)
        return [_load(self.path, line) for line in data[:whole].splitlines()]


def _write(path: Path, value: Mapping) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(value, indent=2).encode() + b"\n")


def _load(path: Path, text: bytes) -> dict:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or (path.name == SAMPLES and "id" not in row):
        raise EvaluationError(f"{path} is damaged at {text[:60]!r}; delete the folder and start again")
    return row
