"""The project's own files agree: packages, pins and environment; notebooks are checked when tested; clean commits."""

import ast
import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import papermill
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

pytest_plugins = "pytester"
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def pins() -> dict[str, Version]:
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#"))
    named = [re.fullmatch(r"([a-z0-9-]+)==(\S+)", line).groups() for line in lines]
    assert [name for name, _ in named] == sorted({name for name, _ in named}), "sorted, each once"
    return {name: Version(version) for name, version in named}


APART = {"docs", "ray"}  # extras with environments of their own


def direct() -> list[Requirement]:
    """What pyproject.toml asks for: the base packages and those of every extra that `make` installs."""
    extras = (texts for name, texts in PROJECT["optional-dependencies"].items() if name not in APART)
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != PROJECT["name"]]


def closure() -> set[str]:
    """Every package that those bring in, by the metadata of what is installed here.

    Left out are those that their parent asks for at one version, as torch does with its CUDA libraries on some platforms.
    """
    found, exact, todo = set(), set(), [(requirement.name, frozenset(requirement.extras)) for requirement in direct()]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                todo.append((needed.name, frozenset(needed.extras)))
                if any(specifier.operator == "==" for specifier in needed.specifier):
                    exact.add(canonicalize_name(needed.name))
    return {canonicalize_name(name) for name, _ in found} - exact


def test_each_package_asked_for_is_pinned_within_its_range():
    for requirement in direct():
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), requirement


def test_the_packages_that_build_the_edition_are_pinned_too():
    for requirement in map(Requirement, PROJECT["optional-dependencies"]["docs"]):
        assert requirement.specifier.contains(pins()[requirement.name]), requirement


def test_everything_that_comes_along_is_pinned():
    assert closure() - set(pins()) == set()


def test_conda_installs_what_make_installs():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *packages, through_pip = environment["dependencies"]
    python = Requirement(packages[0].replace("=", "==") + ".*")
    assert (
        python.name == "python"
        and Version(str(python.specifier)[2:-2]) in Requirement(f"p{PROJECT['requires-python']}").specifier
    )
    assert packages[1:] == ["pip"]
    command = " ".join(line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line).replace("'", "")
    for option in through_pip["pip"]:
        assert option in command


def test_the_extra_that_make_installs_holds_all_extras():
    asked = {extra for requirement in map(Requirement, PROJECT["optional-dependencies"]["dev"]) for extra in requirement.extras}
    assert asked == set(PROJECT["optional-dependencies"]) - {"dev"} - APART


def test_every_version_named_is_one():
    from ov2lib import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


LAYERS = ["errors", "files", "geometry", "video", "codec", "tokens", "samples", "corpus", "model", "train", "evaluate", "cli"]
BESIDE = {"reported", "figures", "inspector", "display"}


def imported(path: Path) -> set[str]:
    """Names of what a module of the library imports, as from its top: "video.source", "errors" ..."""
    package = path.relative_to(ROOT / "ov2lib").parent.parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names |= {".".join((*base, *filter(None, [node.module]), alias.name)) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in ("ov2lib", "kit"):
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.partition(".")[0] in ("ov2lib", "kit")}
    return names


def test_no_import_runs_upwards():
    rooms = {path.relative_to(ROOT / "ov2lib").parts[0].removesuffix(".py") for path in (ROOT / "ov2lib").rglob("*.py")}
    assert rooms - {"__init__", "__main__"} == {*LAYERS, *BESIDE}
    for path in (ROOT / "ov2lib").rglob("*.py"):
        room = path.relative_to(ROOT / "ov2lib").parts[0].removesuffix(".py")
        for name in imported(path) if room in LAYERS else ():
            other = name.partition(".")[0]
            assert other not in ("ov2lib", "kit"), f"{path}: import {name} relatively, or not at all"
            allowed = LAYERS[: LAYERS.index(room) + 1] + (["tokens"] if room == "codec" else [])
            assert other in allowed or other in BESIDE or name == "__version__", f"{path}: {name} stands above {room}"


