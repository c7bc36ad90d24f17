"""`ov2 reproduce`: run the notebooks as a batch, each through papermill, and say what came of it.

Notebook `01_gop_partition` leaves under `runs/01_gop_partition/` (ignored by git) its executed copy, its log and its figures.
If it ran with its own defaults and passed, the figures replace those in `figures/`; with other parameters they stay where
they are, so that a reader's own video never overwrites the project's pictures. Notebooks run one after another, in the
caller's working directory: a path given with `-p` means what it means in the shell.

A notebook that declares a parameter of `VARIANTS` runs once more for each of its other values: the stages of training with
VARIANT="lora", under `runs/07_stage1_bootstrap.lora/`. Its figures have the variant in their names and are published too.
"""

import argparse
import ast
import logging
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from tqdm import tqdm

from ..errors import Ov2Error
from ..figures import write_whole
from ..files import project_root

VARIANTS = {"VARIANT": ("lora",)}  # parameters that the batch tries beside their defaults
PATIENCE = 120  # seconds that a finished cell's output may take to arrive; papermill's 4 are too few on a busy machine
_TYPES = {"int": (int,), "float": (float, int), "bool": (bool,)}
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# One thread per kernel: sums keep one order, so that the numbers do not depend on how many cores a machine has. Where training
# asks for more, they sleep while they wait: by default OpenMP's spin, and a step takes many times as long beside a busy core.
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {"OMP_WAIT_POLICY": "PASSIVE"}
# Kernels are silent on the terminal about themselves (local, unencrypted, interrupted); errors in cells come by another way.
_QUIET = ["--log-level=CRITICAL"]


@dataclass(frozen=True)
class Job:
    """One run of one notebook.

    Attributes:
        notebook: the file.
        parameters: that differ from its own defaults.
        variant: the value of `VARIANTS` that it tries, "" for none.
        own: whether the reader chose parameters; the figures stay under `runs/` then.
    """

    notebook: Path
    parameters: dict
    variant: str = ""
    own: bool = False

    @property
    def name(self) -> str:
        return f"{self.notebook.stem}.{self.variant}" if self.variant else self.notebook.stem


@dataclass(frozen=True)
class Outcome:
    """What became of one job: its name, seconds, the figures it wrote (names), and the error, "" if it passed."""

    name: str
    seconds: float
    figures: tuple[str, ...]
    error: str = ""


def find_notebooks(root: Path, only: list[str] | None = None) -> list[Path]:
    """The notebooks `NN_words.ipynb` in order; `only` keeps those whose name starts with one of its entries ("01").

    Raises:
        Ov2Error: there are none, or an entry of `only` fits none.
    """
    notebooks = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise Ov2Error(f"{root / 'notebooks'} holds no notebooks; run this inside a clone of the project")
    for prefix in only or ():
        if not any(path.name.startswith(prefix) for path in notebooks):
            raise Ov2Error(f"no notebook starts with {prefix!r}; there are {', '.join(path.stem for path in notebooks)}")
    return [path for path in notebooks if not only or path.name.startswith(tuple(only))]


def resolve_parameters(notebook: Path, given: list[tuple[str, str]]) -> dict:
    """Turn `-p NAME VALUE` texts into the values that a notebook's `parameters` cell declares.

    papermill itself accepts a misspelt name and goes on with the default; here it is refused, and so is a value of another
    type than declared.

    Raises:
        Ov2Error: an unknown name, or a value that does not fit.
    """
    if not given:
        return {}
    declared = papermill.inspect_notebook(_open(notebook))
    values = {}
    for name, text in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise Ov2Error(f"{notebook.stem} has no parameter {name!r}; it has: {known} (choose notebooks with --only)")
        values[name] = _parse(name, text, str(declared[name]["inferred_type_name"]))
    return values


