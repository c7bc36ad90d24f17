"""The notebook batch, on throwaway notebooks run by real kernels."""

import contextlib
import io
import json
import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ov2lib import Ov2Error, cli
from ov2lib.cli import reproduce

PARAMETERS = "N: int = 2  # how many\nSHARE: float = 0.5\nFAST: bool = True\nVIDEO: str = ''  # your own file"
DRAW = """\
import sys
import matplotlib.pyplot as plt
from ov2lib import figures
fig, ax = plt.subplots()
ax.plot(range(N))
figures.save(fig, "01_line", {"n": range(N)})
print("kernel says", N, repr(VIDEO), type(SHARE).__name__)
print("a " + "warning", file=sys.stderr)"""


def write(path, *cells):
    first, *rest = (new_code_cell(source, id=f"c{i}") for i, source in enumerate(cells))
    first.metadata["tags"] = ["parameters"]
    title = new_markdown_cell("# A notebook", id="title")
    nbformat.write(new_notebook(cells=[title, first, *rest], metadata={"kernelspec": reproduce._KERNEL}), path)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A tiny clone with three notebooks, of which the second fails."""
    root = tmp_path_factory.mktemp("clone")
    (root / "notebooks").mkdir()
    (root / "pyproject.toml").touch()
    write(root / "notebooks/01_draw.ipynb", PARAMETERS, DRAW)
    write(root / "notebooks/02_fail.ipynb", "N: int = 1", "assert N == 2, 'N is not two'")
    write(root / "notebooks/03_last.ipynb", "N: int = 1", "print(N)")
    return root


@pytest.fixture(scope="module")
def batch(clone):
    """The whole batch, run once: exit status and what it printed."""
    said, before = io.StringIO(), os.getcwd()
    os.chdir(clone)
    try:
        with contextlib.redirect_stdout(said):
            status = cli.main(["reproduce"])
    finally:
        os.chdir(before)
    return status, said.getvalue()


def test_a_failure_is_told_and_the_rest_still_runs(batch):
    status, said = batch
    assert status == 1
    table = [line.split() for line in said.split("\n\n")[1].splitlines()]
    assert [row[0] for row in table] == ["notebook", "01_draw", "02_fail", "03_last", "3"]
    assert [row[2] for row in table[1:4]] == ["pass", "FAIL", "pass"]
    assert table[1][3] == "01_line" and table[4][3:] == ["1", "failed"]
    assert "AssertionError: N is not two" in said


def test_each_run_leaves_a_copy_and_a_log(clone, batch):
    for name in ("01_draw", "02_fail", "03_last"):
        executed = nbformat.read(clone / "runs" / name / f"{name}.ipynb", as_version=4)
        assert [cell.execution_count for cell in executed.cells if cell.cell_type == "code"][-1] == 2
        assert "Executing Cell" in (clone / "runs" / name / "log.txt").read_text()
    assert "kernel says 2 '' float" in (clone / "runs/01_draw/log.txt").read_text()


def test_figures_of_a_passing_default_run_are_published(clone, batch):
    assert sorted(path.name for path in (clone / "figures").iterdir()) == ["01_line.csv", "01_line.png"]
    assert (clone / "figures/01_line.csv").read_text() == "n\n0\n1\n"


def test_own_parameters_reach_the_kernel_and_leave_the_published_figures_alone(clone, batch, monkeypatch, capfd):
    monkeypatch.chdir(clone)
    argv = ["reproduce", "--only", "01", "-p", "N", "5", "-p", "SHARE", "1", "-p", "VIDEO", "7"]
    assert cli.main(argv) == 0
    assert capfd.readouterr().err == "", "kernels keep their own log to themselves"
    assert "kernel says 5 '7' float" in (clone / "runs/01_draw/log.txt").read_text()
    assert (clone / "runs/01_draw/figures/01_line.csv").read_text() == "n\n0\n1\n2\n3\n4\n"
    assert (clone / "figures/01_line.csv").read_text() == "n\n0\n1\n"


def test_update_commits_outputs_without_traces_of_the_run(clone, batch, monkeypatch):
    monkeypatch.chdir(clone)
    assert cli.main(["reproduce", "--only", "01", "--update"]) == 0
    text = (clone / "notebooks/01_draw.ipynb").read_text()
    assert "kernel says 2" in text
    for trace in ("papermill", "a warning", "start_time", "iopub", str(clone)):
        assert trace not in text
    once = (clone / "notebooks/01_draw.ipynb").read_bytes()
    assert cli.main(["reproduce", "--only", "01", "--update"]) == 0
    assert (clone / "notebooks/01_draw.ipynb").read_bytes() == once


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--only", "01", "-p", "FRAMES", "5"], "01_draw has no parameter 'FRAMES'; it has: N, SHARE, FAST, VIDEO"),
        (["-p", "SHARE", "1"], "02_fail has no parameter 'SHARE'"),
        (["--only", "01", "-p", "N", "many"], "parameter N is 'many'; it takes a value of type int"),
        (["--only", "01", "-p", "N", "2.5"], "of type int"),
        (["--only", "01", "-p", "FAST", "1"], "of type bool"),
        (["--only", "04"], "no notebook starts with '04'"),
        (["--only", "01", "-p", "N", "3", "--update"], "leave out -p"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(clone, batch, monkeypatch, capsys, argv, says):
    monkeypatch.chdir(clone)
    before = sorted((clone / "runs").rglob("*")), (clone / "runs/01_draw/log.txt").read_bytes()
    assert cli.main(["reproduce", *argv]) == 2
    assert says in capsys.readouterr().err
    assert (sorted((clone / "runs").rglob("*")), (clone / "runs/01_draw/log.txt").read_bytes()) == before


FOREIGN = {
    "11_vscode": {"kernelspec": {"display_name": ".venv", "language": "python", "name": ".venv"}},
    "12_lab": {"kernelspec": {"display_name": "R", "language": "R", "name": "ir"}, "language_info": {"name": "R"}},
    "13_none": {},
}


def test_whatever_one_notebook_is_the_others_run_and_the_table_names_it(tmp_path, monkeypatch, capsys):
    """Some that a reader saved, an empty one, broken ones, an early exit and a kernel that dies, in a folder with braces."""
    root = tmp_path / "a {clone} of {0} and }{"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    for name, metadata in FOREIGN.items():
        write(root / f"notebooks/{name}.ipynb", "N: int = 1", "print('N is', N)")
        saved = json.loads((root / f"notebooks/{name}.ipynb").read_text())
        (root / f"notebooks/{name}.ipynb").write_text(json.dumps(saved | {"metadata": metadata}))
    broken = {
        "14_json": "{not json",
        "15_list": "[]",
        "16_object": "{}",
        "17_no_cells_key": '{"nbformat": 4, "nbformat_minor": 5}',
    }
    for name, text in broken.items():
        (root / f"notebooks/{name}.ipynb").write_text(text)
    nbformat.write(new_notebook(), root / "notebooks/18_no_cells.ipynb")
    write(root / "notebooks/19_exit.ipynb", "N: int = 1", "import sys\nsys.exit(0)", "print('never')")
    write(root / "notebooks/20_dies.ipynb", "N: int = 1", "import os\nos._exit(1)")
    write(root / "notebooks/21_last.ipynb", "N: int = 1", "print(N)")
    monkeypatch.chdir(root)
    assert cli.main(["reproduce"]) == 1
    said = capsys.readouterr().out
    assert "cell 2: SystemExit: 0" in said and "DeadKernelError" in said
    lines = said.split("\n\n")[1].splitlines()[1:]
    results = {line.split()[0]: line.split()[2] for line in lines[:-1]}
    passed, failed = [*FOREIGN, "18_no_cells", "21_last"], [*broken, "19_exit", "20_dies"]
    assert results == dict.fromkeys(passed, "pass") | dict.fromkeys(failed, "FAIL")
    assert lines[-1].split()[:2] == ["11", "runs"] and lines[-1].split()[-2:] == ["6", "failed"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_stops_the_batch_and_its_kernel_without_a_word_too_many(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    interrupt = (
        "import os, signal; from pathlib import Path\n"
        "Path('kernel').write_text(str(os.getpid()))\n"  # a file: the batch may stop before a printed line reaches it
        "os.kill(os.getppid(), signal.SIGINT)\nsignal.pause()"
    )
    write(tmp_path / "notebooks/01_wait.ipynb", "N: int = 1", interrupt)
    code = (
        "import signal, sys; from ov2lib import cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs of a shell start with it ignored
        "sys.exit(cli.main(['reproduce']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, "ov2: interrupted\n")
    assert not (tmp_path / "figures").exists()
    kernel = int((tmp_path / "kernel").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


def test_a_notebook_with_variants_runs_once_for_each(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    draw = (
        DRAW.replace("01_line", "07_line_{VARIANT}")
        .replace('"07', 'f"07')
        .replace("repr(VIDEO), type(SHARE)", "VARIANT, type(N)")
    )
    notebook = tmp_path / "notebooks/07_stage.ipynb"
    write(notebook, 'VARIANT: str = "full"  # what is trained\nN: int = 2  # how many', draw)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["reproduce", "--only", "07", "--update"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.split("\n\n")[1].splitlines()[1:3]] == [
        "07_stage",
        "07_stage.lora",
    ]
    for name, value in (("07_stage", "full"), ("07_stage.lora", "lora")):
        assert f"kernel says 2 {value} int" in (tmp_path / "runs" / name / "log.txt").read_text()
        assert (tmp_path / "figures" / f"07_line_{value}.png").is_file()
    assert "says 2 full" in notebook.read_text() and "lora" not in notebook.read_text()
    own = reproduce.plan_jobs(notebook, [("N", "3")])
    assert [(job.name, job.parameters, job.own) for job in own] == [
        ("07_stage", {"N": 3}, True), ("07_stage.lora", {"N": 3, "VARIANT": "lora"}, True),
    ]  # fmt: skip
    assert [job.parameters for job in reproduce.plan_jobs(notebook, [("VARIANT", "lora")])] == [{"VARIANT": "lora"}]


def test_values_take_the_declared_type(clone):
    given = [("N", "3"), ("SHARE", "1"), ("FAST", "False"), ("VIDEO", "1.mp4")]
    assert reproduce.resolve_parameters(clone / "notebooks/01_draw.ipynb", given) == {
        "N": 3, "SHARE": 1.0, "FAST": False, "VIDEO": "1.mp4",
    }  # fmt: skip


def test_a_folder_without_notebooks_is_a_clear_error(tmp_path):
    with pytest.raises(Ov2Error, match="holds no notebooks"):
        reproduce.find_notebooks(tmp_path)


def test_a_damaged_notebook_is_one_failure(tmp_path):
    broken = tmp_path / "01_broken.ipynb"
    broken.write_text("{not json")
    outcome = reproduce.run_notebook(broken, tmp_path / "run", {})
    assert "NotJSONError" in outcome.error and "\n" not in outcome.error


def test_strip_keeps_outputs_and_takes_away_the_machine(tmp_path):
    picture = "iVBOR" + "/" + str(tmp_path)[1:] + "/"  # base64 may spell a path by chance: never touched
    cell = new_code_cell("1", id="one", metadata={"tags": [], "execution": {"iopub.execute_input": "2026"}, "papermill": {}})
    cell.outputs = [
        new_output("stream", name="stdout", text=f"read {tmp_path}/clip.mp4\n"),
        new_output("stream", name="stderr", text="100%|####| 3/3"),
        new_output("display_data", data={"text/plain": "<Figure>", "image/png": picture}),
    ]
    dirty = new_notebook(
        cells=[cell],
        metadata={
            "papermill": {},
            "kernelspec": {"name": "mine", "display_name": "Mine"},
            "language_info": {"name": "python", "version": "3"},
        },
    )
    clean = json.loads(nbformat.writes(reproduce.strip(dirty, tmp_path)))
    assert clean["cells"][0]["metadata"] == {}
    assert clean["cells"][0]["outputs"][0]["text"] == ["read ./clip.mp4\n"]
    assert clean["cells"][0]["outputs"][1]["data"]["image/png"] == picture
    assert clean["metadata"]["kernelspec"]["name"] == "python3"
    assert len(dirty.cells[0].outputs) == 3, "the input must stay as it was"
