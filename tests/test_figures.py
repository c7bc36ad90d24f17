"""Figures: stable bytes, whole files, and colours that stay apart for every kind of eyes."""

import itertools
import os

import numpy as np
import pandas
import pytest

from ov2lib import Ov2Error, figures, files
from ov2lib.files import project_root

plt = pytest.importorskip("matplotlib.pyplot")

# Simulation of full colour blindness in linear RGB: Machado, Oliveira, Fernandes (2009), severity 1.0.
EYES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, eyes: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a hex colour as those eyes see it; a distance of 2 is just noticeable."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(EYES[eyes] @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    x, y, z = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("family", ["SIGNALS", "KINDS", "FRONT_ENDS", "MODELS"])
@pytest.mark.parametrize("eyes", EYES)
def test_colours_of_a_family_stay_apart_for_all_eyes(family, eyes):
    for (one, a), (other, b) in itertools.combinations(getattr(figures, family).items(), 2):
        assert np.linalg.norm(lab(a, eyes) - lab(b, eyes)) > 15, f"{one} and {other} look alike"


def draw(values=(1.0, 2.5, 2.0)):
    figures.style()
    fig, ax = plt.subplots()
    ax.plot(values, color=figures.SIGNALS["bits"], label="bits")
    ax.legend()
    return fig


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("OV2_FIGURES", str(tmp_path / "figures"))
    yield tmp_path / "figures"
    plt.close("all")


def test_same_figure_same_bytes_and_nothing_of_the_machine_in_them(scratch):
    data = {"x": [0, 1], "y": [1 / 3, 1e-9]}
    first = [path.read_bytes() for path in figures.save(draw(), "01_bits", data)]
    second = [path.read_bytes() for path in figures.save(draw(), "01_bits", data)]
    assert first == second
    assert b"matplotlib" not in first[0].lower()
    assert first[1] == b"x,y\n0,0.333333\n1,1e-09\n"
    assert sorted(path.name for path in scratch.iterdir()) == ["01_bits.csv", "01_bits.png"]


def test_other_data_gives_other_bytes():
    one = figures.save(draw(), "01_bits", {"y": [1]})[0].read_bytes()
    other = figures.save(draw((3, 2, 1)), "01_bits", {"y": [1]})[0].read_bytes()
    assert one != other


def test_the_data_may_be_a_table_or_rows():
    rows = [{"kind": "I", "bits": 8}, {"kind": "P", "bits": 2}]
    texts = {figures.save(draw(), "02_kinds", data)[1].read_text() for data in (rows, pandas.DataFrame(rows))}
    assert texts == {"kind,bits\nI,8\nP,2\n"}


@pytest.mark.parametrize("name", ["bits", "1_bits", "01_Bits", "../01_bits", "01_bits.png"])
def test_a_name_of_another_form_is_refused(name, scratch):
    with pytest.raises(Ov2Error, match="two digits"):
        figures.save(draw(), name, {"y": [1]})
    assert not scratch.exists()


def test_a_folder_that_cannot_be_made_is_a_clear_error(scratch):
    scratch.write_text("a file in the way")
    with pytest.raises(Ov2Error, match="OV2_FIGURES"):
        figures.save(draw(), "01_bits", {"y": [1]})


def test_a_failed_write_keeps_the_old_file_and_no_scrap(tmp_path, monkeypatch):
    target = tmp_path / "kept.png"
    target.write_bytes(b"old")

    def full(source, destination):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        figures.write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_figures_go_to_the_clone_one_stands_in(tmp_path, monkeypatch):
    monkeypatch.delenv("OV2_FIGURES")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert figures.folder() == tmp_path / "figures"


def test_outside_a_clone_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "ov2lib" / "files.py"))
    with pytest.raises(Ov2Error, match="inside a clone"):
        project_root()