def plan_jobs(notebook: Path, given: list[tuple[str, str]]) -> list[Job]:
    """A notebook's runs: as it is, or with the parameters given, and with each of its variants.

    Raises:
        Ov2Error: see `resolve_parameters`.
    """
    try:
        declared = papermill.inspect_notebook(_open(notebook))
    except Exception:  # no notebook at all; running it will tell
        return [Job(notebook, {})]
    parameters = resolve_parameters(notebook, given)
    jobs = [Job(notebook, parameters, own=bool(parameters))]
    for name in (declared.keys() & VARIANTS.keys()) - parameters.keys():
        jobs += [Job(notebook, parameters | {name: value}, value, bool(parameters)) for value in VARIANTS[name]]
    return jobs


def _parse(name: str, text: str, declared: str) -> object:
    if declared == "str":
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if declared in _TYPES and type(value) not in _TYPES[declared]:
        raise Ov2Error(f"parameter {name} is {text!r}; it takes a value of type {declared}")
    return float(value) if declared == "float" else value


def run_notebook(notebook: Path, run: Path, parameters: dict, label: str = "") -> Outcome:
    """Run one notebook; its executed copy, `log.txt` and `figures/` replace whatever the folder `run` held.

    A notebook that fails does not raise: the outcome carries the error, the executed copy shows where.
    """
    # 1. An empty folder for this run
    shutil.rmtree(run, ignore_errors=True)
    (run / "figures").mkdir(parents=True)
    bar = {"desc": label or notebook.stem, "leave": False, "disable": None}  # None: no bar where there is no terminal
    start, error = time.perf_counter(), ""
    # 2. Execute; whatever goes wrong is noted, never raised
    with _surroundings(run):
        try:
            executed = papermill.execute_notebook(
                _open(notebook),
                str(run / notebook.name).replace("{", "{{").replace("}", "}}"),  # papermill fills in braces
                parameters,
                progress_bar=bar,
                log_output=True,
                extra_arguments=_QUIET,
                iopub_timeout=PATIENCE,
            )
            error = _exit_of(executed)
        except papermill.PapermillExecutionError as failure:
            error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
        except Exception as failure:  # no notebook at all, a kernel that died, a cell that took too long
            error = f"{type(failure).__name__}: {failure}"
    # 3. What it drew, and how long it took
    figures = tuple(sorted(path.stem for path in (run / "figures").glob("*.png")))
    return Outcome(run.name, time.perf_counter() - start, figures, " ".join(error.split()))


def _open(notebook: Path) -> nbformat.NotebookNode:
    """The notebook, to be run by this Python whatever kernel the editor of a reader who saved it wrote into it."""
    node = nbformat.read(notebook, as_version=4)
    node.metadata |= nbformat.from_dict({"kernelspec": _KERNEL, "language_info": {"name": "python"}})
    return node


def _exit_of(executed: nbformat.NotebookNode) -> str:
    """The `sys.exit()` that ended a notebook early, which papermill takes for a success; "" for none."""
    for cell in executed.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                return f"cell {cell.execution_count}: {output.ename}: {output.evalue}"
    return ""


@contextmanager
def _surroundings(run: Path):
    """For the kernel: where figures go and `kit` lies, and one thread; for papermill: a log file beside the executed copy."""
    # 1. The kernel's environment
    before = dict(os.environ)
    os.environ["OV2_FIGURES"] = str(run / "figures")
    folders = [str(project_root() / "notebooks"), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))  # `kit` lies beside the notebooks
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # silences a debugger's note on frozen modules in each log
    for name, value in _THREADS.items():
        os.environ.setdefault(name, value)
    # 2. papermill's log
    log, handler = logging.getLogger("papermill"), logging.FileHandler(run / "log.txt", encoding="utf-8")
    level, spread = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    # 3. Afterwards everything as before
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = spread
        handler.close()
        os.environ.clear()
        os.environ.update(before)


