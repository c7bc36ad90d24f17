"""The check of the built edition: broken links, missing anchors and anything loaded from the network are found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECK = ROOT / "docs/check.py"


def check(site: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, CHECK, site], capture_output=True, text=True)


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "html"
    (folder / "sub").mkdir(parents=True)
    (folder / "index.html").write_text('<a href="sub/a.html#here">a</a> <a href="https://example.org/">out</a>')
    (folder / "sub/a.html").write_text('<h1 id="here">A</h1> <a href="../index.html">back</a> <a href="#here">up</a>')
    return folder


def test_a_sound_site_passes_and_outside_links_are_listed(site):
    done = check(site)
    assert (done.returncode, done.stdout) == (0, "0 links are wrong; 1 lead outside, see external_links.txt\n")
    assert (site.parent / "external_links.txt").read_text() == "https://example.org/\n"


@pytest.mark.parametrize(
    "markup",
    [
        '<a href="missing.html">',
        '<a href="a.html#gone">',
        '<a href="#gone">',
        '<img src="no.png">',
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/x.css">',
    ],
)
def test_what_leads_nowhere_or_needs_the_network_is_found(site, markup):
    (site / "sub/b.html").write_text(markup)
    done = check(site)
    assert done.returncode == 1
    assert done.stdout.startswith("sub/b.html: ") and "1 links are wrong" in done.stdout


def test_style_sheets_load_nothing_from_the_network(site):
    (site / "x.css").write_text("a { background: url('data:image/png;base64,AA') } @import 'https://example.org/y.css';")
    assert "x.css: @import 'https://example.org/y.css" in check(site).stdout


def test_every_room_and_every_notebook_has_its_place():
    rooms = {path.stem for path in (ROOT / "ov2lib").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(re.findall(r"^   ov2lib\.(\w+)$", (ROOT / "docs/reference.md").read_text(), re.M)) == rooms - {
        "__init__",
        "__main__",
    }
    notebooks = re.findall(r"^\.\./notebooks/(\w+)$", (ROOT / "docs/index.md").read_text(), re.M)
    assert sorted(notebooks) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
