"""The inspector's page: its numbers are the library's, it opens from disk without a network, and text stays text."""

import base64
import json
import os
import re
import shutil
import subprocess
import zlib
from importlib.resources import files

import browser
import numpy as np
import pytest

from kit.world import jump_rope
from ov2lib import Ov2Error, read_signals, tokenize_video
from ov2lib.cli import main
from ov2lib.inspector import Inspection, Settings, page
from ov2lib.inspector.gather import mean_on_blocks, pack, sum_on_blocks
from ov2lib.tokens import MERGE

NASTY = "</script><img src=x onerror=alert(1)>&amp;\u2028'\".mp4"
needs_browser = pytest.mark.skipif(not browser.browsers(), reason="no Chromium with its driver here")


@pytest.fixture(scope="module")
def clip():
    return jump_rope(duration=4, seed=0, size=(180, 320), fps=15).path


@pytest.fixture(scope="module")
def inspection(clip):
    return Inspection(clip, Settings(budgets=(4, 8), front_ends=("paper", "released")))


@pytest.fixture(scope="module")
def written(inspection, tmp_path_factory):
    return inspection.save(tmp_path_factory.mktemp("page") / "page.html")


def layer(data: dict, name: str) -> np.ndarray:
    one = data["layers"][name]
    codes = np.frombuffer(zlib.decompress(base64.b64decode(one["data"])), "<u2").reshape(one["shape"]).astype(int)
    size = (codes & 1023) * 10.0 ** ((codes >> 10 & 15) + one["least"])
    return np.where(codes == one["none"], np.nan, np.where(codes >> 14 & 1, -size, size))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_blocks_and_tokens_are_those_of_the_front_end(inspection, clip):
    for selection in inspection.data["selections"]:
        tokens = tokenize_video(clip, selection["front end"], selection["budget"])
        assert selection["tokens"] == tokens.num_tokens and len(selection["canvases"]) == len(tokens.canvases)
        blocks = np.concatenate([canvas["blocks"] for canvas in selection["canvases"]])
        first = tokens.patch_positions.reshape(len(tokens.canvases), *tokens.grid, 3)[:, ::MERGE, ::MERGE].reshape(-1, 3)
        np.testing.assert_array_equal(blocks[:, 0], first[:, 0])
        np.testing.assert_array_equal(blocks[:, 1:], first[:, 1:] // MERGE)
        numbers = np.concatenate([canvas["tokens"] for canvas in selection["canvases"]])
        assert numbers[numbers >= 0].tolist() == list(range(tokens.num_tokens))


def test_layers_are_the_signals(inspection, clip):
    data = inspection.data
    motion, bits = layer(data, "motion x"), layer(data, "bits")
    for i, signals in enumerate(read_signals(clip)):
        if signals.motion is None:
            assert np.isnan(motion[i]).all()
        else:
            wanted = mean_on_blocks(signals.motion[..., 0], tuple(data["grid"]), signals.luma.shape)
            np.testing.assert_allclose(motion[i], wanted, rtol=5.1e-3, atol=1e-6)
        wanted = sum_on_blocks(signals.bits, tuple(data["grid"]), signals.luma.shape)
        np.testing.assert_allclose(bits[i], wanted, rtol=5.1e-3, atol=1e-6)
        assert bits[i].sum() == pytest.approx(8 * signals.size, rel=5e-3), "blocks share the packet's bits"


@pytest.mark.parametrize("value", [0.0, -0.0, 0.5, -3.0, 12.25, 0.333, 999.6, -0.9996, 18_352.0, 1e-4, 1e11])
def test_packing_keeps_three_digits_of_small_numbers_beside_large_ones(value):
    packed = pack(np.array([[value, np.nan, 123_456.0]], np.float32))
    one, none, large = layer({"layers": {"x": packed}}, "x")[0]
    assert one == pytest.approx(float(f"{value:.3g}"), rel=1e-12) and np.isnan(none) and large == 123_000
    assert not np.signbit(one) or value < 0, "no -0"
    assert packed["low"] == min(one, 123_000) and packed["high"] == max(one, 123_000)


def test_packing_nothing():
    packed = pack(np.full((2, 2), np.nan))
    assert np.isnan(layer({"layers": {"x": packed}}, "x")).all() and packed["low"] == packed["high"] == 0


def test_blocks_of_finer_coarser_and_uneven_maps():
    fine = np.arange(16.0).reshape(4, 4)
    np.testing.assert_allclose(mean_on_blocks(fine, (2, 2)), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_allclose(mean_on_blocks(np.array([[1.0, 2.0]]), (2, 4)), [[1, 1, 2, 2], [1, 1, 2, 2]])
    np.testing.assert_allclose(sum_on_blocks(np.array([[6.0, 6.0, 6.0]]), (1, 2)), [[9, 9]])
    beyond = sum_on_blocks(np.ones((1, 3)), (1, 2), pixels=(16, 40))  # 2.5 of three cells of 16 pixels are seen
    np.testing.assert_allclose(beyond, [[1.25, 1.75]])


def test_a_stretch_of_seconds(clip):
    data = Inspection(clip, Settings(budgets=(4,), front_ends=("paper",), start=1.0, end=2.0)).data
    assert 1.0 <= data["times"][0] and data["times"][-1] <= 2.0 and len(data["frames"]) == data["layers"]["bits"]["shape"][0]
    (selection,) = data["selections"]
    assert set(selection["groups"]) == {canvas["group"] for canvas in selection["canvases"]}, "only groups that are in view"


def test_seconds_end_with_the_video(clip):
    data = Inspection(clip, Settings(budgets=(4,), front_ends=("ippp",), start=3.0, end=float("inf"))).data
    assert data["end"] == data["duration"] and "Infinity" not in page(data)


@pytest.mark.parametrize(
    ("given", "why"), [("4-2", "make no stretch"), ("a-b", "give two numbers"), ("90-99", "no frame between")]
)
def test_seconds_that_make_no_sense(given, why, clip, tmp_path, capsys):
    assert main(["inspect", str(clip), "--html", str(tmp_path / "a.html"), "--seconds", given]) == 2
    assert why in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_seconds_without_a_page(clip, capsys):
    assert main(["inspect", str(clip), "--seconds", "1-2"]) == 2
    assert "give --html FILE too" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--html", "--png"])
def test_no_page_takes_the_place_of_the_video_or_of_what_is_no_file(option, clip, tmp_path, capsys):
    video, pipe = tmp_path / "a.mp4", tmp_path / "pipe"
    shutil.copy(clip, video)
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(video)
    for target, why in (
        (video, "is the video"),
        (tmp_path / "link", "is the video"),
        (pipe, "a folder, a pipe or a device"),
        ("", "no path"),
    ):
        assert main(["inspect", str(video), option, str(target)]) == 2
        assert why in capsys.readouterr().err
    assert video.read_bytes() == clip.read_bytes() and pipe.is_fifo()


def test_a_name_that_is_no_text(clip, tmp_path):
    video = os.fsencode(tmp_path) + b"/bad\xff.mp4"
    shutil.copy(clip, video)
    data = Inspection(os.fsdecode(video), Settings(budgets=(4,), front_ends=("ippp",), end=0.1)).data
    assert data["name"] == "bad\ufffd.mp4" and page(data).encode()


def test_the_command_writes_the_page(clip, tmp_path, capsys):
    assert main(["inspect", str(clip), "--html", str(tmp_path / "a.html"), "--seconds", "0-1"]) == 0
    assert "a.html" in capsys.readouterr().out and (tmp_path / "a.html").read_text().startswith("<!doctype html>")


def test_a_place_that_cannot_be_written(inspection, tmp_path):
    with pytest.raises(Ov2Error, match="choose another place"):
        inspection.save(tmp_path / "none" / "page.html")


# --- text stays text -------------------------------------------------------------------------------------------------


def test_hostile_names_are_escaped(inspection):
    text = page(inspection.data | {"name": NASTY, "codec": NASTY})
    assert "<img" not in text and text.count("<script") == 2 and text.count("</script>") == 2
    stored = re.search(r'id="data">(.*?)</script>', text, re.S)[1]
    assert json.loads(stored)["name"] == NASTY
    assert "connect-src" not in text and "default-src 'none'" in text


def test_it_shows_itself_in_a_notebook_and_stays_plain_in_text(inspection):
    assert inspection._repr_html_().startswith("<iframe srcdoc=")
    assert repr(inspection).startswith("Inspection(")


# --- in a browser ----------------------------------------------------------------------------------------------------

READY = "while (!document.querySelector('main')?.dataset.drawn) await new Promise((next) => setTimeout(next, 20));"
SETTLE = "await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));"


@needs_browser
def test_the_page_in_a_browser(inspection, written):
    data = inspection.data
    with browser.window(1000, 900) as window:
        window.open(written.as_uri())
        window.run(READY)
        # 1. The first frame's facts
        facts = window.run("return document.querySelector('.facts').innerText.split('\\n')")
        assert facts[:6] == ["frame", "0", "time", "0.000 s", "kind", "I"]
        # 2. Keys: a frame further, another layer, a smaller budget
        window.keys("\ue014\ue0144[")  # right, right, layer 4
        window.run(SETTLE)
        assert window.run("return document.querySelector('.facts dd').innerText") == "2"
        assert window.run("return document.querySelector('.layers input:checked').value") == "quantiser"
        assert window.run("return document.querySelector('output').innerText") == "4"
        # 3. Pointing at a block of a canvas names its source and its numbers
        small = next(s for s in data["selections"] if s["front end"] == "paper" and s["budget"] == 4)
        canvas = next(c for c in small["canvases"] if len({t for t, _, _ in c["blocks"]}) > 1)
        at = [c["number"] for c in small["canvases"] if c["group"] == canvas["group"]].index(canvas["number"])
        box = window.run(
            f"const b = document.querySelectorAll('.strip canvas')[{at}].getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height]"
        )
        rows, cols = data["grid"]
        place = (rows // 2) * cols + cols // 2
        window.point(box[0] + box[2] * (cols // 2 + 0.5) / cols, box[1] + box[3] * (rows // 2 + 0.5) / rows)
        window.run(SETTLE)
        said = window.run("return document.querySelector('.says').innerText")
        t, row, col = canvas["blocks"][place]
        token = canvas["tokens"][place]
        assert f"frame {t}, " in said and f"row {row}, column {col}; canvas {canvas['number']}, token {token}:" in said
        values = {name: float(layer(data, name)[data["frames"].index(t), row, col]) for name in data["layers"]}
        for name, value in values.items():
            text = "none" if np.isnan(value) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
            assert f"{name} {text}" in said and "-0 " not in said
        # 4. A tap does the same and its block stays named; keys move over the blocks of the frame
        window.tap(box[0] + box[2] * 0.5 / cols, box[1] + box[3] * 0.5 / rows)
        window.run(SETTLE)
        t, row, col = canvas["blocks"][0]
        said = window.run("return document.querySelector('.says').innerText")
        assert f"frame {t}, " in said and f"row {row}, column {col}; canvas {canvas['number']}, " in said
        window.keys("\ue00cwd")  # Escape, up, right
        window.run(SETTLE)
        said = window.run("return document.querySelector('.says').innerText")
        assert "frame 2, " in said and f"row {rows // 2}, column {cols // 2 + 1}:" in said
        # 5. Nothing was wrong, nothing asked for the network
        assert window.log() == []


@needs_browser
def test_hostile_names_in_a_browser(inspection, tmp_path):
    (tmp_path / "page.html").write_text(page(inspection.data | {"name": NASTY, "codec": NASTY}), encoding="utf-8")
    with browser.window() as window:
        window.open((tmp_path / "page.html").as_uri())
        window.run(READY)
        assert window.run("return document.images.length") == 0
        assert "onerror=alert(1)" in window.run("return document.querySelector('.head').innerText")
        assert window.log() == []


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_overflows_the_window(width, written):
    with browser.window(width, 900) as window:
        window.open(written.as_uri())
        window.run(READY)
        assert window.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_the_script_is_valid():
    source = (files("ov2lib.inspector") / "inspector.js").read_text()
    checked = subprocess.run(["node", "--input-type=module", "--check"], input=source, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert source.count("\n") <= 800 and "innerHTML" not in source


def test_the_widget_carries_the_data_and_the_script(inspection):
    pytest.importorskip("anywidget")  # brings ipywidgets, whose progress bars would change the notebooks' outputs
    widget = inspection.widget()
    assert widget.data["name"] == inspection.data["name"] and "export default" in str(widget._esm)