def test_the_way_of_the_data_names_what_exists():
    walk = (ROOT / "CONTRIBUTING.md").read_text().partition("## The way of the data")[2]
    names = {name.rpartition(".")[2] for name in re.findall(r"`([A-Za-z_][\w.]*)`", walk)}
    source = "\n".join(path.read_text() for path in (ROOT / "ov2lib").rglob("*.py"))
    assert len(names) > 30
    assert [name for name in sorted(names) if not re.search(rf"^\s*(?:def|class) {name}\b", source, re.M)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_are_clean_and_their_parameters_readable(path):
    notebook, text = json.loads(path.read_text()), path.read_text()
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    parameters = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert len(parameters) == 1
    assigned = re.findall(r"^(\w+)\s*[:=]", "".join(parameters[0]["source"]), re.M)
    declared = papermill.inspect_notebook(path)
    assert list(declared) == assigned, "papermill overlooks a parameter: annotate it as int, float, bool or str"
    assert all(value["help"] for value in declared.values()), "each parameter has a comment"
    assert not re.search(r'"papermill"\s*:|/(root|home|tmp)/', text)
    assert any(cell["outputs"] for cell in code)


MOST_WORDS, CORE_WORDS = 120, 9_000  # of a markdown cell; of the core path that the README names
LINK = re.compile(r"\]\(([^)\s]+)\)")


def markdown_cells(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "markdown"]


def anchors(path: Path) -> set[str]:
    """The names by which GitHub links to the headings of a page or a notebook."""
    text = "\n".join(markdown_cells(path)) if path.suffix == ".ipynb" else path.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_short_to_read_and_linked(path):
    cells = markdown_cells(path)
    assert [cell for cell in cells if len(cell.split()) > MOST_WORDS] == []
    neighbours = re.findall(r"(?:Previous|Next): \[(\w+)\]\(\1\.ipynb\)", cells[0])
    assert len(neighbours) == (1 if path in (NOTEBOOKS[0], NOTEBOOKS[-1]) else 2)
    assert "arxiv.org/abs/2605.25979" in cells[0]


def test_the_core_path_takes_an_afternoon():
    core = (ROOT / "README.md").read_text().partition("**The core, an afternoon:**")[2].partition(":")[0]
    paths = [ROOT / link for link in LINK.findall(core)]
    assert len(paths) >= 5
    assert sum(len(cell.split()) for path in paths for cell in markdown_cells(path)) <= CORE_WORDS


@pytest.mark.parametrize("path", [*NOTEBOOKS, ROOT / "README.md"], ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    text = "\n".join(markdown_cells(path)) if path.suffix == ".ipynb" else path.read_text()
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_changed_outputs_fail_where_they_are_compared_and_only_there(pytester):
    """The wiring of nbval: a committed number that the code no longer prints must fail the tests."""

    def write(name: str, *cells: tuple[str, list]):
        made = [
            new_code_cell(source, id=f"c{i}", outputs=outputs, execution_count=i + 1)
            for i, (source, outputs) in enumerate(cells)
        ]
        (folder / name).write_text(writes(new_notebook(cells=made)))

    folder = pytester.mkdir("notebooks")
    (folder / "conftest.py").write_text((ROOT / "notebooks/conftest.py").read_text())
    four, five = ([new_output("stream", name="stdout", text=f"{n}\n")] for n in (4, 5))
    table = [new_output("display_data", data={"text/html": "<b>old</b>", "image/png": "b2xk"})]
    show = "display({'text/html': '<b>new</b>', 'image/png': 'bmV3'}, raw=True)"
    write(
        "01_strict.ipynb",
        ("print(2 + 2)", four),
        ("print(2 + 2)", five),
        (show, table),
        ("import sys; print(1, file=sys.stderr)", []),
    )
    few_steps = "import os; assert int(os.environ['OV2_MAX_STEPS']) < 10"
    write("07_lax.ipynb", ("print(2 + 2)", five), ("assert 2 + 2 == 5", []), (few_steps, []))
    done = pytester.runpytest_subprocess("--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "-rA", "notebooks")
    done.assert_outcomes(passed=5, failed=2)
    done.stdout.fnmatch_lines_random(["FAILED notebooks/01_strict.ipynb::Cell 1*", "FAILED notebooks/07_lax.ipynb::Cell 1*"])