def publish(run: Path, figures: Path) -> None:
    """Copy a run's pictures and data into `figures/`, each file whole or not at all."""
    figures.mkdir(exist_ok=True)
    for path in sorted((run / "figures").iterdir()):
        write_whole(figures / path.name, path.read_bytes())


def strip(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """A copy of an executed notebook that is fit to commit: outputs stay, traces of the run go.

    Gone are papermill's metadata, times of execution, the kernel's own name and versions, and warnings and progress bars
    (stderr). Paths of this machine become `.` (the clone), `~` (home) and `$TMPDIR`.
    """
    clean = nbformat.from_dict(notebook)
    clean.metadata = nbformat.from_dict({"kernelspec": _KERNEL, "language_info": {"name": "python"}})
    for cell in clean.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = [_without_paths(out, root) for out in cell.outputs if out.get("name") != "stderr"]
    return clean


def _without_paths(node, root: Path):
    if isinstance(node, dict):
        pairs = ((key, value if key.startswith("image/") else _without_paths(value, root)) for key, value in node.items())
        return nbformat.from_dict(dict(pairs))
    if isinstance(node, list):
        return [_without_paths(value, root) for value in node]
    if isinstance(node, str):
        for place, name in ((root, "."), (Path.home(), "~"), (Path(tempfile.gettempdir()), "$TMPDIR")):
            node = node.replace(f"{place}/", f"{name}/") if len(place.parts) > 1 else node
    return node


def table(outcomes: list[Outcome]) -> str:
    """The closing table: notebook, seconds, figures written, pass or fail."""
    rows = [("notebook", "seconds", "result", "figures written")]
    rows += [(o.name, f"{o.seconds:.1f}", "FAIL" if o.error else "pass", ", ".join(o.figures) or "-") for o in outcomes]
    failed = sum(bool(o.error) for o in outcomes)
    rows.append((f"{len(outcomes)} runs", f"{sum(o.seconds for o in outcomes):.1f}", f"{failed} failed", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:<{widths[2]}}  {d}".rstrip() for a, b, c, d in rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ov2 reproduce`."""
    parser.add_argument("--only", nargs="+", metavar="NN", help="run only the notebooks whose names start so, such as 01 03")
    parser.add_argument(
        "-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="set a notebook parameter, such as -p VIDEO my.mp4; its figures stay under runs/",
    )  # fmt: skip
    parser.add_argument("--update", action="store_true", help="write the executed notebooks, cleaned, back to notebooks/")


def run(args: argparse.Namespace) -> int:
    """Run the chosen notebooks, going on after a failure; exit status 1 if any failed.

    Raises:
        Ov2Error: before anything runs, when a notebook or parameter is unknown.
    """
    # 1. Find the jobs
    if args.update and args.parameter:
        raise Ov2Error("--update commits what the defaults give; leave out -p, or leave out --update")
    root = project_root()
    jobs = [job for notebook in find_notebooks(root, args.only) for job in plan_jobs(notebook, args.parameter)]
    # 2. Run one after another
    outcomes = []
    for number, job in enumerate(jobs, start=1):
        label = f"[{number}/{len(jobs)}] {job.name}"
        folder = root / "runs" / job.name
        outcome = run_notebook(job.notebook, folder, job.parameters, label)
        outcomes.append(outcome)
        tqdm.write(f"{label}: {'FAIL, ' + outcome.error if outcome.error else 'pass'} ({outcome.seconds:.1f} s)")
        if outcome.error or job.own:
            continue
        # 3. Publish what passed with its own defaults
        publish(folder, root / "figures")
        if args.update and not job.variant:
            executed = nbformat.read(folder / job.notebook.name, as_version=4)
            write_whole(job.notebook, (nbformat.writes(strip(executed, root)) + "\n").encode())
    print(f"\n{table(outcomes)}\n\nexecuted copies and logs: {root / 'runs'}")
    return int(any(outcome.error for outcome in outcomes))
