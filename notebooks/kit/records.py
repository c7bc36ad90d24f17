"""Results of longer runs: written by the programs that made them, committed in `school/results`, read by the notebooks."""

import csv
import datetime
import io
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ov2lib import __version__
from ov2lib.evaluate.intervals import bootstrap
from ov2lib.files import whole_file

from .errors import MiniError

RESULTS = Path(__file__).parent / "school" / "results"


def read_results(name: str) -> tuple[list[dict], dict]:
    """A committed longer run: its rows, and how it was made (command, commit, device, date, seeds, versions).

    Raises:
        MiniError: there is none of that name.
    """
    try:
        with (RESULTS / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return rows, json.loads((RESULTS / f"{name}.json").read_text())
    except OSError as error:
        raise MiniError(
            f"no committed run is called {name!r}; there are {sorted(p.stem for p in RESULTS.glob('*.csv'))}"
        ) from error


def write_results(rows: list[dict], folder: Path, name: str, seeds: list[int], module: str = "kit.school.exam") -> None:
    """Write `NAME.csv` and `NAME.json` in the form that `read_results` reads; `module` is the program that ran."""
    with whole_file(folder / f"{name}.csv") as raw, io.TextIOWrapper(raw, "utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    import torch  # those who only read need not wait for it

    facts = {
        "command": " ".join(["python", "-m", module, *sys.argv[1:]]),
        "commit": _commit(),
        "device": f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "date": datetime.date.today().isoformat(),
        "seeds": seeds,
        "versions": {"ov2lib": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    with whole_file(folder / f"{name}.json") as file:
        file.write(json.dumps(facts, indent=2).encode() + b"\n")


def _commit() -> str:
    here = Path(__file__).parent
    head = subprocess.run(["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return head.stdout.strip() or "not under git"


def intervals(table: pd.DataFrame, by: Sequence[str], measure: str) -> pd.DataFrame:
    """The mean of a measure for each value of some columns, with its interval over clips: columns value, low, high, clips."""

    def interval(part: pd.DataFrame) -> pd.Series:
        mean = bootstrap(part[measure].tolist(), part["clip"].tolist())
        return pd.Series({"value": mean.value, "low": mean.low, "high": mean.high, "clips": part["clip"].nunique()})

    return table.dropna(subset=[measure]).groupby(list(by), sort=False)[["clip", measure]].apply(interval)
